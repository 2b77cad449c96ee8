"""PostgreSQL's types for Fivetran's, both ways."""

from __future__ import annotations

import re
from collections.abc import Sequence

import pyarrow as pa

from destination.errors import RequestError
from destination.rows import arrow_type
from destination.schema import Column, DataType, DecimalParams
from destination.warehouse.ddl import NamedType

TYPE_NAMES: dict[DataType, str] = {
    DataType.BOOLEAN: "boolean",
    DataType.SHORT: "smallint",
    DataType.INT: "integer",
    DataType.LONG: "bigint",
    DataType.DECIMAL: "numeric",
    DataType.FLOAT: "real",
    DataType.DOUBLE: "double precision",
    DataType.NAIVE_TIME: "time without time zone",
    DataType.NAIVE_DATE: "date",
    DataType.NAIVE_DATETIME: "timestamp without time zone",
    DataType.UTC_DATETIME: "timestamp with time zone",
    DataType.BINARY: "bytea",
    DataType.XML: "text",
    DataType.STRING: "text",
    DataType.JSON: "json",
}
"""The types of the columns that the project creates, as `format_type` writes them."""

NEAREST_TYPES: dict[str, DataType] = {
    "bool": DataType.BOOLEAN,
    "int2": DataType.SHORT,
    "int4": DataType.INT,
    "int8": DataType.LONG,
    "numeric": DataType.DECIMAL,
    "float4": DataType.FLOAT,
    "float8": DataType.DOUBLE,
    "time": DataType.NAIVE_TIME,
    "date": DataType.NAIVE_DATE,
    "timestamp": DataType.NAIVE_DATETIME,
    "timestamptz": DataType.UTC_DATETIME,
    "bytea": DataType.BINARY,
    "json": DataType.JSON,
    "jsonb": DataType.JSON,
    "xml": DataType.XML,
}
"""The Fivetran type of each type in `pg_type`; any other, made by hand, is a STRING."""

WITH_LENGTH = frozenset({"varchar", "bpchar"})
MAX_PRECISION = 1000
MODIFIER_HEADER_BYTES = 4
UNLIMITED = {
    "character varying": "character varying",
    "character": "bpchar",
    "bit varying": "bit varying",
    "bit": "bit varying",
}
"""Types with a length, and what holds values of any."""
LIMITED = re.compile(rf"(?P<base>{'|'.join(UNLIMITED)})(\(\d+\))?(?P<array>(\[\])*)")

PAGE_BYTES = 7_800
"""What the values of a row may take in a page, beside what says which are NULL, and the columns that
staging adds."""
PART_COLUMNS = 800
"""So many columns of two rows are fewer than the 1,664 that rows on their way may have."""
FIXED_BYTES, VARYING_BYTES, OTHER_BYTES = 8, 24, 64
"""What a value takes at most: of one of `FIXED_TYPES`, of a type whose longer values PostgreSQL moves
out of the row, and of a type that the project does not know."""
VARYING_TYPES = frozenset(
    {"numeric", "text", "bytea", "json", "jsonb", "xml", "character varying", "character"}
)
FIXED_TYPES = frozenset(TYPE_NAMES.values()) - VARYING_TYPES


def type_name(column: Column) -> str:
    """The PostgreSQL type of a column that the project creates.

    Raises:
        RequestError: if PostgreSQL has no DECIMAL of so many digits.
    """
    decimal = column.decimal
    if column.type is not DataType.DECIMAL or decimal is None:
        return TYPE_NAMES[column.type]
    if not 0 <= decimal.scale <= decimal.precision <= MAX_PRECISION:
        raise RequestError(f'column "{column.name}": PostgreSQL has no {decimal}')
    return f"numeric({decimal.precision},{decimal.scale})"


def wire_type_name(column: Column) -> str:
    """The PostgreSQL type in which a column's values arrive by COPY."""
    if column.type is DataType.DECIMAL and arrow_type(column) == pa.string():
        return "text"
    return type_name(column)


def described_column(
    name: str, base_type: str, modifier: int, remarked: DataType | None, *, primary_key: bool
) -> Column:
    """A column of the catalog as Fivetran sees it.

    Args:
        name: its full name.
        base_type: its type's name in `pg_type`; of a domain, the type below.
        modifier: the type's modifier (`atttypmod`), -1 for none.
        remarked: the Fivetran type that its comment names.
        primary_key: whether it is part of the primary key.
    """
    nearest = NEAREST_TYPES.get(base_type, DataType.STRING)
    kind = remarked if remarked and TYPE_NAMES[remarked] == base_type else nearest
    return Column(
        name,
        kind,
        primary_key,
        decimal=_decimal_params(modifier) if base_type == "numeric" else None,
        string_byte_length=_length(modifier) if base_type in WITH_LENGTH else None,
    )


def _decimal_params(modifier: int) -> DecimalParams | None:
    """Precision and scale, as `numeric`'s modifier packs them: 16 bits, then 11 signed ones."""
    if modifier < MODIFIER_HEADER_BYTES:
        return None
    packed = modifier - MODIFIER_HEADER_BYTES
    precision, scale = packed >> 16 & 0xFFFF, ((packed & 0x7FF) ^ 0x400) - 0x400
    return DecimalParams(precision, scale) if scale >= 0 else DecimalParams(precision - scale, 0)


def _length(modifier: int) -> int | None:
    return None if modifier < MODIFIER_HEADER_BYTES else modifier - MODIFIER_HEADER_BYTES


def without_length(name: str) -> str:
    """The type without its length: a cast cuts a value to that, an assignment refuses it."""
    limited = LIMITED.fullmatch(name)
    return f"{UNLIMITED[limited['base']]}{limited['array']}" if limited else name


def bare(name: str) -> str:
    """The type without its parameters."""
    return name.split("(", 1)[0]


def type_remark(column: Column) -> bool:
    """Whether a comment must say the column's Fivetran type, as two share its PostgreSQL type."""
    return column.type is DataType.XML


def fitting(kinds: Sequence[NamedType], count: int) -> list[range]:
    """See `Session.fitting`."""
    names = [kind.name for kind in kinds]
    ranges, begin, room = [], 0, PAGE_BYTES
    for i in range(count):
        width = max(map(_widest, names[i::count]))
        if i - begin == PART_COLUMNS or width > room:
            ranges.append(range(begin, i))
            begin, room = i, PAGE_BYTES
        room -= width
    return [*ranges, range(begin, count)]


def _widest(name: str) -> int:
    """How many bytes of a row a value of a type takes at most."""
    if name in FIXED_TYPES:
        return FIXED_BYTES
    return VARYING_BYTES if bare(name) in VARYING_TYPES else OTHER_BYTES
