"""The state's file and its lock."""

import json
from pathlib import Path

import pytest

from local_platform.sync.errors import InputError
from local_platform.sync.state import State, TableState, instant, load, locked, milliseconds

STATE = State(
    "shop", "soft-delete", "fivetran", ' {"a": 1}', 1_764_086_400_123,
    tables={"shop.t": TableState(["id"], 12, ["id", "name"])},
)  # fmt: skip


def test_state_is_read_as_it_was_written(tmp_path: Path) -> None:
    STATE.save(tmp_path)
    assert load(tmp_path, "shop", "soft-delete", "fivetran", resync=False) == STATE
    read = json.loads((tmp_path / "state.json").read_text())
    assert read == {
        "format": 1, "schema": "shop", "mode": "soft-delete", "naming": "fivetran",
        "state": ' {"a": 1}', "clock": "2025-11-25T16:00:00.123Z",
        "tables": {"shop.t": {"key": ["id"], "rows": 12, "columns": ["id", "name"]}},
    }  # fmt: skip
    assert [path.name for path in tmp_path.iterdir()] == ["state.json"]


def test_directory_without_a_state_has_a_new_one(tmp_path: Path) -> None:
    assert load(tmp_path, "s", "history", "source", resync=False) == State("s", "history", "source")


@pytest.mark.parametrize("clock", [0, 1, 999, 1_764_086_400_123, 253_402_300_799_999])
def test_clock_keeps_its_milliseconds(clock: int) -> None:
    assert milliseconds(instant(clock)) == clock


@pytest.mark.parametrize(
    "content", ["", "{", "[]", "{}", '{"format": 2}', '{"format": 1, "state": 1}']
)
def test_state_that_cannot_be_read_is_never_started_over_silently(
    tmp_path: Path, content: str
) -> None:
    (tmp_path / "state.json").write_text(content)
    with pytest.raises(
        InputError, match=r"^state.json cannot be read .*: restore it, or --resync$"
    ):
        load(tmp_path, "s", "history", "source", resync=False)
    assert load(tmp_path, "s", "history", "source", resync=True) == State("s", "history", "source")


@pytest.mark.parametrize(
    ("given", "what"),
    [
        (("other", "soft-delete", "fivetran"), "schema shop, not other"),
        (("shop", "history", "fivetran"), "mode soft-delete, not history"),
        (("shop", "soft-delete", "source"), "naming fivetran, not source"),
    ],
)
def test_state_of_another_kind_is_refused(
    tmp_path: Path, given: tuple[str, str, str], what: str
) -> None:
    STATE.save(tmp_path)
    with pytest.raises(InputError, match=f"state.json is of the {what}: restore it, or --resync"):
        load(tmp_path, *given, resync=False)
    resynced = load(tmp_path, *given, resync=True)
    assert (resynced.state, resynced.clock) == ("{}", STATE.clock)


def test_directory_is_for_one_sync_at_a_time(tmp_path: Path) -> None:
    with (
        locked(tmp_path),
        pytest.raises(InputError, match="is in use by another sync"),
        locked(tmp_path),
    ):
        pass
    with locked(tmp_path):
        pass
