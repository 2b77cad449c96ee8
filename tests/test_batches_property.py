"""Any table of any types, any batches: PostgreSQL holds what a plain Python model holds."""

import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path
from uuid import uuid4

import psycopg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from psycopg import sql

from destination.sdk import common_pb2 as common
from destination.sdk import destination_sdk_pb2 as sdk
from destination.sdk.destination_sdk_pb2_grpc import DestinationConnectorStub
from destination.warehouse.naming import stored_name
from destination_tester.files import BatchFiles
from destination_tester.notation import UNMODIFIED
from tests.fix_connector import Client
from tests.strategies import Batch, Row, batches, stored, tables

Model = dict[tuple[object, ...], dict[str, object]]


def apply(model: Model, table: common.Table, batch: Batch) -> None:
    """What WriteBatch must do, one row after the other."""
    key = [column.name for column in table.columns if column.primary_key]

    def key_of(row: Row) -> tuple[object, ...]:
        return tuple(stored(row[name]) for name in key)

    for row in (row for file in batch.replace for row in file):
        kept = {name: value for name, value in model.get(key_of(row), {}).items() if name in key}
        model[key_of(row)] = {name: stored(value) for name, value in row.items()} | kept
    for row in (row for file in batch.update for row in file):
        if key_of(row) in model:
            model[key_of(row)] |= {
                name: stored(value)
                for name, value in row.items()
                if value is not UNMODIFIED and name not in key
            }
    for row in (row for file in batch.delete for row in file):
        model.pop(key_of(row), None)


def contents(
    connection: psycopg.Connection, schema: str, table: common.Table
) -> list[tuple[object, ...]]:
    """The table's rows, JSON as its text."""
    query = sql.SQL("SELECT * FROM {}").format(sql.Identifier(schema, stored_name(table.name, 63)))
    cursor = connection.cursor(binary=True)
    cursor.adapters.register_loader("json", psycopg.types.string.TextBinaryLoader)
    return [tuple(stored(value) for value in row) for row in cursor.execute(query)]


def expected(model: Model, table: common.Table) -> list[tuple[object, ...]]:
    return [tuple(row.get(column.name) for column in table.columns) for row in model.values()]


def by_repr(rows: Sequence[tuple[object, ...]]) -> list[str]:
    return sorted(repr(tuple(0.0 if value == 0.0 else value for value in row)) for row in rows)


@pytest.mark.parametrize("file_format", [sdk.CSV, sdk.PARQUET], ids=["csv", "parquet"])
@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(data=st.data())
def test_random_batches_match_the_model(
    file_format: sdk.BatchFileFormat,
    stub: DestinationConnectorStub,
    session_connection: psycopg.Connection,
    data: st.DataObject,
) -> None:
    schema = f"property_{uuid4().hex[:12]}"
    directory = Path(tempfile.mkdtemp())
    client = Client(stub, schema, BatchFiles(directory, file_format))
    table = data.draw(tables())
    model: Model = {}
    try:
        assert client.create(table).success
        described = client.describe(table.name).table
        assert described == table
        for batch in data.draw(st.lists(batches(table), min_size=1, max_size=3)):
            answer = client.write(
                table, replace=batch.replace, update=batch.update, delete=batch.delete
            )
            assert answer.success, answer
            apply(model, table, batch)
            found = contents(session_connection, schema, table)
            assert by_repr(found) == by_repr(expected(model, table))
    finally:
        shutil.rmtree(directory)
        session_connection.execute(
            sql.SQL("DROP SCHEMA IF EXISTS {} CASCADE").format(sql.Identifier(schema))
        )
