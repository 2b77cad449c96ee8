"""Small batches into filled tables, as platforms mostly send, beside the same statements plainly."""

from __future__ import annotations

import statistics
import threading
import time
from collections.abc import Callable, Iterator, Sequence

import psycopg
import pyarrow as pa
from psycopg import sql

from benchmarks.data import Generator, Load, Shape, column, write
from benchmarks.report import Result
from benchmarks.sides import SCHEMA, Sides
from destination.sdk import common_pb2 as common
from destination.sdk import destination_sdk_pb2 as sdk

CALLS = 150
WARM_UP = 15
FILLED = 20_000
KINDS = (common.INT, common.STRING, common.DOUBLE, common.UTC_DATETIME)
TABLES, CLIENTS, SECONDS = 40, 8, 6
CATALOG_CALLS = 10_000
UNMODIFIED = "unmod-NcK9NIjPUutCsz4mjOQQztbnwnE1sY3"


def small(sides: Sides) -> Iterator[Result]:
    """The medians of single calls, batches a second of many tables, growth of the catalogs."""
    for rows, columns in ((10, 10), (1000, 10), (100, 50), (10, 300)):
        yield _upsert(sides, rows, columns)
    yield from _history(sides)
    yield from _many_tables(sides)
    yield _catalogs(sides)


def shape_of(
    name: str,
    columns: int,
    *further: common.Column,
    kinds: Sequence[common.DataType] = KINDS,
) -> Shape:
    """A table of an integer key and values of some types."""
    values = [column(f"c{i}", kinds[i % len(kinds)]) for i in range(columns - 1)]
    table = [column("id", common.LONG, key=True), *values, *further]
    return Shape(name, common.Table(name=name, columns=table))


def _filled(sides: Sides, shape: Shape) -> Generator:
    generator = Generator()
    sides.create(shape)
    rows = FILLED if len(shape.table.columns) < 100 else FILLED // 10  # noqa: PLR2004
    sides.fill(write(sides.files, shape, generator.rows(shape, range(rows)), "base"))
    return generator


def _upsert(sides: Sides, rows: int, columns: int) -> Result:
    shape = shape_of("small", columns)
    generator = _filled(sides, shape)
    loads = [
        write(sides.files, shape, generator.rows(shape, range(i, i + rows)), "small")
        for i in range(20)
    ]
    plain = _PlainStatements(sides, shape)
    sent = iter(loads * CALLS)
    before = sides.processor_seconds()
    own, others = _alternated(
        lambda: _succeed(sides.stub.WriteBatch(sides.request([next(sent)]))),
        lambda: plain.upsert(next(sent)),
    )
    cpu = (sides.processor_seconds() - before) / (CALLS + WARM_UP)
    case = f"{rows} x {columns}, {cpu * 1000:.1f} ms of processor a call"
    return Result(case, rows, loads[0].megabytes, own, "the statements plainly", others)


def _alternated(
    own: Callable[[], object], other: Callable[[], object] | None = None
) -> tuple[float, float]:
    """The medians of two ways, called in turns."""
    seconds: tuple[list[float], list[float]] = ([], [])
    for _ in range(WARM_UP + CALLS):
        for call, taken in zip((own, other), seconds, strict=True):
            begun = time.perf_counter()
            if call is not None:
                call()
            taken.append(time.perf_counter() - begun)
    medians = [statistics.median(taken[WARM_UP:]) for taken in seconds]
    return medians[0], medians[1]


class _PlainStatements:
    """What a batch costs at least: the same statements by psycopg, of plaintext that is there."""

    def __init__(self, sides: Sides, shape: Shape) -> None:
        self._connection = sides.connection
        names = [each.name for each in shape.table.columns]
        table = sql.Identifier(SCHEMA, shape.name)
        columns = sql.SQL(", ").join(map(sql.Identifier, names))
        assignments = sql.SQL(", ").join(
            sql.SQL("{0} = excluded.{0}").format(sql.Identifier(name)) for name in names[1:]
        )
        self._create = sql.SQL("CREATE TEMP TABLE staged (LIKE {}) ON COMMIT DROP").format(table)
        self._copy = sql.SQL("COPY staged ({}) FROM STDIN (FORMAT csv, HEADER)").format(columns)
        self._merge = sql.SQL(
            "INSERT INTO {0} ({1}) SELECT {1} FROM staged ON CONFLICT (id) DO UPDATE SET {2}"
        ).format(table, columns, assignments)

    def upsert(self, load: Load) -> None:
        with self._connection.transaction(), self._connection.cursor() as cursor:
            cursor.execute(self._create)
            with cursor.copy(self._copy) as copy:
                copy.write(load.plaintext.read_bytes())
            cursor.execute(self._merge)


def _history(sides: Sides) -> Iterator[Result]:
    shape = shape_of(
        "small_history",
        297,
        column("_fivetran_start", common.UTC_DATETIME, key=True),
        column("_fivetran_end", common.UTC_DATETIME),
        column("_fivetran_active", common.BOOLEAN),
    )
    generator = Generator()
    sides.create(shape)
    plain = shape_of("small_history", 297)
    base = _versions(generator.rows(plain, range(500)), "2020-01-01T00:00:00Z")
    sides.fill(write(sides.files, shape, base, "base"))
    following = 0
    for versions in (1, 2):
        requests = []
        for _ in range(40):
            parts = []
            for _ in range(versions):
                following += 1
                rows = generator.rows(plain, range(20))
                for name in rows.column_names[1::3]:
                    position = rows.schema.get_field_index(name)
                    rows = rows.set_column(position, name, pa.repeat(UNMODIFIED, 20))
                stamp = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(1.6e9 + 60 * following))
                parts.append(_versions(rows, stamp))
            earliest = parts[0].select(["id", "_fivetran_start"])
            texts = [
                part.cast(pa.schema([(n, pa.string()) for n in part.column_names]))
                for part in parts
            ]
            update = write(sides.files, shape, pa.concat_tables(texts), "update")
            requests.append(
                sdk.WriteHistoryBatchRequest(
                    schema_name=SCHEMA,
                    table=shape.table,
                    keys=sides.files.keys,
                    earliest_start_files=[
                        write(sides.files, shape, earliest, "earliest").batch_file
                    ],
                    update_files=[update.batch_file],
                    file_params=sides.files.params,
                )
            )
        seconds, before = [], sides.processor_seconds()
        for request in requests:
            begun = time.perf_counter()
            _succeed(sides.stub.WriteHistoryBatch(request))
            seconds.append(time.perf_counter() - begun)
        own = statistics.median(seconds[5:])
        cpu = (sides.processor_seconds() - before) / len(requests)
        case = (
            f"history, 20 x 300, {versions} versions each, {cpu * 1000:.1f} ms of processor a call"
        )
        yield Result(case, 20 * versions, 0, own)


def _versions(rows: pa.Table, start: str) -> pa.Table:
    """Rows as active versions of their records."""
    texts = {
        "_fivetran_start": start,
        "_fivetran_end": "9999-12-31T23:59:59.999Z",
        "_fivetran_active": "true",
    }
    for name, text in texts.items():
        rows = rows.append_column(name, pa.repeat(text, rows.num_rows))
    return rows


def _many_tables(sides: Sides) -> Iterator[Result]:
    """Batches a second into many tables: one client, then several at once."""
    shapes = [shape_of(f"table_{i}", 20) for i in range(TABLES)]
    loads = []
    for shape in shapes:
        generator = Generator()
        sides.create(shape)
        loads.append(write(sides.files, shape, generator.rows(shape, range(100)), shape.name))
    rates = []
    for clients in (1, CLIENTS):
        requests = [sides.request([load]) for load in loads]
        counts = [0] * clients
        until = time.perf_counter() + SECONDS

        def send(
            number: int,
            clients: int = clients,
            requests: list[sdk.WriteBatchRequest] = requests,
            counts: list[int] = counts,
            until: float = until,
        ) -> None:
            while time.perf_counter() < until:
                for request in requests[number::clients]:
                    _succeed(sides.stub.WriteBatch(request))
                    counts[number] += 1

        threads = [threading.Thread(target=send, args=(n,)) for n in range(clients)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        rates.append(sum(counts) / SECONDS)
    case = f"{TABLES} tables, 100 x 20: {rates[1]:.0f} batches a second by {CLIENTS} clients"
    other = f"{rates[0]:.0f} a second by one"
    yield Result(case, 100, loads[0].megabytes, 1 / rates[1], other, 1 / rates[0])


def _catalogs(sides: Sides) -> Result:
    """How the system catalogs grow by small batches beside a session that holds a snapshot."""
    shape = shape_of("small", 50)
    generator = _filled(sides, shape)
    request = sides.request([write(sides.files, shape, generator.rows(shape, range(10)), "small")])
    query = (
        "SELECT sum(pg_total_relation_size(oid)) FROM pg_class"
        " WHERE relnamespace = 'pg_catalog'::regnamespace AND relkind = 'r'"
    )
    before = sides.connection.execute(query).fetchone()
    with psycopg.connect(sides.uri) as snapshot:
        snapshot.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
        snapshot.execute("SELECT 1")
        begun = time.perf_counter()
        for _ in range(CATALOG_CALLS):
            _succeed(sides.stub.WriteBatch(request))
        own = time.perf_counter() - begun
        after = sides.connection.execute(query).fetchone()
    assert before is not None  # noqa: S101
    assert after is not None  # noqa: S101
    grown = float(after[0] - before[0]) / 1e6
    return Result(f"{CATALOG_CALLS:,} batches, catalogs grown by {grown:.1f} MB", 10, 0, own)


def _succeed(answer: sdk.WriteBatchResponse) -> None:
    if not answer.success:
        raise SystemExit(str(answer))
