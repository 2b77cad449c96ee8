"""A window that was collapsed does to a table what its records do one after the other."""

from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from destination.sdk import common_pb2 as common
from destination_tester.model import TableModel
from destination_tester.notation import UNMODIFIED, Cell, from_text
from destination_tester.stored import (
    ACTIVE,
    DELETED,
    END,
    HISTORY_COLUMNS,
    MILLISECOND,
    OPEN_END,
    START,
)
from local_platform.sync.errors import SourceError
from local_platform.sync.history import versions
from local_platform.sync.names import Names
from local_platform.sync.records import Gatherer
from local_platform.sync.types import Type
from local_platform.sync.window import Rows, Window, collapse
from tests.support.examples import examples
from tests.sync.messages import record

TYPES = {
    "id": Type(common.LONG), "part": Type(common.STRING),
    "a": Type(common.LONG), "b": Type(common.STRING),
}  # fmt: skip
KEY = ["id", "part"]
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

keys = st.fixed_dictionaries({"id": st.integers(0, 2), "part": st.sampled_from(["x", "y"])})
others = st.fixed_dictionaries(
    {}, optional={"a": st.none() | st.integers(0, 9), "b": st.none() | st.sampled_from(["", "t"])}
)
events = st.tuples(
    st.sampled_from([common.UPSERT, common.UPDATE, common.DELETE]),
    st.builds(lambda key, rest: {**key, **rest}, keys, others),
    st.integers(0, 3),
)
batches = st.lists(st.lists(events, min_size=1, max_size=6), min_size=1, max_size=4)
filled = st.lists(st.tuples(keys, st.integers(0, 9), st.booleans()), max_size=4)

Event = tuple[common.RecordType, dict[str, Any], int]


def window(chunks: Sequence[Sequence[Event]]) -> tuple[Window, list[Event]]:
    """A window of chunks; an event's number is the milliseconds since the one before it."""
    gatherer = Gatherer(Names("columns", str), lambda _: True, keyless=False)
    made, flat, arrival = Window(), [], 100
    for chunk in chunks:
        for operation, row, later in chunk:
            arrival += later
            gatherer.add(record("t", row, operation), arrival)
            flat.append((operation, row, arrival))
        made.add(gatherer.seal())
    return made, flat


def rows(content: Rows) -> list[dict[str, Any]]:
    made: list[dict[str, Any]] = [{} for _ in range(len(content))]
    for name in content.partial():
        for first in range(0, len(content), 2):
            texts, modified = content.piece(name, first, 2)
            for row, (text, there) in enumerate(
                zip(texts.to_pylist(), modified, strict=True), first
            ):
                made[row][name] = text if there else UNMODIFIED
    return made


def typed(row: dict[str, Any], kinds: dict[str, common.Column]) -> dict[str, Cell]:
    """A row of texts as a row of values."""
    return {
        name: from_text(cell, kinds[name]) if isinstance(cell, str) else cell
        for name, cell in row.items()
    }


def columns(kinds: dict[str, Type], *key: str) -> dict[str, common.Column]:
    return {name: kind.column(name, key=name in key) for name, kind in kinds.items()}


def sorted_rows(model: TableModel) -> list[dict[str, Any]]:
    return sorted(model.rows, key=repr)


@pytest.mark.parametrize("hard", [False, True])
@examples(40)
@given(content=batches, before=filled)
def test_collapsed_window_does_what_its_records_do(
    content: list[list[Event]], before: list[tuple[dict[str, Any], int, bool]], *, hard: bool
) -> None:
    kinds = {**TYPES, DELETED: Type(common.BOOLEAN)}
    plain = TableModel(columns(kinds, *KEY))
    plain.replace({**key, "a": a, "b": "old", DELETED: deleted} for key, a, deleted in before)
    collapsed_model = plain.copy()
    made, flat = window(content)
    for operation, row, _ in flat:
        key = {name: row[name] for name in KEY}
        if operation == common.UPSERT:
            plain.replace([{"a": None, "b": None, **row, DELETED: False}])
        elif operation == common.UPDATE:
            plain.update([{**row, DELETED: False}])
        elif hard:
            plain.delete([key])
        else:
            plain.update([{**key, DELETED: True}])
    found = collapse(made, "t", TYPES, KEY, deleted=DELETED, hard=hard)
    sent = [
        [typed(row, plain.columns) for row in rows(kind)]
        for kind in (found.replace, found.update, found.delete)
    ]
    seen = [tuple(row[name] for name in KEY) for kind in sent for row in kind]
    assert len(seen) == len(set(seen)), "a key is there twice"
    collapsed_model.replace(sent[0])
    collapsed_model.update(sent[1])
    collapsed_model.delete(sent[2])
    assert sorted_rows(collapsed_model) == sorted_rows(plain)


@examples(40)
@given(content=batches, before=batches)
def test_versions_of_a_window_are_those_of_its_records(
    content: list[list[Event]], before: list[list[Event]]
) -> None:
    kinds = {**TYPES, **{name: Type(kind) for name, kind in HISTORY_COLUMNS.items()}}
    plain = TableModel(columns(kinds, *KEY, START))
    after = one_by_one(plain, window(before)[1], 0)
    whole = plain.copy()
    made, flat = window(content)
    latest = one_by_one(plain, flat, after)
    found = versions(made, "t", TYPES, KEY, after)
    apply: list[tuple[Callable[[Any], None], Rows]] = [
        (whole.start_over, found.earliest),
        (whole.replace, found.replace),
        (whole.update_history, found.update),
        (whole.end_records, found.delete),
    ]
    for do, content_of in apply:
        do([typed(row, plain.columns) for row in rows(content_of)])
    assert sorted_rows(whole) == sorted_rows(plain)
    assert found.latest == latest


def one_by_one(model: TableModel, flat: list[Event], after: int) -> int:
    """Each record a request of its own; the last instant that was given out."""
    last: dict[tuple[Any, ...], int] = {}
    for operation, row, arrival in flat:
        key = {name: row[name] for name in KEY}
        told = tuple(key.values())
        time = last[told] = max(arrival, after + 1, last.get(told, 0) + 1)
        moment = EPOCH + time * MILLISECOND
        if operation == common.DELETE:
            model.end_records([{**key, END: moment}])
            continue
        model.start_over([{**key, START: moment}])
        version = {**row, START: moment, END: OPEN_END, ACTIVE: True}
        if operation == common.UPSERT:
            model.replace([{"a": None, "b": None, **version}])
        else:
            model.update_history([version])
    return max(last.values())


@pytest.mark.parametrize("key", [{}, {"id": None, "part": "marked-secret"}])
def test_key_without_a_value_stops_and_names_no_value(key: dict[str, Any]) -> None:
    made, _ = window([[(common.UPSERT, {"id": 1, "part": "marked-secret"}, 0)]])
    other, _ = window([[(common.UPSERT, {"part": "marked-secret", **key, "a": 5}, 0)]])
    made.add(other.chunks[0])
    with pytest.raises(
        SourceError, match=r"s\.t: 1 of 2 records have no value of the key column id"
    ):
        collapse(made, "s.t", TYPES, ["id"], deleted=DELETED, hard=False)


def test_keys_that_are_stored_as_one_are_one() -> None:
    gatherer = Gatherer(Names("columns", str), lambda _: True, keyless=False)
    made = Window()
    for number in ("1", "1.0", "1E0", "-0", "0.00"):
        one = common.ValueType(decimal=number)
        gatherer.add(record("t", {"id": one}), 1)
    made.add(gatherer.seal())
    kind = made.types()["id"]
    assert kind is not None
    found = collapse(made, "t", {"id": kind}, ["id"], deleted=DELETED, hard=False)
    assert len(found.replace) == 2


def test_window_of_new_keys_is_sent_as_it_is() -> None:
    made, _ = window([[(common.UPSERT, {"id": n, "part": "x"}, 0) for n in range(5)]])
    found = collapse(made, "t", TYPES, KEY, deleted=DELETED, hard=False)
    assert [row["id"] for row in rows(found.replace)] == ["0", "1", "2", "3", "4"]
    assert (len(found.update), len(found.delete)) == (0, 0)
    assert np.array_equal(made.operations(), [common.UPSERT] * 5)
