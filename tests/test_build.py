"""build.sh: the pinned upstream protos where they can be had and are what was pinned, else our own."""

import hashlib
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[1]
LOCK = ROOT / "protos" / "upstream.lock"
COMMIT = "0123456789abcdef"
OURS = tuple(path.name for path in sorted((ROOT / "protos").glob("*.proto")))
FURTHER = "further.proto"
"""A file of the official SDK that this project does not compile."""
MARK = "// the official file\n"


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A copy of what build.sh needs."""
    shutil.copytree(
        ROOT / "protos", tmp_path / "protos", ignore=shutil.ignore_patterns("upstream*")
    )
    for name in ("build.sh", "requirements.lock"):
        shutil.copy(ROOT / name, tmp_path / name)
    return tmp_path


@pytest.fixture
def upstream(tmp_path: Path) -> Path:
    """Where the official files are to be had."""
    directory = tmp_path / "server" / COMMIT
    directory.mkdir(parents=True)
    for name in OURS:
        (directory / name).write_text(MARK + (ROOT / "protos" / name).read_text())
    (directory / FURTHER).write_text(MARK)
    return directory


def pin(checkout: Path, upstream: Path, names: Sequence[str] = (*OURS, FURTHER)) -> None:
    sums = [f"{hashlib.sha256((upstream / n).read_bytes()).hexdigest()}  {n}" for n in names]
    (checkout / "protos" / "upstream.lock").write_text("\n".join([f"commit {COMMIT}", *sums, ""]))


def build(checkout: Path, url: Path) -> str:
    done = subprocess.run(
        ["./build.sh"],
        cwd=checkout,
        env={**os.environ, "PYTHON": sys.executable, "PROTOS_URL": f"file://{url}"},
        capture_output=True,
        text=True,
        check=True,
    )
    generated = checkout / "destination" / "sdk"
    assert "from . import common_pb2" in (generated / "destination_sdk_pb2.py").read_text()
    assert (generated / "destination_sdk_pb2_grpc.py").exists()
    return done.stderr


def used_upstream(checkout: Path) -> bool:
    files = [checkout / "protos" / "upstream" / name for name in OURS]
    return all(file.exists() and file.read_text().startswith(MARK) for file in files)


def test_without_a_pin_our_own_protos_are_compiled(checkout: Path, upstream: Path) -> None:
    assert build(checkout, upstream.parent) == ""
    assert not used_upstream(checkout)


def test_pinned_protos_are_fetched_checked_and_compiled(checkout: Path, upstream: Path) -> None:
    pin(checkout, upstream)
    assert build(checkout, upstream.parent) == ""
    assert used_upstream(checkout)


@pytest.mark.parametrize("name", [*OURS, FURTHER])
def test_changed_protos_are_not_compiled(checkout: Path, upstream: Path, name: str) -> None:
    pin(checkout, upstream)
    (upstream / name).write_text("syntax error")
    assert "compiling protos/ instead" in build(checkout, upstream.parent)
    assert not used_upstream(checkout)


@pytest.mark.parametrize("name", OURS)
def test_a_pin_of_fewer_files_than_are_compiled_is_not_used(
    checkout: Path, upstream: Path, name: str
) -> None:
    pin(checkout, upstream, [other for other in OURS if other != name])
    assert "compiling protos/ instead" in build(checkout, upstream.parent)
    assert not used_upstream(checkout)


def test_protos_that_cannot_be_had_are_not_missed(checkout: Path, tmp_path: Path) -> None:
    shutil.copy(LOCK, checkout / "protos")
    assert "compiling protos/ instead" in build(checkout, tmp_path / "nowhere")
    assert not used_upstream(checkout)


def test_the_official_contract_is_pinned() -> None:
    commit, *sums = LOCK.read_text().splitlines()
    assert re.fullmatch("commit [0-9a-f]{40}", commit)
    pinned = {name: checksum for checksum, name in (line.split() for line in sums)}
    assert set(OURS) <= set(pinned)
    assert all(re.fullmatch("[0-9a-f]{64}", checksum) for checksum in pinned.values())
