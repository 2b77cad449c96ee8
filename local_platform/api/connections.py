"""Connections: set up, tested, chosen from, synced."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from local_platform.api import simulation
from local_platform.api.choices import Schemas
from local_platform.api.destinations import FAILED, PASSED, Destinations, outcome
from local_platform.api.errors import ConflictError, InvalidInputError, NotFoundError
from local_platform.api.forms import completed, missing, shown, strings
from local_platform.api.hooks import announce
from local_platform.api.runner import Order, Runner, latest_of_all
from local_platform.api.sources import SIMULATED, Sources
from local_platform.api.store import Connection, Destination, Store, now
from local_platform.api.vault import Vault
from local_platform.sync.names import NAMINGS, SCHEMA_NAME

DIRECTORY = "connections"
NAMES = {"FIVETRAN_NAMING": NAMINGS[0], "SOURCE_NAMING": NAMINGS[1]}
"""Fivetran's words for whose names tables get. [D]"""


@dataclass(frozen=True)
class Checked:
    """A configuration that was looked at.

    Args:
        config: with its defaults.
        shown: the names of values that may be sent out.
        state: of the setup.
        tests: how they went.
        declared: what the source declares, if it was read.
    """

    config: dict[str, str]
    shown: list[str]
    state: str
    tests: list[dict[str, Any]]
    declared: dict[str, Any] | None


class Connections:
    """All connections.

    Args:
        store: remembers them.
        vault: keeps their configurations.
        sources: what they read from.
        destinations: where they load into.
        runner: runs their syncs.
        directory: where the platform keeps its state.
    """

    def __init__(
        self,
        store: Store,
        vault: Vault,
        sources: Sources,
        destinations: Destinations,
        runner: Runner,
        directory: Path,
    ) -> None:
        self._store = store
        self._vault = vault
        self._sources = sources
        self._destinations = destinations
        self._runner = runner
        self._directory = directory / DIRECTORY

    def create(
        self,
        group_id: str,
        service: str,
        schema: str,
        config: Mapping[str, Any],
        *,
        address: str | None = None,
        test: bool = True,
        **further: Any,
    ) -> Connection:
        """Make a connection.

        Args:
            group_id: its destination's.
            service: the kind of source.
            schema: where its tables go.
            config: the source's configuration.
            address: where the source listens, if its kind does not say.
            test: whether to run its tests.
            further: columns of `Connection`.

        Raises:
            NotFoundError: if there is no such destination or kind of source.
            InvalidInputError: if the schema is no name or the configuration not the form's.
            ConflictError: if another connection loads into the schema.
        """
        if not SCHEMA_NAME.fullmatch(schema):
            raise InvalidInputError(
                f"config.schema: '{schema}' must be lower-case letters, digits and _"
            )
        self._store.row(Destination, group_id)
        same = sa.and_(Connection.group_id == group_id, Connection.schema == schema)
        taken = f"another connection loads into {schema}"
        with self._store.reading() as session:
            if session.scalar(sa.select(Connection.id).where(same)) is not None:
                raise ConflictError(taken)
        checked = self._check(service, address, config, {}, test=test)
        made = Connection(
            group_id=group_id, service=service, schema=schema, address=address,
            config=self._vault.lock(checked.config), shown=checked.shown, tests=checked.tests,
            setup_state=checked.state, declared=checked.declared, **further,
        )  # fmt: skip
        with self._store.adding(taken) as session:
            session.add(made)
            session.flush()
            announce(session, "create_connector", made)
        return made

    def change(
        self,
        identity: str,
        config: Mapping[str, Any],
        *,
        address: str | None = None,
        test: bool = True,
        **further: Any,
    ) -> Connection:
        """Change a connection; what is not given stays.

        Raises:
            NotFoundError: if there is none.
            InvalidInputError: if the configuration is not the form's.
        """
        before = self._store.row(Connection, identity)
        address = address or before.address
        checked = None
        if config or address != before.address:
            known = self._vault.unlock(before.config)
            checked = self._check(before.service, address, config, known, test=test)
        with self._store.writing() as session:
            found = session.get_one(Connection, identity)
            found.address = address
            if checked is not None:
                self._take(found, checked, tested=test)
                announce(session, "edit_connector", found)
            if "paused" in further and further["paused"] != found.paused:
                event = "pause_connector" if further["paused"] else "resume_connector"
                announce(session, event, found)
            for name, value in further.items():
                setattr(found, name, value)
        return found

    def run_tests(self, identity: str) -> Connection:
        """Run a connection's tests, read what its source declares, and remember both.

        Raises:
            NotFoundError: if there is none.
        """
        before = self._store.row(Connection, identity)
        config = self._vault.unlock(before.config)
        try:
            checked = self._check(before.service, before.address, {}, config, test=True)
        except InvalidInputError as error:
            tests = [outcome("Reaching the source", FAILED, str(error))]
            checked = Checked(config, before.shown, "incomplete", tests, None)
        with self._store.writing() as session:
            found = session.get_one(Connection, identity)
            self._take(found, checked, tested=True)
            connected = found.setup_state == "connected"
            announce(session, "connection_successful" if connected else "connection_failure", found)
        return found

    def delete(self, identity: str) -> None:
        """Forget a connection, after its sync was stopped; its tables stay in the warehouse.

        Raises:
            NotFoundError: if there is none.
        """
        self._store.row(Connection, identity)
        self._runner.stop(identity, wait=True)
        with self._store.writing() as session:
            connection = session.get_one(Connection, identity)
            announce(session, "delete_connector", connection)
            session.delete(connection)
        shutil.rmtree(self.directory(identity), ignore_errors=True)

    def sync(self, identity: str, *, resync: bool = False) -> str:
        """Start a sync.

        Returns:
            The run's id.

        Raises:
            NotFoundError: if there is no such connection.
            ConflictError: if it is not set up, or a sync is under way.
        """
        connection = self._store.row(Connection, identity)
        if connection.setup_state == "incomplete":
            raise ConflictError("the connection is not set up: its tests must pass first")
        if connection.service == SIMULATED:
            return simulation.start(self._store, connection, self._vault.unlock(connection.config))
        return self._runner.start(identity, self._order(connection, resync), resync=resync)

    def stop(self, identity: str) -> None:
        """Stop a connection's sync, such that what came is loaded; nothing if none is under way."""
        self._runner.stop(self._store.row(Connection, identity).id)

    def schemas(self, connection: Connection) -> Schemas:
        """The tables of a connection.

        Raises:
            NotFoundError: if they were never read from the source.
        """
        if connection.declared is None:
            raise NotFoundError("SchemaConfig", connection.id)
        return Schemas(
            connection.schema, connection.naming, connection.declared, connection.choices
        )

    def choose(self, identity: str, patch: Mapping[str, Any]) -> Connection:
        """Change what is synced.

        Raises:
            NotFoundError: if there is no such connection, or its source was never read.
            InvalidInputError: if the patch names what is not there.
        """
        choices = self.schemas(self._store.row(Connection, identity)).changed(patch)
        return self._store.change(Connection, identity, choices=choices)

    def directory(self, identity: str) -> Path:
        """Where a connection's sync state is."""
        return self._directory / identity

    def due(self) -> list[str]:
        """The connections whose next sync is due."""
        with self._store.reading() as session:
            waiting = session.scalars(
                sa.select(Connection).where(
                    ~Connection.paused,
                    Connection.schedule_type == "auto",
                    Connection.setup_state == "connected",
                    Connection.service != SIMULATED,
                )
            ).all()
            last = latest_of_all(session)
        return [
            each.id
            for each in waiting
            if each.id not in last
            or (now() - last[each.id].started_at).total_seconds() >= each.sync_frequency * 60
        ]

    def _order(self, connection: Connection, resync: bool) -> Order:  # noqa: FBT001
        wanted = self._destinations.wanted(self._store.row(Destination, connection.group_id))
        host, port = self._destinations.where(wanted)
        kind = self._sources.kind(connection.service)
        options = [
            *kind.reach(connection.address), "--host", host, "--port", str(port),
            "--schema", connection.schema, "--naming", connection.naming,
        ]  # fmt: skip
        exclude: list[str] = []
        history: list[str] = []
        if connection.declared is not None:
            schemas = self.schemas(connection)
            exclude, history = schemas.excluded(), schemas.history()
            options += [] if schemas.takes_new else ["--block-new"]
        options += ["--resync"] if resync else []
        request = {
            "source": self._vault.unlock(connection.config), "destination": dict(wanted.config),
            "exclude": exclude, "history": history,
        }  # fmt: skip
        return Order(self.directory(connection.id), options, request)

    def _check(
        self,
        service: str,
        address: str | None,
        config: Mapping[str, Any],
        before: Mapping[str, str],
        *,
        test: bool,
    ) -> Checked:
        """Look at a configuration, and have the source test it if nothing is missing."""
        form = self._sources.form(service, address)
        whole = completed(form, {**before, **strings(config, form)})
        if lacking := missing(form, whole):
            message = f"fill in: {', '.join(lacking)}"
            tests = [outcome("Required fields", FAILED, message)]
            return Checked(whole, shown(form), "incomplete", tests, None)
        if service == SIMULATED:
            simulation.check(whole)
            return Checked(whole, shown(form), "connected", [], None)
        if not test:
            return Checked(whole, shown(form), "incomplete", [], None)
        tests, declared = self._sources.inspect(service, address, whole)
        passed = all(each["status"] == PASSED for each in tests)
        state = "connected" if passed else "incomplete"
        return Checked(whole, shown(form), state, tests, declared)

    def _take(self, connection: Connection, checked: Checked, *, tested: bool) -> None:
        was_set_up = connection.setup_state != "incomplete"
        connection.config = self._vault.lock(checked.config)
        connection.shown = checked.shown
        connection.tests = checked.tests
        if tested or not was_set_up:
            failed = "broken" if was_set_up else "incomplete"
            connection.setup_state = checked.state if checked.state == "connected" else failed
        if checked.declared is not None:
            connection.declared = checked.declared
