"""What Fivetran's own tester wrote, where it is at hand."""

from pathlib import Path

import pytest

SHARED = Path(__file__).parents[2] / "shared" / "fixtures"


@pytest.fixture(scope="session")
def official_files() -> Path:
    """The batch files that Fivetran's tester wrote for its first input, with their keys."""
    return _fixtures("official-tester")


def _fixtures(name: str) -> Path:
    directory = SHARED / name
    if not directory.is_dir():
        pytest.skip(f"the fixtures {name} are not on this machine")
    return directory
