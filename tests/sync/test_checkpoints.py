"""Checkpoints and the state, and syncs that start over."""

from typing import Any

import pytest

from destination.sdk import common_pb2 as common
from destination.sdk import connector_sdk_pb2 as sdk
from tests.sync.fix_sync import Syncs
from tests.sync.messages import (
    ITEMS,
    LIVE,
    checkpoint,
    declaring,
    item,
    record,
    sending,
    table,
    upsert,
)
from tests.sync.sources import Script


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
