"""The cases, in groups: each yields results as it finds them."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta

import pyarrow as pa
from psycopg import sql

from benchmarks.data import COMMON, NARROW, TEXT_KEY, WIDE, Generator, Load, Shape, write
from benchmarks.report import Result
from benchmarks.sides import SCHEMA, Sides, succeed
from benchmarks.small import shape_of, small
from destination.sdk import common_pb2 as common
from destination.sdk import destination_sdk_pb2 as sdk

MILLION = 1_000_000
WIDTHS, BATCHES = 50, 1_000
NARROW_KINDS = (common.INT, common.BOOLEAN, common.NAIVE_DATE, common.DOUBLE)
"""Of 1,000 such values, PostgreSQL can store a row."""
REPEATS = 3

Case = Callable[[Sides], Iterator[Result]]


def _load(sides: Sides, shape: Shape, ids: range, name: str) -> Load:
    rows = Generator(ids.start + 1).rows(shape, ids)
    return write(sides.files, shape, rows, name)


def _best(measure: Callable[[], float]) -> float:
    return min(measure() for _ in range(REPEATS))


def first_load(sides: Sides) -> Iterator[Result]:
    """An empty table, as in every initial sync, beside psql's \\copy of the plaintext."""
    for shape, rows in (
        (COMMON, MILLION),
        (NARROW, 2 * MILLION),
        (TEXT_KEY, MILLION),
        (WIDE, 50_000),
    ):
        load = _load(sides, shape, range(rows), f"first-{shape.name}")

        def psql(load: Load = load) -> float:
            sides.create(load.shape)
            return sides.copy_by_psql(load)

        def ours(load: Load = load) -> float:
            sides.create(load.shape)
            return sides.write([load])

        others, own = _best(psql), _best(ours)
        case = f"first load, {shape.name}"
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
    for what, shape, filled, ids in cases:
        base = _load(sides, shape, range(filled), "base")
        load = _load(sides, shape, ids, "batch")
        seconds: dict[str, list[float]] = {"psql": [], "ours": []}
        peak = 0.0
        for _ in range(2):
            for side, measure in (("psql", sides.upsert_by_psql), ("ours", sides.write_one)):
                sides.create(shape)
                sides.fill(base)
                seconds[side].append(measure(load))
                peak = max(peak, sides.peak_mib() if side == "ours" else 0)
        sides.drop(shape.name)
        yield Result(
            f"upsert, {what}", len(ids), load.megabytes, min(seconds["ours"]),
            "psql, ON CONFLICT", min(seconds["psql"]), peak,
        )  # fmt: skip


def several(sides: Sides) -> Iterator[Result]:
    """Several files in one request, and two tables at once."""
    loads = [
        _load(sides, COMMON, range(i * MILLION, (i + 1) * MILLION), f"part-{i}") for i in range(4)
    ]
    megabytes = loads[0].megabytes
    sides.create(COMMON)
    one = sides.write(loads[:1])
    for count in (2, 4):
        sides.create(COMMON)
        own = sides.write(loads[:count])
        yield Result(
            f"{count} files in one request", count * MILLION, count * megabytes, own,
            f"{count} times one file", count * one, sides.peak_mib(),
        )  # fmt: skip
    for name in ("first", "second"):
        sides.create(COMMON, name)
    threads = [
        threading.Thread(target=sides.stub.WriteBatch, args=(sides.request([load], name),))
        for load, name in zip(loads, ("first", "second"), strict=False)
    ]
    sides.settle()
    begun = time.perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    own = time.perf_counter() - begun
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
            _load(sides, COMMON, range(first, first + size), f"growth-{first}")
            for first in range(0, rows, size)
        ]
        own = sides.write(loads)
        case = f"first load, {own / rows * 1e6:.2f} µs a row"
        megabytes = sum(load.megabytes for load in loads)
        yield Result(case, rows, megabytes, own, peak_mib=sides.peak_mib())
    load = _load(sides, COMMON, range(0, 10 * MILLION, 10_000), "small")
    sides.connection.execute(f"VACUUM ANALYZE {SCHEMA}.{COMMON.name}")
    own = _best(lambda: sides.write([load]))
    yield Result("1,000 rows into 10,000,000", load.rows, load.megabytes, own)


def memory(sides: Sides) -> Iterator[Result]:
    """Files that inflate to much more than they are, values of many megabytes, Parquet, many tables."""
    text = common.Column(name="text", type=common.STRING)
    table = common.Table(
        name="texts", columns=[common.Column(name="id", type=common.LONG, primary_key=True), text]
    )
    shape = Shape("texts", table)
    line = "amber basil cedar delta ember fjord gable hazel " * 20
    rows = 1_050_000
    repeated = pa.table({"id": range(rows), "text": pa.repeat(pa.scalar(line), rows)})
    single = pa.table({"id": [1], "text": ["x," * 30_000_000]})
    for what, content in (("file that inflates to 1 GB", repeated), ("value of 60 MB", single)):
        load = write(sides.files, shape, content, "memory")
        sides.create(shape)
        own = sides.write([load])
        yield Result(what, load.rows, load.megabytes, own, peak_mib=sides.peak_mib())
    sides.files.format = sdk.PARQUET
    rows = Generator().rows(COMMON, range(200_000))
    path = sides.files.write("memory", COMMON.table.columns, rows.to_pylist())
    sides.files.format = sdk.CSV
    load = Load(COMMON, 200_000, _load(sides, COMMON, range(200_000), "plain").plaintext, path)
    sides.create(COMMON)
    own = sides.write([load])
    yield Result("Parquet", load.rows, load.megabytes, own, peak_mib=sides.peak_mib())
    yield _widths(sides)


def _widths(sides: Sides) -> Result:
    """Batches into tables of many widths, one after the other: what the last tenths add to the first."""
    widths = [round(10 + i * 990 / (WIDTHS - 1)) for i in range(WIDTHS)]
    shapes = [shape_of(f"width_{width}", width, kinds=NARROW_KINDS) for width in widths]
    requests = []
    for shape in shapes:
        sides.create(shape)
        load = write(sides.files, shape, Generator().rows(shape, range(10)), shape.name)
        requests.append(sides.request([load]))
    sides.settle()
    begun, early = time.perf_counter(), 0.0
    for number in range(BATCHES):
        succeed(sides.stub.WriteBatch(requests[number % WIDTHS]))
        if number == BATCHES // 10:
            early = sides.peak_mib()
    own = time.perf_counter() - begun
    case = f"{BATCHES:,} batches, {WIDTHS} tables of 10 to 1,000 columns, {early:.0f} MiB after 100"
    return Result(case, 10 * BATCHES, 0, own, peak_mib=sides.peak_mib())


HISTORY = Shape(
    "history",
    common.Table(
        name="history",
        columns=[
            *COMMON.table.columns,
            common.Column(name="_fivetran_start", type=common.UTC_DATETIME, primary_key=True),
            common.Column(name="_fivetran_end", type=common.UTC_DATETIME),
            common.Column(name="_fivetran_active", type=common.BOOLEAN),
        ],
    ),
)
BASE = datetime(2020, 1, 1, tzinfo=UTC)
RECORDS, VERSIONS, TOUCHED = 500_000, 4, 200_000
UNMODIFIED = "unmod-NcK9NIjPUutCsz4mjOQQztbnwnE1sY3"


def _versions(rows: pa.Table, number: int, *, active: bool) -> pa.Table:
    """Rows as versions of their records, a day apart."""
    start, following = BASE + timedelta(days=number), BASE + timedelta(days=number + 1)
    end = "9999-12-31T23:59:59.999Z" if active else f"{following:%Y-%m-%d}T00:00:00Z"
    texts = (f"{start:%Y-%m-%d}T00:00:00Z", end, "true" if active else "false")
    names = ("_fivetran_start", "_fivetran_end", "_fivetran_active")
    for name, text in zip(names, texts, strict=True):
        rows = rows.append_column(name, pa.repeat(pa.scalar(text), rows.num_rows))
    return rows


def history(sides: Sides) -> Iterator[Result]:
    """A history batch of partial versions, beside an upsert of as many rows into the same table."""

    def fill() -> None:
        sides.create(HISTORY)
        for load in bases:
            sides.fill(load)

    generator = Generator()
    rows = generator.rows(COMMON, range(RECORDS))
    bases = [
        write(sides.files, HISTORY, _versions(rows, n, active=n == VERSIONS - 1), f"version-{n}")
        for n in range(VERSIONS)
    ]
    touched = generator.rows(COMMON, range(0, RECORDS, RECORDS * 10 // TOUCHED // 10 or 1)).slice(
        0, TOUCHED
    )
    new = _versions(touched, VERSIONS, active=True)
    upserted = write(sides.files, HISTORY, _versions(touched, VERSIONS - 1, active=True), "upsert")
    partial = new
    for name in ("description", "name", "document", "amount"):
        position = partial.schema.get_field_index(name)
        unmodified = pa.repeat(pa.scalar(UNMODIFIED), partial.num_rows)
        partial = partial.set_column(position, name, unmodified)
    update = write(sides.files, HISTORY, partial, "update")
    earliest = write(sides.files, HISTORY, new.select(["id", "_fivetran_start"]), "earliest")
    fill()
    plain = sides.write([upserted])
    fill()
    request = sdk.WriteHistoryBatchRequest(
        schema_name=SCHEMA,
        table=HISTORY.table,
        keys=sides.files.keys,
        earliest_start_files=[earliest.batch_file],
        update_files=[update.batch_file],
        file_params=sides.files.params,
    )
    own = sides.send("WriteHistoryBatch", request)
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
