"""What a sync does with what a source sends: rows, truncations, checkpoints, schemas, resyncs."""

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from itertools import pairwise
from typing import Any

import pytest

from destination.sdk import common_pb2 as common
from destination.sdk import connector_sdk_pb2 as sdk
from tests.sync.fix_sync import Syncs
from tests.sync.messages import (
    checkpoint,
    declaring,
    delete,
    record,
    sending,
    table,
    truncate,
    update,
    upsert,
    value,
)
from tests.sync.sources import Script

ITEMS = declaring(table("items", id=(common.LONG, True), name=common.STRING))
LIVE = ("id", "name", "_fivetran_deleted")


def item(key: int, name: Any = "n", **further: Any) -> dict[str, Any]:
    return {"id": key, "name": name, **further}


# Rows


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


# Truncations and the clock


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


# Checkpoints and state


def test_state_is_the_last_checkpoint_byte_for_byte(syncs: Syncs) -> None:
    script = Script(
        lambda _: [upsert("items", item(1)), checkpoint('{"a":  1.0}'), checkpoint(' {"b": "ü"} ')],
        ITEMS,
    )
    assert syncs.run(script).code == 0
    assert syncs.state["state"] == ' {"b": "ü"} '
    assert (syncs.directory / "state.json").stat().st_mode & 0o777 == 0o600
    again = Script(lambda _: [], ITEMS)
    syncs.run(again)
    assert [request.state_json for request in (*script.requests, *again.requests)] == [
        "{}",
        ' {"b": "ü"} ',
    ]


def test_empty_state_is_an_empty_object_and_other_text_is_kept(syncs: Syncs) -> None:
    assert syncs.send([checkpoint("")]).code == 0
    assert syncs.state["state"] == "{}"
    outcome = syncs.send([checkpoint("no json"), checkpoint("nor this")])
    assert len(outcome.warnings) == 1
    assert syncs.state["state"] == "nor this"


def test_checkpoints_are_coalesced(syncs: Syncs) -> None:
    many = [
        each for n in range(50) for each in (upsert("items", item(n)), checkpoint(f'{{"n": {n}}}'))
    ]
    outcome = syncs.send(many, schema=ITEMS)
    assert outcome.summary["counts"]["Checkpoints"] == 50
    assert len(outcome.of("saved")) == 1
    assert len(outcome.of("flush")) == 1
    every = syncs.send(many, "--flush-seconds", "0", schema=ITEMS)
    assert len(every.of("saved")) == 51


def test_records_after_the_last_checkpoint_are_loaded_and_told(syncs: Syncs) -> None:
    outcome = syncs.send(
        [checkpoint('{"n": 1}'), upsert("items", item(1)), upsert("items", item(2))], schema=ITEMS
    )
    assert outcome.code == 0
    assert outcome.summary["again"] == 2
    assert syncs.state["state"] == '{"n": 1}'
    assert len(syncs.rows("items")) == 2


@pytest.mark.parametrize("ends", ["task", "error"])
def test_what_came_before_a_task_or_an_error_is_loaded_and_saved(syncs: Syncs, ends: str) -> None:
    task = sdk.UpdateResponse(
        task=common.Task(message='{"message": "renew the token", "trace": "t"}')
    )
    end: Any = task if ends == "task" else RuntimeError("broken")
    outcome = syncs.send(
        [upsert("items", item(1)), checkpoint('{"n": 1}'), upsert("items", item(2)), end,
         upsert("items", item(3)), checkpoint('{"n": 2}')],
        schema=ITEMS,
    )  # fmt: skip
    assert outcome.code == 3
    assert ("renew the token" if ends == "task" else "broken") in outcome.error
    assert syncs.state["state"] == '{"n": 1}'
    assert [row[0] for row in syncs.rows("items", "id")] == [1, 2]


def test_warnings_go_on(syncs: Syncs) -> None:
    warning = sdk.UpdateResponse(warning=common.Warning(message='{"message": "slow"}'))
    outcome = syncs.send([warning, upsert("items", item(1)), checkpoint("{}")], schema=ITEMS)
    assert outcome.code == 0
    assert outcome.warnings == ["source: slow"]


def test_batch_that_is_too_large_is_told_once(syncs: Syncs) -> None:
    batch = sending(*(record("items", item(n)) for n in range(101)))
    outcome = syncs.send([batch, batch], schema=ITEMS)
    assert outcome.code == 0
    assert outcome.warnings == ["a batch has 101 records, more than 100"]


# Schemas


def test_declared_tables_are_there_without_rows(syncs: Syncs) -> None:
    schema = declaring(
        table("full", id=(common.INT, True), amount=common.DECIMAL),
        table("keyless", a=common.STRING),
        table("open", id=(common.UNSPECIFIED, True), a=common.STRING),
    )
    outcome = syncs.send([checkpoint("{}")], schema=schema)
    assert outcome.code == 0
    assert list(syncs.types("full")) == ["id", "amount", "_fivetran_synced", "_fivetran_deleted"]
    assert syncs.key("keyless") == ["_fivetran_id"]
    assert syncs.types("open") == {}
    assert outcome.summary["unfilled"] == [f"{syncs.schema}.open"]


def test_column_is_made_at_its_first_value_that_is_not_null(syncs: Syncs) -> None:
    syncs.send([upsert("items", item(1, new=None))], schema=ITEMS)
    assert "new" not in syncs.types("items")
    syncs.send([upsert("items", item(1, new=True))], schema=ITEMS)
    assert syncs.types("items")["new"] == "boolean"


def test_schema_change_adds_and_widens_and_never_drops(syncs: Syncs) -> None:
    change = sdk.UpdateResponse(
        schema_change=sdk.SchemaChange(
            without_schema=common.TableList(
                tables=[
                    table("items", id=(common.LONG, True), size=common.INT),
                    table("new", k=(common.STRING, True)),
                ]
            )
        )
    )
    outcome = syncs.send(
        [upsert("items", item(1)), change, upsert("items", item(2, size=value(3, "int")))],
        schema=ITEMS,
    )
    assert outcome.code == 0
    assert outcome.summary["counts"]["SchemaChanges"] == 1
    assert syncs.types("items")["size"] == "integer"
    assert syncs.rows("items", "id", "name", "size") == [(1, "n", None), (2, "n", 3)]
    assert syncs.key("new") == ["k"]


@pytest.mark.parametrize("file_type", ["CSV", "PARQUET"])
@pytest.mark.parametrize(
    ("first", "second", "kind", "found"),
    [
        (value(5, "short"), value(2**40), "bigint", [(5,), (2**40,)]),
        (value(5), value(2.5), "double precision", [(2.5,), (5.0,)]),
        (value(2.5, "float"), value("t"), "text", [("2.5",), ("t",)]),
        (value(True), value(1), "text", [("1",), ("true",)]),
        (value(Decimal("1.5")), value(Decimal("100.25")), "numeric", [(Decimal("1.50"),), (Decimal("100.25"),)]),
        (value(7), value(Decimal("0.5")), "numeric", [(Decimal("0.5"),), (Decimal("7.0"),)]),
        (value(datetime(2020, 1, 2).date()), value(datetime(2020, 1, 3, 4), "naive_datetime"),
         "timestamp without time zone", [(datetime(2020, 1, 2),), (datetime(2020, 1, 3, 4),)]),
    ],
)  # fmt: skip
def test_columns_widen_in_one_sync_and_between_syncs(
    syncs: Syncs, file_type: str, first: Any, second: Any, kind: str, found: list[Any]
) -> None:
    keyed = declaring(table("t", id=(common.LONG, True)))
    one, two = ({"id": n, "v": each} for n, each in enumerate((first, second)))
    assert (
        syncs.send(
            [upsert("t", one), upsert("t", two)], "--batch-file-type", file_type, schema=keyed
        ).code
        == 0
    )
    assert syncs.types("t")["v"] == kind
    assert sorted(syncs.rows("t", "v")) == sorted(found)
    syncs.database.execute("DROP TABLE {schema}.t")
    (syncs.directory / "state.json").unlink()
    for row in (one, two):
        assert (
            syncs.send([upsert("t", row)], "--batch-file-type", file_type, schema=keyed).code == 0
        )
    assert syncs.types("t")["v"] == kind
    assert sorted(syncs.rows("t", "v")) == sorted(found)


def test_keys_widen_too(syncs: Syncs) -> None:
    keyed = declaring(table("t", id=(common.UNSPECIFIED, True)))
    syncs.send([upsert("t", {"id": 1}), checkpoint("{}")], schema=keyed)
    outcome = syncs.send(
        [upsert("t", {"id": "b"}), upsert("t", {"id": 1, "v": 2}), checkpoint("{}")], schema=keyed
    )
    assert outcome.code == 0
    assert syncs.rows("t", "id", "v") == [("1", 2), ("b", None)]


def test_value_of_another_type_than_declared_is_told_once(syncs: Syncs) -> None:
    outcome = syncs.send(
        [upsert("items", item(1, 5)), upsert("items", item(2, True))], schema=ITEMS
    )
    assert outcome.warnings == []
    narrow = declaring(table("narrow", id=(common.LONG, True), n=common.SHORT, t=common.NAIVE_TIME))
    outcome = syncs.send(
        [upsert("narrow", {"id": 1, "n": 70_000}), upsert("narrow", {"id": 2, "n": 2})],
        schema=narrow,
    )
    assert outcome.code == 0
    assert [
        each for each in outcome.warnings if "column n is declared SHORT" in each
    ] == outcome.warnings
    assert len(outcome.warnings) == 1
    assert syncs.types("narrow")["n"] == "bigint"
    assert syncs.types("narrow")["t"] == "text"


def test_large_numbers_that_round_are_told(syncs: Syncs) -> None:
    outcome = syncs.send([upsert("log", {"v": 1}), upsert("log", {"v": 1.5})])
    assert any("rounds numbers above 2^53" in each for each in outcome.warnings)


def test_schemas_may_be_mixed(syncs: Syncs) -> None:
    outcome = syncs.send(
        [
            upsert("t", {"a": 1}),
            upsert("t", {"a": 2}, schema="shop"),
            upsert("t", {"a": 3}, schema=""),
        ]
    )
    assert outcome.code == 0
    assert syncs.rows("t", "a") == [(1,), (3,)]
    named = f"{syncs.schema}_shop"
    assert syncs.database.execute("SELECT a FROM {named}.t", named=named) == [(2,)]
    syncs.database.execute("DROP SCHEMA {named} CASCADE", named=named)


def test_names_of_the_source_are_kept_if_asked_for(syncs: Syncs) -> None:
    outcome = syncs.send([upsert("My Table/1", {"camelCase": 1, "Größe": 2})], "--naming", "source")
    assert outcome.code == 0
    assert {"camelCase", "Größe"} <= set(syncs.types("My Table/1"))


# Resync


def test_resync_starts_over_and_marks_what_does_not_come_again(syncs: Syncs) -> None:
    other = upsert("other", {"id": 1})
    syncs.send(
        [upsert("items", item(1)), upsert("items", item(2)), other, checkpoint('{"n": 1}')],
        schema=ITEMS,
    )
    script = Script(lambda _: [upsert("items", item(2, "again")), checkpoint('{"n": 2}')], ITEMS)
    assert syncs.run(script, "--resync").code == 0
    assert script.requests[0].state_json == "{}"
    assert syncs.rows("items", *LIVE) == [(1, "n", True), (2, "again", False)]
    assert syncs.rows("other", "_fivetran_deleted") == [(True,)]
    assert syncs.state["state"] == '{"n": 2}'
    assert "resync" not in syncs.state


def test_resync_that_failed_goes_on_as_one(syncs: Syncs) -> None:
    syncs.send(
        [upsert("items", item(1)), upsert("items", item(2)), checkpoint('{"n": 9}')], schema=ITEMS
    )
    failed = syncs.send(
        [upsert("items", item(1, "again")), checkpoint('{"n": 1}'), RuntimeError("x")],
        "--resync",
        schema=ITEMS,
    )
    assert failed.code == 3
    assert syncs.rows("items", *LIVE) == [(1, "again", False), (2, "n", False)]
    script = Script(lambda _: [upsert("items", item(3)), checkpoint('{"n": 2}')], ITEMS)
    assert syncs.run(script).code == 0
    assert script.requests[0].state_json == '{"n": 1}'
    assert syncs.rows("items", *LIVE) == [(1, "again", False), (2, "n", True), (3, "n", False)]


def test_changed_key_needs_a_resync(syncs: Syncs) -> None:
    syncs.send([upsert("items", item(1)), checkpoint('{"n": 1}')], schema=ITEMS)
    changed = declaring(table("items", id=common.LONG, name=(common.STRING, True)))
    refused = syncs.send([upsert("items", item(1)), checkpoint('{"n": 2}')], schema=changed)
    assert refused.code == 1
    assert refused.error == f"{syncs.schema}.items: its key was (id) and is (name) now: --resync"
    assert syncs.state["state"] == '{"n": 1}'
    assert (
        syncs.send(
            [upsert("items", item(1)), checkpoint('{"n": 2}')], "--resync", schema=changed
        ).code
        == 0
    )
    assert syncs.key("items") == ["name"]
    assert syncs.rows("items", *LIVE) == [(1, "n", False)]


def test_changed_mode_needs_a_resync(syncs: Syncs) -> None:
    syncs.send([upsert("items", item(1)), checkpoint("{}")], schema=ITEMS)
    refused = syncs.send([upsert("items", item(1))], "--mode", "history", schema=ITEMS)
    assert (refused.code, refused.error) == (
        1, "state.json is of the mode soft-delete, not history: restore it, or --resync",
    )  # fmt: skip
    assert (
        syncs.send([upsert("items", item(1))], "--mode", "history", "--resync", schema=ITEMS).code
        == 0
    )
    assert syncs.key("items") == ["id", "_fivetran_start"]


# History


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
