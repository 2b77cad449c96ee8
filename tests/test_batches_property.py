"""Any table of any types, any batches: PostgreSQL holds what a plain Python model holds."""

import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path
from uuid import uuid4

import psycopg
import pytest
from hypothesis import given
from hypothesis import strategies as st
from psycopg import sql

from destination.sdk import common_pb2 as common
from destination.sdk import destination_sdk_pb2 as sdk
from destination.sdk.destination_sdk_pb2_grpc import DestinationConnectorStub
from destination.warehouse.postgres.session import TRAITS
from destination_tester.files import BatchFiles
from destination_tester.model import TableModel
from destination_tester.stored import comparable
from tests.support.examples import examples
from tests.support.fix_connector import Client
from tests.support.strategies import Batch, batches, tables


def apply(model: TableModel, batch: Batch) -> None:
    """What WriteBatch must do, one row after the other."""
    for rows in batch.replace:
        model.replace(rows)
    for rows in batch.update:
        model.update(rows)
    for rows in batch.delete:
        model.delete(rows)


def contents(
    connection: psycopg.Connection, schema: str, table: common.Table
) -> list[tuple[object, ...]]:
    """The table's rows, JSON as its text."""
    stored = TRAITS.naming.stored(table.name)
    query = sql.SQL("SELECT * FROM {}").format(sql.Identifier(schema, stored))
    cursor = connection.cursor(binary=True)
    cursor.adapters.register_loader("json", psycopg.types.string.TextBinaryLoader)
    return [tuple(map(comparable, row)) for row in cursor.execute(query)]


def by_repr(rows: Sequence[tuple[object, ...]]) -> list[str]:
    return sorted(repr(tuple(0.0 if value == 0.0 else value for value in row)) for row in rows)


def require_equal_to_model(
    stub: DestinationConnectorStub,
    connection: psycopg.Connection,
    data: st.DataObject,
    file_format: sdk.BatchFileFormat,
) -> None:
    """Write drawn batches to a drawn table, and compare it with the model after each."""
    schema = f"property_{uuid4().hex[:12]}"
    directory = Path(tempfile.mkdtemp())
    client = Client(stub, schema, BatchFiles(directory, file_format))
    table = data.draw(tables())
    model = TableModel.of(table)
    try:
        assert client.create(table).success
        described = client.describe(table.name).table
        assert described == table
        for batch in data.draw(st.lists(batches(table), min_size=1, max_size=3)):
            answer = client.write(
                table, replace=batch.replace, update=batch.update, delete=batch.delete
            )
            assert answer.success, answer
            apply(model, batch)
            found = contents(connection, schema, table)
            assert by_repr(found) == by_repr([tuple(row.values()) for row in model.rows])
    finally:
        shutil.rmtree(directory)
        connection.execute(
            sql.SQL("DROP SCHEMA IF EXISTS {} CASCADE").format(sql.Identifier(schema))
        )


@pytest.mark.parametrize("file_format", [sdk.CSV, sdk.PARQUET], ids=["csv", "parquet"])
@examples(30)
@given(data=st.data())
def test_random_batches_match_the_model(
    file_format: sdk.BatchFileFormat,
    stub: DestinationConnectorStub,
    session_connection: psycopg.Connection,
    data: st.DataObject,
) -> None:
    require_equal_to_model(stub, session_connection, data, file_format)
