"""The main job from end to end: a server, real batch files, and the table they make.

Starts `main.py` with an embedded PostgreSQL in a temporary directory, calls it as Fivetran does, and
prints what the table holds after each step and how long the step took.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, date, datetime
from datetime import time as time_of_day
from decimal import Decimal
from pathlib import Path
from typing import Any

import grpc
import psycopg
from psycopg import sql

from destination.sdk import common_pb2 as common
from destination.sdk import destination_sdk_pb2 as sdk
from destination.sdk.destination_sdk_pb2_grpc import DestinationConnectorStub
from destination_tester.files import BatchFiles, Row
from destination_tester.notation import UNMODIFIED

ROOT = Path(__file__).parents[1]
SCHEMA = "demo"
NOW = datetime(2026, 1, 2, 3, 4, 5, 678000, UTC)


def _column(name: str, kind: common.DataType, *, key: bool = False) -> common.Column:
    column = common.Column(name=name, type=kind, primary_key=key)
    if kind == common.DECIMAL:
        column.params.decimal.precision, column.params.decimal.scale = 12, 4
    return column


TABLE = common.Table(
    name="every type",
    columns=[
        _column("id", common.INT, key=True),
        _column("boolean", common.BOOLEAN),
        _column("short", common.SHORT),
        _column("long", common.LONG),
        _column("decimal", common.DECIMAL),
        _column("float", common.FLOAT),
        _column("double", common.DOUBLE),
        _column("date", common.NAIVE_DATE),
        _column("time", common.NAIVE_TIME),
        _column("datetime", common.NAIVE_DATETIME),
        _column("instant", common.UTC_DATETIME),
        _column("binary", common.BINARY),
        _column("xml", common.XML),
        _column("string", common.STRING),
        _column("json", common.JSON),
        _column("_fivetran_synced", common.UTC_DATETIME),
        _column("_fivetran_deleted", common.BOOLEAN),
    ],
)


def row(number: int, text: str) -> Row:
    """A row of every type."""
    return {
        "id": number,
        "boolean": number % 2 == 0,
        "short": -number,
        "long": 2**62 + number,
        "decimal": Decimal(number) / 8,
        "float": number / 4,
        "double": number / 3,
        "date": date(2026, 1, number),
        "time": time_of_day(number, 30),
        "datetime": datetime(2026, 1, number, 12, 0, 0, 123456),  # noqa: DTZ001
        "instant": NOW,
        "binary": bytes([0, number, 255]),
        "xml": f"<n>{number}</n>",
        "string": text,
        "json": json.dumps({"number": number, "text": text}),
        "_fivetran_synced": NOW,
        "_fivetran_deleted": False,
    }


@contextmanager
def server(directory: Path) -> Iterator[tuple[DestinationConnectorStub, str]]:
    """Run the connector's server with an embedded PostgreSQL.

    Yields:
        A stub that calls it, and the URI of the PostgreSQL.
    """
    process = subprocess.Popen(
        [sys.executable, "main.py", "--port", "0", "--embedded", str(directory / "postgres")],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        port = _wait_for(process, r"listens on port (\d+)")
        uri = _wait_for(process, r"psql '(.*)'")
        with grpc.insecure_channel(f"localhost:{port}") as channel:
            yield DestinationConnectorStub(channel), uri
    finally:
        process.terminate()
        process.communicate()


def _wait_for(process: subprocess.Popen[str], pattern: str) -> str:
    lines = process.stdout or ()
    for line in lines:
        found = re.search(pattern, json.loads(line)["message"])
        if found:
            return found[1]
    raise SystemExit("the server ended before it was ready")


def show(uri: str) -> None:
    """Print the table."""
    with psycopg.connect(uri) as connection:
        connection.execute("SET TimeZone TO 'UTC'")
        query = sql.SQL("SELECT * FROM {} ORDER BY id").format(sql.Identifier(SCHEMA, TABLE.name))
        cursor = connection.execute(query)
        names = [column.name for column in cursor.description or ()]
        _print_table(names, cursor.fetchall())


def _print_table(names: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
    """A line a column, since there are more columns than rows."""
    cells = [
        [name, *(str(line[i]).replace("\n", "\\n") for line in rows)]
        for i, name in enumerate(names)
    ]
    widths = [max(len(line[i]) for line in cells) for i in range(len(rows) + 1)]
    for line in cells:
        padded = [cell.ljust(width) for cell, width in zip(line, widths, strict=True)]
        print("   ", "  ".join(padded).rstrip())


def timed(what: str, call: Callable[[], Any]) -> None:
    """Do a step and print how long it took; end if it did not succeed."""
    begun = time.perf_counter()
    answer = call()
    print(f"{what}: {(time.perf_counter() - begun) * 1000:.0f} ms")
    if not answer.success:
        raise SystemExit(str(answer))


def main() -> None:
    """Run the demonstration."""
    with tempfile.TemporaryDirectory() as name:
        directory = Path(name)
        begun = time.perf_counter()
        with server(directory) as (stub, uri):
            print(f"server and PostgreSQL started: {time.perf_counter() - begun:.1f} s\n")
            for file_format in (sdk.CSV, sdk.PARQUET):
                _load(stub, uri, BatchFiles(directory, file_format))
    print("done")


def _load(stub: DestinationConnectorStub, uri: str, files: BatchFiles) -> None:
    kind = sdk.BatchFileFormat.Name(files.format)
    if files.format == sdk.CSV:
        request = sdk.CreateTableRequest(schema_name=SCHEMA, table=TABLE)
        timed("CreateTable", lambda: stub.CreateTable(request))

    def write(**rows: list[Row]) -> Any:
        names: dict[str, Any] = {
            name: [files.write(name, [c for c in TABLE.columns if c.name in content[0]], content)]
            for name, content in rows.items()
        }
        request = sdk.WriteBatchRequest(
            schema_name=SCHEMA, table=TABLE, keys=files.keys, file_params=files.params, **names
        )
        return stub.WriteBatch(request)

    texts = ['quoted "text"', "two\nlines", f"from {kind}"]
    whole = [row(i, text) for i, text in enumerate(texts, 1)]
    timed(f"\nWriteBatch, {kind}, replace 1, 2, 3", lambda: write(replace_files=whole))
    show(uri)
    partial: Row = {"id": 2, "string": f"updated by {kind}", "json": UNMODIFIED}
    timed(f"\nWriteBatch, {kind}, update 2", lambda: write(update_files=[partial]))
    timed(f"WriteBatch, {kind}, delete 3", lambda: write(delete_files=[{"id": 3}]))
    show(uri)


if __name__ == "__main__":
    main()
