"""The neutral modules say nothing that only PostgreSQL understands."""

from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from functools import cache, partial
from itertools import cycle
from typing import Any

import pyarrow as pa
import pytest

from destination import wire
from destination.rows import MODIFIED, arrow_type
from destination.schema import ACTIVE, DELETED, END, START, SYNCED, Column, DataType, Table
from destination.sdk import common_pb2 as common
from destination.sdk import destination_sdk_pb2 as sdk
from destination.warehouse import altering, ddl, history, loading, tables
from destination.warehouse.base import Session
from destination.warehouse.stored import StoredTable, TableName
from tests.support import migrations
from tests.support.second_warehouse import OWN_FUNCTIONS, SecondSession, Source, stored

STANDARD = {"abs", "coalesce", "count", "lag", "lead", "max", "min"}
"""The functions that neutral statements may call."""
NAME, OTHER = TableName("s", "t"), TableName("s", "other")
ID = Column("id", DataType.INT, primary_key=True)
VALUE = Column("value", DataType.STRING)
NEW = Column("new", DataType.STRING)
LIVE = (ID, VALUE, Column(SYNCED, DataType.UTC_DATETIME), Column(DELETED, DataType.BOOLEAN))
VERSIONED = (
    ID,
    Column(START, DataType.UTC_DATETIME, primary_key=True),
    Column(END, DataType.UTC_DATETIME),
    Column(ACTIVE, DataType.BOOLEAN),
    VALUE,
    Column(SYNCED, DataType.UTC_DATETIME),
)
INSTANT = datetime(2024, 1, 1, tzinfo=UTC)
EXAMPLES: dict[DataType, Sequence[Any]] = {
    DataType.INT: (1, 2),
    DataType.STRING: ("a", "b"),
    DataType.UTC_DATETIME: (INSTANT, INSTANT),
    DataType.BOOLEAN: (True, False),
}


def source(columns: Sequence[Column], table: Sequence[Column] = ()) -> Source:
    """Two rows; partial ones of a table if that is given."""
    arrays = [pa.array(EXAMPLES[column.type], arrow_type(column)) for column in columns]
    names = [column.name for column in columns]
    if table:
        arrays.append(pa.array([b"\1" * len(table)] * 2))
        names.append(MODIFIED)
    return Source(tuple(columns), pa.RecordBatch.from_arrays(arrays, names))


def write(session: Session) -> None:
    rows, changed, gone = source(LIVE), source(LIVE, LIVE), source([ID])
    batch = loading.Batch(replace=[rows], update=[changed], delete=[gone])
    loading.write_batch(session, NAME, Table("t", LIVE), batch)


def append(session: Session) -> None:
    keyless = Table("t", (VALUE,))
    loading.write_batch(session, NAME, keyless, loading.Batch([source([VALUE])], [], []))


def write_history(session: Session) -> None:
    batch = history.HistoryBatch(
        earliest_start=[source(VERSIONED[:2])],
        replace=[source(VERSIONED)],
        update=[source(VERSIONED, VERSIONED)],
        delete=[source((ID, VERSIONED[2]))],
    )
    history.write_history_batch(session, NAME, Table("t", VERSIONED), batch)


def only_update_history(session: Session) -> None:
    batch = history.HistoryBatch([], [], [source(VERSIONED, VERSIONED)], [])
    history.write_history_batch(session, NAME, Table("t", VERSIONED), batch)


def create(session: Session) -> None:
    tables.create(session, NAME, Table("t", LIVE))


def alter(session: Session) -> None:
    wanted = (
        Column("id", DataType.INT),
        Column("value", DataType.INT),
        Column("new", DataType.STRING, primary_key=True),
        Column(SYNCED, DataType.STRING),
    )
    altering.alter(session, NAME, Table("t", wanted), drop_columns=True)


def truncate(session: Session, deleted: str | None) -> None:
    tables.truncate(session, NAME, SYNCED, INSTANT, deleted)


def has(*columns: Column, **options: Any) -> SecondSession:
    return SecondSession({NAME: stored(NAME, columns)}, **options)


def filled(*columns: Column, **options: Any) -> SecondSession:
    """A session in which tables have rows."""
    return has(*columns, answers=lambda text: "EXISTS" in text, **options)


def growing(wider: dict[TableName, StoredTable]) -> SecondSession:
    """A session about a table in history mode that has rows, none of them too late."""
    return has(*VERSIONED, answers=lambda text: " > " not in text and "EXISTS" in text, wider=wider)


def slowly(*columns: Column, mergeable: bool = True) -> SecondSession:
    """A session in which rows are staged, keys repeat, and a chain of partial rows takes a round."""
    linked = cycle([True, False])

    def answers(text: str) -> bool:
        return next(linked) if ".link IS NOT NULL" in text else "EXISTS" in text

    there = {NAME: stored(NAME, columns, mergeable=mergeable)}
    return SecondSession(there, answers=answers, carrying=False)


CALLS: dict[str, tuple[Callable[[Any], None], Callable[[], SecondSession]]] = {
    "batch": (write, lambda: has(*LIVE)),
    "staged batch": (write, lambda: slowly(*LIVE)),
    "batch of a table that cannot be merged into": (write, lambda: slowly(*LIVE, mergeable=False)),
    "append": (append, lambda: has(VALUE)),
    "staged append": (append, lambda: slowly(Column("value", DataType.JSON))),
    "history": (write_history, lambda: has(*VERSIONED)),
    "staged history": (write_history, lambda: slowly(*VERSIONED)),
    "updates of history": (only_update_history, lambda: has(*VERSIONED)),
    "staged updates of history": (only_update_history, lambda: slowly(*VERSIONED)),
    "create": (create, lambda: SecondSession({})),
    "alter": (
        alter,
        lambda: filled(*LIVE, wider={NAME: stored(NAME, [*LIVE, NEW])}),
    ),
    "truncate": (partial(truncate, deleted=None), lambda: has(*LIVE)),
    "soft truncate": (partial(truncate, deleted=DELETED), lambda: has(*LIVE)),
    "truncate of history": (partial(truncate, deleted=DELETED), lambda: has(*VERSIONED)),
}

COPIED = {OTHER: stored(OTHER, LIVE)}
WIDER = {NAME: stored(NAME, [*LIVE, NEW]), **COPIED}
HISTORY = {name: stored(name, [*VERSIONED, NEW, LIVE[-1]]) for name in (NAME, OTHER)}
MIGRATIONS: list[tuple[dict[str, Any], Callable[[], SecondSession]]] = [
    (migrations.drop_table(), lambda: has(*LIVE)),
    (migrations.rename_table("t", "other"), lambda: has(*LIVE)),
    (migrations.copy_table("t", "other"), lambda: has(*LIVE, wider=COPIED)),
    (migrations.copy_to_history("t", "other", DELETED), lambda: filled(*LIVE, wider=HISTORY)),
    (migrations.rename_column("value", "new"), lambda: has(*LIVE)),
    (migrations.copy_column("value", "new"), lambda: has(*LIVE, wider=WIDER)),
    (migrations.add_default("new", common.STRING, "x"), lambda: has(*LIVE, wider=WIDER)),
    (migrations.update_value("value", "x"), lambda: has(*LIVE)),
    (migrations.add_history("new", common.STRING, "x"), lambda: growing(HISTORY)),
    (migrations.drop_history("value"), lambda: growing(HISTORY)),
    (migrations.sync_mode(sdk.SOFT_DELETE_TO_HISTORY, DELETED), lambda: has(*LIVE, wider=HISTORY)),
    (
        migrations.sync_mode(sdk.HISTORY_TO_SOFT_DELETE, DELETED),
        lambda: has(*VERSIONED, wider=HISTORY),
    ),
]
WORK: dict[str, tuple[Callable[[Any], Any], Callable[[], SecondSession]]] = {**CALLS}
for operation, start in MIGRATIONS:
    found = wire.migration_from_wire(sdk.MigrationDetails(schema="s", table="t", **operation))
    assert found is not None
    WORK[found[0]] = (found[1], start)


@cache
def compiled(call: str) -> SecondSession:
    run, start = WORK[call]
    session = start()
    run(session)
    return session


@pytest.mark.parametrize("call", WORK)
def test_statements_compile_for_another_warehouse(call: str) -> None:
    session = compiled(call)
    assert session.compiled
    assert session.dialect.functions <= STANDARD | OWN_FUNCTIONS


def test_every_migration_and_every_change_of_a_table_is_compiled() -> None:
    assert set(WORK) >= set(wire.MIGRATIONS)
    changes = {each for call in WORK for each in compiled(call).elements}
    neutral = {each for each in ddl.AlterTable.__subclasses__() if each.__module__ == ddl.__name__}
    assert neutral <= changes
