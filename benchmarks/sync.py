"""A sync of a Connector SDK source beside a client that only reads what the source sends."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path

from benchmarks.report import Result
from benchmarks.sides import ROOT, Sides, peak_mib
from destination.sdk import connector_sdk_pb2 as sdk
from local_platform.sync.process import sdk_command
from local_platform.sync.source import started

SOURCE = ROOT / "benchmarks" / "bulk"
SDK_PYTHON = ROOT / "build" / "sdk" / "bin" / "python"
"""The environment of the sources, which `make sdk` sets up."""
ROWS = 1_000_000
REPEATS = 2


def sync(sides: Sides) -> Iterator[Result]:
    """1,000,000 records of 1 kB."""
    rows = int(os.environ.get("ROWS", str(ROWS)))
    os.environ["ROWS"] = str(rows)
    seconds: dict[str, list[float]] = {"read": [], "sync": []}
    megabytes, peak = 0.0, 0.0
    for _ in range(REPEATS):
        taken, megabytes = _only_read()
        seconds["read"].append(taken)
        sides.drop("events")
        sides.settle()
        taken, held = _sync(sides)
        seconds["sync"].append(taken)
        peak = max(peak, held)
        found = sides.connection.execute("SELECT count(*) FROM bench.events").fetchone()
        if found != (rows,):
            raise SystemExit(f"{found} rows arrived, not {rows}")
    yield Result(
        "sync of records of 1 kB", rows, megabytes, min(seconds["sync"]), "the source, only read",
        min(seconds["read"]), peak,
    )  # fmt: skip


def _only_read() -> tuple[float, float]:
    """The seconds that a source takes for a client that only reads, and the megabytes it sends."""
    with started(partial(sdk_command, SOURCE, str(SDK_PYTHON)), lambda *_: None) as (client, _):
        begun = time.perf_counter()
        client.schema({})
        sent = sum(size for size, _ in client.update(sdk.UpdateRequest(state_json="{}")))
        return time.perf_counter() - begun, sent / 1e6


def _sync(sides: Sides) -> tuple[float, float]:
    """The seconds between the same two moments of a sync, and the most MiB that it held."""
    with tempfile.TemporaryDirectory(prefix="sync-") as name:
        directory = Path(name)
        (directory / "destination.json").write_text("{}")
        program = [
            sys.executable, "-m", "local_platform", "sync", name, "--schema", "bench", "--port",
            str(sides.port), "--sdk-project", str(SOURCE), "--python", str(SDK_PYTHON), "--json",
        ]  # fmt: skip
        process = subprocess.Popen(program, cwd=ROOT, stdout=subprocess.PIPE, text=True)
        peak = 0.0
        told = ""
        for line in process.stdout or ():
            told = line
            peak = max(peak, peak_mib(process.pid))
        if process.wait():
            raise SystemExit(told)
    found = re.search(r'"seconds": ([\d.]+)', told)
    return float(found[1]) if found else float("nan"), peak
