"""A window of a table in history mode: each record is a version of its row, none is collapsed.

A version starts when its record arrived, at least 1 ms after what happened to its key before. It ends
1 ms before the next one starts, or when its row is deleted. Where a row is deleted and comes again in
one window, the earliest start is 1 ms after the deletion, since deletions come last in a request.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from destination_tester.stored import ACTIVE, END, OPEN_END, START
from local_platform.sync.records import Mask, Positions
from local_platform.sync.types import Type
from local_platform.sync.window import DELETE, NOWHERE, UPDATE, UPSERT, Rows, Window, key_codes

OPEN = int(OPEN_END.timestamp() * 1000)


@dataclass(frozen=True)
class Versions:
    """What a window does to a table in history mode, and the last instant at which."""

    earliest: Rows
    replace: Rows
    update: Rows
    delete: Rows
    latest: int


def versions(
    window: Window, table: str, types: Mapping[str, Type], key: Sequence[str], after: int
) -> Versions:
    """The versions of a window.

    Args:
        window: the records.
        table: the table's name, for errors.
        types: its columns.
        key: those that are the key of a row, without the start.
        after: the last instant that was given out before, in milliseconds since 1970.
    """
    codes, count = key_codes(window, table, {name: types[name] for name in key})
    order = np.argsort(codes, kind="stable")
    operations, grouped = window.operations()[order], codes[order]
    times = _ascending(np.maximum(window.arrivals()[order], after + 1), grouped)
    gone = operations == DELETE
    first = np.ones(len(grouped), np.bool_)
    first[1:] = grouped[1:] != grouped[:-1]
    ends, active = _ends(times, gone, first)
    begins = first & _has_version(grouped, count, ~gone)
    replaces, partial = operations == UPSERT, operations == UPDATE
    ended = first & gone & ~begins
    chosen = (begins, replaces, partial, ended)
    earliest, replace, update, delete = (Rows(int(each.sum())) for each in chosen)
    for name, kind in types.items():
        texts = window.texts(name, kind).combine_chunks()
        carried = window.carried(name)[order]
        window.release(name)
        replace.add(name, texts, order[replaces])
        update.add(name, texts, np.where(carried, order, NOWHERE)[partial])
        if name in key:
            earliest.add(name, texts, order[begins])
            delete.add(name, texts, order[ended])
    for rows, which in ((replace, replaces), (update, partial)):
        rows.add(START, instants(times[which]))
        rows.add(END, instants(ends[which]))
        rows.add(ACTIVE, pa.array(active[which]).cast(pa.string()))
    earliest.add(START, instants(np.where(gone, times + 1, times)[begins]))
    delete.add(END, instants(times[ended]))
    return Versions(earliest, replace, update, delete, latest=int(times.max()))


def instants(milliseconds: Positions) -> pa.Array:
    """Instants in the notation of UTC_DATETIME."""
    written = np.datetime_as_string(milliseconds.astype("datetime64[ms]"), timezone="UTC")
    return pa.array(written.tolist(), pa.string())


def _ascending(times: Positions, grouped: Positions) -> Positions:
    """Times moved so far that each is at least 1 ms after the one before it of the same group."""
    steps = np.arange(len(times))
    apart = (times.max() - times.min() + len(times) + 1) * grouped
    moved = np.maximum.accumulate(times - steps + apart)
    return moved - apart + steps


def _ends(times: Positions, gone: Mask, first: Mask) -> tuple[Positions, Mask]:
    """When each version ends, and whether it still is active."""
    ends = np.full(len(times), OPEN, np.int64)
    follows = np.zeros(len(times), np.bool_)
    follows[:-1] = ~first[1:]
    ends[:-1] = np.where(follows[:-1], times[1:] - ~gone[1:], OPEN)
    return ends, ~follows


def _has_version(grouped: Positions, count: int, version: Mask) -> Mask:
    """For each record, whether its key has a version in the window."""
    return (np.bincount(grouped, weights=version, minlength=count) > 0)[grouped]
