"""Runs the benchmarks: all groups, or those named as arguments."""

from __future__ import annotations

import sys

from benchmarks import report
from benchmarks.cases import GROUPS, history_plan
from benchmarks.sides import sides


def main(names: list[str]) -> None:
    """Run groups of benchmarks, print and write what they find."""
    unknown = [name for name in names if name not in GROUPS]
    if unknown:
        raise SystemExit(f"no such group: {', '.join(unknown)}; there are {', '.join(GROUPS)}")
    print(report.machine())
    for name in names or GROUPS:
        results, notes = [], []
        with sides() as both:
            for result in GROUPS[name](both):
                report.show(result)
                results.append(result)
            if name == "history":
                notes.append(history_plan(both))
                print(notes[-1])
        report.write(results, notes, name)


if __name__ == "__main__":
    main(sys.argv[1:])
