"""Small batches into filled tables, as platforms mostly send, beside the same statements plainly."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import repeat

import psycopg
import pyarrow as pa
from psycopg import sql

from benchmarks.data import KEY, VERSION, Generator, Load, column, unmodified, versions, write
from benchmarks.report import Result
from benchmarks.sides import Sides, columns_of, seconds, staged_upsert, succeed, timed
from destination.sdk import common_pb2 as common
from destination.sdk import destination_sdk_pb2 as sdk
from destination_tester.stored import START

CALLS = 150
WARM_UP = 15
FILLED = 20_000
KINDS = (common.INT, common.STRING, common.DOUBLE, common.UTC_DATETIME)
TABLES, CLIENTS, SECONDS = 40, 8, 6
CATALOG_CALLS = 10_000


def small(sides: Sides) -> Iterator[Result]:
    """The medians of single calls, batches a second of many tables, growth of the catalogs."""
    for rows, columns in ((10, 10), (1000, 10), (100, 50), (10, 300)):
        yield _upsert(sides, rows, columns)
    yield from _history(sides)
    yield from _many_tables(sides)
    yield _catalogs(sides)


def table_of(name: str, columns: int, kinds: Sequence[common.DataType] = KINDS) -> common.Table:
    """A table of an integer key and values of some types."""
    values = [column(f"c{i}", kinds[i % len(kinds)]) for i in range(columns - 1)]
    return common.Table(name=name, columns=[column(KEY, common.LONG, key=True), *values])


def _filled(sides: Sides, table: common.Table) -> Generator:
    generator = Generator()
    sides.create(table)
    rows = FILLED if len(table.columns) < 100 else FILLED // 10  # noqa: PLR2004
    sides.fill(write(sides.files, table, generator.rows(table, range(rows)), "base"))
    return generator


def _upsert(sides: Sides, rows: int, columns: int) -> Result:
    table = table_of("small", columns)
    generator = _filled(sides, table)
    loads = [
        write(sides.files, table, generator.rows(table, range(i, i + rows)), "small")
        for i in range(20)
    ]
    upsert_plainly = _plain_upsert(sides, table)
    sent = iter(loads * CALLS)
    before = sides.processor_seconds()
    own, others = _alternated(
        lambda: succeed(sides.stub.WriteBatch(sides.request(next(sent)))),
        lambda: upsert_plainly(next(sent)),
    )
    cpu = (sides.processor_seconds() - before) / (CALLS + WARM_UP)
    case = f"{rows} x {columns}, {cpu * 1000:.1f} ms of processor a call"
    return Result(case, rows, loads[0].megabytes, own, "the statements plainly", others)


def _alternated(own: Callable[[], object], other: Callable[[], object]) -> tuple[float, float]:
    """The medians of two ways, called in turns."""
    pairs = [(seconds(own), seconds(other)) for _ in range(WARM_UP + CALLS)]
    owns, others = zip(*pairs[WARM_UP:], strict=True)
    return statistics.median(owns), statistics.median(others)


def _plain_upsert(sides: Sides, table: common.Table) -> Callable[[Load], None]:
    """What a batch costs at least: the same statements by psycopg, of plaintext that is there."""
    create, merge = staged_upsert(table)
    fill = sql.SQL("COPY staged ({}) FROM STDIN (FORMAT csv, HEADER)").format(columns_of(table))

    def upsert(load: Load) -> None:
        with sides.connection.transaction(), sides.connection.cursor() as cursor:
            cursor.execute(create)
            with cursor.copy(fill) as copy:
                copy.write(load.plaintext.read_bytes())
            cursor.execute(merge)

    return upsert


def _history(sides: Sides) -> Iterator[Result]:
    plain = table_of("small_history", 297)
    table = common.Table(name=plain.name, columns=[*plain.columns, *VERSION])
    generator = Generator()
    sides.create(table)
    base = versions(generator.rows(plain, range(500)), "2020-01-01T00:00:00Z")
    sides.fill(write(sides.files, table, base, "base"))
    following = 0
    for count in (1, 2):
        requests = []
        for _ in range(40):
            parts = []
            for _ in range(count):
                following += 1
                rows = generator.rows(plain, range(20))
                stamp = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(1.6e9 + 60 * following))
                parts.append(versions(unmodified(rows, rows.column_names[1::3]), stamp))
            earliest = write(sides.files, table, parts[0].select([KEY, START]), "earliest")
            texts = [
                part.cast(pa.schema([(n, pa.string()) for n in part.column_names]))
                for part in parts
            ]
            update = write(sides.files, table, pa.concat_tables(texts), "update")
            requests.append(sides.history_request(earliest, update))
        before = sides.processor_seconds()
        taken = [timed(sides.stub.WriteHistoryBatch, request) for request in requests]
        cpu = (sides.processor_seconds() - before) / len(requests)
        case = f"history, 20 x 300, {count} versions each, {cpu * 1000:.1f} ms of processor a call"
        yield Result(case, 20 * count, 0, statistics.median(taken[5:]))


def _many_tables(sides: Sides) -> Iterator[Result]:
    """Batches a second into many tables: one client, then several at once."""
    loads = []
    for number in range(TABLES):
        table = table_of(f"table_{number}", 20)
        sides.create(table)
        loads.append(write(sides.files, table, Generator().rows(table, range(100)), table.name))
    requests = [sides.request(load) for load in loads]

    def send(mine: Sequence[sdk.WriteBatchRequest], until: float) -> int:
        """How many batches a client sends until then."""
        sent = 0
        while time.perf_counter() < until:
            for request in mine:
                succeed(sides.stub.WriteBatch(request))
                sent += 1
        return sent

    rates = []
    for clients in (1, CLIENTS):
        shares = [requests[number::clients] for number in range(clients)]
        until = time.perf_counter() + SECONDS
        with ThreadPoolExecutor(clients) as pool:
            rates.append(sum(pool.map(send, shares, repeat(until))) / SECONDS)
    case = f"{TABLES} tables, 100 x 20: {rates[1]:.0f} batches a second by {CLIENTS} clients"
    other = f"{rates[0]:.0f} a second by one"
    yield Result(case, 100, loads[0].megabytes, 1 / rates[1], other, 1 / rates[0])


def _catalogs(sides: Sides) -> Result:
    """How the system catalogs grow by small batches beside a session that holds a snapshot."""
    table = table_of("small", 50)
    generator = _filled(sides, table)
    request = sides.request(write(sides.files, table, generator.rows(table, range(10)), "small"))
    query = (
        "SELECT sum(pg_total_relation_size(oid)) FROM pg_class"
        " WHERE relnamespace = 'pg_catalog'::regnamespace AND relkind = 'r'"
    )
    before = sides.connection.execute(query).fetchone()
    with psycopg.connect(sides.uri) as snapshot:
        snapshot.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
        snapshot.execute("SELECT 1")
        own = sum(timed(sides.stub.WriteBatch, request) for _ in range(CATALOG_CALLS))
        after = sides.connection.execute(query).fetchone()
    assert before is not None  # noqa: S101
    assert after is not None  # noqa: S101
    grown = float(after[0] - before[0]) / 1e6
    return Result(f"{CATALOG_CALLS:,} batches, catalogs grown by {grown:.1f} MB", 10, 0, own)
