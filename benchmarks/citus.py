"""Loads into a distributed table of a Citus cluster, beside psql or a table on the coordinator."""

from __future__ import annotations

from collections.abc import Iterator

from benchmarks.cases import MILLION, Case, by_turns, load_of
from benchmarks.data import COMMON
from benchmarks.report import Result
from benchmarks.sides import SCHEMA, Sides

TIMES = 3


def citus(sides: Sides) -> Iterator[Result]:
    """A first load, and batches into a filled table; each way by turns."""
    first = load_of(sides, COMMON, range(MILLION), "first")
    sides.create(COMMON)
    _require_distributed(sides)
    yield by_turns(sides, "first load, distributed", first, TIMES)
    for what, ids in (
        ("half existing", range(MILLION // 2, MILLION * 3 // 2)),
        ("1 % of 1,000,000", range(0, MILLION, 100)),
        ("1,000 rows", range(0, MILLION, 1000)),
    ):
        batch = load_of(sides, COMMON, ids, "batch")
        yield by_turns(sides, f"upsert, distributed, {what}", batch, TIMES, first)
    sides.drop(COMMON.name)


def growth(sides: Sides) -> Iterator[Result]:
    """10,000,000 rows and small batches into them, beside the same on the coordinator alone."""
    loads = [
        load_of(sides, COMMON, range(first, first + MILLION), f"growth-{first}")
        for first in range(0, 10 * MILLION, MILLION)
    ]
    hundredth = load_of(sides, COMMON, range(0, 10 * MILLION, 100), "hundredth")
    small = load_of(sides, COMMON, range(0, 10 * MILLION, 10_000), "small")
    batches = {
        "first load of 10,000,000": loads,
        "upsert of 1 % of 10,000,000": [hundredth],
        "1,000 rows into 10,000,000": [small],
    }
    seconds: dict[str, list[float]] = {case: [] for case in batches}
    for alone in (True, False):
        sides.create(COMMON)
        _require_distributed(sides)
        if alone:
            sides.connection.execute(
                "SELECT undistribute_table(%s::regclass)", [f"{SCHEMA}.{COMMON.name}"]
            )
        for case, files in batches.items():
            sides.settle()
            seconds[case].append(sides.write(*files))
            if files is loads:
                sides.connection.execute(f"VACUUM ANALYZE {SCHEMA}.{COMMON.name}")
    for case, files in batches.items():
        local, distributed = seconds[case]
        rows = sum(each.rows for each in files)
        megabytes = sum(each.megabytes for each in files)
        yield Result(case, rows, megabytes, distributed, "the coordinator alone", local)
    sides.drop(COMMON.name)


def _require_distributed(sides: Sides) -> None:
    found = sides.connection.execute(
        "SELECT count(*) FROM pg_dist_partition WHERE logicalrelid = %s::regclass",
        [f"{SCHEMA}.{COMMON.name}"],
    ).fetchone()
    if found != (1,):
        raise SystemExit("the connector's table is not distributed: has the cluster workers?")


GROUP: dict[str, Case] = {"citus": citus, "citus_growth": growth}
