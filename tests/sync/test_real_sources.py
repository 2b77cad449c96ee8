"""Sources that run on Fivetran's Connector SDK, in processes of their own."""

import json
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path

import pytest

from tests.sync import sdk
from tests.sync.fix_sync import Outcome, Syncs

PROJECT = Path(__file__).parent / "connectors" / "scenarios"


@pytest.fixture(scope="session")
def sdk_python() -> Path:
    python = sdk.environment()
    if python is None:
        pytest.skip(f"{sdk.REQUIREMENT} cannot be had")
    return python


@pytest.fixture
def real(syncs: Syncs, sdk_python: Path) -> Callable[..., Outcome]:
    def real(scenario: str, *options: str) -> Outcome:
        (syncs.directory / "source.json").write_text(json.dumps({"scenario": scenario}))
        where = ("--sdk-project", str(PROJECT), "--python", str(sdk_python))
        return syncs.command(*where, *options)

    return real


def test_source_goes_on_from_its_state(syncs: Syncs, real: Callable[..., Outcome]) -> None:
    for step in (1, 2):
        outcome = real("cursor")
        assert outcome.code == 0
        assert json.loads(syncs.state["state"]) == {"step": step}
        assert outcome.summary["counts"]["Checkpoints"] == 2
    assert syncs.rows("steps", "id", "name") == [(1, "step 1 again"), (2, "step 2 again")]


def test_operations_of_the_sdk(
    syncs: Syncs, real: Callable[..., Outcome], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ConnectorSdkRemoveValueType", "true")
    assert real("operations").code == 0
    assert syncs.rows("three", "id", "val_1", "val_2", "_fivetran_deleted") == [
        ("id 0", "first", 0, False), ("id 1", "abc", 1, False), ("id 2", "first", 2, True),
    ]  # fmt: skip


def test_truncation_of_the_sdk(syncs: Syncs, real: Callable[..., Outcome]) -> None:
    assert real("truncation").code == 0
    rows = syncs.rows("products", "id", "name", "price", "_fivetran_deleted")
    assert {key for key, *_, deleted in rows if deleted} == {2, 3, 5}
    assert (1, "Laptop Pro", Decimal("1249.99"), False) in rows
    assert (4, "new", Decimal("2.50"), False) in rows


def test_types_that_the_sdk_infers(syncs: Syncs, real: Callable[..., Outcome]) -> None:
    assert real("types").code == 0
    names = {"whole": "bigint", "real": "real", "huge": "real", "list": "json", "map": "json",
             "bytes": "bytea", "day": "text", "exact": "text", "flag": "boolean", "nul": "text"}  # fmt: skip
    found = syncs.types("unspecified")
    assert {name: found[name] for name in names} == names
    assert "nothing" not in found
    (row,) = syncs.rows("unspecified", "whole", "list", "map", "bytes", "exact", "nul")
    assert row == (2**40, [1, 2], {"a": 1}, b"\0\xff", "1.10", "ab")


def test_source_that_raises_ends_the_sync_after_what_came(
    syncs: Syncs, real: Callable[..., Outcome]
) -> None:
    outcome = real("raises")
    assert outcome.code == 3
    assert "the API is gone" in outcome.error
    assert ("WARNING", "about to fail") in [(e["level"], e["message"]) for e in outcome.of("log")]
    assert json.loads(syncs.state["state"]) == {"n": 1}
    assert [key for (key,) in syncs.rows("t", "id")] == [1, 2]


def test_sdk_sources_are_tested(real: Callable[..., Outcome], syncs: Syncs) -> None:
    outcome = real("operations", "--test-only")
    assert outcome.code == 0
    assert syncs.types("three") == {}
