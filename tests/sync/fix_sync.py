"""Runs syncs of source servers into the connector of the tests."""

import json
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from destination.sdk import connector_sdk_pb2 as sdk
from local_platform.__main__ import main
from tests.support.fix_postgres import Database
from tests.support.fix_secrets import MARK
from tests.sync.sources import Script, serving_source


@dataclass(frozen=True)
class Outcome:
    """How a sync ended: its exit code, and what it told."""

    code: int
    events: list[dict[str, Any]]

    def of(self, kind: str) -> list[dict[str, Any]]:
        return [event for event in self.events if event["event"] == kind]

    @property
    def warnings(self) -> list[str]:
        return [event["message"] for event in self.of("warning")]

    @property
    def error(self) -> str:
        return str(self.of("error")[-1]["message"]) if self.of("error") else ""

    @property
    def summary(self) -> dict[str, Any]:
        return self.of("summary")[-1]


class Syncs:
    """Syncs of one directory into one schema."""

    def __init__(
        self, directory: Path, port: int, database: Database, capsys: pytest.CaptureFixture[str]
    ) -> None:
        self.directory = directory
        self.port = port
        self.database = database
        self.schema = database.schema
        self._capsys = capsys
        (directory / "destination.json").write_text("{}")
        (directory / "source.json").write_text("{}")

    def run(self, script: Script, *options: str) -> Outcome:
        with serving_source(script) as port:
            return self.command("--source", f"localhost:{port}", *options)

    def send(
        self,
        updates: Iterable[sdk.UpdateResponse | bytes | Exception],
        *options: str,
        schema: sdk.SchemaResponse | None = None,
    ) -> Outcome:
        script = Script(lambda _: updates)
        if schema is not None:
            script.schema = schema
        return self.run(script, *options)

    def command(self, *options: str) -> Outcome:
        self._capsys.readouterr()
        where = ("--schema", self.schema, "--port", str(self.port), "--json")
        code = main(["sync", str(self.directory), *where, *options])
        printed = self._capsys.readouterr()
        assert MARK not in printed.out + printed.err
        lines = [line for line in printed.out.splitlines() if line.startswith('{"event"')]
        return Outcome(code, [json.loads(line) for line in lines])

    @property
    def state(self) -> dict[str, Any]:
        content: dict[str, Any] = json.loads((self.directory / "state.json").read_text())
        return content

    def rows(self, table: str, *columns: str) -> list[tuple[Any, ...]]:
        return self.database.rows(table, *columns)

    def types(self, table: str) -> dict[str, str]:
        found = self.database.connection.execute(
            "SELECT column_name, data_type FROM information_schema.columns"
            " WHERE table_schema = %s AND table_name = %s ORDER BY ordinal_position",
            (self.schema, table),
        )
        return {str(name): str(kind) for name, kind in found}

    def key(self, table: str) -> list[str]:
        found = self.database.connection.execute(
            "SELECT column_name FROM information_schema.key_column_usage"
            " WHERE table_schema = %s AND table_name = %s ORDER BY ordinal_position",
            (self.schema, table),
        )
        return [str(name) for (name,) in found]


@pytest.fixture
def syncs(
    tmp_path: Path, server_port: int, database: Database, capsys: pytest.CaptureFixture[str]
) -> Iterator[Syncs]:
    directory = tmp_path / "sync"
    directory.mkdir()
    yield Syncs(directory, server_port, database, capsys)
    leftover = directory / "files"
    assert not leftover.exists() or not list(leftover.iterdir()), "batch files were left"


Send = Callable[..., Outcome]
