"""Uploaded certificates as files for libpq alone, of which nothing is left open."""

import os
from contextlib import ExitStack
from pathlib import Path

import pytest

from destination.configuration import Configuration
from destination.warehouse.postgres.certificates import as_files
from destination.warehouse.postgres.database import PostgresWarehouse

UPLOADS = {
    name: f"-----BEGIN {name}-----\n{'A' * 70}\n-----END-----\n"
    for name in ("sslrootcert", "sslcert", "sslkey")
}
HELD = {f"memfd:{name}" for name in UPLOADS}
FORM = {"host": "h", "database": "d", "user": "u", "sslmode": "verify-ca", **UPLOADS}


def open_files() -> set[str]:
    """What this process has open, by the names that the files are given."""
    links = (path.readlink() for path in Path("/proc/self/fd").iterdir() if path.is_symlink())
    return {link.name.split()[0] for link in links if link.name.startswith("memfd:")}


@pytest.mark.parametrize("in_memory", [True, False])
def test_files_hold_the_uploads_for_us_alone_until_they_are_closed(
    monkeypatch: pytest.MonkeyPatch, *, in_memory: bool
) -> None:
    if not in_memory:
        monkeypatch.delattr(os, "memfd_create")
    with ExitStack() as files:
        paths = as_files(Configuration.parse(FORM), files)
        for name, content in UPLOADS.items():
            path = Path(paths[name])
            assert path.read_text() == content.strip()
            assert path.stat().st_mode & 0o077 == 0
    assert not open_files() & HELD
    assert in_memory or not any(Path(path).exists() for path in paths.values())


def test_what_was_not_uploaded_is_no_file() -> None:
    with ExitStack() as files:
        without = {name: value for name, value in FORM.items() if name not in UPLOADS}
        configuration = Configuration.parse({**without, "sslmode": "require"})
        assert as_files(configuration, files) == {}


def test_warehouse_that_is_closed_leaves_no_certificate_open() -> None:
    warehouse = PostgresWarehouse.from_configuration(Configuration.parse(FORM))
    assert open_files() >= HELD
    warehouse.close()
    assert not open_files() & HELD
