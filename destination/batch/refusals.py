"""Why a value is refused, without showing the value."""

from __future__ import annotations

import pyarrow as pa

from destination.schema import Column, DataType


class RefusedError(ValueError):
    """A value that its column cannot hold; the text completes `row 3, column "x":`."""


REFUSALS = (
    RefusedError,
    pa.ArrowInvalid,
    pa.ArrowNotImplementedError,
    pa.ArrowTypeError,
    pa.ArrowCapacityError,
)
"""What conversions raise for values that they refuse. Arrow's texts may quote values."""


def misfit(column: Column) -> str:
    """The reason where nothing more precise is known."""
    if column.type is DataType.DECIMAL and column.decimal is not None:
        precision, scale = column.decimal.precision, column.decimal.scale
        return f"is no number, or does not fit DECIMAL({precision},{scale})"
    return f"is not a valid {column.type.value}, or does not fit its range"
