"""Any history: rows that statements carry make the same of it as rows that are staged."""

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import uuid4

import psycopg
import pytest
from hypothesis import given
from hypothesis import strategies as st
from psycopg import sql

from destination.sdk import common_pb2 as common
from destination.sdk.destination_sdk_pb2_grpc import DestinationConnectorStub
from destination.warehouse import carried
from destination_tester.files import BatchFiles, Row
from destination_tester.notation import UNMODIFIED, Cell
from destination_tester.stored import ACTIVE, END, MILLISECOND, OPEN_END, START
from tests.support.examples import examples
from tests.support.fix_connector import Client, column
from tests.support.strategies import columns, values
from tests.test_batches_property import by_repr, contents

BASE = datetime(2024, 1, 1, tzinfo=UTC)
Files = dict[str, list[list[Row]]]

instants = st.integers(0, 9).map(lambda minute: BASE + timedelta(minutes=minute))
ends = st.just(OPEN_END) | instants.map(lambda start: start - MILLISECOND) | st.none()


@st.composite
def tables(draw: st.DrawFn) -> common.Table:
    """A table in history mode, of a record's key of one or two columns and up to four others."""
    keys = [draw(columns(f"k{i}", key=True)) for i in range(draw(st.integers(1, 2)))]
    others = [draw(columns(f"v{i}", key=False)) for i in range(draw(st.integers(0, 4)))]
    history = [
        column(START, common.UTC_DATETIME, key=True),
        column(END, common.UTC_DATETIME),
        column(ACTIVE, common.BOOLEAN),
    ]
    return common.Table(name="t", columns=draw(st.permutations([*keys, *others, *history])))


@st.composite
def requests(draw: st.DrawFn, table: common.Table) -> Files:
    """The files of a request about a few records and instants, whatever Fivetran would send."""
    records = [each for each in table.columns if each.primary_key and each.name != START]
    others = {
        each.name: st.none() | values(each)
        for each in table.columns
        if each.name not in (START, END, ACTIVE) and not each.primary_key
    }
    keys = draw(
        st.lists(
            st.fixed_dictionaries({each.name: values(each) for each in records}),
            min_size=1,
            max_size=3,
        )
    )

    def files(cells: dict[str, st.SearchStrategy[Cell]]) -> st.SearchStrategy[list[list[Row]]]:
        row = st.builds(dict.__or__, st.sampled_from(keys), st.fixed_dictionaries(cells))
        return st.lists(st.lists(row, min_size=1, max_size=8), max_size=2)

    held = draw(st.sampled_from([(END, ACTIVE), ()]))
    whole = {**others, START: instants, END: ends, ACTIVE: st.booleans()}
    partial = {
        name: st.just(UNMODIFIED) | cell
        for name, cell in whole.items()
        if name in others or name in held
    }
    return {
        "earliest": draw(files({START: instants})),
        "replace": draw(files(whole)),
        "update": draw(files({**partial, START: instants})),
        "delete": draw(files({END: instants})),
    }


@contextmanager
def staging() -> Iterator[None]:
    """Has every batch go through staging tables."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(carried, "FILE_BYTES", -1)
        yield


@examples(8)
@given(data=st.data())
def test_carried_rows_make_the_same_history_as_staged_ones(
    stub: DestinationConnectorStub, session_connection: psycopg.Connection, data: st.DataObject
) -> None:
    directory, schemas = Path(tempfile.mkdtemp()), [f"ways_{uuid4().hex[:12]}" for _ in range(2)]
    clients = [Client(stub, schema, BatchFiles(directory)) for schema in schemas]
    table = data.draw(tables())
    try:
        assert all(client.create(table).success for client in clients)
        for files in data.draw(st.lists(requests(table), min_size=1, max_size=3)):
            answers = []
            for client, way in zip(clients, (nullcontext, staging), strict=True):
                with way():
                    answers.append(client.write_history(table, **files))
            assert answers[0] == answers[1]
            found = [by_repr(contents(session_connection, each, table)) for each in schemas]
            assert found[0] == found[1]
    finally:
        shutil.rmtree(directory)
        for schema in schemas:
            session_connection.execute(
                sql.SQL("DROP SCHEMA IF EXISTS {} CASCADE").format(sql.Identifier(schema))
            )
