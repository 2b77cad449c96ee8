"""The two sides: the connector's server in a process of its own, and psql on the same PostgreSQL."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import grpc
import psycopg
from psycopg import sql

from benchmarks.data import KEY, Load
from destination.sdk import common_pb2 as common
from destination.sdk import destination_sdk_pb2 as sdk
from destination.sdk.destination_sdk_pb2_grpc import DestinationConnectorStub
from destination_tester.demo import logged
from destination_tester.files import BatchFiles

ROOT = Path(__file__).parents[1]
SCHEMA = "bench"
KIB = 1024
MIB = 1 << 20


@dataclass
class Sides:
    """Both sides, ready to be timed.

    Args:
        stub: calls the connector.
        process: the connector's server.
        uri: of the PostgreSQL.
        psql: psql's command, connected.
        connection: a connection to look and to prepare with.
        files: where batch files go.
        port: where the connector listens.
        configuration: of the requests; empty for the embedded PostgreSQL.
    """

    stub: DestinationConnectorStub
    process: subprocess.Popen[str]
    uri: str
    psql: list[str]
    connection: psycopg.Connection
    files: BatchFiles
    port: int
    configuration: Mapping[str, str] = field(default_factory=dict)

    def create(self, table: common.Table, name: str | None = None) -> None:
        """Make an empty table by the connector."""
        self.drop(name or table.name)
        request = sdk.CreateTableRequest(table=table, **self._where())
        request.table.name = name or table.name
        succeed(self.stub.CreateTable(request))

    def drop(self, name: str) -> None:
        """Drop a table."""
        table = sql.Identifier(SCHEMA, name)
        self.connection.execute(sql.SQL("DROP TABLE IF EXISTS {}").format(table))

    def settle(self) -> None:
        """Let what was done before not be paid for by what comes."""
        self.connection.execute("CHECKPOINT")
        Path(f"/proc/{self.process.pid}/clear_refs").write_text("5")

    def fill(self, load: Load) -> None:
        """Load a table by psql, vacuum and analyze it."""
        table = sql.Identifier(SCHEMA, load.table.name)
        self._psql(_copy(table, load))
        self.connection.execute(sql.SQL("VACUUM ANALYZE {}").format(table))

    def copy_by_psql(self, load: Load) -> float:
        """Load the plaintext by psql's \\copy.

        Returns:
            The seconds it took.
        """
        self.settle()
        return self._psql(_copy(sql.Identifier(SCHEMA, load.table.name), load))

    def upsert_by_psql(self, load: Load) -> float:
        """Load the plaintext by psql into a temporary table, then upsert.

        Returns:
            The seconds it took.
        """
        self.settle()
        create, upsert = staged_upsert(load.table)
        copy = _copy(sql.Identifier("staged"), load)
        return self._psql("BEGIN", create.as_string(), copy, upsert.as_string(), "COMMIT")

    def write(self, *loads: Load) -> float:
        """Load batch files by the connector, in one request.

        Returns:
            The seconds it took.
        """
        return self.send(self.stub.WriteBatch, self.request(*loads))

    def request(self, *loads: Load, name: str | None = None) -> sdk.WriteBatchRequest:
        """The request that loads batch files."""
        files = [load.batch_file for load in loads]
        table = loads[0].table
        request = sdk.WriteBatchRequest(table=table, replace_files=files, **self._written())
        request.table.name = name or table.name
        return request

    def history_request(self, earliest: Load, update: Load) -> sdk.WriteHistoryBatchRequest:
        """The request that loads partial versions."""
        return sdk.WriteHistoryBatchRequest(
            table=update.table,
            earliest_start_files=[earliest.batch_file],
            update_files=[update.batch_file],
            **self._written(),
        )

    def send(self, method: Callable[[Any], Any], request: Any) -> float:
        """Send a request.

        Returns:
            The seconds it took.
        """
        self.settle()
        return timed(method, request)

    def peak_mib(self) -> float:
        """The most memory that the server held since `settle`."""
        return peak_mib(self.process.pid)

    def processor_seconds(self) -> float:
        """The processor time that the server has used."""
        fields = Path(f"/proc/{self.process.pid}/stat").read_text().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def _where(self) -> dict[str, Any]:
        return {"configuration": self.configuration, "schema_name": SCHEMA}

    def _written(self) -> dict[str, Any]:
        return {**self._where(), "keys": self.files.keys, "file_params": self.files.params}

    def _psql(self, *commands: str) -> float:
        command = [*self.psql, *(part for each in commands for part in ("-c", each))]
        return seconds(partial(subprocess.run, command, check=True, stdout=subprocess.DEVNULL))


def columns_of(table: common.Table) -> sql.Composed:
    """The names of a table's columns, as they stand in a statement."""
    return sql.SQL(", ").join(sql.Identifier(column.name) for column in table.columns)


def staged_upsert(table: common.Table) -> tuple[sql.Composed, sql.Composed]:
    """The statements that make a temporary table `staged`, and that upsert what is in it."""
    name = sql.Identifier(SCHEMA, table.name)
    values = [sql.Identifier(column.name) for column in table.columns if column.name != KEY]
    upsert = sql.SQL(
        "INSERT INTO {table} ({columns}) SELECT {columns} FROM staged"
        " ON CONFLICT ({key}) DO UPDATE SET {assignments}"
    ).format(
        table=name,
        columns=columns_of(table),
        key=sql.Identifier(KEY),
        assignments=sql.SQL(", ").join(sql.SQL("{0} = excluded.{0}").format(v) for v in values),
    )
    return sql.SQL("CREATE TEMP TABLE staged (LIKE {}) ON COMMIT DROP").format(name), upsert


def _copy(table: sql.Identifier, load: Load) -> str:
    copy = sql.SQL("\\copy {} ({}) FROM {} (FORMAT csv, HEADER)")
    return copy.format(table, columns_of(load.table), str(load.plaintext)).as_string()


def seconds(call: Callable[[], object]) -> float:
    """The seconds that something takes."""
    begun = time.perf_counter()
    call()
    return time.perf_counter() - begun


def timed(method: Callable[[Any], Any], request: Any) -> float:
    """The seconds that a call of the connector takes."""
    return seconds(lambda: succeed(method(request)))


def peak_mib(process: int) -> float:
    """The most memory that a process held."""
    found = re.search(r"VmHWM:\s+(\d+) kB", Path(f"/proc/{process}/status").read_text())
    return int(found[1]) * KIB / MIB if found else float("nan")


@contextmanager
def sides() -> Iterator[Sides]:
    """Start a PostgreSQL and the connector's server."""
    with tempfile.TemporaryDirectory(prefix="bench-") as name:
        Path(name).chmod(0o755)
        with started(Path(name)) as running:
            yield running


@contextmanager
def at(url: str, *options: str) -> Iterator[Sides]:
    """Start the connector's server, for a PostgreSQL that runs already."""
    known = psycopg.conninfo.conninfo_to_dict(url)
    names = {"host": "host", "port": "port", "dbname": "database", "user": "user"}
    configuration = {names[name]: str(value) for name, value in known.items() if name in names}
    configuration["password"] = str(known.get("password", ""))
    configuration["sslmode"] = str(known.get("sslmode", "prefer"))
    with (
        tempfile.TemporaryDirectory(prefix="bench-") as name,
        _server(*options) as (process, port),
        _ready(process, port, url, "psql", Path(name)) as running,
    ):
        running.configuration = configuration
        yield running


@contextmanager
def started(directory: Path) -> Iterator[Sides]:
    """Start the connector's server with a PostgreSQL of its own in a directory."""
    with _server("--embedded", str(directory / "postgres")) as (process, port):
        found = logged(process, r"with: (.*psql) '(.*)'")
        with _ready(process, port, found[2], found[1], directory) as running:
            yield running


@contextmanager
def _ready(
    process: subprocess.Popen[str], port: str, uri: str, psql: str, directory: Path
) -> Iterator[Sides]:
    # A server whose log nobody reads stops at a full pipe.
    threading.Thread(target=deque, args=(process.stdout, 0), daemon=True).start()
    command = [psql, uri, "--no-psqlrc", "--quiet", "--set", "ON_ERROR_STOP=1"]
    with (
        psycopg.connect(uri, autocommit=True, prepare_threshold=None) as connection,
        grpc.insecure_channel(f"localhost:{port}") as channel,
    ):
        connection.execute("SET TimeZone TO 'UTC'")
        stub, files = DestinationConnectorStub(channel), BatchFiles(directory)
        yield Sides(stub, process, uri, command, connection, files, int(port))


@contextmanager
def _server(*options: str) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """The connector's server and its port, until it is ended."""
    process = subprocess.Popen(
        [sys.executable, "main.py", "--port", "0", *options],
        cwd=ROOT, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    try:
        yield process, logged(process, r"listens on port (\d+)")[1]
    finally:
        process.terminate()
        process.wait()


def succeed(answer: Any) -> None:
    """Go on, unless the connector refused."""
    if not answer.success:
        raise SystemExit(str(answer))
