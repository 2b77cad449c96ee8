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

from destination.sdk import common_pb2 as common
from local_platform.sync.errors import SourceError
from local_platform.sync.records import Chunk, Mask, Positions
from local_platform.sync.types import Type, widest
from local_platform.sync.values import comparable, widened

UPSERT, UPDATE, DELETE = common.UPSERT, common.UPDATE, common.DELETE
NOWHERE = -1


@dataclass
class Rows:
    """Rows for the files of one kind: for each column, where in an array the text of each row is.

    They are put together piece by piece while they are written, so that they are never there twice.

    Args:
        count: how many there are.
    """

    count: int
    _columns: dict[str, tuple[pa.Array | pa.ChunkedArray, Positions | None]] = field(
        default_factory=dict
    )

    def __len__(self) -> int:
        return self.count

    def add(
        self, name: str, texts: pa.Array | pa.ChunkedArray, where: Positions | None = None
    ) -> None:
        """Add a column.

        Args:
            name: its name.
            texts: its texts; null is NULL.
            where: the text of each row, NOWHERE if it is unmodified; without it, one after the other.
        """
        self._columns[name] = (texts, where)

    def partial(self) -> dict[str, bool]:
        """The columns, and whether some rows leave them unmodified."""
        return {
            name: where is not None and bool((where == NOWHERE).any())
            for name, (_, where) in self._columns.items()
        }

    def piece(self, name: str, first: int, count: int) -> tuple[pa.Array, Mask]:
        """The texts of a column in some rows, and in which of them it is modified."""
        texts, where = self._columns[name]
        if where is None:
            piece = texts.slice(first, count)
            if isinstance(piece, pa.ChunkedArray):
                piece = piece.combine_chunks()
            return piece, np.ones(len(piece), np.bool_)
        there = where[first : first + count]
        return texts.take(pa.array(there, mask=there == NOWHERE)), there != NOWHERE

    def release(self) -> None:
        """Give the memory back: they were written."""
        self._columns.clear()


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
        arrays = [widened(chunk.cells(name).texts, kind) for chunk in self.chunks]
        return pa.chunked_array(arrays, pa.string())

    def release(self, name: str) -> None:
        """Give a column's memory back: it was taken."""
        for chunk in self.chunks:
            chunk.columns.pop(name, None)

    def carried(self, name: str) -> Mask:
        """Which records have a column."""
        return np.concatenate([chunk.cells(name).carried for chunk in self.chunks])


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
    marked = (operations[last] == DELETE) & (kinds != DELETE)
    chosen = [kinds == UPSERT, kinds == UPDATE, kinds == DELETE]
    replace, update, delete = (Rows(int(each.sum())) for each in chosen)
    straight = count == len(codes) and (operations == UPSERT).all()
    for name, kind in types.items():
        texts = window.texts(name, kind)
        if straight:
            replace.add(name, texts)
        else:
            says = window.carried(name) & (operations != DELETE) | (operations == UPSERT)
            where = last if name in key else _last(codes, count, says)
            texts = texts.combine_chunks()
            replace.add(name, texts, where[chosen[0]])
            update.add(name, texts, where[chosen[1]])
            if name in key:
                delete.add(name, texts, where[chosen[2]])
        window.release(name)
    for rows, which in zip((replace, update), chosen, strict=False):
        rows.add(deleted, pa.array(marked[which]).cast(pa.string()))
    return Collapsed(replace, update, delete)


def _last(codes: Positions, count: int, where: Mask) -> Positions:
    """The last record of each key among some, NOWHERE if there is none."""
    found = np.full(count, NOWHERE, np.int64)
    positions = np.flatnonzero(where)
    found[codes[positions]] = positions  # of several for one key, numpy keeps the last
    return found
