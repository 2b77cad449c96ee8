"""Runs the benchmarks: all groups, or those named as arguments."""

from __future__ import annotations

import os
import sys

from benchmarks import report
from benchmarks.cases import GROUPS, Case, history_plan
from benchmarks.citus import GROUP as ON_A_CLUSTER
from benchmarks.peers import peers
from benchmarks.sides import at, sides
from benchmarks.sync import sync

FURTHER: dict[str, Case] = {"peers": peers, "sync": sync, **ON_A_CLUSTER}
"""Run only if named."""
CLUSTER = "BENCH_CITUS_URL"


def cluster_url() -> str:
    """The URL of a cluster's coordinator, in which the group makes a schema."""
    if CLUSTER not in os.environ:
        raise SystemExit(f"{CLUSTER} is not set: name the coordinator of a Citus cluster by a URL")
    return os.environ[CLUSTER]


def main(names: list[str]) -> None:
    """Run groups of benchmarks, print and write what they find."""
    groups = {**GROUPS, **FURTHER}
    if unknown := [name for name in names if name not in groups]:
        raise SystemExit(f"no such group: {', '.join(unknown)}; there are {', '.join(groups)}")
    print(report.machine())
    for name in names or GROUPS:
        results, notes = [], []
        with at(cluster_url()) if name in ON_A_CLUSTER else sides() as both:
            for result in groups[name](both):
                report.show(result)
                results.append(result)
            if name == "history":
                notes.append(history_plan(both))
                print(notes[-1])
        report.write(results, notes, name)


if __name__ == "__main__":
    main(sys.argv[1:])
