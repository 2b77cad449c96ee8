"""What users would otherwise load with, beside the connector: dlt and Meltano's target-postgres.

Both get the rows in the form that suits them best, neither compressed nor encrypted: dlt a CSV file
read by Arrow, target-postgres Singer's messages. They live in an environment of their own.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa

from benchmarks.data import COMMON, KEY, Generator, Load, write
from benchmarks.report import Result
from benchmarks.sides import ROOT, Sides, seconds
from destination.sdk import common_pb2 as common

ROWS = 200_000
ENVIRONMENT = ROOT / "build" / "peers"
REQUIREMENTS = Path(__file__).parent / "requirements.txt"
SINGER_TYPES = {
    common.SHORT: {"type": ["integer", "null"]},
    common.INT: {"type": ["integer", "null"]},
    common.LONG: {"type": ["integer", "null"]},
    common.DOUBLE: {"type": ["number", "null"]},
    common.BOOLEAN: {"type": ["boolean", "null"]},
    common.NAIVE_DATE: {"type": ["string", "null"], "format": "date"},
    common.NAIVE_DATETIME: {"type": ["string", "null"], "format": "date-time"},
    common.UTC_DATETIME: {"type": ["string", "null"], "format": "date-time"},
}
SINGER_TEXT = {"type": ["string", "null"]}


def peers(sides: Sides) -> Iterator[Result]:
    """Rows into an empty table, and the same rows again into the filled one."""
    _install()
    rows = Generator().rows(COMMON, range(ROWS))
    load = write(sides.files, COMMON, rows, "peers")
    messages = _singer_messages(rows, sides.files.directory / "messages.jsonl")
    sides.create(COMMON)
    for what in ("rows into an empty table", "the same rows again"):
        ours = sides.write(load)
        peak = sides.peak_mib()
        others = {"dlt": _dlt(sides, load), "target-postgres": _target_postgres(sides, messages)}
        for name, theirs in others.items():
            yield Result(what, ROWS, load.megabytes, ours, name, theirs, peak)


def _install() -> None:
    if not (ENVIRONMENT / "bin" / "dlt").exists():
        subprocess.run([sys.executable, "-m", "venv", ENVIRONMENT], check=True)
    pip = [str(ENVIRONMENT / "bin" / "python"), "-m", "pip", "install", "--quiet"]
    subprocess.run([*pip, "--disable-pip-version-check", "-r", str(REQUIREMENTS)], check=True)


def _dlt(sides: Sides, load: Load) -> float:
    """Seconds, without the start of the program."""
    uri = sides.psql[1].replace("postgres:@", "postgres:none@localhost")
    program = Path(__file__).parent / "load_by_dlt.py"
    done = subprocess.run(
        [ENVIRONMENT / "bin" / "python", program, uri, "bench_dlt", "common", load.plaintext],
        env={**os.environ, "DLT_DATA_DIR": str(load.plaintext.parent / "dlt"),
             "RUNTIME__DLTHUB_TELEMETRY": "false", "RUNTIME__LOG_LEVEL": "ERROR"},
        check=True, capture_output=True, text=True,
    )  # fmt: skip
    return float(done.stdout.splitlines()[-1])


def _target_postgres(sides: Sides, messages: Path) -> float:
    """Seconds, without those of a start with nothing to load."""
    configuration = messages.parent / "target.json"
    configuration.write_text(
        json.dumps({
            "sqlalchemy_url": sides.psql[1].replace("postgresql:", "postgresql+psycopg:"),
            "default_target_schema": "bench_singer",
            "use_copy": True,
            "add_record_metadata": False,
            "activate_version": False,
        })
    )  # fmt: skip
    program = [str(ENVIRONMENT / "bin" / "target-postgres"), "--config", str(configuration)]

    def load(path: Path) -> None:
        with path.open() as lines:
            subprocess.run(program, stdin=lines, check=True, capture_output=True)

    return seconds(lambda: load(messages)) - seconds(lambda: load(Path(os.devnull)))


def _singer_messages(rows: pa.Table, path: Path) -> Path:
    properties = {c.name: SINGER_TYPES.get(c.type, SINGER_TEXT) for c in COMMON.columns}
    schema = {"type": "object", "properties": properties}
    stream = {"stream": COMMON.name, "key_properties": [KEY]}
    with path.open("w") as lines:
        print(json.dumps({"type": "SCHEMA", **stream, "schema": schema}), file=lines)
        for row in rows.to_pylist():
            record = {"type": "RECORD", "stream": COMMON.name, "record": row}
            print(json.dumps(record, default=str), file=lines)
    return path
