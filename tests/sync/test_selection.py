"""What is synced: told to the source in its own shape, and held on arrival."""

import pytest

from destination.sdk import common_pb2 as common
from destination.sdk import connector_sdk_pb2 as sdk
from local_platform.sync.selection import Selection, message
from tests.sync.fix_sync import Syncs
from tests.sync.messages import checkpoint, declaring, table, upsert
from tests.sync.sources import Script

TWO = declaring(
    table("items", id=(common.LONG, True), name=common.STRING, size=common.LONG),
    table("other", id=(common.LONG, True)),
)
RECORDS = [
    upsert("items", {"id": 1, "name": "n", "size": 2, "extra": 3}),
    upsert("other", {"id": 1}),
    upsert("new", {"a": 1}),
    checkpoint("{}"),
]
FURTHER = {"_fivetran_synced", "_fivetran_deleted"}


@pytest.mark.parametrize(
    ("options", "items", "others"),
    [
        ((), {"id", "name", "size", "extra"}, ["new", "other"]),
        (("--only", "items"), {"id", "name", "size", "extra"}, []),
        (("--only", "items.name"), {"id", "name"}, []),
        (("--only", "items.name", "--only", "other"), {"id", "name"}, ["other"]),
        (("--exclude", "items.name", "--exclude", "other"), {"id", "size", "extra"}, ["new"]),
        (("--exclude", "items"), set(), ["new", "other"]),
        (("--block-new",), {"id", "name", "size"}, ["other"]),
    ],
)  # fmt: skip
def test_only_what_was_chosen_arrives(
    syncs: Syncs, options: tuple[str, ...], items: set[str], others: list[str]
) -> None:
    script = Script(lambda _: RECORDS, TWO)
    assert syncs.run(script, *options).code == 0
    assert set(syncs.types("items")) - FURTHER == items
    assert [name for name in ("new", "other") if syncs.types(name)] == others
    tables = {each.table_name: each for each in script.requests[0].selection.without_schema.tables}
    assert tables["items"].included == bool(items)
    declared = {"id", "name", "size"}
    assert set(tables["items"].columns) == declared
    if items:
        chosen = {name for name, included in tables["items"].columns.items() if included}
        assert chosen == items & declared


def test_selection_has_the_shape_of_the_schema() -> None:
    schema = sdk.SchemaResponse(
        with_schema=common.SchemaList(
            schemas=[
                common.Schema(name="shop", tables=TWO.without_schema.tables),
                common.Schema(name="hr"),
            ]
        )
    )
    found = message(Selection(exclude=["shop.items.name", "other"]), schema)
    assert found is not None
    shop = found.with_schema.schemas[0]
    assert (shop.schema_name, shop.included, shop.include_new_tables) == ("shop", True, True)
    assert {each.table_name: each.included for each in shop.tables} == {
        "items": True,
        "other": False,
    }
    assert dict(shop.tables[0].columns) == {"id": True, "name": False, "size": True}
    blocked = message(Selection(block_new=True), schema)
    assert blocked is not None
    assert not blocked.with_schema.include_new_schemas
    assert not blocked.with_schema.schemas[0].tables[0].include_new_columns
    assert message(Selection(), sdk.SchemaResponse(schema_response_not_supported=True)) is None


def test_nothing_is_sent_where_no_schema_is_supported(syncs: Syncs) -> None:
    script = Script(lambda _: [upsert("items", {"id": 1}), upsert("other", {"id": 1})])
    assert syncs.run(script, "--only", "items").code == 0
    assert not script.requests[0].HasField("selection")
    assert syncs.types("other") == {}


@pytest.mark.parametrize(
    ("options", "error"),
    [
        (("--exclude", "items.id"), "--exclude items.id: it is a key column, by which rows are identified"),
        (("--only", "itms"), "the source declares no table or column named itms"),
    ],
)  # fmt: skip
def test_what_cannot_be_chosen_is_an_error(
    syncs: Syncs, options: tuple[str, ...], error: str
) -> None:
    outcome = syncs.send(RECORDS, *options, schema=TWO)
    assert (outcome.code, outcome.error) == (1, error)
    assert syncs.types("items") == {}


def test_source_without_selection_allows_none(syncs: Syncs) -> None:
    schema = sdk.SchemaResponse()
    schema.CopyFrom(TWO)
    schema.selection_not_supported = True
    refused = syncs.send(RECORDS, "--only", "items", schema=schema)
    assert (refused.code, refused.error) == (
        1,
        "the source supports no selection: leave out --only and --exclude",
    )
    script = Script(lambda _: RECORDS, schema)
    assert syncs.run(script).code == 0
    assert script.requests[0].HasField("selection")


def test_excluded_column_may_have_the_name_of_another(syncs: Syncs) -> None:
    records = [upsert("items", {"id": 1, "userId": 1, "user_id": 2})]
    assert syncs.send(records, schema=TWO).code == 1
    assert syncs.send(records, "--exclude", "items.user_id", schema=TWO).code == 0
    assert syncs.rows("items", "user_id") == [(1,)]
