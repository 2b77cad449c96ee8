"""WriteHistoryBatch: every version of a record, none overlapping, one active at most."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from destination.sdk import common_pb2 as common
from destination.sdk import destination_sdk_pb2 as sdk
from destination.warehouse import carried
from destination_tester.files import Row
from destination_tester.notation import UNMODIFIED, Cell
from destination_tester.stored import ACTIVE, END, OPEN_END, START
from tests.support.fix_connector import Client, column
from tests.support.fix_postgres import Database

TABLE = common.Table(
    name="t",
    columns=[
        column(START, common.UTC_DATETIME, key=True),
        column("id", common.INT, key=True),
        column("amount", common.DOUBLE),
        column("desc"),
        column(END, common.UTC_DATETIME),
        column(ACTIVE, common.BOOLEAN),
        column("_fivetran_synced", common.UTC_DATETIME),
    ],
)
MILLISECOND = timedelta(milliseconds=1)


def at(minute: int) -> datetime:
    return datetime(2020, 1, 1, 0, minute, tzinfo=UTC)


def version(
    start: int, end: int | None, amount: Cell = 0.0, desc: Cell = "", *, record: int = 1
) -> Row:
    """A version that lasts until right before a minute, or is active."""
    return {
        "id": record,
        START: at(start),
        END: OPEN_END if end is None else at(end) - MILLISECOND,
        ACTIVE: end is None,
        "amount": amount,
        "desc": desc,
    }


def key(start: int, record: int = 1) -> Row:
    return {START: at(start), "id": record}


class History:
    """A table in history mode, and what it holds."""

    def __init__(self, client: Client, database: Database) -> None:
        self.client = client
        self.database = database
        assert client.create(TABLE).success

    def write(self, **files: Sequence[Sequence[Row]]) -> None:
        """Write a batch twice: a request that is repeated leaves the same table."""
        answer = self.client.write_history(TABLE, **files)
        assert answer.success, answer
        once = self.database.rows("t")
        assert self.client.write_history(TABLE, **files).success
        assert self.database.rows("t") == once

    def versions(self) -> list[tuple[Any, ...]]:
        return self.database.execute(
            'SELECT id, _fivetran_start, _fivetran_end, _fivetran_active, amount, "desc"'
            " FROM {schema}.t ORDER BY 1, 2"
        )


@pytest.fixture(params=["carried", "staged"])
def history(
    client: Client,
    database: Database,
    monkeypatch: pytest.MonkeyPatch,
    request: pytest.FixtureRequest,
) -> History:
    """Its batches are parameters of the statements, or are staged as large ones are."""
    if request.param == "staged":
        monkeypatch.setattr(carried, "FILE_BYTES", -1)
    return History(client, database)


def rows(*versions: Row) -> list[tuple[Cell, ...]]:
    names = ("id", START, END, ACTIVE, "amount", "desc")
    return [tuple(each[name] for name in names) for each in versions]


def test_new_versions_close_the_active_one(history: History) -> None:
    history.write(replace=[[version(1, None, 1.0, "a")]])
    history.write(earliest=[[key(5)]], replace=[[version(5, None, 2.0, "b")]])
    assert history.versions() == rows(version(1, 5, 1.0, "a"), version(5, None, 2.0, "b"))


def test_partial_version_takes_unmodified_values_from_the_one_before(history: History) -> None:
    history.write(replace=[[version(1, None, 1.0, "a"), version(1, None, 9.0, "z", record=2)]])
    history.write(earliest=[[key(5)]], update=[[version(5, None, UNMODIFIED, "b")]])
    assert history.versions() == rows(
        version(1, 5, 1.0, "a"), version(5, None, 1.0, "b"), version(1, None, 9.0, "z", record=2)
    )


def test_null_is_a_modified_value(history: History) -> None:
    history.write(replace=[[version(1, None, 1.0, "a")]])
    history.write(earliest=[[key(5)]], update=[[version(5, None, None, UNMODIFIED)]])
    assert history.versions() == rows(version(1, 5, 1.0, "a"), version(5, None, None, "a"))


def test_partial_versions_of_one_record_are_a_chain(history: History) -> None:
    history.write(replace=[[version(1, None, 1.0, "a")]])
    first = [version(7, None, 3.0, UNMODIFIED), version(4, 5, UNMODIFIED, "b")]
    second = [version(5, 6, UNMODIFIED, None), version(6, 7, 2.0, UNMODIFIED)]
    history.write(earliest=[[key(4)]], update=[first, second])
    assert history.versions() == rows(
        version(1, 4, 1.0, "a"),
        version(4, 5, 1.0, "b"),
        version(5, 6, 1.0, None),
        version(6, 7, 2.0, None),
        version(7, None, 3.0, None),
    )


def test_chain_goes_on_from_a_replaced_version_between(history: History) -> None:
    history.write(replace=[[version(1, None, 1.0, "a")]])
    history.write(
        earliest=[[key(2)]],
        replace=[[version(4, 6, 4.0, "d")]],
        update=[[version(6, None, UNMODIFIED, "f"), version(2, 4, 2.0, UNMODIFIED)]],
    )
    assert history.versions() == rows(
        version(1, 2, 1.0, "a"),
        version(2, 4, 2.0, "a"),
        version(4, 6, 4.0, "d"),
        version(6, None, 4.0, "f"),
    )


def test_chain_goes_on_from_the_partial_version_that_takes_anothers_place(
    history: History,
) -> None:
    history.write(replace=[[version(1, 5, 1.0, "a"), version(5, None, 5.0, "z")]])
    changes = [[version(5, 8, UNMODIFIED, "b")], [version(8, None, 8.0, UNMODIFIED)]]
    history.write(update=changes)
    assert history.versions() == rows(
        version(1, 5, 1.0, "a"), version(5, 8, 1.0, "b"), version(8, None, 8.0, "b")
    )


def test_predecessor_need_not_be_active(history: History) -> None:
    history.write(replace=[[version(1, 3, 1.0, "a")]])
    history.write(earliest=[[key(5)]], update=[[version(5, None, UNMODIFIED, "b")]])
    assert history.versions() == rows(version(1, 3, 1.0, "a"), version(5, None, 1.0, "b"))


def test_partial_version_without_a_predecessor_is_ignored(history: History) -> None:
    history.write(replace=[[version(5, None, 1.0, "a")]])
    history.write(
        update=[[version(2, 3, UNMODIFIED, "b"), version(1, 2, UNMODIFIED, "c"), version(1, None, record=2)]]
    )  # fmt: skip
    assert history.versions() == rows(version(5, None, 1.0, "a"))


def test_partial_versions_of_the_same_start_apply_in_order(history: History) -> None:
    history.write(replace=[[version(1, None, 1.0, "a")]])
    changes = [[version(5, None, 5.0, "x")], [version(5, None, UNMODIFIED, "y")]]
    history.write(earliest=[[key(5)]], update=changes)
    assert history.versions() == rows(version(1, 5, 1.0, "a"), version(5, None, 5.0, "y"))


def test_late_data_deletes_and_trims(history: History) -> None:
    history.write(replace=[[version(1, 4, 1.0, "a"), version(4, 6, 2.0, "b"), version(6, None, 3.0, "c")]])  # fmt: skip
    history.write(earliest=[[key(3)]], update=[[version(3, None, UNMODIFIED, "late")]])
    assert history.versions() == rows(version(1, 3, 1.0, "a"), version(3, None, 1.0, "late"))


def test_earliest_start_of_several_files_counts(history: History) -> None:
    history.write(replace=[[version(1, 4), version(4, None)]])
    history.write(earliest=[[key(6), key(6, record=2)], [key(5), key(7)]])
    assert history.versions() == rows(version(1, 4), version(4, 5))


def test_delete_closes_the_active_version(history: History) -> None:
    history.write(replace=[[version(1, 4), version(4, None), version(1, None, record=2)]])
    end: list[Row] = [{"id": 1, END: at(9)}, {"id": 1, END: at(8)}, {"id": 3, END: at(9)}]
    history.write(delete=[end])
    closed = {**version(4, None), END: at(9), ACTIVE: False}
    assert history.versions() == rows(version(1, 4), closed, version(1, None, record=2))


def test_replace_takes_the_place_of_the_version_of_the_same_start(history: History) -> None:
    history.write(replace=[[version(1, None, 1.0, "a")]])
    history.write(replace=[[version(1, None, 2.0, "b")]])
    assert history.versions() == rows(version(1, None, 2.0, "b"))


def test_all_at_once_in_the_order_of_the_guide(history: History) -> None:
    history.write(replace=[[version(1, None, 1.0, "a"), version(1, None, 1.0, "a", record=2)]])
    history.write(
        earliest=[[key(3), key(4, record=2)]],
        replace=[[version(3, None, 3.0, "c")]],
        update=[[version(4, None, UNMODIFIED, "d", record=2)]],
        delete=[[{"id": 1, END: at(7)}]],
    )
    assert history.versions() == rows(
        version(1, 3, 1.0, "a"),
        {**version(3, None, 3.0, "c"), END: at(7), ACTIVE: False},
        version(1, 4, 1.0, "a", record=2),
        version(4, None, 1.0, "d", record=2),
    )


def test_table_not_in_history_mode_is_a_task(client: Client) -> None:
    table = common.Table(name="t", columns=[column("id", common.INT, key=True), column("v")])
    assert client.create(table).success
    answer = client.write_history(table, replace=[[{"id": 1, "v": "a"}]])
    assert "history mode" in answer.task.message


@pytest.mark.parametrize("kind", ["earliest", "update", "delete"])
def test_missing_key_column_is_a_task(history: History, kind: str) -> None:
    files: dict[str, Any] = {kind: [[{"desc": "a"}]]}
    answer = history.client.write_history(TABLE, **files)
    assert '"id"' in answer.task.message


def test_official_testers_history_files(
    history: History, official_files: Path, database: Database
) -> None:
    history.client.files.compression, history.client.files.encryption = sdk.OFF, sdk.NONE
    before: Row = {
        "id": 10, "amount": 100.0, "desc": "thee", START: "2005-05-26T20:57:00Z",
        END: OPEN_END, ACTIVE: True,
    }  # fmt: skip
    assert history.client.write_history(TABLE, replace=[[before]]).success
    prefix = official_files / "transaction_history_history_mode"
    for _ in range(2):
        answer = history.client.send_history(
            TABLE,
            earliest_start_files=[f"{prefix}_3_UPDATE_earliest.csv"],
            update_files=[f"{prefix}_3_UPDATE_update.csv"],
        )
        assert answer.success, answer
    shown = (
        'SELECT id, amount, "desc", _fivetran_start::text, _fivetran_end::text, _fivetran_active'
        " FROM {schema}.t ORDER BY _fivetran_start"
    )
    assert database.execute(shown) == [
        (10, 100.0, "thee", "2005-05-26 20:57:00+00", "2005-07-26 20:56:59.999+00", False),
        (10, 400.0, "thee", "2005-07-26 20:57:00+00", "9999-12-31 23:59:59.999+00", True),
    ]
    for _ in range(2):
        answer = history.client.send_history(TABLE, delete_files=[f"{prefix}_4_DELETE_delete.csv"])
        assert answer.success, answer
    assert database.execute(shown)[1][4:] == ("2005-08-26 20:57:00+00", False)


@pytest.mark.usefixtures("history")
def test_key_index_has_the_start_behind_the_record(database: Database) -> None:
    ((definition,),) = database.execute(
        "SELECT indexdef FROM pg_indexes WHERE tablename = 't' AND schemaname = {schema}::text".replace(
            "{schema}", f"'{database.schema}'"
        )
    )
    assert "(id, _fivetran_start)" in str(definition)


@pytest.mark.parametrize("earliest", [True, False], ids=["earliest", "no earliest"])
def test_version_that_ends_exactly_where_the_next_one_starts_is_cut(
    history: History, *, earliest: bool
) -> None:
    """It was closed by somebody else, so it is not active."""
    touching = {**version(1, 5, 1.0), END: at(5)}
    history.write(replace=[[touching]])
    started: dict[str, Any] = {"earliest": [[key(5)]]} if earliest else {}
    history.write(**started, replace=[[version(5, None, 2.0)]])
    assert history.versions() == rows(version(1, 5, 1.0), version(5, None, 2.0))
