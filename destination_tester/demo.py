"""The main job from end to end: a server, real batch files, the tables they make, verified.

Starts `main.py` with an embedded PostgreSQL in a temporary directory, and has the tester play the
sample inputs against it: as CSV, then as Parquet, compressed and encrypted.
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from destination_tester.__main__ import main as run_tester
from destination_tester.inputs import CONFIGURATION

ROOT = Path(__file__).parents[1]
SAMPLE = Path(__file__).parent / "sample"


@contextmanager
def server(directory: Path) -> Iterator[tuple[str, str]]:
    """Run the connector's server with an embedded PostgreSQL.

    Args:
        directory: where the PostgreSQL keeps its data.

    Yields:
        The server's port, and the URI of the PostgreSQL.
    """
    process = subprocess.Popen(
        [sys.executable, "main.py", "--port", "0", "--embedded", str(directory)],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        port = logged(process, r"listens on port (\d+)")[1]
        yield port, logged(process, r"psql '(.*)'")[1]
    finally:
        process.terminate()
        process.communicate()


def logged(process: subprocess.Popen[str], pattern: str) -> re.Match[str]:
    """Wait until a server logs a message of a pattern."""
    for line in process.stdout or ():
        found = re.search(pattern, json.loads(line)["message"])
        if found:
            return found
    raise SystemExit("the server ended before it was ready")


def main() -> int:
    """Run the demonstration.

    Returns:
        The process's exit code.
    """
    with tempfile.TemporaryDirectory(prefix="demo-") as name:
        directory = Path(name)
        inputs = directory / "inputs"
        shutil.copytree(SAMPLE, inputs)
        (inputs / CONFIGURATION).write_text("{}")
        started = time.perf_counter()
        with server(directory / "postgres") as (port, uri):
            print(f"server and PostgreSQL started in {time.perf_counter() - started:.1f} s")
            codes = [_play(inputs, port, uri, file_type) for file_type in ("CSV", "PARQUET")]
    return max(codes)


def _play(inputs: Path, port: str, uri: str, file_type: str) -> int:
    print(f"\nthe sample inputs, with batch files as {file_type}", flush=True)
    return run_tester(
        [
            str(inputs),
            "--port", port,
            "--schema-name", f"demo_{file_type.lower()}",
            "--batch-file-type", file_type,
            "--disable-operation-delay",
            "--verify", uri,
        ]
    )  # fmt: skip


if __name__ == "__main__":
    sys.exit(main())
