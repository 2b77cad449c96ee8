"""A window: records of one table that wait to be sent, collapsed so that each key is there once.

    arriving    nothing pending              upsert pending           update or delete pending
    UPSERT      replace, the rest NULL       replaces                 replaces
    UPDATE      update, the rest unmodified  merges                   merges
    DELETE      update: key, deleted         same row, deleted        deleted

Of each column, the last record that says something about it counts, and an UPSERT says something about
every column: so the rule holds for whole columns at once.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from destination.sdk import common_pb2 as common
from local_platform.sync.errors import SourceError
from local_platform.sync.records import Chunk, Mask, Positions
from local_platform.sync.types import Type, widest
from local_platform.sync.values import comparable, widened

UPSERT, UPDATE, DELETE = common.UPSERT, common.UPDATE, common.DELETE
NOWHERE = -1


@dataclass
class Rows:
    """Rows for the files of one kind.

    Args:
        columns: the texts of each column; null is NULL.
        modified: which rows have a value of a column, where not all do.
    """

    columns: dict[str, pa.Array | pa.ChunkedArray]
    modified: dict[str, Mask] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(next(iter(self.columns.values()), ()))

    def select(self, rows: Mask) -> Rows:
        """Some of the rows."""
        if rows.all():
            return self
        chosen = pa.array(np.flatnonzero(rows))
        return Rows(
            {name: each.take(chosen) for name, each in self.columns.items()},
            {name: each[rows] for name, each in self.modified.items()},
        )


@dataclass
class Window:
    """Chunks of one table."""

    chunks: list[Chunk] = field(default_factory=list)
    bytes: int = 0

    def __len__(self) -> int:
        return sum(len(each.operations) for each in self.chunks)

    def add(self, chunk: Chunk) -> None:
        """Take a chunk that arrived after those that are there."""
        self.chunks.append(chunk)
        self.bytes += chunk.bytes

    def types(self) -> dict[str, Type | None]:
        """The narrowest type of each column that arrived."""
        found: dict[str, Type | None] = {}
        for chunk in self.chunks:
            for name, cells in chunk.columns.items():
                found[name] = widest(found.get(name), cells.type)
        return found

    def operations(self) -> Positions:
        """The RecordType of each record."""
        return np.concatenate([each.operations for each in self.chunks])

    def arrivals(self) -> Positions:
        """When each record arrived, in milliseconds since 1970."""
        return np.concatenate([each.arrivals for each in self.chunks])

    def texts(self, name: str, kind: Type) -> pa.ChunkedArray:
        """The texts of a column in the notation of a type."""
        arrays = [
            widened(chunk.columns[name].texts, kind)
            if name in chunk.columns
            else pa.nulls(len(chunk.operations), pa.string())
            for chunk in self.chunks
        ]
        return pa.chunked_array(arrays, pa.string())

    def carried(self, name: str) -> Mask:
        """Which records have a column."""
        masks = [
            chunk.columns[name].carried
            if name in chunk.columns
            else np.zeros(len(chunk.operations), np.bool_)
            for chunk in self.chunks
        ]
        return np.concatenate(masks)


def key_codes(window: Window, table: str, key: Mapping[str, Type]) -> tuple[Positions, int]:
    """A number for each record, the same for those of the same key, and how many there are.

    Raises:
        SourceError: if a part of a key is missing or NULL.
    """
    codes: Positions = np.zeros(len(window), np.int64)
    count = 1
    for name, kind in key.items():
        array = window.texts(name, kind).combine_chunks()
        if array.null_count:
            raise SourceError(
                f"{table}: {array.null_count} of {len(array)} records have no value of the key"
                f" column {name}: mend the source, or its schema's key"
            )
        encoded = comparable(array, kind).dictionary_encode()
        codes = codes * len(encoded.dictionary) + encoded.indices.to_numpy()
        recoded = pa.array(codes).dictionary_encode()
        codes, count = recoded.indices.to_numpy().astype(np.int64), len(recoded.dictionary)
    return codes, count


@dataclass(frozen=True)
class Collapsed:
    """A window with each key once.

    Args:
        replace: whole rows.
        update: rows of which only some columns are modified.
        delete: keys of rows to delete.
    """

    replace: Rows
    update: Rows
    delete: Rows


def collapse(
    window: Window,
    table: str,
    types: Mapping[str, Type],
    key: Sequence[str],
    *,
    deleted: str,
    hard: bool,
) -> Collapsed:
    """Collapse a window.

    Args:
        window: the records.
        table: the table's name, for errors.
        types: its columns; those that the window lacks are NULL in whole rows.
        key: those that are the key.
        deleted: the column that marks rows as deleted.
        hard: whether to delete rows instead of marking them.
    """
    operations = window.operations()
    codes, count = key_codes(window, table, {name: types[name] for name in key})
    last = _last(codes, count, np.ones(len(codes), np.bool_))
    resets = operations == UPSERT
    if hard:
        resets |= operations == DELETE
    reset = _last(codes, count, resets)
    kinds = np.where(reset == NOWHERE, UPDATE, operations[reset])
    ends = kinds == DELETE
    marked = (operations[last] == DELETE) & ~ends
    rows = Rows({})
    straight = count == len(codes) and (operations == UPSERT).all()
    for name, kind in types.items():
        array = window.texts(name, kind)
        if straight:
            rows.columns[name] = array
            continue
        says = window.carried(name) & (operations != DELETE) | (operations == UPSERT)
        where = last if name in key else _last(codes, count, says)
        there = where != NOWHERE
        rows.columns[name] = array.combine_chunks().take(pa.array(where, mask=~there))
        if not there.all():
            rows.modified[name] = there
    rows.columns[deleted] = pc.cast(pa.array(marked), pa.string())
    delete = Rows({name: rows.columns[name] for name in key})
    return Collapsed(
        replace=rows.select(kinds == UPSERT),
        update=rows.select(kinds == UPDATE),
        delete=delete.select(ends),
    )


def _last(codes: Positions, count: int, where: Mask) -> Positions:
    """The last record of each key among some, NOWHERE if there is none."""
    found = np.full(count, NOWHERE, np.int64)
    positions = np.flatnonzero(where)
    found[codes[positions]] = positions  # of several for one key, numpy keeps the last
    return found
