"""A table's whole life under names that mean something to PostgreSQL or to our own statements."""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg
import pytest
import sqlalchemy as sa
from google.protobuf.message import Message
from hypothesis import strategies as st
from hypothesis.stateful import initialize, invariant, precondition, rule, run_state_machine_as_test
from psycopg import sql

from destination.memory import Budget
from destination.sdk import common_pb2 as common
from destination.sdk import destination_sdk_pb2 as sdk
from destination.sdk.destination_sdk_pb2_grpc import DestinationConnectorStub
from destination.warehouse.postgres.kind import connector
from destination.warehouse.postgres.session import TRAITS
from destination_tester.files import Row
from tests.support.examples import examples
from tests.support.fix_connector import Client, reaching, serving
from tests.support.fix_postgres import lose_comments
from tests.support.life import COLUMNS, by_repr
from tests.test_life_property import Life

NAMING = TRAITS.naming
PLAIN = ("t", "copy", "renamed", "長" * 30, "id", "part", *COLUMNS)
BY_HAND = "a column of the customer's"
MEETING = ["長" * 21 + "い", "長" * 21 + "う", "x" * 64, "x" * 64 + "y"]
NAME_FIELDS = re.compile(r"(from|to)_(table|column)|table|column|soft_deleted_column")
STATEMENT = re.compile(
    r'^F\t\d+\t(?:Query\t "|Parse\t "\w*" ")(.*?)"[ \d]*\n(?=[FB]\t\d+\t)', re.DOTALL | re.MULTILINE
)
"""A message that libpq's trace shows."""
IDENTIFIER = re.compile(r'(?:"((?:[^"]|"")+)"|([a-z_]\w*))(\.)?')
"""An identifier, and the point by which it qualifies another."""
LIFE = re.compile(r"\blife_[0-9a-f]{12}\b")
NOT_DRAWN = re.compile(rf"_fivetran_.*|{LIFE.pattern}|.*_[0-9a-f]{{12}}(_pkey)?", re.DOTALL)
"""Fivetran's own columns, and what is random."""


@contextmanager
def traced(file: Path) -> Iterator[None]:
    """Have libpq write what every connection made meanwhile sends."""
    with file.open("wb") as trace:

        def begin(connection: psycopg.Connection[Any], _: object) -> None:
            connection.pgconn.trace(trace.fileno())
            connection.pgconn.set_trace_flags(psycopg.pq.Trace.SUPPRESS_TIMESTAMPS)

        sa.event.listen(sa.pool.Pool, "connect", begin)
        try:
            yield
        finally:
            sa.event.remove(sa.pool.Pool, "connect", begin)


@dataclass(frozen=True)
class Sent:
    """What a few lives send to PostgreSQL.

    Args:
        identifiers: every name in their statements.
        qualifiers: those that qualify columns, or tables, in statements about a customer's table.
    """

    identifiers: frozenset[str]
    qualifiers: frozenset[str]


@pytest.fixture(scope="module")
def sent(
    postgres_uri: str,
    session_connection: psycopg.Connection,
    tmp_path_factory: pytest.TempPathFactory,
) -> Sent:
    file = tmp_path_factory.mktemp("trace") / "trace"
    with (
        traced(file),
        serving(connector(postgres_uri), Budget()) as port,
        reaching(port) as stub,
    ):
        play(Life, stub, session_connection, count=6)
    identifiers, qualifiers = set(), set()
    for statement in STATEMENT.findall(file.read_text(errors="replace")):
        for quoted, plain, point in IDENTIFIER.findall(statement):
            name = quoted.replace('""', '"') or plain
            if NOT_DRAWN.fullmatch(name):
                continue
            identifiers.add(name)
            if point and LIFE.search(statement):
                qualifiers.add(name)
    return Sent(frozenset(identifiers), frozenset(qualifiers))


@pytest.fixture(scope="module")
def names(sent: Sent, session_connection: psycopg.Connection) -> st.SearchStrategy[str]:
    """Names of all kinds that mean something to PostgreSQL or to our statements."""
    query = "SELECT word FROM pg_get_keywords() WHERE catcode <> 'U'"
    words = sorted(word for (word,) in session_connection.execute(query))
    query = "SELECT DISTINCT attname::text FROM pg_attribute WHERE attnum < 0"
    system = sorted(name for (name,) in session_connection.execute(query))
    kinds = (words, [*system, "oid", "excluded", *MEETING], sent.identifiers, sent.qualifiers)
    return st.one_of([st.sampled_from(sorted(kind)) for kind in kinds])


def play(
    machine: type[Life],
    stub: DestinationConnectorStub,
    connection: psycopg.Connection,
    count: int,
    **further: Any,
) -> None:
    attributes = {"stub": stub, "connection": connection, **further}
    run_state_machine_as_test(
        type("Machine", (machine,), attributes),
        settings=examples(count, steps=15),
    )


class NamedClient(Client):
    """Calls the connector by other names than it is called by.

    Args:
        client: what it stands in for.
        names: the full name for each plain one; names that are missing stay.
    """

    def __init__(self, client: Client, names: Mapping[str, str]) -> None:
        super().__init__(client.stub, client.schema, client.files)
        self.names = names
        self.plain = {NAMING.stored(full): plain for plain, full in names.items()}

    def name(self, plain: str) -> str:
        return self.names.get(plain, plain)

    def table(self, table: common.Table) -> common.Table:
        named = common.Table(name=self.name(table.name), columns=table.columns)
        for column in named.columns:
            column.name = self.name(column.name)
        return named

    def create(self, table: common.Table) -> sdk.CreateTableResponse:
        return super().create(self.table(table))

    def alter(self, table: common.Table, *, drop: bool = False) -> sdk.AlterTableResponse:
        return super().alter(self.table(table), drop=drop)

    def describe(self, table: str) -> sdk.DescribeTableResponse:
        """The answer by plain names, without the columns of the customer's."""
        answer = super().describe(self.name(table))
        for column in answer.table.columns:
            stored = NAMING.stored(column.name)
            column.name = self.plain.get(stored, column.name)
        own = [column for column in answer.table.columns if column.name != BY_HAND]
        return sdk.DescribeTableResponse(table=common.Table(name=table, columns=own))

    def truncate(self, table: str, *arguments: Any, **options: Any) -> sdk.TruncateResponse:
        return super().truncate(self.name(table), *arguments, **options)

    def write(self, table: common.Table, **files: Any) -> sdk.WriteBatchResponse:
        return super().write(self.table(table), **self.files_of(files))

    def write_history(self, table: common.Table, **files: Any) -> sdk.WriteBatchResponse:
        return super().write_history(self.table(table), **self.files_of(files))

    def files_of(self, files: Mapping[str, Sequence[Sequence[Row]]]) -> dict[str, Any]:
        return {
            kind: [
                [{self.name(name): cell for name, cell in row.items()} for row in rows]
                for rows in listed
            ]
            for kind, listed in files.items()
        }

    def migrate(self, table: str, **operation: Any) -> sdk.MigrateResponse:
        named = {kind: self.message(message) for kind, message in operation.items()}
        return super().migrate(self.name(table), **named)

    def message(self, message: Message) -> Message:
        named = type(message)()
        named.CopyFrom(message)
        for field, value in named.ListFields():
            if isinstance(value, Message):
                getattr(named, field.name).CopyFrom(self.message(value))
            elif NAME_FIELDS.fullmatch(field.name):
                setattr(named, field.name, self.name(value))
        return named


class NamedLife(Life):
    """Plays a life under drawn names, with a customer who adds columns and edits comments."""

    drawn: st.SearchStrategy[str]

    @initialize(data=st.data())
    def create(self, data: st.DataObject) -> None:
        drawn = st.lists(
            self.drawn,
            min_size=len(PLAIN), max_size=len(PLAIN), unique_by=NAMING.stored,
        )  # fmt: skip
        self.names = dict(zip(PLAIN, data.draw(drawn), strict=True))
        self.client = NamedClient(self.client, self.names)
        self.by_hand: set[str] = set()
        super().create(data)

    def stored(self, plain: str) -> sql.Identifier:
        return sql.Identifier(NAMING.stored(self.names.get(plain, plain)))

    def execute(self, statement: str, table: str, *further: sql.Composable) -> None:
        name = sql.SQL("{}.{}").format(sql.Identifier(self.schema), self.stored(table))
        self.connection.execute(sql.SQL(statement).format(name, *further))

    @rule(data=st.data(), comment=st.sampled_from(["mine", "", "Fivetran name: y", "a\nb"]))
    def comment_on_a_table(self, data: st.DataObject, comment: str) -> None:
        table = data.draw(st.sampled_from(sorted(self.tables)))
        self.execute("COMMENT ON TABLE {} IS {}", table, sql.Literal(comment))

    @rule(data=st.data(), comment=st.sampled_from(["mine", "", "Fivetran name: y", "a\nb"]))
    def comment_on_a_column(self, data: st.DataObject, comment: str) -> None:
        table = data.draw(st.sampled_from(sorted(self.tables)))
        column = data.draw(st.sampled_from(sorted(self.tables[table].columns)))
        self.execute(
            "COMMENT ON COLUMN {}.{} IS {}", table, self.stored(column), sql.Literal(comment)
        )

    @rule()
    def lose_comments(self) -> None:
        lose_comments(self.connection, self.schema)

    @precondition(lambda self: not self.by_hand)
    @rule(data=st.data())
    def add_a_column_by_hand(self, data: st.DataObject) -> None:
        table = data.draw(st.sampled_from(sorted(self.tables)))
        self.execute("ALTER TABLE {} ADD {} text DEFAULT 'mine'", table, sql.Identifier(BY_HAND))
        self.by_hand = {table}

    @rule(data=st.data())
    def rename(self, data: st.DataObject) -> None:
        before = set(self.tables)
        super().rename(data)
        if self.by_hand & (before - set(self.tables)):
            self.by_hand = set(self.tables) - before

    @precondition(lambda self: "copy" in self.tables)
    @rule()
    def drop(self) -> None:
        super().drop()
        self.by_hand -= {"copy"}

    @invariant()
    def tables_hold_what_the_model_holds(self) -> None:
        for name, model in self.tables.items():
            described = {c.name: c for c in self.client.describe(name).table.columns}
            assert described == model.columns
            columns = sql.SQL(", ").join(map(self.stored, model.columns))
            found = [
                dict(zip(model.columns, row, strict=True)) for row in self.selected(columns, name)
            ]
            assert by_repr(found) == by_repr(model.rows)

    @invariant()
    def column_of_the_customer_is_there(self) -> None:
        for name in self.by_hand:
            found = self.selected(sql.Identifier(BY_HAND), name)
            assert set(found) <= {("mine",)}

    def selected(self, columns: sql.Composable, table: str) -> Iterable[tuple[Any, ...]]:
        cursor = self.connection.cursor()
        cursor.adapters.register_loader("json", psycopg.types.string.TextLoader)
        schema = sql.Identifier(self.schema)
        query = sql.SQL("SELECT {} FROM {}.{}").format(columns, schema, self.stored(table))
        return cursor.execute(query).fetchall()


def test_statements_qualify_by_names_that_no_table_has(sent: Sent) -> None:
    assert {"fivetran_staging_1", "ordinal", "c0", "id"} <= sent.identifiers
    possible = {name for name in sent.qualifiers if NAMING.stored(name) == name}
    assert possible <= {"t", "copy", "renamed", "excluded", "pg_catalog", "pg_temp"}


def test_whole_lives_under_any_names(
    stub: DestinationConnectorStub,
    session_connection: psycopg.Connection,
    names: st.SearchStrategy[str],
) -> None:
    play(NamedLife, stub, session_connection, count=10, drawn=names)
