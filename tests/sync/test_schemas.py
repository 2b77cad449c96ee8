"""Tables and columns as the source declares them, or as values arrive."""

from datetime import datetime
from decimal import Decimal
from typing import Any

import pytest

from destination.sdk import common_pb2 as common
from destination.sdk import connector_sdk_pb2 as sdk
from tests.sync.fix_sync import Syncs
from tests.sync.messages import (
    ITEMS,
    checkpoint,
    declaring,
    item,
    table,
    upsert,
    value,
)


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


def test_window_changes_its_table_by_one_call(
    syncs: Syncs, caplog: pytest.LogCaptureFixture
) -> None:
    """DescribeTable to see that the table is still there, and for its columns; then one AlterTable."""
    changing = [
        upsert("items", item(1, size=1, colour="red")),
        upsert("items", item(2, size=70_000, weight=1.5)),
        checkpoint("{}"),
    ]
    assert syncs.send([upsert("items", item(1)), checkpoint("{}")], schema=ITEMS).code == 0
    calls = []
    for updates in (changing, changing):
        caplog.clear()
        with caplog.at_level("INFO", logger="destination.servicer"):
            assert syncs.send(updates, schema=ITEMS).code == 0
        told = [r.getMessage() for r in caplog.records if r.name == "destination.servicer"]
        calls.append([line.split(": ")[1].split(",")[0] for line in told if '"items"' in line])
    assert {"size", "colour", "weight"} <= set(syncs.types("items"))
    assert calls == [
        ["described", "described", "altered", "batch written"],
        ["described", "described", "batch written"],
    ]


def test_time_is_stored_as_text_with_a_warning(syncs: Syncs) -> None:
    schema = declaring(table("times", id=(common.LONG, True), t=common.NAIVE_TIME))
    records = [upsert("times", {"id": i, "t": "12:00:00"}) for i in (1, 2)]
    outcome = syncs.send([*records, checkpoint("{}"), *records], schema=schema)
    assert outcome.code == 0
    assert syncs.types("times")["t"] == "text"
    warning = f"{syncs.schema}.times: column t is declared NAIVE_TIME, and becomes STRING"
    assert outcome.warnings == [warning]


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
    narrow = declaring(table("narrow", id=(common.LONG, True), n=common.SHORT))
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
