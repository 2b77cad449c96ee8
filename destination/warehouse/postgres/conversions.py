"""What a column's values become when its type changes: an expression for each pair of types.

A converted value is what a load of the old value's text, in Fivetran's notation, would have stored in a
column of the new type, with every digit. Where something would be lost the expression is NULL.
PostgreSQL's own casts follow other notations, round, and raise errors at the first value that they
refuse: here they get only what they take.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import sqlalchemy as sa
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.functions import FunctionElement

from destination.schema import BLANKS, DATETIME_TYPES, NUMBER_TYPES, Column, DataType
from destination.warehouse.ddl import Conversion, NamedType
from destination.warehouse.postgres import temporal
from destination.warehouse.postgres.types import TYPE_NAMES, bare, without_length
from destination.warehouse.stored import StoredColumn

Value = sa.ColumnElement[Any]
Convert = Callable[[Value, DataType, DataType], Value]
"""Converts a value of the first type to the second."""

INTEGERS = {DataType.SHORT: 16, DataType.INT: 32, DataType.LONG: 64}
"""The bits of each type of integers."""
FLOATS = {
    DataType.FLOAT: (Decimal("1E-45"), Decimal("3.4028235E+38")),
    DataType.DOUBLE: (Decimal("5E-324"), Decimal("1.7976931348623157E+308")),
}
"""The smallest and the largest number of each type of floats, in the fewest digits."""
LARGEST_FLOAT = Decimal("3.4028237E+38")
"""The largest FLOAT of Fivetran's guide, a little more than the largest that 32 bits hold."""
TEXTS = (DataType.STRING, DataType.XML)
TEMPORALS = (DataType.NAIVE_TIME, DataType.NAIVE_DATE, *DATETIME_TYPES)

KINDS = {name: kind for kind, name in TYPE_NAMES.items()} | {"text": DataType.STRING}
"""The types of the columns that the project creates, by their names in PostgreSQL."""
TEXT_NAMES = frozenset({"text", "character varying", "character"})
NUMBER_NAMES = frozenset(TYPE_NAMES[kind] for kind in NUMBER_TYPES)

OPERANDS: dict[DataType, sa.types.TypeEngine[Any]] = {
    **dict.fromkeys(NUMBER_TYPES, sa.Numeric()),
    DataType.BOOLEAN: sa.Boolean(),
}
"""What a value is compared with in an expression, where that is no text."""

INTEGER = "^-?[0-9]{1,40}$"
NUMBER = r"^[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]{1,4})?$"
NAMED_FLOAT = "^(?:[+-]?nan|[+-]?inf(?:inity)?)$"
BASE64 = "^[A-Za-z0-9+/]*={0,2}$"
BASE64_GROUP = 4
PLAIN = (Decimal("1E-3"), Decimal("1E+7"))
"""Java writes floats from the first number to below the second without an exponent."""
SCIENTIFIC = "9.9999999999999999EEEE"
"""As many digits as a double has."""
TELLS_VALID_INPUT = (16,)
"""Since which version PostgreSQL has `pg_input_is_valid`."""
ESCAPED_PAIR = r"\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}"
NO_CHARACTER = r"\\u(?:0000|[dD][89a-fA-F])"
"""Escapes in JSON of what no text of PostgreSQL holds: U+0000, half of a surrogate pair."""


@dataclass(frozen=True, slots=True)
class Rule:
    """How a pair of types converts, and whether every value survives that."""

    convert: Convert
    total: bool = False


def conversion(value: Value, old: StoredColumn, new: Column) -> Conversion:
    """A stored column's value as one of another type.

    Args:
        value: the value.
        old: the column it is of, which may have a type made by hand.
        new: whose type it becomes; a DECIMAL keeps all its digits.
    """
    source = old.column.type
    rule = RULES[source, new.type]
    return Conversion(rule.convert(_plain(value, old), source, new.type), rule.total)


def cast(value: Value, source: str, target: str) -> Value:
    """A value of one of the project's types as one of a type made by hand, which may refuse it.

    Args:
        value: the value.
        source: the PostgreSQL type that it has.
        target: the type that it is for.
    """
    if source == target:
        return value
    origin, goal = KINDS[bare(source)], bare(target)
    if goal in TEXT_NAMES:
        value = notation(value, origin)
    elif origin in TEXTS and goal == "bytea":
        return to_bytes(value)
    elif origin is DataType.BOOLEAN and goal in NUMBER_NAMES:
        value = sa.cast(value, sa.Integer)
    elif origin in NUMBER_TYPES and goal == "boolean":
        return value != sa.literal(0, sa.Integer)
    elif origin in FLOATS and goal in NUMBER_NAMES:
        value = _text(value)
    return sa.cast(value, NamedType(without_length(target)))


def notation(value: Value, kind: DataType) -> Value:
    """A value's text as Fivetran's batch files have it."""
    if kind is DataType.BINARY:
        return sa.func.translate(sa.func.encode(value, "base64"), "\n", "")
    if kind in FLOATS:
        return _java_notation(_text(value))
    return temporal.notation(value, kind) if kind in TEMPORALS else _text(value)


def to_bytes(text: Value) -> Value:
    """The bytes of base64 with or without padding; of what is no base64, the text's own."""
    bare = sa.func.rtrim(text, "=")
    length = sa.func.length(bare)
    missing = sa.func.mod(length * (BASE64_GROUP - 1), BASE64_GROUP)
    padded = sa.func.rpad(bare, length + missing, "=")
    is_base64 = sa.and_(text.regexp_match(BASE64), sa.func.mod(length, BASE64_GROUP) != 1)
    own = sa.func.convert_to(text, "UTF8")
    return sa.case((is_base64, sa.func.decode(padded, "base64")), else_=own)


def _plain(value: Value, old: StoredColumn) -> Value:
    """The value in the type that the project gives its columns."""
    plain = TYPE_NAMES[old.column.type]
    native = value if old.type_name == plain else sa.cast(value, NamedType(plain))
    return sa.type_coerce(native, OPERANDS.get(old.column.type, sa.Text()))


def _as(value: Value, kind: DataType) -> Value:
    return sa.cast(value, NamedType(TYPE_NAMES[kind]))


def _text(value: Value) -> Value:
    return sa.cast(value, sa.Text)


def _number(text: Value) -> Value:
    return sa.cast(text, sa.Numeric)


def _where(condition: sa.ColumnElement[bool], value: Value) -> Value:
    """The value where a condition holds, else NULL; it is not computed there."""
    return sa.case((condition, value))


def _same(value: Value, _source: DataType, _target: DataType) -> Value:
    return value


def _never(_value: Value, _source: DataType, target: DataType) -> Value:
    return _as(sa.null(), target)


def _to_notation(value: Value, source: DataType, _target: DataType) -> Value:
    return notation(value, source)


def _java_notation(text: Value) -> Value:
    """Of a float's shortest text, which PostgreSQL writes, the one that Java writes."""
    number = _number(text)
    parts = sa.func.to_char(number, SCIENTIFIC)
    exponent = sa.cast(sa.func.split_part(parts, "e", 2), sa.Integer)
    signed = sa.case((exponent < 0, _text(exponent)), else_=_joined("+", _text(exponent)))
    mantissa = _with_point(_number(sa.func.split_part(parts, "e", 1)))
    size = sa.func.abs(number)
    return sa.case(
        (text.in_(["NaN", "Infinity", "-Infinity"]), text),
        (text.in_(["0", "-0"]), _joined(text, ".0")),
        (sa.and_(size >= PLAIN[0], size < PLAIN[1]), _with_point(number)),
        else_=_joined(mantissa, "E", signed),
    )


def _with_point(number: Value) -> Value:
    text = _text(sa.func.trim_scale(number))
    return sa.case((sa.func.strpos(text, ".") > 0, text), else_=_joined(text, ".0"))


def _joined(*parts: Value | str) -> Value:
    first, *others = (
        sa.literal(each, sa.Text) if isinstance(each, str) else each for each in parts
    )
    for each in others:
        first = first.concat(each)
    return first


def _to_document(value: Value, source: DataType, _target: DataType) -> Value:
    text = notation(value, source)
    if source is DataType.BOOLEAN:
        return _as(text, DataType.JSON)
    if source not in NUMBER_TYPES:
        return sa.func.to_json(text)
    plain = text.regexp_match("[0-9]")
    return sa.case((plain, _as(text, DataType.JSON)), else_=sa.func.to_json(text))


class IsDocument(FunctionElement[bool]):
    """Whether a text is JSON. PostgreSQL before 16 cannot tell but by raising an error."""

    type = sa.Boolean()
    inherit_cache = True


@compiles(IsDocument)
def _is_document(element: IsDocument, compiler: SQLCompiler, **options: Any) -> str:
    if (compiler.dialect.server_version_info or ()) < TELLS_VALID_INPUT:
        return "true"
    return f"pg_input_is_valid({compiler.process(element.clauses, **options)}, 'json')"


def _text_to_document(value: Value, _source: DataType, target: DataType) -> Value:
    return _where(IsDocument(value), _as(value, target))


def _flag_to_number(value: Value, _source: DataType, target: DataType) -> Value:
    return _as(sa.cast(value, sa.Integer), target)


def _number_to_flag(value: Value, _source: DataType, _target: DataType) -> Value:
    return sa.case((value == 1, sa.true()), (value == 0, sa.false()))


def _number_to_number(value: Value, _source: DataType, target: DataType) -> Value:
    """By the number that the value's text stands for: a FLOAT 0.1 is 0.1, not 0.100000001490116…"""
    return _numbers(_text(value), NUMBER, target)


def _text_to_number(value: Value, _source: DataType, target: DataType) -> Value:
    return _numbers(value, INTEGER if target in INTEGERS else NUMBER, target)


def _numbers(text: Value, pattern: str, target: DataType) -> Value:
    """Texts as numbers: NULL for what is none of that pattern, or no number of the type."""
    matches = text.regexp_match(pattern)
    if target in FLOATS:
        by_name = (text.regexp_match(NAMED_FLOAT, "i"), _as(_canonical_name(text), target))
        return sa.case(by_name, (matches, _to_float(text, target)))
    return _where(matches, _to_integer(text, target) if target in INTEGERS else _number(text))


def _canonical_name(text: Value) -> Value:
    return sa.case(
        (text.regexp_match("nan", "i"), "NaN"),
        (text.startswith("-"), "-Infinity"),
        else_="Infinity",
    )


def _to_integer(text: Value, target: DataType) -> Value:
    number, limit = _number(text), 1 << INTEGERS[target] - 1
    fits = sa.and_(number == sa.func.trunc(number), number.between(-limit, limit - 1))
    return _where(fits, _as(number, target))


def _to_float(text: Value, target: DataType) -> Value:
    """The nearest float, if its shortest text is the same number."""
    number, value = _number(text), _as(text, target)
    size, (smallest, largest) = sa.func.abs(number), FLOATS[target]
    fits = sa.or_(number == 0, size.between(smallest, largest))
    same = _number(_text(value)) == number
    nearest = sa.case((fits, _where(same, value)))
    if target is DataType.DOUBLE:
        return nearest
    limit = sa.case((number > 0, largest), else_=-largest)
    return sa.case((size == LARGEST_FLOAT, _as(limit, target)), else_=nearest)


def _trimmed(convert: Convert) -> Rule:
    """A rule for texts of which blanks around the value are ignored, as by a load."""
    return Rule(lambda value, source, target: convert(sa.func.btrim(value, BLANKS), source, target))


def _text_to_flag(value: Value, _source: DataType, _target: DataType) -> Value:
    return sa.case((value == "true", sa.true()), (value == "false", sa.false()))


def _from_document(rule: Rule) -> Rule:
    """As the text that a JSON string holds, or the text of another document."""

    def convert(value: Value, source: DataType, target: DataType) -> Value:
        document = sa.func.btrim(_text(value), " \t\n\r")
        escapes = sa.func.regexp_replace(
            sa.func.replace(document, "\\\\", ""), ESCAPED_PAIR, "", "g"
        )
        inner = value.op("#>>")(sa.cast(sa.literal("{}"), NamedType("text[]")))
        content = sa.case(
            (sa.func.left(document, 1) != '"', sa.func.nullif(document, "null")),
            (sa.not_(escapes.regexp_match(NO_CHARACTER)), inner),
        )
        return rule.convert(sa.type_coerce(content, sa.Text), source, target)

    return Rule(convert)


def _date_to_datetime(value: Value, _source: DataType, target: DataType) -> Value:
    return _where(value <= temporal.LATEST_DAY, temporal.in_utc(_cast_timestamp(value), target))


def _datetime_to_datetime(value: Value, _source: DataType, _target: DataType) -> Value:
    return sa.func.timezone("UTC", value)


def _datetime_to_date(value: Value, source: DataType, target: DataType) -> Value:
    local = sa.func.timezone("UTC", value) if source is DataType.UTC_DATETIME else value
    day = _as(local, target)
    return _where(_cast_timestamp(day) == local, day)


def _cast_timestamp(value: Value) -> Value:
    return _as(value, DataType.NAIVE_DATETIME)


def _pairs(
    sources: Iterable[DataType], targets: Iterable[DataType], rule: Rule
) -> dict[tuple[DataType, DataType], Rule]:
    targets = tuple(targets)
    return {(source, target): rule for source in sources for target in targets}


READ: dict[tuple[DataType, DataType], Rule] = {
    **_pairs(TEXTS, (DataType.BOOLEAN,), _trimmed(_text_to_flag)),
    **_pairs(TEXTS, NUMBER_TYPES, _trimmed(_text_to_number)),
    **_pairs(TEXTS, TEMPORALS, _trimmed(lambda text, _, target: temporal.read(text, target))),
    **_pairs(TEXTS, (DataType.BINARY,), Rule(lambda text, *_: to_bytes(text), total=True)),
}
"""As a load reads texts."""

RULES: dict[tuple[DataType, DataType], Rule] = {
    **_pairs(DataType, DataType, Rule(_never)),
    **_pairs(DataType, TEXTS, Rule(_to_notation, total=True)),
    **_pairs(TEMPORALS, TEXTS, Rule(_to_notation)),
    **_pairs(DataType, (DataType.JSON,), Rule(_to_document)),
    **READ,
    **_pairs(TEXTS, (DataType.JSON,), Rule(_text_to_document)),
    **{
        (DataType.JSON, target): _from_document(rule)
        for (source, target), rule in READ.items()
        if source is DataType.STRING
    },
    **_pairs((DataType.BOOLEAN,), NUMBER_TYPES, Rule(_flag_to_number, total=True)),
    **_pairs(NUMBER_TYPES, (DataType.BOOLEAN,), Rule(_number_to_flag)),
    **_pairs(NUMBER_TYPES, NUMBER_TYPES, Rule(_number_to_number)),
    **{
        (source, target): Rule(lambda value, _, target: _as(value, target), total=True)
        for source, bits in INTEGERS.items()
        for target in INTEGERS
        if bits < INTEGERS[target]
    },
    **_pairs((DataType.NAIVE_DATE,), DATETIME_TYPES, Rule(_date_to_datetime)),
    **_pairs(DATETIME_TYPES, DATETIME_TYPES, Rule(_datetime_to_datetime, total=True)),
    **_pairs(DATETIME_TYPES, (DataType.NAIVE_DATE,), Rule(_datetime_to_date)),
    **_pairs(TEXTS, TEXTS, Rule(_same, total=True)),
    **{(kind, kind): Rule(_same, total=True) for kind in DataType},
}
"""The rule of each pair of types; a later line here has precedence over those before it."""
