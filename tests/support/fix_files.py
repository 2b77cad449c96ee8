"""Files that others wrote, where they are at hand: Fivetran's own tester, and Java's writers."""

from pathlib import Path

import pytest

SHARED = Path(__file__).parents[3] / "shared" / "fixtures"


@pytest.fixture(scope="session")
def official_files() -> Path:
    """The batch files that Fivetran's tester wrote for its first input, with their keys."""
    return _fixtures("official-tester")


JAVA = SHARED / "java"
"""Batch files by the writers that Fivetran uses: jackson-dataformat-csv, parquet-avro, zstd-jni."""


@pytest.fixture(scope="session")
def source_recordings() -> Path:
    """What real source connectors sent."""
    return _fixtures("sources")


def _fixtures(name: str) -> Path:
    directory = SHARED / name
    if not directory.is_dir():
        pytest.skip(f"the fixtures {name} are not on this machine")
    return directory
