"""What AlterTable makes of the values of a column whose type changes: a rule for each pair of types.

A converted value is what a load of its text into a column of the new type would have stored, and
nothing of it is lost. A value that would lose something does not survive: then the call is a task
that names the column and how many values, and the table stays as it was. NULL stays NULL, and where
there is nothing else, a column of any type can become one of any other.

Words: a number is a SHORT, INT, LONG, DECIMAL, FLOAT or DOUBLE; a text is a STRING or XML; a temporal
value is a NAIVE_TIME, NAIVE_DATE, NAIVE_DATETIME or UTC_DATETIME. The number of a FLOAT or DOUBLE is
that of its shortest text that reads back as the same. "Always" and "never" say what survives.

    any -> its own type         itself, always (DECIMAL: see the end)

    any -> text                 its notation, always:
      BOOLEAN                   true, false
      SHORT, INT, LONG          7
      DECIMAL                   plain, with all digits of the column's scale: 1.50; without params, with
                                the digits that are stored
      FLOAT, DOUBLE             as Java, in the fewest digits (a FLOAT as 32 bits), one after the point
                                at least: 200.0, 0.001, -0.0, 9999999.0; from 10**7 on and below 10**-3
                                with an exponent: 1.0E+7, 3.4028235E+38, 1.0E-5; NaN, Infinity, -Infinity
      NAIVE_TIME                10:15, 10:15:30, 10:15:30.123, 10:15:30.123456: no seconds where they
                                and the fraction are 0; no, 3 or 6 digits of a fraction
      NAIVE_DATE                2007-12-03; year 0 0000-12-03, before -0005-12-03, past +10000-12-03
      NAIVE_DATETIME            date, T, time: 2007-12-03T10:15
      UTC_DATETIME              in UTC, always with seconds: 2007-12-03T10:15:00Z, ...:30.123Z
      BINARY                    base64 with padding, in one line
      JSON                      the document's text as it is

    BOOLEAN -> JSON             true, false, always
    number -> JSON              its notation, always; NaN and infinities as a JSON string: "NaN"
    temporal, BINARY -> JSON    a JSON string of its notation, always
    text -> JSON                itself, if it is a JSON document

    BOOLEAN -> number           1 or 0, always
    number -> BOOLEAN           true for 1, false for 0; no other survives
    number -> SHORT, INT, LONG  the integer, if it is one (1.0 is) and fits
    number -> FLOAT, DOUBLE     the nearest, if its shortest text is the same number: FLOAT 0.1 becomes
                                DOUBLE 0.1, DOUBLE 100.45 survives as a FLOAT, LONG 2**53 + 1 does not as
                                a DOUBLE; NaN and infinities stay
    number -> DECIMAL           the number to its last digit, if it fits (see the end); never NaN and
                                infinities

    text -> BOOLEAN, SHORT, INT, LONG, temporal
                                as a load reads it, if it is in that notation and fits: blanks and tabs
                                around it do not count, nor around the numbers below; digits past the
                                microsecond are cut; NAIVE_DATETIME drops a zone, UTC_DATETIME without
                                one is UTC; 7.0 is no INT, TRUE no BOOLEAN, a date-time no NAIVE_DATE
    text -> FLOAT, DOUBLE       as number -> FLOAT, DOUBLE, if it is a number, NaN or an infinity;
                                3.4028237E+38, the guide's name for the largest FLOAT, is that
    text -> DECIMAL             as number -> DECIMAL, if it is a number
    text -> BINARY              as a load reads it, always: base64 with padding or without; what is no
                                base64, as its UTF-8 bytes
    JSON -> any but text        as a text: the content of a JSON string ("2007-12-03"), or another
                                document's text without space around it (7, true); never null, nor a
                                string that holds U+0000 or half a surrogate pair

    NAIVE_DATE -> NAIVE_DATETIME, UTC_DATETIME
                                its midnight (in UTC), if a date-time reaches it
    NAIVE_DATETIME <-> UTC_DATETIME
                                the same in UTC, always
    NAIVE_DATETIME, UTC_DATETIME -> NAIVE_DATE
                                its date (in UTC), if it is midnight

    NAIVE_TIME <-> other temporal; temporal <-> BOOLEAN, number; BINARY <-> BOOLEAN, number, temporal
                                never

A DECIMAL column with params becomes the narrowest that holds both what is requested and what is
there. Its scale is the larger of the requested scale and the most fraction digits of a value, without
trailing zeros. Its precision is that scale plus the larger of the requested digits before the point
(precision - scale) and the most that a value has there. A precision past 38 or a scale past 37 is the
task, unless more is requested. (10,2) that holds 12345.67 and is requested as (6,4) becomes (9,4).
Without params any number fits.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterable, Sequence
from decimal import Decimal

from destination.sdk import common_pb2 as common
from destination_tester.notation import (
    BITS,
    EXACT,
    LARGEST_FLOAT,
    NotationError,
    Value,
    fitting,
    from_text,
    is_json,
    nearest_float,
    to_number,
    to_text,
)

MAX_PRECISION, MAX_SCALE = 38, 37

INTEGERS = (common.SHORT, common.INT, common.LONG)
FLOATS = (common.FLOAT, common.DOUBLE)
NUMBERS = (*INTEGERS, common.DECIMAL, *FLOATS)
TEXTS = (common.STRING, common.XML)
DATETIMES = (common.NAIVE_DATETIME, common.UTC_DATETIME)
TEMPORALS = (common.NAIVE_TIME, common.NAIVE_DATE, *DATETIMES)
BLANKS = " \t"
TRIMMED = (common.BOOLEAN, *NUMBERS, *TEMPORALS)
"""The types whose texts may have blanks around them."""
TYPES = (common.BOOLEAN, *NUMBERS, *TEMPORALS, common.BINARY, *TEXTS, common.JSON)
"""The fifteen types."""

MIDNIGHT = "T00:00"


class NotSurvivedError(Exception):
    """A value does not survive the change of its column's type."""


Rule = Callable[[Value, common.Column, common.Column], Value]
"""Converts a value of the first column's type to the second's, or raises NotSurvivedError."""


def convert(value: Value, source: common.Column, target: common.Column) -> Value:
    """A value of one column's type as one of another's.

    Args:
        value: the value, not NULL.
        source: the column as it was.
        target: the column as it is requested. A DECIMAL is not rounded to its scale: see `widened`.

    Raises:
        NotSurvivedError: if the value would lose something.
    """
    return RULES[source.type, target.type](value, source, target)


def convert_column(
    values: Sequence[Value | None], source: common.Column, target: common.Column
) -> tuple[common.Column, list[Value | None]]:
    """All values of a column as ones of another.

    Args:
        values: those of every row; None is NULL.
        source: the column as it was.
        target: the column as it is requested.

    Returns:
        The column as it becomes (a DECIMAL may be wider than requested), and the values.

    Raises:
        NotSurvivedError: if one or more values would lose something; its message says how many.
    """
    converted: list[Value | None] = []
    lost = 0
    for value in values:
        try:
            converted.append(None if value is None else convert(value, source, target))
        except NotSurvivedError:
            lost += 1
    if lost:
        raise NotSurvivedError(f"{lost} values")
    return widened(target, (value for value in converted if isinstance(value, Decimal))), converted


def widened(column: common.Column, numbers: Iterable[Decimal]) -> common.Column:
    """A column that holds numbers to their last digit: itself, or a wider DECIMAL.

    Raises:
        NotSurvivedError: if no DECIMAL does.
    """
    params = column.params.decimal
    if column.type != common.DECIMAL or not params.precision:
        return column
    before, scale = params.precision - params.scale, params.scale
    for number in numbers:
        digits = number.normalize(EXACT)
        if digits:
            before = max(before, digits.adjusted() + 1)
            scale = max(scale, -int(digits.as_tuple().exponent))
    digits_allowed = max(MAX_PRECISION, params.precision)
    if before + scale > digits_allowed or scale > max(MAX_SCALE, params.scale):
        raise NotSurvivedError(f"{before + scale} digits")
    wider = common.Column()
    wider.CopyFrom(column)
    wider.params.decimal.precision, wider.params.decimal.scale = before + scale, scale
    return wider


def _same(value: Value, _source: common.Column, _target: common.Column) -> Value:
    return value


def _never(_value: Value, source: common.Column, target: common.Column) -> Value:
    kinds = (common.DataType.Name(column.type) for column in (source, target))
    raise NotSurvivedError(" is no ".join(kinds))


def _to_notation(value: Value, source: common.Column, _target: common.Column) -> Value:
    return to_text(value, source)


def _to_document(value: Value, source: common.Column, _target: common.Column) -> Value:
    text = to_text(value, source)
    plain = source.type in (common.BOOLEAN, *NUMBERS) and is_json(text)
    return text if plain else json.dumps(text)


def _flag_to_number(value: Value, _source: common.Column, target: common.Column) -> Value:
    return _number_to(Decimal(int(bool(value))), target)


def _number_to_flag(value: Value, source: common.Column, _target: common.Column) -> Value:
    number = _number(value, source)
    if number not in (0, 1):
        raise NotSurvivedError("neither 1 nor 0")
    return bool(number)


def _number_to_number(value: Value, source: common.Column, target: common.Column) -> Value:
    if isinstance(value, float) and not math.isfinite(value) and target.type in FLOATS:
        return value
    return _number_to(_number(value, source), target)


def _number(value: Value, column: common.Column) -> Decimal:
    """The number that a value stands for, to its last digit."""
    if isinstance(value, float) and not math.isfinite(value):
        raise NotSurvivedError("no number")
    return value if isinstance(value, Decimal) else to_number(to_text(value, column))


def _number_to(number: Decimal, target: common.Column) -> Value:
    """A number in another type."""
    if target.type == common.DECIMAL:
        return number
    if target.type in FLOATS:
        return _number_to_float(number, target)
    if number.adjusted() > MAX_PRECISION or number != int(number):
        raise NotSurvivedError("not an integer")
    try:
        return fitting(int(number), BITS[target.type])
    except NotationError as error:
        raise NotSurvivedError(str(error)) from error


def _number_to_float(number: Decimal, target: common.Column) -> float:
    value = nearest_float(number) if target.type == common.FLOAT else float(number)
    if math.isfinite(value) and _number(value, target) == number:
        return value
    raise NotSurvivedError("digits would be lost")


def _read(value: Value, _source: common.Column, target: common.Column) -> Value:
    """As a load reads a text, which ignores blanks around what is no text itself."""
    text = str(value)
    try:
        return from_text(text.strip(BLANKS) if target.type in TRIMMED else text, target)
    except NotationError as error:
        raise NotSurvivedError(str(error)) from error


def _text_to_number(value: Value, source: common.Column, target: common.Column) -> Value:
    """As a load reads a text, but to its last digit."""
    read = _read(value, source, common.Column(type=target.type))
    if target.type in INTEGERS or (isinstance(read, float) and not math.isfinite(read)):
        return read
    number = to_number(str(value).strip(BLANKS))
    if target.type == common.FLOAT and abs(number) == LARGEST_FLOAT:
        return read
    return _number_to(number, target)


def _document_to(value: Value, source: common.Column, target: common.Column) -> Value:
    """As the text that a JSON string holds, or the text of another document."""
    document = str(value).strip(" \t\n\r")
    content = json.loads(document) if document.startswith('"') else document
    if document == "null" or "\0" in content or any(map(_is_surrogate, content)):
        raise NotSurvivedError("no text")
    rule = _text_to_number if target.type in NUMBERS else _read
    return rule(content, source, target)


def _is_surrogate(character: str) -> bool:
    return "\ud800" <= character <= "\udfff"


def _date_to_datetime(value: Value, source: common.Column, target: common.Column) -> Value:
    return _read(to_text(value, source) + MIDNIGHT, source, target)


def _datetime_to_datetime(value: Value, source: common.Column, target: common.Column) -> Value:
    return _read(to_text(value, source), source, target)


def _datetime_to_date(value: Value, source: common.Column, target: common.Column) -> Value:
    day, clock = to_text(value, source).split("T")
    if clock.rstrip("Z") not in ("00:00", "00:00:00"):
        raise NotSurvivedError("it has a time of day")
    return _read(day, source, target)


def _pairs(
    sources: Iterable[common.DataType], targets: Iterable[common.DataType], rule: Rule
) -> dict[tuple[int, int], Rule]:
    targets = tuple(targets)
    return {(source, target): rule for source in sources for target in targets}


RULES: dict[tuple[int, int], Rule] = {
    **_pairs(TYPES, TYPES, _never),
    **_pairs(TYPES, TEXTS, _to_notation),
    **_pairs(TYPES, (common.JSON,), _to_document),
    **_pairs((common.BOOLEAN,), NUMBERS, _flag_to_number),
    **_pairs(NUMBERS, (common.BOOLEAN,), _number_to_flag),
    **_pairs(NUMBERS, NUMBERS, _number_to_number),
    **_pairs(TEXTS, (common.BOOLEAN, *TEMPORALS, common.BINARY, common.JSON), _read),
    **_pairs(TEXTS, NUMBERS, _text_to_number),
    **_pairs((common.JSON,), (common.BOOLEAN, *NUMBERS, *TEMPORALS, common.BINARY), _document_to),
    **_pairs((common.NAIVE_DATE,), DATETIMES, _date_to_datetime),
    **_pairs(DATETIMES, DATETIMES, _datetime_to_datetime),
    **_pairs(DATETIMES, (common.NAIVE_DATE,), _datetime_to_date),
    **{(kind, kind): _same for kind in TYPES},
}
"""The rule of each pair of types; a later line here has precedence over those before it."""
