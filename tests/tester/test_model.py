"""The model where Fivetran's guide leaves room: what a table must be after a call."""

from datetime import UTC, datetime
from decimal import Decimal

import pytest

from destination.sdk import common_pb2 as common
from destination_tester.inputs import Migrate
from destination_tester.migrations import plan
from destination_tester.model import TableModel
from destination_tester.notation import UNMODIFIED, Cell
from destination_tester.stored import (
    ACTIVE,
    DELETED,
    END,
    ID,
    MILLISECOND,
    OPEN_END,
    START,
    SYNCED,
    RefusedError,
)
from tests.support.fix_connector import column

T1, T2, T3 = (datetime(2024, 1, day, tzinfo=UTC) for day in (1, 2, 3))
KEY, V = column("id", common.INT, key=True), column("v")
SYNC = column(SYNCED, common.UTC_DATETIME)
VERSIONS = [
    column(START, common.UTC_DATETIME, key=True),
    column(END, common.UTC_DATETIME),
    column(ACTIVE, common.BOOLEAN),
]


def model(*columns: common.Column, rows: list[dict[str, Cell]] | None = None) -> TableModel:
    copies = TableModel.of(common.Table(name="t", columns=columns)).copy()
    if rows:
        copies.replace(rows)
    return copies


def version(start: datetime, **values: Cell) -> dict[str, Cell]:
    return {"id": 1, "v": "x", SYNCED: start, START: start, END: OPEN_END, ACTIVE: True, **values}


def history(*versions: dict[str, Cell]) -> TableModel:
    return model(KEY, V, SYNC, *VERSIONS, rows=list(versions))


def test_rows_of_a_table_without_key_are_told_apart_by_the_stand_in() -> None:
    table = model(column(ID), V)
    table.replace([{ID: "a", "v": "1"}, {ID: "a", "v": "2"}])
    table.update([{ID: "a", "v": "3"}])
    assert table.rows == [{ID: "a", "v": "3"}]
    table.delete([{ID: "a"}])
    assert table.rows == []


def test_rows_of_a_table_without_key_are_appended_and_cannot_be_updated() -> None:
    table = model(V, rows=[{"v": "1"}, {"v": "1"}])
    assert len(table.rows) == 2
    for change in (table.update, table.delete):
        with pytest.raises(RefusedError):
            change([{"v": "1"}])


def test_soft_truncate_of_a_history_table_closes_active_versions() -> None:
    table = history(version(T1))
    table.truncate(SYNCED, T2, DELETED)
    assert (table.rows[0][ACTIVE], table.rows[0][END]) == (False, T2 - MILLISECOND)


def test_delete_without_an_end_is_refused() -> None:
    with pytest.raises(RefusedError):
        history(version(T1)).end_records([{"id": 1, END: None}])


@pytest.mark.parametrize("left_out", [{}, {END: UNMODIFIED, ACTIVE: UNMODIFIED}])
def test_update_that_says_no_end_is_active(left_out: dict[str, Cell]) -> None:
    table = history(version(T1) | {END: T2 - MILLISECOND, ACTIVE: False})
    table.update_history([{"id": 1, START: T2, "v": "y", **left_out}])
    assert (table.rows[1][END], table.rows[1][ACTIVE], table.rows[1]["v"]) == (OPEN_END, True, "y")


def test_history_keyed_by_its_start_alone_is_refused() -> None:
    table = model(*VERSIONS, rows=[{START: T1, ACTIVE: True}])
    for change in (lambda: table.start_over([{START: T1}]), lambda: table.to_soft_delete(DELETED)):
        with pytest.raises(RefusedError):
            change()


def test_missing_soft_deleted_column_means_that_nothing_was_deleted() -> None:
    table = model(KEY, SYNC, rows=[{"id": 1, SYNCED: T1}])
    table.to_history("missing")
    assert (table.rows[0][START], table.rows[0][ACTIVE]) == (T1, True)


def test_table_without_key_or_instant_has_no_history() -> None:
    for table in (model(V, SYNC, rows=[{"v": "1"}]), model(KEY, SYNC, rows=[{"id": 1}])):
        with pytest.raises(RefusedError):
            table.to_history(None)


def test_last_versions_are_not_deleted_by_another_soft_deleted_column() -> None:
    table = model(KEY, column("gone", common.BOOLEAN), SYNC, *VERSIONS, rows=[version(T1)])
    table.to_soft_delete("gone")
    assert (table.rows[0]["gone"], table.rows[0][DELETED]) == (False, False)


def test_new_column_of_the_key_gets_the_neutral_value_of_its_type() -> None:
    table = model(KEY, V, rows=[{"id": 1, "v": "a"}])
    part = column("part", common.NAIVE_DATETIME, key=True)
    table.alter(common.Table(columns=[KEY, V, part]))
    assert table.rows[0]["part"] == datetime(1970, 1, 1)
    with pytest.raises(RefusedError):
        model(KEY, V, rows=[{"id": 1}, {"id": 2}]).alter(common.Table(columns=[V, part]))


def test_change_of_type_that_loses_digits_is_refused() -> None:
    table = model(KEY, column("v", common.DOUBLE), rows=[{"id": 1, "v": 1.5}])
    with pytest.raises(RefusedError):
        table.copy().alter(common.Table(columns=[KEY, column("v", common.INT)]))
    table.alter(common.Table(columns=[KEY, column("v", common.DECIMAL, decimal=(4, 0))]))
    assert table.rows[0]["v"] == Decimal("1.5")
    assert table.columns["v"].params.decimal == common.DecimalParams(precision=5, scale=1)


@pytest.mark.parametrize(("text", "kind", "stored"), [("", "STRING", ""), ("NULL", "STRING", "NULL"), ("", "INT", None)])  # fmt: skip
def test_default_of_a_text_column_is_the_text_in_the_model_too(
    text: str, kind: str, stored: str | None
) -> None:
    table = model(KEY, rows=[{"id": 1}])
    added = common.Column(name="new", type=kind)
    step = Migrate("add_column_with_default_value", {"table": "t", "default_value": text}, added)
    outcome = plan(step, {"t": table}.get).outcome
    assert outcome is not None
    changed = outcome()["t"]
    assert changed is not None
    assert changed.rows == [{"id": 1, "new": stored}]


def test_copy_onto_a_table_succeeds_where_the_rows_are_equal() -> None:
    table = model(KEY, V, rows=[{"id": 1, "v": "a"}])
    step = Migrate("copy_table", {"from_table": "t", "to_table": "c"}, common.Column())
    for existing, refused in ((table.copy(), False), (model(KEY, V), True)):
        outcome = plan(step, {"t": table, "c": existing}.get).outcome
        assert outcome is not None
        if refused:
            with pytest.raises(RefusedError):
                outcome()
        else:
            assert outcome()["c"] == table


def test_version_at_the_beginning_of_time_has_nothing_before_it() -> None:
    start = datetime(1, 1, 1, tzinfo=UTC)
    table = history(version(start))
    table.start_over([{"id": 1, START: start}])
    assert table.rows == []
