"""Tables of any width that PostgreSQL can hold take every call."""

from datetime import UTC, datetime, timedelta

import pytest

from destination.sdk import common_pb2 as common
from destination_tester.notation import UNMODIFIED, Cell
from destination_tester.stored import ACTIVE, END, OPEN_END, START
from tests.support.fix_connector import Client, column
from tests.support.fix_postgres import Database

WIDTHS = (1, 300, 833, 1_598, 1_599, 1_600)
WIDEST_OF_CLUSTER, WIDEST_HISTORY_OF_CLUSTER = 1_598, 832
HISTORY_COLUMNS = (
    column(START, common.UTC_DATETIME, key=True),
    column(END, common.UTC_DATETIME),
    column(ACTIVE, common.BOOLEAN),
)
BASE = datetime(2024, 1, 1, tzinfo=UTC)


def table(width: int, *further: common.Column, name: str = "t") -> common.Table:
    values = [column(f"c{i}", common.SHORT) for i in range(1, width - len(further))]
    return common.Table(name=name, columns=[column("id", common.INT, key=True), *values, *further])


def row(wanted: common.Table, record: int, value: Cell, **others: Cell) -> dict[str, Cell]:
    """A row whose values are all the same, but these."""
    names = [each.name for each in wanted.columns]
    return dict.fromkeys(names, value) | {"id": record} | others


def version(
    wanted: common.Table, record: int, day: int, value: Cell, *, closed: bool = False
) -> dict[str, Cell]:
    start = BASE + timedelta(days=day)
    end = start + timedelta(days=1) - timedelta(milliseconds=1) if closed else OPEN_END
    times: dict[str, Cell] = {START: start, END: end, ACTIVE: not closed}
    return row(wanted, record, value, **times)


@pytest.mark.parametrize("width", WIDTHS)
def test_table_of_any_width(client: Client, database: Database, width: int) -> None:
    if width > WIDEST_OF_CLUSTER:
        database.needs_local_tables("Citus adds columns of its own to a merge")
    wanted = table(width)
    last = wanted.columns[-1].name
    assert client.create(wanted).success
    for value in (1, 2):
        rows = [row(wanted, record, value) for record in (1, 2, 2, 3)]
        answer = client.write(wanted, replace=[rows])
        assert answer.success, answer
    if width > 1:
        partial = [
            row(wanted, 1, UNMODIFIED, **{last: 3}),
            row(wanted, 1, UNMODIFIED, c1=None),
            row(wanted, 1, UNMODIFIED),
            row(wanted, 2, 4),
        ]
        answer = client.write(wanted, update=[partial])
        assert answer.success, answer
    answer = client.write(wanted, delete=[[{"id": 3}]])
    assert answer.success, answer
    if width == 1:
        assert database.rows("t") == [(1,), (2,)]
        return
    first = row(wanted, 1, 2, **{"c1": None, last: 3})
    assert database.rows("t") == [tuple(first.values()), tuple(row(wanted, 2, 4).values())]


@pytest.mark.parametrize("width", [4, *WIDTHS[1:]])
def test_history_of_any_width(client: Client, database: Database, width: int) -> None:
    if width > WIDEST_HISTORY_OF_CLUSTER:
        database.needs_local_tables("a worker's queries hold each column twice")
    wanted = table(width, *HISTORY_COLUMNS)
    changed: dict[str, Cell] = {wanted.columns[-4].name: 2} if width > 4 else {}
    assert client.create(wanted).success
    first = [version(wanted, 1, 1, 1), version(wanted, 2, 1, 1)]
    answer = client.write_history(wanted, replace=[first])
    assert answer.success, answer
    partial = [
        version(wanted, 1, 3, UNMODIFIED),
        version(wanted, 1, 2, UNMODIFIED, closed=True) | changed,
    ]
    start: dict[str, Cell] = {"id": 1, START: BASE + timedelta(days=2)}
    answer = client.write_history(wanted, earliest=[[start]], update=[partial])
    assert answer.success, answer
    answer = client.write_history(wanted, delete=[[{"id": 2, END: BASE + timedelta(days=9)}]])
    assert answer.success, answer
    expected = [
        version(wanted, 1, 1, 1, closed=True),
        version(wanted, 1, 2, 1, closed=True) | changed,
        version(wanted, 1, 3, 1) | changed,
        version(wanted, 2, 1, 1) | {END: BASE + timedelta(days=9), ACTIVE: False},
    ]
    assert database.rows("t") == sorted((tuple(each.values()) for each in expected), key=repr)


@pytest.mark.parametrize(
    ("columns", "kind", "value"),
    [(1_016, common.LONG, 2**62), (339, common.STRING, "x" * 20), (452, common.STRING, "x" * 500)],
    ids=["numbers", "short texts", "long texts"],
)
def test_rows_that_just_fit_a_page(
    client: Client, database: Database, columns: int, kind: common.DataType, value: int | str
) -> None:
    names = [f"c{i}" for i in range(1, columns)]
    wanted = common.Table(
        name="t",
        columns=[column("id", common.LONG, key=True), *(column(name, kind) for name in names)],
    )
    assert client.create(wanted).success
    for _ in range(2):
        answer = client.write(wanted, replace=[[row(wanted, i, value) for i in range(3)]])
        assert answer.success, answer
    other = {"c1": value[1:] if isinstance(value, str) else 1}
    answer = client.write(wanted, update=[[row(wanted, 1, UNMODIFIED, **other)] * 2])
    assert answer.success, answer
    counted = "SELECT count(*), count(DISTINCT c1), count(DISTINCT c2) FROM {schema}.t"
    assert database.execute(counted) == [(3, 2, 1)]


def test_column_beyond_what_a_table_holds_is_a_task(client: Client, database: Database) -> None:
    database.needs_local_tables("a worker refuses the column before")
    wanted = table(1_601)
    other = common.Table(name="other", columns=wanted.columns)
    assert client.create(table(1_600)).success
    for message in (client.alter(wanted).task.message, client.create(other).task.message):
        assert "1600 columns" in message
        assert "deselect columns" in message


def test_refused_value_of_a_wide_row_is_named(client: Client, database: Database) -> None:
    """The target's type of a column in another part of the row refuses it."""
    wanted = table(1_200)
    assert client.create(wanted).success
    assert client.write(wanted, replace=[[row(wanted, 0, 0)]]).success
    database.execute("ALTER TABLE {schema}.t ALTER c1100 TYPE numeric(2,0)")
    wanted.columns[1_100].type = common.INT
    rows = [row(wanted, i, 1, c1100=100 if i == 5 else 1) for i in range(8)]
    answer = client.write(wanted, replace=[rows])
    assert 'column "c1100"' in answer.task.message, answer
    assert "row 6" in answer.task.message
