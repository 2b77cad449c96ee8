"""What becomes of rows: upserts, updates, deletes, truncations, versions."""

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from itertools import pairwise

from destination.sdk import common_pb2 as common
from destination.sdk import connector_sdk_pb2 as sdk
from tests.sync.fix_sync import Syncs
from tests.sync.messages import (
    ITEMS,
    LIVE,
    checkpoint,
    declaring,
    delete,
    item,
    record,
    sending,
    table,
    truncate,
    update,
    upsert,
)


def test_upsert_of_another_sync_makes_missing_columns_null(syncs: Syncs) -> None:
    syncs.send([upsert("items", item(1, extra="x")), checkpoint("{}")], schema=ITEMS)
    syncs.send([upsert("items", {"id": 1}), checkpoint("{}")], schema=ITEMS)
    assert syncs.rows("items", "id", "name", "extra") == [(1, None, None)]


def test_column_added_by_hand_keeps_its_values(syncs: Syncs) -> None:
    syncs.send([upsert("items", item(1)), checkpoint("{}")], schema=ITEMS)
    syncs.database.execute("ALTER TABLE {schema}.items ADD COLUMN mine text DEFAULT 'kept'")
    syncs.send([upsert("items", item(1, "new", more=1)), checkpoint("{}")], schema=ITEMS)
    assert syncs.rows("items", "id", "name", "mine", "more") == [(1, "new", "kept", 1)]


def test_update_of_another_sync_leaves_other_columns_as_they_are(syncs: Syncs) -> None:
    syncs.send([upsert("items", item(1, extra="x")), checkpoint("{}")], schema=ITEMS)
    syncs.send(
        [update("items", {"id": 1, "name": None}), update("items", item(9)), checkpoint("{}")],
        schema=ITEMS,
    )
    assert syncs.rows("items", "id", "name", "extra") == [(1, None, "x")]


def test_deleted_rows_are_marked_and_come_back(syncs: Syncs) -> None:
    syncs.send(
        [upsert("items", item(1)), delete("items", {"id": 1}), upsert("items", item(2))],
        schema=ITEMS,
    )
    assert syncs.rows("items", *LIVE) == [(1, "n", True), (2, "n", False)]
    syncs.send([delete("items", {"id": 2}), update("items", {"id": 1})], schema=ITEMS)
    assert syncs.rows("items", *LIVE) == [(1, "n", False), (2, "n", True)]


def test_hard_deletes_remove_rows(syncs: Syncs) -> None:
    syncs.send(
        [upsert("items", item(1)), upsert("items", item(2)), upsert("items", item(3))],
        "--hard-delete", schema=ITEMS,
    )  # fmt: skip
    syncs.send(
        [
            delete("items", {"id": 1}), update("items", item(1, "dropped")),
            delete("items", {"id": 2}), upsert("items", item(2, "back")),
        ],
        "--hard-delete", schema=ITEMS,
    )  # fmt: skip
    assert syncs.rows("items", *LIVE) == [(2, "back", False), (3, "n", False)]


def test_windows_sent_for_memory_are_in_order(syncs: Syncs) -> None:
    text = "x" * 2000

    def updates() -> Iterator[sdk.UpdateResponse]:
        for _ in range(3):
            for key in range(0, 2000, 100):
                yield sending(*(record("items", item(n, f"{text}")) for n in range(key, key + 100)))
            yield sending(*(record("items", {"id": n}, common.DELETE) for n in range(0, 2000, 50)))
            yield sending(
                *(record("items", item(n, "last"), common.UPDATE) for n in range(0, 2000, 100))
            )
        yield checkpoint('{"end": 1}')

    outcome = syncs.send(updates(), "--buffer-mib", "2", schema=ITEMS)
    assert outcome.code == 0
    assert len(outcome.of("flush")) > 3
    assert len(outcome.of("saved")) == 1
    rows = syncs.rows("items", *LIVE)
    assert len(rows) == 2000
    assert sum(deleted for *_, deleted in rows) == 20
    assert [key for key, name, _ in rows if name == "last"] == [
        *sorted(range(0, 2000, 100), key=lambda n: repr((n, "last")))
    ]


def test_equal_rows_without_a_key_are_one_and_deletes_find_them(syncs: Syncs) -> None:
    rows = [
        upsert("log", {"a": 1, "b": "x"}),
        upsert("log", {"b": "x", "a": 1}),
        upsert("log", {"a": 2}),
    ]
    assert syncs.send(rows).code == 0
    assert syncs.rows("log", "a", "b") == [(1, "x"), (2, None)]
    outcome = syncs.send([delete("log", {"a": 1, "b": "x"}), delete("log", {"a": 2, "b": None})])
    assert len([each for each in outcome.warnings if "has no key" in each]) == 1
    assert syncs.rows("log", "a", "_fivetran_deleted") == [(1, True), (2, True)]


def test_texts_of_neighbours_do_not_make_equal_rows(syncs: Syncs) -> None:
    syncs.send(
        [
            upsert("log", {"a": "1", "b": "2"}),
            upsert("log", {"a": "1b1:2"}),
            upsert("log", {"a": 1, "b": 2}),
        ]
    )
    assert len(syncs.rows("log")) == 3


def test_truncation_marks_what_came_before_and_not_what_comes_after(syncs: Syncs) -> None:
    outcome = syncs.send(
        [upsert("items", item(n)) for n in (1, 2, 3)]
        + [
            truncate("items"),
            upsert("items", item(1, "again")),
            upsert("items", item(4)),
            checkpoint("{}"),
        ],
        schema=ITEMS,
    )
    assert outcome.code == 0
    assert outcome.summary["counts"]["Truncates"] == 1
    assert syncs.rows("items", *LIVE) == [
        (1, "again", False), (2, "n", True), (3, "n", True), (4, "n", False),
    ]  # fmt: skip


def test_truncation_of_a_table_that_is_not_there_is_fine(syncs: Syncs) -> None:
    assert (
        syncs.send(
            [truncate("items"), truncate("other"), upsert("items", item(1))], schema=ITEMS
        ).code
        == 0
    )
    assert syncs.rows("items", *LIVE) == [(1, "n", False)]


def test_clock_goes_on_from_the_state_and_is_one_for_a_sync(syncs: Syncs) -> None:
    syncs.send([upsert("items", item(1)), upsert("items", item(2)), checkpoint("{}")], schema=ITEMS)
    assert len({synced for (synced,) in syncs.rows("items", "_fivetran_synced")}) == 1
    later = datetime.now(UTC).replace(microsecond=123_000) + timedelta(days=1)
    state = syncs.state
    state["clock"] = later.isoformat(timespec="milliseconds").replace("+00:00", "Z")
    (syncs.directory / "state.json").write_text(json.dumps(state))
    syncs.send([upsert("items", item(1)), checkpoint("{}")], schema=ITEMS)
    moments = {synced for (synced,) in syncs.rows("items", "_fivetran_synced")}
    assert later + timedelta(milliseconds=1) in moments


def test_history_keeps_every_version(syncs: Syncs) -> None:
    history = ("--mode", "history")
    syncs.send(
        [
            upsert("items", item(1, "a")),
            update("items", item(1, "b")),
            upsert("items", item(2)),
            checkpoint("{}"),
        ],
        *history,
        schema=ITEMS,
    )
    outcome = syncs.send(
        [
            update("items", {"id": 1, "extra": 5}),
            delete("items", {"id": 2}),
            truncate("items"),
            truncate("items"),
        ],
        *history,
        schema=ITEMS,
    )
    assert outcome.code == 0
    assert len([each for each in outcome.warnings if "truncation is skipped" in each]) == 1
    rows = syncs.database.execute(
        "SELECT id, name, extra, _fivetran_active, _fivetran_start, _fivetran_end FROM {schema}.items ORDER BY id, _fivetran_start"
    )
    assert [row[:4] for row in rows] == [
        (1, "a", None, False), (1, "b", None, False), (1, "b", 5, True), (2, "n", None, False),
    ]  # fmt: skip
    for earlier, later in pairwise(rows[:3]):
        assert earlier[5] == later[4] - timedelta(milliseconds=1)


def test_row_that_is_deleted_and_comes_again_in_one_window_is_closed_in_between(
    syncs: Syncs,
) -> None:
    history = ("--mode", "history")
    syncs.send([upsert("items", item(1, "a")), checkpoint("{}")], *history, schema=ITEMS)
    syncs.send([delete("items", {"id": 1}), upsert("items", item(1, "b"))], *history, schema=ITEMS)
    rows = syncs.database.execute(
        "SELECT name, _fivetran_active, _fivetran_start, _fivetran_end FROM {schema}.items ORDER BY _fivetran_start"
    )
    assert [row[:2] for row in rows] == [("a", False), ("b", True)]
    assert rows[0][3] < rows[1][2]


def test_one_table_is_in_history_mode_and_the_others_are_not(syncs: Syncs) -> None:
    schema = declaring(
        table("items", id=(common.LONG, True), name=common.STRING),
        table("notes", id=(common.LONG, True), name=common.STRING),
    )
    for name in ("a", "b"):
        updates = [upsert(each, {"id": 1, "name": name}) for each in ("items", "notes")]
        assert (
            syncs.send([*updates, checkpoint("{}")], "--history", "items", schema=schema).code == 0
        )
    assert syncs.rows("items", "name", "_fivetran_active") == [("a", False), ("b", True)]
    assert syncs.rows("notes", "name", "_fivetran_deleted") == [("b", False)]


def test_table_that_was_filled_changes_its_mode_and_keeps_its_rows(syncs: Syncs) -> None:
    syncs.send([upsert("items", item(1, "a")), checkpoint("{}")], schema=ITEMS)
    history = ("--history", "items")
    assert syncs.send([upsert("items", item(1, "b"))], *history, schema=ITEMS).code == 0
    assert syncs.rows("items", "name", "_fivetran_active") == [("a", False), ("b", True)]
    assert syncs.send([upsert("items", item(1, "c"))], schema=ITEMS).code == 0
    assert syncs.rows("items", "name", "_fivetran_deleted") == [("c", False)]
    assert syncs.key("items") == ["id"]
