"""Two ways to do the same, timed by turns, since the machines are shared."""

from __future__ import annotations

import statistics
from collections.abc import Callable
from dataclasses import dataclass, field

from benchmarks.sides import Sides

MILLISECONDS = 1000


@dataclass
class Taken:
    """What one server took: seconds of each call, and of processor time for all of them."""

    seconds: list[float] = field(default_factory=list)
    processor: float = 0


def by_turns(
    first: Sides, second: Sides, measure: Callable[[Sides], float], times: int
) -> tuple[Taken, Taken]:
    """Measure on both, one after the other, as often as told."""
    taken = (Taken(), Taken())
    for turn in range(times):
        pair = ((first, taken[0]), (second, taken[1]))
        for side, told in pair if turn % 2 else reversed(pair):
            before = side.processor_seconds()
            told.seconds.append(measure(side))
            told.processor += side.processor_seconds() - before
    return taken


def show(what: str, first: Taken, second: Taken) -> None:
    """Print what both took: the median, the least, the processor time of a call."""
    pairs = zip(first.seconds, second.seconds, strict=True)
    difference = statistics.median(b - a for a, b in pairs)
    unit, factor = ("ms", MILLISECONDS) if statistics.median(first.seconds) < 1 else ("s", 1)
    figures = {
        "median": (statistics.median(first.seconds), statistics.median(second.seconds)),
        "least": (min(first.seconds), min(second.seconds)),
        "processor": (first.processor / len(first.seconds), second.processor / len(second.seconds)),
    }
    told = ", ".join(
        f"{name} {a * factor:.3f} -> {b * factor:.3f}" for name, (a, b) in figures.items()
    )
    print(f"{what}, {unit}: {told}, median difference {difference * factor:+.3f}")
