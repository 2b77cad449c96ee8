"""Whatever the protocol knows has its place wherever the code and the documents need one."""

from collections.abc import Iterable
from pathlib import Path

import pytest

from destination import rows, wire
from destination.batch import native, values
from destination.batch.decompression import Compression
from destination.schema import MAX_PRECISION, TEXT_TYPES, Column, DataType, DecimalParams
from destination.sdk import common_pb2 as common
from destination.sdk import destination_sdk_pb2 as sdk
from destination.warehouse import altering
from destination.warehouse.postgres import carrying, conversions, types
from destination_tester import conversions as tester_conversions
from destination_tester import files, inputs, migrations, table
from destination_tester import notation as tester_notation

OVERVIEW = Path(__file__).parents[1] / "docs" / "overview.md"
DECIMAL = DataType.DECIMAL
NO_RULE = (DataType.BINARY, DataType.BOOLEAN)
"""Types that do not convert."""
TEXTS = {kind.value for kind in TEXT_TYPES}


def names(kinds: Iterable[DataType]) -> set[str]:
    return {kind.value for kind in kinds}


def wire_names(kinds: Iterable[int]) -> set[str]:
    return {common.DataType.Name(kind) for kind in kinds}


def documented() -> set[str]:
    """The types in the first column of the mapping's table."""
    rows = OVERVIEW.read_text().partition("## Type transformation mapping")[2].split("\n\n")[1]
    cells = [row.split("|")[1] for row in rows.splitlines()]
    return {name.strip() for cell in cells for name in cell.split(",")}


def places() -> dict[str, set[str]]:
    """Where each data type needs an entry, and which have one."""
    converted = {goal for goals in native.CONVERSIONS.values() for goal in goals}
    carried = {kind for kind in DataType if types.TYPE_NAMES[kind] in carrying.ELEMENTS}
    read = {
        target
        for (source, target), rule in conversions.RULES.items()
        if source is DataType.STRING and rule.convert is not conversions.RULES[NO_RULE].convert
    }
    return {
        "schema.DataType": names(DataType),
        "rows.ARROW_TYPES": names(rows.ARROW_TYPES.keys() | {DECIMAL}),
        "batch.values.PARSERS": names(values.PARSERS.keys() | {DECIMAL, DataType.BINARY}) | TEXTS,
        "batch.native.CONVERSIONS": names(converted),
        "warehouse.altering.NEUTRAL": names(altering.NEUTRAL),
        "postgres.types.TYPE_NAMES": names(types.TYPE_NAMES),
        "postgres.types.NEAREST_TYPES": names({*types.NEAREST_TYPES.values(), DataType.STRING}),
        "postgres.carrying.ELEMENTS": names(carried | {DECIMAL}),
        "postgres.conversions.RULES": names(read),
        "docs/overview.md": documented(),
        "destination_tester.conversions.TYPES": wire_names(tester_conversions.TYPES),
        "destination_tester.table.NEUTRAL": wire_names(table.NEUTRAL),
        "destination_tester.files": wire_names(files.PARQUET_TYPES.keys() | files.AS_TEXT),
    }


def test_every_data_type_of_the_protocol_has_its_place_everywhere() -> None:
    protocol = set(common.DataType.keys()) - {"UNSPECIFIED"}
    missing = {place: protocol - there for place, there in places().items() if protocol - there}
    assert not missing


@pytest.mark.parametrize("kind", DataType)
def test_neutral_value_of_every_type_is_read_by_the_connector_and_the_tester(
    kind: DataType,
) -> None:
    text = altering.NEUTRAL[kind] or ("{}" if kind is DataType.JSON else "")
    text = text.replace(" ", "T").replace("+00", "Z")
    decimal = DecimalParams(MAX_PRECISION, 0) if kind is DECIMAL else None
    column = Column("c", kind, decimal=decimal)
    tester_notation.from_text(text, common.Column(name="c", type=kind.value))
    read = values.from_texts(rows.pa.array([text]), column, values.Notices())
    assert read.type == rows.arrow_type(column)


def test_type_that_the_tester_does_not_know_is_refused() -> None:
    with pytest.raises(tester_notation.NotationError, match="type 99"):
        tester_notation.from_text("x", common.Column(name="c", type=99))  # type: ignore[arg-type]


def test_every_way_to_write_files_is_known() -> None:
    assert set(sdk.Compression.keys()) == {kind.value for kind in Compression}
    assert set(wire.ENCRYPTED) == set(sdk.Encryption.values())


def test_every_migration_of_the_protocol_is_known_or_left_out_on_purpose() -> None:
    groups = (sdk.DropOperation, sdk.CopyOperation, sdk.RenameOperation, sdk.AddOperation)
    entities = {
        field.name for group in groups for field in group.DESCRIPTOR.oneofs_by_name["entity"].fields
    }
    assert len(groups) == len(wire.ENTITIES)
    further = {"update_column_value", *wire.SYNC_MODES.values()}
    drops = {"drop_column"}
    assert entities | further == set(wire.MIGRATIONS) | (entities & drops)


def test_every_operation_of_the_tester_has_a_plan() -> None:
    assert set(inputs.MIGRATIONS) == set(migrations.PLANS)
