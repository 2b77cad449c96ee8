"""What a product does with Fivetran: destinations, connections, syncs, the tables that they made."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self

from local_platform.client.errors import SyncFailedError, TimedOutError
from local_platform.client.http import DEFAULT_URL, KEY, SECRET, URL, Http, environment
from local_platform.client.results import Connection, Destination, Marks, SetupTest, Table

POLL_SECONDS = 5.0
CONNECTIONS, DESTINATIONS = "/v1/connections", "/v1/destinations"
TYPES = "/v1/metadata/connector-types"


class Fivetran:
    """Calls Fivetran's REST API.

    Args:
        key: the API key.
        secret: the API secret.
        url: where the API is: Fivetran's, or a local platform's.

    Raises:
        InputError: if the URL is neither https nor on this machine.
        AnswerError: by each method, if the API refuses or is not reached.
    """

    def __init__(self, key: str, secret: str, url: str = DEFAULT_URL) -> None:
        self._http = Http(key, secret, url)

    @classmethod
    def from_environment(cls) -> Self:
        """With FIVETRAN_API_KEY, FIVETRAN_API_SECRET and, if it is set, FIVETRAN_API_URL.

        Raises:
            InputError: if one is missing.
        """
        return cls(environment(KEY), environment(SECRET), os.environ.get(URL) or DEFAULT_URL)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._http.close()

    # Destinations

    def create_group(self, name: str) -> str:
        """Make a group, the frame around one destination.

        Returns:
            Its id.
        """
        return str(self._http.send("POST", "/v1/groups", {"name": name})["id"])

    def create_destination(
        self, group_id: str, service: str, config: Mapping[str, Any], **further: Any
    ) -> Destination:
        """Make the destination of a group and run its tests.

        Args:
            group_id: the group.
            service: what kind it is.
            config: its configuration.
            further: other fields of the request, such as region and time_zone_offset.
        """
        body = {"group_id": group_id, "service": service, "config": dict(config), **further}
        return Destination.model_validate(self._http.send("POST", DESTINATIONS, body))

    def test_destination(self, destination_id: str) -> list[SetupTest]:
        """Run a destination's setup tests."""
        data = self._http.send("POST", f"{DESTINATIONS}/{destination_id}/test", {})
        return [SetupTest.model_validate(each) for each in data.get("setup_tests", [])]

    # Connections

    def create_connection(
        self, group_id: str, service: str, schema: str, config: Mapping[str, Any], **further: Any
    ) -> Connection:
        """Make a connection and run its tests; unless it is paused, its first sync begins by itself.

        Args:
            group_id: the destination's.
            service: the kind of source.
            schema: where its tables go.
            config: the source's configuration.
            further: other fields of the request, such as paused.
        """
        whole = {"schema": schema, **config}
        body = {"group_id": group_id, "service": service, "config": whole, **further}
        return Connection.model_validate(self._http.send("POST", CONNECTIONS, body))

    def connection(self, connection_id: str) -> Connection:
        """A connection as it is now."""
        return Connection.model_validate(self._http.send("GET", f"{CONNECTIONS}/{connection_id}"))

    def test_connection(self, connection_id: str) -> list[SetupTest]:
        """Run a connection's setup tests."""
        data = self._http.send("POST", f"{CONNECTIONS}/{connection_id}/test", {})
        return [SetupTest.model_validate(each) for each in data.get("setup_tests", [])]

    def choose(self, connection_id: str, schemas: Mapping[str, Any]) -> None:
        """Choose what is synced: `{schema: {tables: {table: {enabled: …}}}}`."""
        path = f"{CONNECTIONS}/{connection_id}/schemas"
        self._http.send("PATCH", path, {"schemas": dict(schemas)})

    def sync(self, connection_id: str) -> Marks:
        """Start a sync.

        Returns:
            What `wait` knows its end by.
        """
        marks = self.marks(connection_id)
        self._http.send("POST", f"{CONNECTIONS}/{connection_id}/sync", {"force": True})
        return marks

    def marks(self, connection_id: str) -> Marks:
        """When a connection last succeeded and failed."""
        found = self.connection(connection_id)
        return Marks(succeeded_at=found.succeeded_at, failed_at=found.failed_at)

    def wait(
        self, connection_id: str, marks: Marks, timeout: float, poll: float = POLL_SECONDS
    ) -> Connection:
        """Wait for the end of a sync.

        Args:
            connection_id: the connection.
            marks: read before the sync began.
            timeout: for how many seconds to wait.
            poll: how many seconds to let pass between two looks.

        Raises:
            SyncFailedError: if it failed.
            TimedOutError: if it did not end.
        """
        until = time.monotonic() + timeout
        while True:
            found = self.connection(connection_id)
            if _passed(found.succeeded_at, marks.succeeded_at):
                return found
            if _passed(found.failed_at, marks.failed_at):
                tasks = "; ".join(str(each.get("message", "")) for each in found.status.tasks)
                raise SyncFailedError(
                    f"connection {connection_id} failed: {tasks or 'no task says why'}"
                )
            if time.monotonic() + poll > until:
                raise TimedOutError(f"connection {connection_id}: no end in {timeout:g} s")
            time.sleep(poll)

    def tables(self, connection_id: str) -> list[Table]:
        """The tables of a connection, by their names in the destination."""
        data = self._http.send("GET", f"{CONNECTIONS}/{connection_id}/schemas")
        return [
            Table(
                schema_=schema["name_in_destination"], name=table["name_in_destination"],
                enabled=schema["enabled"] and table["enabled"], sync_mode=table.get("sync_mode"),
                columns=[each["name_in_destination"] for each in (table.get("columns") or {}).values()],
            )
            for schema in data["schemas"].values()
            for table in (schema.get("tables") or {}).values()
        ]  # fmt: skip

    # Connector types

    def download_connector_types(self, directory: Path) -> list[Path]:
        """Write the configuration of every connector type, each into a file of sorted JSON.

        Returns:
            The files. Each is replaced whole, so that it is the old one or the new one.
        """
        directory.mkdir(parents=True, exist_ok=True)
        return [
            _write(directory, str(each["id"]), self._http.send("GET", f"{TYPES}/{each['id']}"))
            for each in self._http.items(TYPES)
        ]


def _passed(now: Any, before: Any) -> bool:
    return now is not None and (before is None or now > before)


def _write(directory: Path, name: str, content: Any) -> Path:
    path = directory / f"{Path(name).name}.json"
    beside = path.with_suffix(".json.new")
    beside.write_text(json.dumps(content, indent=2, sort_keys=True, ensure_ascii=False) + "\n")
    beside.replace(path)
    return path
