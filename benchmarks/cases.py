"""The cases, in groups: each yields results as it finds them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial

import pyarrow as pa
from psycopg import sql

from benchmarks.data import (
    COMMON,
    KEY,
    NARROW,
    TEXT_KEY,
    VERSION,
    WIDE,
    Generator,
    Load,
    column,
    unmodified,
    versions,
    write,
)
from benchmarks.report import Result
from benchmarks.sides import SCHEMA, Sides, seconds, timed
from benchmarks.small import small, table_of
from destination.sdk import common_pb2 as common
from destination.sdk import destination_sdk_pb2 as sdk
from destination_tester.stored import START

MILLION = 1_000_000
WIDTHS, BATCHES = 50, 1_000
NARROW_KINDS = (common.INT, common.BOOLEAN, common.NAIVE_DATE, common.DOUBLE)
"""Of 1,000 such values, PostgreSQL can store a row."""
REPEATS = 3

Case = Callable[[Sides], Iterator[Result]]


def load_of(sides: Sides, table: common.Table, ids: range, name: str) -> Load:
    """Rows with these keys, always the same."""
    return write(sides.files, table, Generator(ids.start + 1).rows(table, ids), name)


def by_turns(sides: Sides, case: str, load: Load, times: int, base: Load | None = None) -> Result:
    """Load into an empty table, or one that holds a base; the best of psql and of the connector."""
    other, by_psql = "psql \\copy", sides.copy_by_psql
    if base is not None:
        other, by_psql = "psql, ON CONFLICT", sides.upsert_by_psql
    others, own, peaks = list[float](), list[float](), list[float]()
    for _ in range(times):
        for measure, taken in ((by_psql, others), (sides.write, own)):
            sides.create(load.table)
            if base is not None:
                sides.fill(base)
            taken.append(measure(load))
        peaks.append(sides.peak_mib())
    return Result(case, load.rows, load.megabytes, min(own), other, min(others), max(peaks))


def _best(measure: Callable[[], float]) -> float:
    return min(measure() for _ in range(REPEATS))


def _into_empty(sides: Sides, load: Load, measure: Callable[[Load], float]) -> float:
    sides.create(load.table)
    return measure(load)


def first_load(sides: Sides) -> Iterator[Result]:
    """An empty table, as in every initial sync, beside psql's \\copy of the plaintext."""
    for table, rows in (
        (COMMON, MILLION),
        (NARROW, 2 * MILLION),
        (TEXT_KEY, MILLION),
        (WIDE, 50_000),
    ):
        load = load_of(sides, table, range(rows), f"first-{table.name}")
        others = _best(partial(_into_empty, sides, load, sides.copy_by_psql))
        own = _best(partial(_into_empty, sides, load, sides.write))
        case = f"first load, {table.name}"
        yield Result(case, rows, load.megabytes, own, "psql \\copy", others, sides.peak_mib())


def upsert(sides: Sides) -> Iterator[Result]:
    """A filled table, beside psql's \\copy into a temporary table and ON CONFLICT."""
    cases = [
        ("all rows new", COMMON, MILLION, range(MILLION, 2 * MILLION)),
        ("all rows existing", COMMON, MILLION, range(MILLION)),
        ("10 % existing", COMMON, MILLION, range(MILLION * 9 // 10, MILLION * 19 // 10)),
        ("1 % of 5,000,000", COMMON, 5 * MILLION, range(0, 5 * MILLION, 100)),
        ("wide rows, half existing", WIDE, 50_000, range(25_000, 75_000)),
        ("narrow rows, half existing", NARROW, MILLION, range(MILLION // 2, MILLION * 3 // 2)),
        ("random text keys, half existing", TEXT_KEY, MILLION, range(MILLION // 2, MILLION * 3 // 2)),
    ]  # fmt: skip
    for what, table, filled, ids in cases:
        base = load_of(sides, table, range(filled), "base")
        load = load_of(sides, table, ids, "batch")
        result = by_turns(sides, f"upsert, {what}", load, 2, base)
        sides.drop(table.name)
        yield result


def several(sides: Sides) -> Iterator[Result]:
    """Several files in one request, and two tables at once."""
    loads = [
        load_of(sides, COMMON, range(i * MILLION, (i + 1) * MILLION), f"part-{i}") for i in range(4)
    ]
    megabytes = loads[0].megabytes
    sides.create(COMMON)
    one = sides.write(loads[0])
    for count in (2, 4):
        sides.create(COMMON)
        own = sides.write(*loads[:count])
        yield Result(
            f"{count} files in one request", count * MILLION, count * megabytes, own,
            f"{count} times one file", count * one, sides.peak_mib(),
        )  # fmt: skip
    requests = []
    for load, name in zip(loads, ("first", "second"), strict=False):
        sides.create(COMMON, name)
        requests.append(sides.request(load, name=name))
    sides.settle()
    with ThreadPoolExecutor() as pool:
        own = seconds(lambda: list(pool.map(sides.stub.WriteBatch, requests)))
    yield Result(
        "two tables at once", 2 * MILLION, 2 * megabytes, own,
        "one after the other", 2 * one, sides.peak_mib(),
    )  # fmt: skip


def growth(sides: Sides) -> Iterator[Result]:
    """First loads of 10,000 to 10,000,000 rows, and a small batch into a large table."""
    for rows in (10_000, 100_000, MILLION, 10 * MILLION):
        size = min(rows, MILLION)
        sides.create(COMMON)
        loads = [
            load_of(sides, COMMON, range(first, first + size), f"growth-{first}")
            for first in range(0, rows, size)
        ]
        own = sides.write(*loads)
        case = f"first load, {own / rows * 1e6:.2f} µs a row"
        megabytes = sum(load.megabytes for load in loads)
        yield Result(case, rows, megabytes, own, peak_mib=sides.peak_mib())
    load = load_of(sides, COMMON, range(0, 10 * MILLION, 10_000), "small")
    sides.connection.execute(f"VACUUM ANALYZE {SCHEMA}.{COMMON.name}")
    own = _best(lambda: sides.write(load))
    yield Result("1,000 rows into 10,000,000", load.rows, load.megabytes, own)


def memory(sides: Sides) -> Iterator[Result]:
    """Files that inflate to much more than they are, values of many megabytes, Parquet, many tables."""
    columns = [column(KEY, common.LONG, key=True), column("text", common.STRING)]
    table = common.Table(name="texts", columns=columns)
    line = "amber basil cedar delta ember fjord gable hazel " * 20
    rows = 1_050_000
    repeated = pa.table({"id": range(rows), "text": pa.repeat(pa.scalar(line), rows)})
    single = pa.table({"id": [1], "text": ["x," * 30_000_000]})
    for what, content in (("file that inflates to 1 GB", repeated), ("value of 60 MB", single)):
        load = write(sides.files, table, content, "memory")
        own = _into_empty(sides, load, sides.write)
        yield Result(what, load.rows, load.megabytes, own, peak_mib=sides.peak_mib())
    sides.files.format = sdk.PARQUET
    rows = Generator().rows(COMMON, range(200_000))
    path = sides.files.write("memory", COMMON.columns, rows.to_pylist())
    sides.files.format = sdk.CSV
    load = replace(load_of(sides, COMMON, range(200_000), "plain"), batch_file=path)
    own = _into_empty(sides, load, sides.write)
    yield Result("Parquet", load.rows, load.megabytes, own, peak_mib=sides.peak_mib())
    yield _widths(sides)


def _widths(sides: Sides) -> Result:
    """Batches into tables of many widths, one after the other: what the last tenths add to the first."""
    widths = [round(10 + i * 990 / (WIDTHS - 1)) for i in range(WIDTHS)]
    requests = []
    for width in widths:
        table = table_of(f"width_{width}", width, kinds=NARROW_KINDS)
        sides.create(table)
        load = write(sides.files, table, Generator().rows(table, range(10)), table.name)
        requests.append(sides.request(load))
    sides.settle()
    own, early = 0.0, 0.0
    for number in range(BATCHES):
        own += timed(sides.stub.WriteBatch, requests[number % WIDTHS])
        if number == BATCHES // 10:
            early = sides.peak_mib()
    case = f"{BATCHES:,} batches, {WIDTHS} tables of 10 to 1,000 columns, {early:.0f} MiB after 100"
    return Result(case, 10 * BATCHES, 0, own, peak_mib=sides.peak_mib())


HISTORY = common.Table(name="history", columns=[*COMMON.columns, *VERSION])
STARTS = [f"2020-01-0{day}T00:00:00Z" for day in range(1, 6)]
"""When the versions of a record start, a day apart."""
RECORDS, TOUCHED = 500_000, 200_000


def history(sides: Sides) -> Iterator[Result]:
    """A history batch of partial versions, beside an upsert of as many rows into the same table."""

    def fill() -> None:
        sides.create(HISTORY)
        for load in bases:
            sides.fill(load)

    generator = Generator()
    rows = generator.rows(COMMON, range(RECORDS))
    bases = [
        write(sides.files, HISTORY, versions(rows, start, end), f"version-{start}")
        for start, end in zip(STARTS, [*STARTS[1:-1], None], strict=False)
    ]
    touched = generator.rows(COMMON, range(0, RECORDS, RECORDS * 10 // TOUCHED // 10 or 1)).slice(
        0, TOUCHED
    )
    *_, last, following = STARTS
    new = versions(touched, following)
    upserted = write(sides.files, HISTORY, versions(touched, last), "upsert")
    partial_rows = unmodified(new, ("description", "name", "document", "amount"))
    update = write(sides.files, HISTORY, partial_rows, "update")
    earliest = write(sides.files, HISTORY, new.select([KEY, START]), "earliest")
    fill()
    plain = sides.write(upserted)
    fill()
    own = sides.send(sides.stub.WriteHistoryBatch, sides.history_request(earliest, update))
    yield Result(
        "history batch", TOUCHED, update.megabytes, own, "WriteBatch of the rows", plain,
        sides.peak_mib(),
    )  # fmt: skip


def history_plan(sides: Sides) -> str:
    """How PostgreSQL finds the version that precedes a partial one."""
    table = sql.Identifier(SCHEMA, HISTORY.name)
    query = sql.SQL(
        "EXPLAIN SELECT * FROM (SELECT id, _fivetran_start AS start FROM {table} LIMIT 1000) AS u,"
        " LATERAL (SELECT * FROM {table} AS preceding WHERE preceding.id = u.id"
        " AND preceding._fivetran_start < u.start ORDER BY _fivetran_start DESC LIMIT 1) AS base"
    ).format(table=table)
    return "\n".join(str(line) for (line,) in sides.connection.execute(query))


GROUPS: dict[str, Case] = {
    "first": first_load,
    "upsert": upsert,
    "several": several,
    "growth": growth,
    "memory": memory,
    "history": history,
    "small": small,
}
