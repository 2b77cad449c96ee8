"""What happened during a soak, and whether that is as it must be."""

from __future__ import annotations

import statistics
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

from destination import __version__
from destination.warehouse.postgres.database import POOL_SIZE

SCHEMA = "soak"
SEED = 20_260_401
GROWTH = 1.2
"""How much more memory the last third of the time may take than the first."""


@dataclass
class Tally:
    """What happened."""

    faults: Counter[str] = field(default_factory=Counter)
    calls: Counter[str] = field(default_factory=Counter)
    defects: list[str] = field(default_factory=list)
    rows: int = 0
    megabytes: list[float] = field(default_factory=list)
    threads: list[int] = field(default_factory=list)
    connections: list[int] = field(default_factory=list)


def thirds(samples: Sequence[float]) -> tuple[float, float]:
    """The median of the first third of samples, the warm-up aside, and that of the last."""
    warm = samples[len(samples) // 10 :]
    size = len(warm) // 3
    return statistics.median(warm[:size]), statistics.median(warm[-size:])


def judged(tally: Tally, wrong: list[str]) -> list[str]:
    """What is not as it must be."""
    first, last = thirds(tally.megabytes)
    wrong = [*wrong, *tally.defects]
    if last > first * GROWTH:
        wrong.append(f"memory grew from {first:.0f} to {last:.0f} MiB")
    first, last = thirds(tally.threads)
    if last > first * GROWTH:
        wrong.append(f"threads grew from {first:.0f} to {last:.0f}")
    _, last = thirds(tally.connections)  # a server may keep sessions whose line was cut for seconds
    if last > POOL_SIZE:
        wrong.append(f"{last:.0f} connections at once")
    return wrong


def report(seconds: float, tally: Tally, wrong: list[str]) -> str:
    """The figures as Markdown."""
    first, last = thirds(tally.megabytes)
    lines = [
        "# Soak",
        "",
        f"`make soak`: {seconds:.0f} s of mixed calls under random faults, version {__version__}.",
        f"{len(wrong)} things are wrong in the end.",
        "",
        "| | |",
        "|---|---|",
        f"| rows sent in requests that succeeded | {tally.rows:,} |",
        f"| calls answered | {sum(tally.calls.values()):,} |",
        f"| faults | {sum(tally.faults.values()):,} |",
        f"| memory, first and last third of the time | {first:.0f} and {last:.0f} MiB |",
        f"| most memory | {max(tally.megabytes):.0f} MiB |",
        f"| most threads, most connections | {max(tally.threads)}, {max(tally.connections)} |",
        "",
        "| fault | times |",
        "|---|---|",
        *(f"| {name} | {count} |" for name, count in sorted(tally.faults.items())),
        "",
        "| call: answer | times |",
        "|---|---|",
        *(f"| {name} | {count} |" for name, count in sorted(tally.calls.items())),
    ]
    return "\n".join([*lines, ""])
