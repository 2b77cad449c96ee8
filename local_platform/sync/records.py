"""Records of one table as they arrive, gathered by column, and sealed into chunks of Arrow arrays.

What is done for each value of each record happens in `Gatherer.add`, and nowhere else.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from operator import itemgetter
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from google.protobuf.unknown_fields import UnknownFieldSet

from destination.sdk import common_pb2 as common
from destination.sdk import connector_sdk_pb2 as sdk
from local_platform.sync.errors import SourceError
from local_platform.sync.names import ID, Names
from local_platform.sync.types import STRING, Type, widest
from local_platform.sync.values import texts

Mask = npt.NDArray[np.bool_]
Positions = npt.NDArray[np.int64]
MESSAGES = frozenset(
    field.name for field in common.ValueType.DESCRIPTOR.fields if field.message_type is not None
)
"""The kinds of values that are messages: one that is not set is not falsy, as those of others are."""
_Values = tuple[str, bool, list[int], list[Any]]
"""A kind of value, whether it is a scalar, the records that have one, and the values."""


@dataclass(frozen=True)
class Cells:
    """A column of a chunk.

    Args:
        type: the narrowest type of all its values; None if all are NULL.
        texts: a text for each record; null where it is NULL or the record lacks it.
        carried: which records have the column.
    """

    type: Type | None
    texts: pa.Array
    carried: Mask


@dataclass(frozen=True)
class Chunk:
    """Records of one table, in the order of their arrival.

    Args:
        operations: the RecordType of each.
        arrivals: when each arrived, in milliseconds since 1970.
        columns: what they hold, by the destination's names.
    """

    operations: npt.NDArray[np.uint8]
    arrivals: Positions
    columns: dict[str, Cells]

    @property
    def bytes(self) -> int:
        """The memory that it takes."""
        cells = sum(each.texts.nbytes + each.carried.nbytes for each in self.columns.values())
        return cells + self.operations.nbytes + self.arrivals.nbytes

    def cells(self, name: str) -> Cells:
        """A column; NULL and carried by none where the chunk lacks it."""
        if name in self.columns:
            return self.columns[name]
        rows = len(self.operations)
        return Cells(None, pa.nulls(rows, pa.string()), np.zeros(rows, np.bool_))


class Gatherer:
    """Gathers records of one table.

    Args:
        names: the destination's names of its columns.
        selected: whether a column of the source is synced.
        keyless: whether a key must be made of what the records hold.
    """

    def __init__(self, names: Names, selected: Callable[[str], bool], *, keyless: bool) -> None:
        self._names = names
        self._selected = selected
        self._keyless = keyless
        self._clear()

    def __len__(self) -> int:
        return len(self._operations)

    def add(self, record: sdk.Record, arrival: int) -> None:
        """Gather a record.

        Raises:
            SourceError: if a part of it is not known.
        """
        if len(UnknownFieldSet(record)):
            raise newer("Record", record)
        row = len(self._operations)
        self._operations.append(record.type)
        self._arrivals.append(arrival)
        usual = self._usual
        data = record.data
        for name in data:
            value = data[name]
            cells = usual.get(name)
            if cells is not None:
                kind, scalar, positions, values = cells
                content = getattr(value, kind)
                if (scalar and content) or value.HasField(kind):
                    positions.append(row)
                    values.append(content)
                    continue
            kind, _, positions, values = usual[name] = self._cells_for(name, value)
            positions.append(row)
            values.append(getattr(value, kind))

    def seal(self) -> Chunk:
        """What was gathered, and begin again."""
        rows = len(self)
        kinds: dict[str, list[tuple[list[int], Type | None, pa.Array]]] = {}
        for (source, kind), (_, _, positions, values) in sorted(
            self._cells.items(), key=itemgetter(0)
        ):
            if self._selected(source):
                kind_type, array = texts(kind, values)
                kinds.setdefault(self._names[source], []).append((positions, kind_type, array))
        columns = {name: _cells(rows, parts) for name, parts in kinds.items()}
        if self._keyless:
            made = pa.array(_fingerprints(rows, kinds), pa.string())
            columns[ID] = Cells(STRING, made, np.ones(rows, np.bool_))
        chunk = Chunk(
            np.array(self._operations, np.uint8), np.array(self._arrivals, np.int64), columns
        )
        self._clear()
        return chunk

    def _cells_for(self, name: str, value: common.ValueType) -> _Values:
        kind = value.WhichOneof("inner")
        if kind is None:
            raise newer("ValueType", value)
        return self._cells.setdefault((name, kind), (kind, kind not in MESSAGES, [], []))

    def _clear(self) -> None:
        self._operations: list[int] = []
        self._arrivals: list[int] = []
        self._cells: dict[tuple[str, str], _Values] = {}
        self._usual: dict[str, _Values] = {}
        """Of each column, those of the kind that came last: to try a kind is faster than to ask."""


def newer(what: str, message: Any) -> SourceError:
    """The error for a message with a part that this protocol does not know."""
    numbers = sorted({field.field_number for field in UnknownFieldSet(message)})
    field = f"field {numbers[0]}" if numbers else "no field that is known"
    return SourceError(f"the source speaks a newer protocol ({what} {field})")


def _cells(rows: int, parts: list[tuple[list[int], Type | None, pa.Array]]) -> Cells:
    """A column of the values of each kind, put where their records are."""
    kind = widest(*(each for _, each, _ in parts))
    positions = np.concatenate([np.array(each, np.int64) for each, _, _ in parts])
    values = pa.concat_arrays([each for _, _, each in parts])
    carried = np.zeros(rows, np.bool_)
    carried[positions] = True
    if len(parts) == 1 and len(positions) == rows:
        return Cells(kind, values, carried)
    where = np.zeros(rows, np.int64)
    where[positions] = np.arange(len(positions))
    return Cells(kind, values.take(pa.array(where, mask=~carried)), carried)


def _fingerprints(
    rows: int, kinds: Mapping[str, list[tuple[list[int], Type | None, pa.Array]]]
) -> list[str]:
    """SHA-256 over name, type and value of what is not NULL, in the order of names. [C]"""
    made: list[list[str]] = [[] for _ in range(rows)]
    for name in sorted(kinds):
        for positions, kind, array in kinds[name]:
            if kind is None:
                continue
            head = f"{len(name)}:{name}{kind.kind}:"
            for row, text in zip(positions, array.to_pylist(), strict=True):
                made[row].append(f"{head}{len(text)}:{text}")
    return [hashlib.sha256("".join(each).encode()).hexdigest() for each in made]
