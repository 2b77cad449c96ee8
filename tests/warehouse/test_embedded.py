"""The embedded PostgreSQL: its data stay, it ends with the process, and what hinders it is said."""

import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import psycopg
import pytest

from destination.errors import ConfigurationError
from destination.warehouse.postgres import embedded
from destination.warehouse.postgres.embedded import embedded_postgres

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
HOLDER = """
import sys, time
from pathlib import Path
from destination.warehouse.postgres.embedded import embedded_postgres
with embedded_postgres(Path(sys.argv[1])) as uri:
    print(uri, flush=True)
    time.sleep(600)
"""


@pytest.fixture
def place() -> Iterator[Path]:
    """A directory that other accounts may be let into, as pytest's own is not."""
    with TemporaryDirectory(prefix="postgres-") as name:
        yield Path(name)


@pytest.fixture(scope="module")
def directory() -> Iterator[Path]:
    """The data of a server, which all tests but a few use one after the other."""
    with TemporaryDirectory(prefix="postgres-") as name:
        yield Path(name) / "data"


def holder(directory: Path) -> subprocess.Popen[str]:
    """A process that runs a server, which is ready."""
    command = [sys.executable, "-c", HOLDER, str(directory)]
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline().startswith("postgresql://")
    return process


def refusal(directory: Path) -> str:
    """The message of a server that does not start."""
    with pytest.raises(ConfigurationError) as refused, embedded_postgres(directory):
        pass
    return str(refused.value)


def test_data_stay_from_one_start_to_the_next(directory: Path) -> None:
    with embedded_postgres(directory) as uri, psycopg.connect(uri) as connection:
        connection.execute("CREATE TABLE kept AS SELECT 1 AS id")
    with embedded_postgres(directory) as uri, psycopg.connect(uri) as connection:
        assert connection.execute("SELECT id FROM kept").fetchall() == [(1,)]
    assert not (directory / "postmaster.pid").exists()
    assert [path.name for path in directory.parent.iterdir()] == ["data"]


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells a child of its parent's end")
def test_server_of_a_killed_process_ends_and_the_directory_can_be_used_at_once(
    directory: Path,
) -> None:
    with holder(directory) as process:
        process.kill()
    with embedded_postgres(directory) as uri, psycopg.connect(uri) as connection:
        assert connection.execute("SELECT 1").fetchall() == [(1,)]


def test_directory_of_another_server_is_refused_with_its_process(
    directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(embedded, "RELEASE_SECONDS", 0.1)
    with holder(directory) as process:
        owner = (directory / "postmaster.pid").read_text().splitlines()[0]
        assert refusal(directory).endswith(f"already: end process {owner}")
        process.send_signal(signal.SIGINT)


def test_process_number_that_another_program_has_now_is_no_hindrance(directory: Path) -> None:
    with embedded_postgres(directory):
        status = (directory / "postmaster.pid").read_text()
    (directory / "postmaster.pid").write_text(re.sub(r"^\d+", str(os.getpid()), status))
    with embedded_postgres(directory) as uri, psycopg.connect(uri) as connection:
        assert connection.execute("SELECT 1").fetchall() == [(1,)]


def test_empty_directory_is_used_as_it_is_and_a_long_path_has_its_socket_elsewhere(
    place: Path,
) -> None:
    deep = place / ("d" * 60) / ("e" * 60)
    deep.mkdir(parents=True)
    before = deep.stat().st_ino
    with embedded_postgres(deep) as uri, psycopg.connect(uri) as connection:
        assert deep.stat().st_ino == before  # it may be where a volume is mounted
        sockets = Path(connection.info.host)
        assert sockets != deep
        assert sockets.stat().st_mode & 0o077 == 0
    assert not sockets.exists()


def test_directory_with_other_things_is_left_alone(place: Path) -> None:
    (place / "letter").write_text("dear")
    owner = place.stat().st_uid
    assert "neither empty nor PostgreSQL's" in refusal(place)
    assert place.stat().st_uid == owner
    assert [path.name for path in place.iterdir()] == ["letter"]


def test_server_that_does_not_start_says_why(directory: Path) -> None:
    with embedded_postgres(directory):
        pass
    settings = directory / "postgresql.conf"
    before = settings.read_text()
    settings.write_text(f"{before}no_such_setting = 1\n")
    assert "no_such_setting" in refusal(directory)
    settings.write_text(before)


def test_data_of_a_version_that_is_not_there_are_refused(place: Path) -> None:
    (place / "PG_VERSION").write_text("9\n")
    assert "data of version 9: use another directory" in refusal(place)
