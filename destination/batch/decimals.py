"""DECIMAL values, exact to the last digit; digits beyond the scale are rounded half away from zero.

Arrow's own conversions do not round, and they wrap around silently where scaling overflows; they are
used only where neither can happen.
"""

from __future__ import annotations

from contextlib import suppress
from decimal import ROUND_HALF_UP, Context, Decimal

import pyarrow as pa
import pyarrow.compute as pc

from destination.batch.refusals import RefusedError, misfit
from destination.rows import MAX_DECIMAL_DIGITS, MAX_FRACTION_DIGITS, MAX_WHOLE_DIGITS, arrow_type
from destination.schema import Column

NUMBER = (
    r"^(?P<sign>[+-]?)(?P<whole>\d*)(?:\.(?P<fraction>\d*))?(?:[eE](?P<exponent>[+-]?\d{1,9}))?$"
)
WIDE_DIGITS = 76
"""As many as Arrow's widest decimals hold."""
EXACT = Context(prec=4 * WIDE_DIGITS, rounding=ROUND_HALF_UP)


def parse_decimals(texts: pa.Array, column: Column) -> pa.Array:
    """Numbers in plain or exponent notation as the column's Arrow type.

    Args:
        texts: an array of strings.
        column: a DECIMAL.

    Raises:
        RefusedError: if a text is no number, or does not fit the column.
    """
    target = arrow_type(column)
    if target != pa.string() and _is_plain(texts, target):
        # Arrow refuses more fraction digits than the scale has, and what is no number at all.
        with suppress(pa.ArrowInvalid):
            return pc.cast(texts, target)
    numbers = _Numbers(texts, column)
    return texts if target == pa.string() else numbers.rounded(target)


def convert_decimals(values: pa.Array, column: Column) -> pa.Array:
    """Decimals of any precision and scale as those of a column.

    Args:
        values: an array of Arrow decimals.
        column: a DECIMAL.

    Raises:
        RefusedError: if a value does not fit the column.
    """
    target = arrow_type(column)
    if target == pa.string():
        return parse_decimals(pc.cast(values, pa.string()), column)
    if values.type == target and fit_precision(values):
        return values
    _require_rounded_to_fit(values, target, column)
    wide = pc.cast(values, pa.decimal256(WIDE_DIGITS, values.type.scale))
    if values.type.scale <= target.scale:
        return pc.cast(pc.cast(wide, pa.decimal256(WIDE_DIGITS, target.scale)), target)
    cut = _cut(wide, pa.decimal256(target.precision + 1, target.scale + 1))
    half = Decimal((0, (5,), -cut.type.scale))
    away = pc.if_else(
        pc.less(cut, pa.scalar(Decimal(0), cut.type)),
        pa.scalar(half.copy_negate(), cut.type),
        pa.scalar(half, cut.type),
    )
    return _cut(pc.add(cut, away), target)


def fit_precision(values: pa.Array) -> bool:
    """Whether all decimals fit the precision of their type, which Arrow's readers do not check."""
    limit = _limit(values.type)
    return all(limit.copy_negate() < extreme < limit for extreme in _extremes(values))


def _require_rounded_to_fit(values: pa.Array, target: pa.DataType, column: Column) -> None:
    """Raise RefusedError unless the smallest and the largest value fit once they are rounded."""
    limit, unit = _limit(target), Decimal((0, (1,), -target.scale))
    for extreme in _extremes(values):
        if not limit.copy_negate() < extreme.quantize(unit, context=EXACT) < limit:
            raise RefusedError(misfit(column))


def _extremes(values: pa.Array) -> list[Decimal]:
    found = pc.min_max(values).as_py()
    return [value for value in found.values() if value is not None]


def _limit(kind: pa.DataType) -> Decimal:
    """The first number that has too many digits before the point."""
    return Decimal((0, (1,), kind.precision - kind.scale))


def _cut(values: pa.Array, target: pa.DataType) -> pa.Array:
    """Decimals without the digits beyond another scale."""
    return pc.cast(values, options=pc.CastOptions(target, allow_decimal_truncate=True))


def _is_plain(texts: pa.Array, target: pa.DataType) -> bool:
    """Whether Arrow scales the texts exactly or refuses them: no exponents, and few digits."""
    point = pc.find_substring(texts, ".")
    size = pc.binary_length(texts)
    whole = pc.if_else(pc.less(point, 0), size, point)
    unsigned = pc.subtract(whole, pc.cast(pc.starts_with(texts, "-"), pa.int32()))
    if (pc.max(unsigned).as_py() or 0) > target.precision - target.scale:
        return False
    if (pc.max(size).as_py() or 0) > MAX_DECIMAL_DIGITS:
        return False
    return not pc.any(pc.match_substring_regex(texts, "[eE]")).as_py()


class _Numbers:
    """Texts taken apart: their digits from the first that is not 0, and where the point stands.

    Args:
        texts: an array of strings.
        column: the DECIMAL that they are for.

    Raises:
        RefusedError: if a text is no number, or has more digits before the point than the column.
    """

    def __init__(self, texts: pa.Array, column: Column) -> None:
        self._column = column
        parts = pc.extract_regex(texts, pattern=NUMBER)
        whole, fraction = pc.struct_field(parts, "whole"), pc.struct_field(parts, "fraction")
        written = pc.binary_join_element_wise(whole, fraction, "")
        if parts.null_count != texts.null_count or pc.any(pc.equal(written, "")).as_py():
            raise RefusedError(misfit(column))
        exponent = integers(pc.struct_field(parts, "exponent"))
        self._negative = pc.equal(pc.struct_field(parts, "sign"), "-")
        self._digits = pc.ascii_ltrim(written, "0")
        zeros = pc.subtract(pc.binary_length(written), pc.binary_length(self._digits))
        point = pc.subtract(pc.add(pc.binary_length(whole), exponent), zeros)
        scales = pc.subtract(pc.binary_length(fraction), exponent)
        self._whole_digits, scale = _capacity(column)
        self._point = pc.if_else(pc.equal(self._digits, ""), self._whole_digits, point)
        if (pc.max(self._point).as_py() or 0) > self._whole_digits:
            raise RefusedError(misfit(column))
        if scale is None and (pc.max(scales).as_py() or 0) > MAX_FRACTION_DIGITS:
            raise RefusedError(
                f"has more than {MAX_FRACTION_DIGITS} digits after the decimal point"
            )

    def rounded(self, target: pa.DataType) -> pa.Array:
        """The numbers as decimals.

        Zeros are put in front of the digits until the point of each number stands at the same place;
        then as many digits as the type holds are the number, and the next one rounds it.
        """
        size = target.precision
        zeros = pc.min_element_wise(pc.subtract(self._whole_digits, self._point), size + 1)
        aligned = pc.binary_join_element_wise(pc.binary_repeat("0", zeros), self._digits, "")
        aligned = pc.ascii_rpad(aligned, size + 1, "0")
        kept = pc.utf8_slice_codeunits(aligned, 0, size)
        up = pc.greater_equal(pc.utf8_slice_codeunits(aligned, size, size + 1), "5")
        if pc.any(pc.and_(up, pc.equal(kept, "9" * size))).as_py():
            raise RefusedError(misfit(self._column))
        units = pc.cast(pc.cast(kept, pa.decimal128(MAX_DECIMAL_DIGITS)), pa.decimal256(39))
        digit = pa.decimal256(1)
        units = pc.add(
            units, pc.if_else(up, pa.scalar(Decimal(1), digit), pa.scalar(Decimal(0), digit))
        )
        units = pc.cast(pc.if_else(self._negative, pc.negate(units), units), pa.decimal128(38))
        return units.view(target)


def integers(texts: pa.Array) -> pa.Array:
    """Texts of a sign and digits as integers; empty ones are 0."""
    digits = pc.ascii_ltrim(texts, "+")
    return pc.cast(pc.if_else(pc.equal(digits, ""), "0", digits), pa.int64())


def _capacity(column: Column) -> tuple[int, int | None]:
    """How many digits a column holds before the decimal point and after it; None for any number."""
    if column.decimal is None:
        return MAX_WHOLE_DIGITS, None
    return column.decimal.precision - column.decimal.scale, column.decimal.scale
