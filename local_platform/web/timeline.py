"""The versions of a record over time, as bars of SVG."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import pairwise

from local_platform.api.store import now

WIDTH, ROW = 1000, 28
LEAST = 3
"""The least width of a bar: a version that lasted a moment is seen too."""

Row = Mapping[str, str | None]


@dataclass(frozen=True)
class Span:
    """A version.

    Args:
        x, width: where it is drawn.
        y: its line.
        label: from when to when, as text.
        current: whether it still holds.
    """

    x: float
    width: float
    y: int
    label: str
    current: bool


@dataclass(frozen=True)
class Version:
    """A version's values, and which of them are new in it."""

    values: Row
    changed: frozenset[str]


def spans(versions: Sequence[Row], start: str, end: str) -> list[Span]:
    """Where versions lie between the first one's start and now."""
    present = now()
    times = [(_time(row[start], present), _time(row[end], present)) for row in versions]
    if not times:
        return []
    first = min(begin for begin, _ in times)
    whole = max((present - first).total_seconds(), 0.001)
    found = []
    for number, (begin, until) in enumerate(times):
        x = (begin - first).total_seconds() / whole * WIDTH
        width = (min(until, present) - begin).total_seconds() / whole * WIDTH
        x = min(max(x, 0.0), WIDTH - LEAST)
        current = until >= present
        label = f"{begin:%Y-%m-%d %H:%M:%S} to {'now' if current else f'{until:%Y-%m-%d %H:%M:%S}'}"
        shown = min(max(width, LEAST), WIDTH - x)
        found.append(Span(round(x, 1), round(shown, 1), number * ROW, label, current))
    return found


def changes(versions: Sequence[Row], aside: set[str]) -> list[Version]:
    """Versions with what is new in each, but for some columns that are always."""
    found = []
    for before, row in pairwise([*versions[:1], *versions]):  # nothing is new in the first
        new = {name for name in row if name not in aside and before[name] != row[name]}
        found.append(Version(row, frozenset(new)))
    return found


def _time(text: str | None, present: datetime) -> datetime:
    """An instant of PostgreSQL's; the end of time, which Python may not hold, is the present."""
    try:
        moment = datetime.fromisoformat(text or "")
    except ValueError:
        return present
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
