"""The two sides: the connector's server in a process of its own, and psql on the same PostgreSQL."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tempfile
import threading
import time
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import grpc
import psycopg
from psycopg import sql

from benchmarks.data import Load, Shape
from destination.sdk import destination_sdk_pb2 as sdk
from destination.sdk.destination_sdk_pb2_grpc import DestinationConnectorStub
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

    def create(self, shape: Shape, name: str | None = None) -> None:
        """Make an empty table of a shape by the connector."""
        self.drop(name or shape.name)
        request = sdk.CreateTableRequest(
            configuration=self.configuration, schema_name=SCHEMA, table=shape.table
        )
        request.table.name = name or shape.name
        succeed(self.stub.CreateTable(request))

    def drop(self, name: str) -> None:
        """Drop a table."""
        table = sql.Identifier(SCHEMA, name)
        self.connection.execute(sql.SQL("DROP TABLE IF EXISTS {}").format(table))

    def settle(self) -> None:
        """Let what was done before not be paid for by what comes."""
        self.connection.execute("CHECKPOINT")
        Path(f"/proc/{self.process.pid}/clear_refs").write_text("5")

    def fill(self, load: Load, name: str | None = None) -> None:
        """Load a table by psql, vacuum and analyze it."""
        self._psql(self._copy(sql.Identifier(SCHEMA, name or load.shape.name), load))
        table = sql.Identifier(SCHEMA, name or load.shape.name)
        self.connection.execute(sql.SQL("VACUUM ANALYZE {}").format(table))

    def copy_by_psql(self, load: Load) -> float:
        """Load the plaintext by psql's \\copy.

        Returns:
            The seconds it took.
        """
        self.settle()
        return self._psql(self._copy(sql.Identifier(SCHEMA, load.shape.name), load))

    def upsert_by_psql(self, load: Load) -> float:
        """Load the plaintext by psql into a temporary table, then upsert.

        Returns:
            The seconds it took.
        """
        self.settle()
        table = sql.Identifier(SCHEMA, load.shape.name)
        names = [column.name for column in load.shape.table.columns]
        assignments = sql.SQL(", ").join(
            sql.SQL("{0} = excluded.{0}").format(sql.Identifier(name))
            for name in names
            if name != load.shape.key
        )
        columns = sql.SQL(", ").join(map(sql.Identifier, names))
        upsert = sql.SQL(
            "INSERT INTO {table} ({columns}) SELECT {columns} FROM staged"
            " ON CONFLICT ({key}) DO UPDATE SET {assignments}"
        ).format(
            table=table,
            columns=columns,
            key=sql.Identifier(load.shape.key),
            assignments=assignments,
        )
        create = sql.SQL("CREATE TEMP TABLE staged (LIKE {}) ON COMMIT DROP").format(table)
        return self._psql(
            "BEGIN",
            create.as_string(),
            *self._copy(sql.Identifier("staged"), load),
            upsert.as_string(),
            "COMMIT",
        )

    def write(self, loads: Sequence[Load], name: str | None = None) -> float:
        """Load batch files by the connector, in one request.

        Returns:
            The seconds it took.
        """
        return self.send("WriteBatch", self.request(loads, name))

    def write_one(self, load: Load) -> float:
        """Load a batch file by the connector.

        Returns:
            The seconds it took.
        """
        return self.write([load])

    def request(self, loads: Sequence[Load], name: str | None = None) -> sdk.WriteBatchRequest:
        """The request that loads batch files."""
        request = sdk.WriteBatchRequest(
            configuration=self.configuration,
            schema_name=SCHEMA,
            table=loads[0].shape.table,
            keys=self.files.keys,
            replace_files=[load.batch_file for load in loads],
            file_params=self.files.params,
        )
        request.table.name = name or loads[0].shape.name
        return request

    def send(self, method: str, request: Any) -> float:
        """Send a request.

        Returns:
            The seconds it took.
        """
        self.settle()
        begun = time.perf_counter()
        succeed(getattr(self.stub, method)(request))
        return time.perf_counter() - begun

    def peak_mib(self) -> float:
        """The most memory that the server held since `settle`."""
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        found = re.search(r"VmHWM:\s+(\d+) kB", status)
        return int(found[1]) * KIB / MIB if found else float("nan")

    def processor_seconds(self) -> float:
        """The processor time that the server has used."""
        fields = Path(f"/proc/{self.process.pid}/stat").read_text().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def _copy(self, table: sql.Identifier, load: Load) -> tuple[str, ...]:
        names = [column.name for column in load.shape.table.columns]
        columns = sql.SQL(", ").join(map(sql.Identifier, names))
        copy = sql.SQL("\\copy {} ({}) FROM {} (FORMAT csv, HEADER)")
        return (copy.format(table, columns, str(load.plaintext)).as_string(),)

    def _psql(self, *commands: str | tuple[str, ...]) -> float:
        flat = [c for each in commands for c in ([each] if isinstance(each, str) else each)]
        arguments = [part for command in flat for part in ("-c", command)]
        begun = time.perf_counter()
        subprocess.run([*self.psql, *arguments], check=True, stdout=subprocess.DEVNULL)
        return time.perf_counter() - begun


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
    process = subprocess.Popen(
        [sys.executable, "main.py", "--port", "0", *options],
        cwd=ROOT, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    with tempfile.TemporaryDirectory(prefix="bench-") as name, _ended(process):
        port = _logged(process, r"listens on port (\d+)")[1]
        with _ready(process, port, url, "psql", Path(name)) as running:
            running.configuration = configuration
            yield running


@contextmanager
def started(directory: Path) -> Iterator[Sides]:
    """Start the connector's server with a PostgreSQL of its own in a directory."""
    process = subprocess.Popen(
        [sys.executable, "main.py", "--port", "0", "--embedded", str(directory / "postgres")],
        cwd=ROOT, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    with _ended(process):
        port = _logged(process, r"listens on port (\d+)")[1]
        found = _logged(process, r"with: (.*psql) '(.*)'")
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
def _ended(process: subprocess.Popen[str]) -> Iterator[None]:
    try:
        yield
    finally:
        process.terminate()
        process.wait()


def _logged(process: subprocess.Popen[str], pattern: str) -> re.Match[str]:
    for line in process.stdout or ():
        found = re.search(pattern, json.loads(line)["message"])
        if found:
            return found
    raise SystemExit("the server ended before it was ready")


def succeed(answer: Any) -> None:
    """Go on, unless the connector refused."""
    if not answer.success:
        raise SystemExit(str(answer))
