"""Loads into a distributed table of a Citus cluster, beside psql on the same coordinator."""

from __future__ import annotations

from collections.abc import Iterator

from benchmarks.cases import MILLION, Case
from benchmarks.data import COMMON, Generator, Load, write
from benchmarks.report import Result
from benchmarks.sides import SCHEMA, Sides

TIMES = 3


def citus(sides: Sides) -> Iterator[Result]:
    """A first load, and batches into a filled table; each way by turns."""
    first = _load(sides, range(MILLION), "first")
    seconds: dict[str, list[float]] = {"psql": [], "ours": []}
    for _ in range(TIMES):
        for side, measure in (("psql", sides.copy_by_psql), ("ours", sides.write_one)):
            sides.create(COMMON)
            _require_distributed(sides)
            seconds[side].append(measure(first))
    yield _result(
        sides, "first load, distributed", MILLION, first.megabytes, seconds, "psql \\copy"
    )
    for what, ids in (
        ("half existing", range(MILLION // 2, MILLION * 3 // 2)),
        ("1 % of 1,000,000", range(0, MILLION, 100)),
        ("1,000 rows", range(0, MILLION, 1000)),
    ):
        batch = _load(sides, ids, "batch")
        seconds = {"psql": [], "ours": []}
        for _ in range(TIMES):
            for side, measure in (("psql", sides.upsert_by_psql), ("ours", sides.write_one)):
                sides.create(COMMON)
                sides.fill(first)
                seconds[side].append(measure(batch))
        yield _result(
            sides,
            f"upsert, distributed, {what}",
            len(ids),
            batch.megabytes,
            seconds,
            "psql, ON CONFLICT",
        )
    sides.drop(COMMON.name)


def _load(sides: Sides, ids: range, name: str) -> Load:
    return write(sides.files, COMMON, Generator(ids.start + 1).rows(COMMON, ids), name)


def _result(
    sides: Sides,
    case: str,
    rows: int,
    megabytes: float,
    seconds: dict[str, list[float]],
    other: str,
) -> Result:
    ours, psql = min(seconds["ours"]), min(seconds["psql"])
    return Result(case, rows, megabytes, ours, other, psql, sides.peak_mib())


def _require_distributed(sides: Sides) -> None:
    found = sides.connection.execute(
        "SELECT count(*) FROM pg_dist_partition WHERE logicalrelid = %s::regclass",
        [f"{SCHEMA}.{COMMON.name}"],
    ).fetchone()
    if found != (1,):
        raise SystemExit("the connector's table is not distributed: has the cluster workers?")


GROUP: dict[str, Case] = {"citus": citus}
