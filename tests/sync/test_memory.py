"""A sync's memory stays flat, however much the source sends."""

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from destination.sdk import common_pb2 as common
from destination.sdk import connector_sdk_pb2 as sdk
from tests.sync.fix_sync import Syncs
from tests.sync.messages import checkpoint, declaring, record, sending, table
from tests.sync.sources import Script, serving_source

ROOT = Path(__file__).parents[2]
RECORDS = int(os.environ.get("SYNC_RECORDS", "50000"))
LIMIT_MIB = 240
BATCH = 100
TEXT = "amber basil cedar delta ember fjord gable hazel " * 19


def updates(_: sdk.UpdateRequest) -> Iterator[sdk.UpdateResponse]:
    """Records of 1 kB; one in ten updates one that came long before."""
    for first in range(0, RECORDS, BATCH):
        records = [
            record("events", {"id": n, "name": f"record {n}", "amount": n / 7, "text": TEXT})
            for n in range(first, first + BATCH)
        ]
        for n in range(0, BATCH, 10):
            changed = {"id": (first + n) // 2, "name": "changed"}
            records[n] = record("events", changed, common.UPDATE)
        yield sending(*records)
        yield checkpoint(f'{{"next": {first + BATCH}}}')


def test_memory_is_flat(syncs: Syncs) -> None:
    schema = declaring(table("events", id=(common.LONG, True)))
    with serving_source(Script(updates, schema)) as port:
        program = [
            sys.executable, "-m", "local_platform", "sync", str(syncs.directory), "--json", "--schema",
            syncs.schema, "--port", str(syncs.port), "--source", f"localhost:{port}",
        ]  # fmt: skip
        peak = 0
        with subprocess.Popen(program, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
            for _ in process.stdout or ():
                peak = max(peak, held_kib(process.pid))
        assert process.returncode == 0
    print(f"{RECORDS:,} records: {peak / 1024:.0f} MiB")
    assert peak / 1024 <= LIMIT_MIB
    (count,) = syncs.database.execute("SELECT count(*) FROM {schema}.events")[0]
    assert count == RECORDS - RECORDS // 10


def held_kib(pid: int) -> int:
    """The most memory that a process has held, without the pages of its libraries.

    How many of those are in memory is the file system's doing: 50 MiB more on one than on another.
    """
    status = Path(f"/proc/{pid}/status")
    found = (
        re.findall(r"(VmHWM|RssFile):\s+(\d+) kB", status.read_text()) if status.exists() else []
    )
    sizes = {name: int(size) for name, size in found}
    return sizes["VmHWM"] - sizes["RssFile"] if sizes else 0
