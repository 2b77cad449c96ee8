"""What telemetry costs: two servers on one PostgreSQL, one of which tells a collector."""

from __future__ import annotations

import tempfile
from pathlib import Path

from benchmarks.data import COMMON, Generator, write
from benchmarks.sides import SCHEMA, Sides, at, seconds, timed
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
            loading, writing = off.request(large), off.request(small)

            def load(side: Sides) -> float:
                off.create(COMMON)
                return side.send(side.stub.WriteBatch, loading)

            def write_one(side: Sides) -> float:
                return timed(side.stub.WriteBatch, writing)

            show("first load of 1,000,000 rows", *by_turns(off, on, load, LOADS))
            show("DescribeTable", *by_turns(off, on, _describe, SMALL_CALLS))
            show("WriteBatch of one row", *by_turns(off, on, write_one, SMALL_CALLS))
        print(f"the collector received {len(collector.spans)} spans, {len(collector.lines)} lines")


def _describe(side: Sides) -> float:
    request = sdk.DescribeTableRequest(schema_name=SCHEMA, table_name=COMMON.name)
    return seconds(lambda: side.stub.DescribeTable(request))


if __name__ == "__main__":
    main()
