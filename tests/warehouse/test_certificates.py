"""Uploaded certificates as files for libpq alone, of which nothing is left open."""

import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from pathlib import Path

import pytest

from destination.warehouse.postgres.certificates import as_files
from destination.warehouse.postgres.configuration import Configuration
from destination.warehouse.postgres.database import PostgresWarehouse

UPLOADS = {
    name: f"-----BEGIN {name}-----\n{'A' * 70}\n-----END-----\n"
    for name in ("sslrootcert", "sslcert", "sslkey")
}
HELD = {f"memfd:{name}" for name in UPLOADS}
FORM = {"host": "h", "database": "d", "user": "u", "sslmode": "verify-ca", **UPLOADS}


@pytest.fixture
def opened() -> Callable[[], set[str]]:
    """What this process has opened since, by the names that the files are given.

    Warehouses that other tests' servers keep have such files, too.
    """
    before = set(memory_files())
    return lambda: {name for number, name in memory_files() if (number, name) not in before}


def memory_files() -> Iterator[tuple[int, str]]:
    """The files in memory that this process has open: inode and name."""
    for path in Path("/proc/self/fd").iterdir():
        with suppress(FileNotFoundError):
            name = path.readlink().name
            if name.startswith("memfd:"):
                yield path.stat().st_ino, name.split()[0]


@pytest.mark.parametrize("in_memory", [True, False])
def test_files_hold_the_uploads_for_us_alone_until_they_are_closed(
    monkeypatch: pytest.MonkeyPatch, opened: Callable[[], set[str]], *, in_memory: bool
) -> None:
    if not in_memory:
        monkeypatch.delattr(os, "memfd_create")
    with ExitStack() as files:
        paths = as_files(Configuration.parse(FORM), files)
        for name, content in UPLOADS.items():
            path = Path(paths[name])
            assert path.read_text() == content.strip()
            assert path.stat().st_mode & 0o077 == 0
    assert not opened()
    assert in_memory or not any(Path(path).exists() for path in paths.values())


def test_what_was_not_uploaded_is_no_file() -> None:
    with ExitStack() as files:
        without = {name: value for name, value in FORM.items() if name not in UPLOADS}
        configuration = Configuration.parse({**without, "sslmode": "require"})
        assert as_files(configuration, files) == {}


def test_warehouse_that_is_closed_leaves_no_certificate_open(
    opened: Callable[[], set[str]],
) -> None:
    warehouse = PostgresWarehouse.from_configuration(Configuration.parse(FORM))
    assert opened() == HELD
    warehouse.close()
    assert not opened()
