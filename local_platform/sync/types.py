"""The types of columns, and the narrowest that holds what two types hold.

    SHORT < INT < LONG < DECIMAL (38 digits)    FLOAT < DOUBLE    NAIVE_DATE < NAIVE_DATETIME
    a number and a float: DOUBLE                anything else: STRING

A column never becomes narrower. [D] that it widens without loss; [C] which type is wider.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import reduce

from destination.sdk import common_pb2 as common

MAX_DIGITS = 38
INTEGERS: dict[int, int] = {common.SHORT: 5, common.INT: 10, common.LONG: 19}
"""The integer types from narrow to wide, with the most digits that their values have."""
FLOATS = (common.FLOAT, common.DOUBLE)
DATES = (common.NAIVE_DATE, common.NAIVE_DATETIME)


@dataclass(frozen=True)
class Type:
    """The type of a column, or of the values that arrived for one.

    Args:
        kind: a DataType of the wire.
        precision: the digits of a DECIMAL, 0 for any number; those that were seen of an integer, 0
            for as many as its type has.
        scale: those after the decimal point.
        rounds: whether numbers became floats, which lose digits of those above 2^53.
        is_time: whether a STRING was declared NAIVE_TIME, of which records hold texts.
    """

    kind: int
    precision: int = 0
    scale: int = 0
    rounds: bool = field(default=False, compare=False)
    is_time: bool = field(default=False, compare=False)

    @classmethod
    def of(cls, column: common.Column) -> Type | None:
        """The type of a column of the wire; None if it is left open."""
        if column.type == common.UNSPECIFIED:
            return None
        if column.type == common.NAIVE_TIME:
            return cls(common.STRING, is_time=True)
        params = column.params.decimal
        return cls(column.type, params.precision, params.scale)

    def column(self, name: str, *, key: bool = False) -> common.Column:
        """A column of the wire of this type."""
        column = common.Column(name=name, type=common.DataType.Name(self.kind), primary_key=key)
        if self.kind == common.DECIMAL and self.precision:
            column.params.decimal.precision = self.precision
            column.params.decimal.scale = self.scale
        return column

    @property
    def stored(self) -> Type:
        """The type as a column has it: of an integer without the digits that were seen."""
        return Type(self.kind) if self.kind in INTEGERS else self

    def __str__(self) -> str:
        digits = f"({self.precision},{self.scale})" if self.kind == common.DECIMAL else ""
        return common.DataType.Name(self.kind) + (digits if self.precision else "")


STRING = Type(common.STRING)
BOOLEAN = Type(common.BOOLEAN)
UTC_DATETIME = Type(common.UTC_DATETIME)


def widest(*types: Type | None) -> Type | None:
    """The narrowest type that holds what any of these hold; None, not known yet, adds nothing."""
    known = [each for each in types if each is not None]
    return reduce(_wider, known) if known else None


def _wider(one: Type, other: Type) -> Type:
    kinds = {one.kind, other.kind}
    if kinds <= {*INTEGERS}:
        kind = max(kinds, key=list(INTEGERS).index)
        return Type(kind, max(_digits(one), _digits(other)))
    if kinds <= {*INTEGERS, common.DECIMAL}:
        return _decimal(one, other)
    if kinds <= {*INTEGERS, *FLOATS, common.DECIMAL}:
        exact = kinds & {common.LONG, common.DECIMAL}
        return one if kinds == {common.FLOAT} else Type(common.DOUBLE, rounds=bool(exact))
    if len(kinds) == 1:
        return one
    return Type(common.NAIVE_DATETIME) if kinds <= {*DATES} else STRING


def _digits(integer: Type) -> int:
    return integer.precision or INTEGERS[integer.kind]


def _decimal(one: Type, other: Type) -> Type:
    """A DECIMAL for both; more digits than one may have need text."""
    if any(each.kind == common.DECIMAL and not each.precision for each in (one, other)):
        return Type(common.DECIMAL)
    whole = max(_whole_digits(one), _whole_digits(other))
    scale = max(one.scale, other.scale)
    return Type(common.DECIMAL, whole + scale, scale) if whole + scale <= MAX_DIGITS else STRING


def _whole_digits(number: Type) -> int:
    return _digits(number) if number.kind in INTEGERS else number.precision - number.scale
