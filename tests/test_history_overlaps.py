"""Versions that do not say when they end, and requests that do not say what starts over.

Whatever a request holds, a record's versions do not overlap and at most one is active.
"""

from itertools import groupby, pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from destination.warehouse import carried
from destination_tester.files import Row
from destination_tester.notation import UNMODIFIED
from destination_tester.stored import ACTIVE, END
from tests.support.examples import examples
from tests.support.fix_connector import Client
from tests.support.fix_postgres import Database
from tests.test_history import TABLE, History, at, key, rows, version


@pytest.fixture
def history(client: Client, database: Database) -> History:
    return History(client, database)


def endless(row: Row, *, told: bool) -> Row:
    """A version whose end and activity are unmodified, or not in the file."""
    if told:
        return {**row, END: UNMODIFIED, ACTIVE: UNMODIFIED}
    return {name: cell for name, cell in row.items() if name not in (END, ACTIVE)}


@pytest.mark.parametrize("told", [True, False], ids=["unmodified", "not in the file"])
def test_partial_version_without_an_end_is_active(history: History, *, told: bool) -> None:
    history.write(replace=[[version(1, None, 1.0, "a")]])
    partial = endless(version(5, None, UNMODIFIED, "b"), told=told)
    history.write(earliest=[[key(5)]], update=[[partial]])
    assert history.versions() == rows(version(1, 5, 1.0, "a"), version(5, None, 1.0, "b"))


def test_null_end_of_a_partial_version_is_its_end(history: History) -> None:
    history.write(replace=[[version(1, None, 1.0, "a")]])
    partial = {**version(5, None, UNMODIFIED, "b"), END: None}
    history.write(earliest=[[key(5)]], update=[[partial]])
    assert history.versions() == rows(
        version(1, 5, 1.0, "a"), {**version(5, None, 1.0, "b"), END: None}
    )


@pytest.mark.parametrize("earliest", [True, False], ids=["earliest", "no earliest"])
@pytest.mark.parametrize("told", [True, False], ids=["unmodified", "not in the file"])
def test_partial_versions_of_one_record_without_ends_close_each_other(
    history: History, *, told: bool, earliest: bool
) -> None:
    history.write(replace=[[version(1, None, 1.0, "a"), version(1, None, record=2)]])
    partial = [version(9, None, UNMODIFIED, "c"), version(5, None, 2.0, UNMODIFIED)]
    started: dict[str, Any] = {"earliest": [[key(5)]]} if earliest else {}
    history.write(**started, update=[[endless(row, told=told) for row in partial]])
    assert history.versions() == rows(
        version(1, 5, 1.0, "a"),
        version(5, 9, 2.0, "a"),
        version(9, None, 2.0, "c"),
        version(1, None, record=2),
    )


def test_partial_version_without_an_end_is_closed_by_a_later_one_that_has_one(
    history: History,
) -> None:
    history.write(replace=[[version(1, None, 1.0, "a")]])
    untold = {**version(5, None, 2.0, UNMODIFIED), END: UNMODIFIED, ACTIVE: UNMODIFIED}
    history.write(earliest=[[key(5)]], update=[[untold, version(9, None, UNMODIFIED, "c")]])
    assert history.versions() == rows(
        version(1, 5, 1.0, "a"), version(5, 9, 2.0, "a"), version(9, None, 2.0, "c")
    )


@pytest.mark.parametrize("told", [True, False], ids=["unmodified", "not in the file"])
def test_partial_version_does_not_take_the_end_of_the_one_before(
    history: History, *, told: bool
) -> None:
    history.write(replace=[[version(1, None, 1.0, "a")]])
    ended, last = version(5, 8, UNMODIFIED, "b"), version(9, None, 2.0, UNMODIFIED)
    history.write(earliest=[[key(5)]], update=[[ended], [endless(last, told=told)]])
    assert history.versions() == rows(
        version(1, 5, 1.0, "a"), version(5, 8, 1.0, "b"), version(9, None, 2.0, "b")
    )


@pytest.mark.parametrize("there", [True, False], ids=["in a table with rows", "in an empty table"])
def test_replaced_versions_of_one_record_close_each_other(history: History, *, there: bool) -> None:
    others: list[Row] = [version(0, None, record=3), version(2, 3, record=4)] if there else []
    if others:
        history.write(replace=[others])
    new = [
        version(9, None, 3.0),
        version(1, None, 1.0),
        version(5, 7, 2.0),
        version(2, None, record=2),
    ]
    history.write(replace=[new])
    assert history.versions() == rows(
        version(1, 5, 1.0),
        version(5, 7, 2.0),
        version(9, None, 3.0),
        version(2, None, record=2),
        *others,
    )


def test_replaced_version_closes_what_was_active_and_is_closed_by_what_follows(
    history: History,
) -> None:
    history.write(replace=[[version(1, 8, 1.0), version(8, None, 3.0)]])
    history.write(replace=[[version(5, None, 2.0)]])
    assert history.versions() == rows(version(1, 5, 1.0), version(5, 8, 2.0), version(8, None, 3.0))


@pytest.mark.parametrize("staged", [False, True], ids=["carried", "staged"])
def test_replaced_and_partial_versions_of_one_record_close_each_other(
    history: History, monkeypatch: pytest.MonkeyPatch, *, staged: bool
) -> None:
    if staged:
        monkeypatch.setattr(carried, "FILE_BYTES", -1)
    history.write(replace=[[version(1, None, 1.0, "a")]])
    history.write(
        replace=[[version(5, None, 5.0, "b")]],
        update=[[version(9, None, UNMODIFIED, "c"), version(3, None, 3.0, UNMODIFIED)]],
    )
    assert history.versions() == rows(
        version(1, 3, 1.0, "a"),
        version(3, 5, 3.0, "a"),
        version(5, 9, 5.0, "b"),
        version(9, None, 5.0, "c"),
    )


versions_of_a_record = st.lists(
    st.tuples(st.integers(0, 8), st.none() | st.integers(1, 9), st.booleans(), st.integers(1, 2)),
    max_size=5,
    unique_by=lambda drawn: (drawn[0], drawn[3]),
)
"""Of each version: when it starts, how long it says that it lasts, if it does, whether it is partial, and
of which record it is."""


@examples(20)
@given(requests=st.lists(versions_of_a_record, min_size=1, max_size=3))
def test_versions_of_requests_without_an_earliest_start_never_overlap(
    history: History, database: Database, requests: list[list[tuple[int, int | None, bool, int]]]
) -> None:
    database.execute("DELETE FROM {schema}.t")
    for drawn in requests:
        files: dict[str, list[list[Row]]] = {"replace": [[]], "update": [[]]}
        for start, lasts, partial, record in drawn:
            end = None if lasts is None else start + lasts
            row = version(start, end, record=record)
            if partial and lasts is None:
                row = endless(row, told=True)
            files["update" if partial else "replace"][0].append(row)
        history.write(**{kind: [rows for rows in lists if rows] for kind, lists in files.items()})
        for _, group in groupby(history.versions(), lambda stored: stored[0]):
            stored = list(group)
            for before, after in pairwise(stored):
                assert before[2] < after[1], stored
                assert not before[3], stored


@pytest.mark.parametrize("in_file", [True, False], ids=["null", "not in the file"])
def test_delete_file_that_gives_no_end_is_a_task(history: History, *, in_file: bool) -> None:
    history.write(replace=[[version(1, None, 1.0), version(1, None, record=2)]])
    before = history.versions()
    ends: list[Row] = [{"id": 1, END: at(9)}, {"id": 2, END: None}]
    if not in_file:
        ends = [{"id": 2}]
    answer = history.client.write_history(TABLE, delete=[ends])
    assert f'"{END}"' in answer.task.message
    assert history.versions() == before
