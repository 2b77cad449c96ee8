"""What real sources sent, replayed run after run: the tables that it must make."""

import json
from datetime import date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from destination.sdk import common_pb2 as common
from destination_tester.console import JsonOutput
from destination_tester.model import TableModel
from destination_tester.notation import from_text, to_text
from destination_tester.verify import Verifier
from tests.sync.fix_sync import Outcome, Syncs
from tests.sync.sources import recordings

FORMATS = ["CSV", "PARQUET"]


@pytest.fixture
def replay(syncs: Syncs, source_recordings: Path) -> Any:
    def replay(name: str, *options: str) -> list[Outcome]:
        configuration, runs = recordings(source_recordings, name)
        (syncs.directory / "source.json").write_text(json.dumps(configuration))
        outcomes = []
        for run in runs:
            outcomes.append(syncs.run(run.script(), *options))
            assert json.loads(syncs.state["state"]) == json.loads(run.state_after)
        return outcomes

    return replay


@pytest.mark.parametrize("format_name", FORMATS)
def test_records_without_a_key_are_synced_once(syncs: Syncs, replay: Any, format_name: str) -> None:
    first, second = replay("sdk_hello", "--batch-file-type", format_name)
    assert (first.code, second.code) == (0, 0)
    assert syncs.rows("hello", "message", "_fivetran_deleted") == [("hello, world!", False)]
    assert syncs.key("hello") == ["_fivetran_id"]
    assert syncs.state["state"] == "{}"
    assert first.summary["counts"] == {
        "Upserts": 1, "Updates": 0, "Deletes": 0, "Truncates": 0, "SchemaChanges": 0, "Checkpoints": 1,
    }  # fmt: skip


def test_simple_three_step_cursor(syncs: Syncs, source_recordings: Path) -> None:
    _, runs = recordings(source_recordings, "sdk_simple_three_step_cursor")
    for number, run in enumerate(runs[:3], 1):
        assert syncs.run(run.script()).code == 0
        assert len(syncs.rows("hello_world")) == number
        assert json.loads(syncs.state["state"]) == {"cursor": number}
    failed = syncs.run(runs[3].script())
    assert failed.code == 3
    assert failed.summary["outcome"] == "Sync FAILED"
    assert json.loads(syncs.state["state"]) == {"cursor": 3}
    assert len(syncs.rows("hello_world")) == 3


@pytest.mark.parametrize("format_name", FORMATS)
def test_column_widens_as_its_values_change_type(
    syncs: Syncs, source_recordings: Path, format_name: str
) -> None:
    _, runs = recordings(source_recordings, "sdk_schema_change")
    kinds = ["bigint", "double precision", "text", "text"]
    for number, (run, kind) in enumerate(zip(runs, kinds, strict=True), 1):
        assert syncs.run(run.script(), "--batch-file-type", format_name).code == 0
        assert syncs.types("change_int_to_string")["int_to_string"] == kind
        assert len(syncs.rows("change_int_to_string")) == number
    found = {row[0] for row in syncs.rows("change_int_to_string", "int_to_string")}
    assert found == {"42.0", "42.42", "forty-two point forty-two", "42.43"}


@pytest.mark.parametrize("format_name", FORMATS)
def test_upserts_updates_and_deletes_are_counted(
    syncs: Syncs, replay: Any, format_name: str
) -> None:
    first, second = replay("sdk_three_operations", "--batch-file-type", format_name)
    assert (first.code, second.code) == (0, 0)
    rows = syncs.rows("three", "val_1", "_fivetran_deleted")
    assert len(rows) == 6
    assert [value for value, _ in rows].count("abc") == 2
    assert [deleted for _, deleted in rows].count(True) == 2
    assert second.summary["counts"]["Deletes"] == 1


@pytest.mark.parametrize("format_name", FORMATS)
def test_columns_have_the_types_that_the_source_specifies(
    syncs: Syncs, replay: Any, postgres_uri: str, format_name: str
) -> None:
    assert [
        each.code for each in replay("sdk_specified_types", "--batch-file-type", format_name)
    ] == [0, 0]
    assert list(syncs.types("specified").values())[:-2] == [
        "boolean", "smallint", "bigint", "numeric", "real", "double precision", "date",
        "timestamp without time zone", "timestamp with time zone", "bytea", "text", "text", "json", "text",
    ]  # fmt: skip
    kinds: dict[str, tuple[common.DataType, Any]] = {
        "_bool": (common.BOOLEAN, True),
        "_short": (common.SHORT, 15),
        "_long": (common.LONG, 132353453453635),
        "_float": (common.FLOAT, 10.4),
        "_double": (common.DOUBLE, 0.0001),
        "_ndate": (common.NAIVE_DATE, date(2007, 12, 3)),
        "_ndatetime": (common.NAIVE_DATETIME, datetime(2007, 12, 3, 10, 15, 30)),
        "_utc": (common.UTC_DATETIME, "2007-12-03T10:15:30.123Z"),
        "_binary": (common.BINARY, b"\0\1\2\3"),
        "_xml": (common.XML, "<tag>This is XML</tag>"),
        "_str": (common.STRING, "This is a string"),
        "_json": (common.JSON, '{"a": 10}'),
        "_null": (common.STRING, None),
        "_fivetran_deleted": (common.BOOLEAN, False),
    }
    table = common.Table(name="specified")
    for name, (kind, _) in kinds.items():
        table.columns.add(name=name, type=kind, primary_key=name == "_bool")
    model = TableModel.of(table)
    row = {
        name: None if held is None else from_text(to_text(held), model.columns[name])
        for name, (_, held) in kinds.items()
    }
    model.replace([row])
    verifier = Verifier(postgres_uri, syncs.schema, JsonOutput())
    try:
        assert verifier.rows(model, "specified") == model.rows
    finally:
        verifier.close()
    assert syncs.rows("specified", "_dec") == [(Decimal("105.34"),)]


@pytest.mark.parametrize("format_name", FORMATS)
def test_odd_values_are_stored_with_warnings(syncs: Syncs, replay: Any, format_name: str) -> None:
    (outcome,) = replay("own_edge", "--batch-file-type", format_name)
    assert outcome.code == 0
    assert "source: disk nearly full" in outcome.warnings
    assert len(outcome.warnings) == 2
    assert outcome.summary["again"] == 1
    kinds = syncs.types("t")
    assert (kinds["id"], kinds["v"], kinds["np"], kinds["l"]) == ("text", "text", "real", "json")
    assert syncs.rows("t", "id", "v") == [("1", "9.223372E18"), ("3", None), ("two", "text")]
    assert (b"\xff", "2024-01-02", "1.10") in syncs.rows("t", "b", "da", "dec")
    assert len(syncs.rows("nopk")) == 2
    assert syncs.types("nopk")["b"] == "double precision"
    assert set(syncs.types("undeclared")) >= {"camel_case", "some_column", "_fivetran_id"}


def test_partner_source_in_python_goes_on_from_its_state(
    syncs: Syncs, source_recordings: Path
) -> None:
    configuration, runs = recordings(source_recordings, "partner_python")
    (syncs.directory / "source.json").write_text(json.dumps(configuration))
    for run, cursor in zip(runs, (6, 12), strict=True):
        assert syncs.run(run.script()).code == 0
        assert json.loads(syncs.state["state"]) == {"cursor": cursor}
        assert syncs.rows("table_1", "a_1", "a_2", "_fivetran_deleted") == [
            ("a-0", 110.234, False), ("a-1", 0.234, False), ("a-2", 0.468, True),
        ]  # fmt: skip
        assert syncs.rows("table_2", "b_1", "b_2") == [("b1", "ben")]


def test_partner_source_in_go_goes_on_from_its_state(syncs: Syncs, source_recordings: Path) -> None:
    configuration, runs = recordings(source_recordings, "partner_go")
    (syncs.directory / "source.json").write_text(json.dumps(configuration))
    for run, cursor in zip(runs, (5, 10), strict=True):
        assert syncs.run(run.script()).code == 0
        assert json.loads(syncs.state["state"]) == {"cursor": cursor}
    named = f"{syncs.schema}_schema1"
    found = syncs.database.execute(
        "SELECT a_1, a_2, _fivetran_deleted FROM {named}.table_1 ORDER BY a_1", named=named
    )
    assert found == [("a-0", 110.234, False), ("a-1", 0.234, False), ("a-2", 0.468, True)]
    declared = syncs.database.execute("SELECT * FROM {named}.table_2", named=named)
    assert declared == []
    syncs.database.execute("DROP SCHEMA {named} CASCADE", named=named)


def test_history_of_a_recording(syncs: Syncs, source_recordings: Path) -> None:
    configuration, runs = recordings(source_recordings, "partner_python")
    (syncs.directory / "source.json").write_text(json.dumps(configuration))
    for run in runs:
        assert syncs.run(run.script(), "--mode", "history").code == 0
    assert syncs.key("table_1") == ["a_1", "_fivetran_start"]
    found = syncs.rows("table_1", "a_1", "a_2", "_fivetran_active")
    assert sorted(found) == sorted([
        ("a-0", 0.0, False), ("a-0", 110.234, False), ("a-0", 0.0, False), ("a-0", 110.234, True),
        ("a-1", 0.234, False), ("a-1", 0.234, True), ("a-2", 0.468, False), ("a-2", 0.468, False),
    ])  # fmt: skip
