"""What the benchmarks found: printed, as Markdown, as a chart."""

from __future__ import annotations

import os
import platform
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

RESULTS = Path(__file__).parent / "results"
HEADER = ("case", "rows", "MB", "ours, s", "other", "other, s", "ratio", "peak, MiB")


@dataclass(frozen=True)
class Result:
    """One case.

    Args:
        case: what was done.
        rows: how many rows it was about.
        megabytes: their plaintext's size.
        ours: seconds that the connector took.
        other: what it is compared with; empty for nothing.
        others: seconds that took; None for nothing.
        peak_mib: the most memory that the connector's server held.
    """

    case: str
    rows: int
    megabytes: float
    ours: float
    other: str = ""
    others: float | None = None
    peak_mib: float | None = None

    @property
    def ratio(self) -> float | None:
        """The connector's time by the other's."""
        return None if self.others is None else self.ours / self.others

    def cells(self) -> tuple[str, ...]:
        """The case as a line of the table."""
        return (
            self.case,
            f"{self.rows:,}",
            f"{self.megabytes:.0f}",
            f"{self.ours:.3g}",
            self.other,
            "" if self.others is None else f"{self.others:.3g}",
            "" if self.ratio is None else f"{self.ratio:.2f}",
            "" if self.peak_mib is None else f"{self.peak_mib:.0f}",
        )


def show(result: Result) -> None:
    """Print one case as soon as it is known."""
    widths = (44, 12, 6, 8, 22, 9, 6, 9)
    cells = result.cells()
    aligned = [
        cell.ljust(width) if i in (0, 4) else cell.rjust(width)
        for i, (cell, width) in enumerate(zip(cells, widths, strict=True))
    ]
    print("  ".join(aligned), flush=True)


def write(results: Sequence[Result], notes: Sequence[str], group: str) -> None:
    """Write the table and the chart of a run into `results/`."""
    RESULTS.mkdir(exist_ok=True)
    lines = [
        f"# {group}, {datetime.now(UTC):%Y-%m-%d}",
        "",
        machine(),
        "",
        "| " + " | ".join(HEADER) + " |",
        "|---|" + "---:|" * 3 + "---|" + "---:|" * 3,
        *("| " + " | ".join(result.cells()) + " |" for result in results),
    ]
    for note in notes:
        lines += ["", "```", note, "```"]
    (RESULTS / f"{group}.md").write_text("\n".join(lines) + "\n")
    _chart([result for result in results if result.ratio is not None], group)


def machine() -> str:
    """The machine that a run was made on."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return (
        f"{os.cpu_count()} cores, {memory:.0f} GiB, {platform.system()} {platform.machine()}, "
        f"Python {platform.python_version()}; the machine is shared, so look at ratios."
    )


def _chart(results: Sequence[Result], group: str) -> None:
    if not results:
        return
    import matplotlib as mpl  # noqa: PLC0415

    mpl.use("Agg")
    from matplotlib import pyplot as plt  # noqa: PLC0415

    figure, axes = plt.subplots(figsize=(9, 0.5 * len(results) + 1.2))
    ratios = [result.ratio or 0.0 for result in results]
    bars = axes.barh([f"{r.case}\nby {r.other}" for r in results], ratios, color="#3366aa")
    axes.bar_label(bars, labels=[f"{ratio:.2f}" for ratio in ratios], padding=3)
    axes.axvline(1, color="#999999", linewidth=1)
    axes.invert_yaxis()
    axes.set_xlabel("time of the connector by time of the other (less is better)")
    axes.spines[["top", "right"]].set_visible(False)
    figure.tight_layout()
    figure.savefig(RESULTS / f"{group}.png", dpi=110)
    plt.close(figure)
