"""Charts as points and bars of SVG: numbers in, coordinates out; templates draw them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

WIDTH, HEIGHT = 520, 120
RUNS_WIDTH, RUNS_HEIGHT, RUN_GAP = 1000, 120, 2
KIB, MIB = 1 << 10, 1 << 20


@dataclass(frozen=True)
class Line:
    """A rate over time.

    Args:
        title: what it is the rate of.
        line: the points of the line.
        area: those of what is below it.
        top: the scale's end, as text.
        seconds: the time's end, as text.
        peak: the highest rate, as text.
    """

    title: str
    line: str
    area: str
    top: str
    seconds: str
    peak: str
    width: int = WIDTH
    height: int = HEIGHT


def rates(samples: Sequence[Sequence[float]]) -> list[Line]:
    """Rows and MiB a second.

    Args:
        samples: seconds since the start, and the records and bytes that had arrived by then.
    """
    highest = max((rate for _, rate in _rates(samples, 2, 1)), default=0.0)
    name, unit = ("KiB", KIB) if highest < MIB else ("MiB", MIB)
    return [_rate("Rows a second", samples, 1, 1), _rate(f"{name} a second", samples, 2, unit)]


def _rates(
    samples: Sequence[Sequence[float]], index: int, unit: float
) -> list[tuple[float, float]]:
    points = []
    for before, after in pairwise(samples):
        seconds = after[0] - before[0]
        if seconds > 0:
            points.append((after[0], (after[index] - before[index]) / unit / seconds))
    return points


def _rate(title: str, samples: Sequence[Sequence[float]], index: int, unit: float) -> Line:
    points = _rates(samples, index, unit)
    start = samples[0][0] if samples else 0.0
    points = [(0.0, 0.0), (start, 0.0), *points]
    end = points[-1][0] or 1.0
    top = nice(max(value for _, value in points))
    scaled = [
        f"{time / end * WIDTH:.1f},{HEIGHT - value / top * HEIGHT:.1f}" for time, value in points
    ]
    line = " ".join(scaled)
    area = f"0,{HEIGHT} {line} {WIDTH},{HEIGHT}"
    peak = max(value for _, value in points)
    return Line(title, line, area, number(top), f"{end:.0f} s", number(peak))


@dataclass(frozen=True)
class Bar:
    """A run.

    Args:
        run: the run.
        x, y, width, height: where it is drawn.
    """

    run: Any
    x: float
    y: float
    width: float
    height: float


def durations(runs: Sequence[Any]) -> tuple[list[Bar], str]:
    """Bars of how long runs took, the oldest first, and the scale's end."""
    if not runs:
        return [], ""
    top = nice(max(run.seconds for run in runs))
    step = min(RUNS_WIDTH / len(runs), 40)
    bars = []
    for place, run in enumerate(reversed(runs)):
        height = max(run.seconds / top * RUNS_HEIGHT, 2)
        bars.append(Bar(run, place * step, RUNS_HEIGHT - height, step - RUN_GAP, height))
    return bars, duration(top)


def nice(value: float) -> float:
    """The next round number that is no less: 1, 2 or 5 times a power of ten."""
    if value <= 0:
        return 1.0
    power = 10.0 ** math.floor(math.log10(value))
    return next(step * power for step in (1, 2, 5, 10) if step * power >= value * 0.999)


def number(value: float) -> str:
    """A number for people."""
    if value >= 100 or value == int(value):  # noqa: PLR2004 - three digits say enough
        return f"{value:,.0f}"
    return f"{value:.1f}"


def duration(seconds: float) -> str:
    """A time for people."""
    if seconds < 60:  # noqa: PLR2004
        return f"{seconds:.1f} s" if seconds < 10 else f"{seconds:.0f} s"  # noqa: PLR2004
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"  # noqa: PLR2004
