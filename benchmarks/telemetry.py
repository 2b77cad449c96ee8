"""What telemetry costs: two servers on one PostgreSQL, one of which tells a collector."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from benchmarks.data import COMMON, Generator, Load, write
from benchmarks.sides import SCHEMA, Sides, at, succeed
from benchmarks.turns import by_turns, show
from destination.sdk import destination_sdk_pb2 as sdk
from destination.warehouse.postgres.embedded import embedded_postgres
from tests.support.fix_collector import collecting

ROWS = 1_000_000
LOADS = 7
SMALL_CALLS = 1000


def main() -> None:
    """Print the seconds of loads and the milliseconds of small calls, off and on, taken by turns."""
    with tempfile.TemporaryDirectory(prefix="bench-") as name, collecting() as collector:
        with (
            embedded_postgres(Path(name) / "postgres") as uri,
            at(uri) as off,
            at(uri, "--otlp-endpoint", collector.endpoint) as on,
        ):
            rows = Generator().rows(COMMON, range(ROWS))
            large = write(off.files, COMMON, rows, "large")
            small = write(off.files, COMMON, rows[:1], "small")
            show("first load of 1,000,000 rows", *by_turns(off, on, _loader(large, off), LOADS))
            show("DescribeTable", *by_turns(off, on, _describe, SMALL_CALLS))
            show("WriteBatch of one row", *by_turns(off, on, _writer(small, off), SMALL_CALLS))
        print(f"the collector received {len(collector.spans)} spans, {len(collector.lines)} lines")


def _describe(side: Sides) -> float:
    request = sdk.DescribeTableRequest(schema_name=SCHEMA, table_name=COMMON.name)
    begun = time.perf_counter()
    side.stub.DescribeTable(request)
    return time.perf_counter() - begun


def _writer(load: Load, off: Sides) -> Callable[[Sides], float]:
    request = off.request([load])

    def write_one(side: Sides) -> float:
        begun = time.perf_counter()
        succeed(side.stub.WriteBatch(request))
        return time.perf_counter() - begun

    return write_one


def _loader(load: Load, off: Sides) -> Callable[[Sides], float]:
    request = off.request([load])

    def load_all(side: Sides) -> float:
        off.create(load.shape)
        return side.send("WriteBatch", request)

    return load_all


if __name__ == "__main__":
    main()
