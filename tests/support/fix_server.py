"""A PostgreSQL server of a test's own: on TCP, with passwords or TLS, to be stopped and started."""

import os
import pwd
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryDirectory

import psycopg
import pytest

from destination.warehouse.postgres.embedded import psql_path

PASSWORD = "marked-secret-password"
SYSTEM_BINARIES = sorted(Path("/usr/lib/postgresql").glob("*/bin"))


class OwnServer:
    """A server in a directory of its own, as a user without privileges."""

    def __init__(self, binaries: Path, directory: Path) -> None:
        self.directory = directory
        self.data = directory / "data"
        self._binaries = binaries
        self._user = self._unprivileged()
        with socket.socket() as listener:
            listener.bind(("127.0.0.1", 0))
            self.port = int(listener.getsockname()[1])
        password = directory / "password"
        password.write_text(PASSWORD)
        self.own(directory)
        arguments = ("--auth=scram-sha-256", "--username=postgres", f"--pwfile={password}")
        self._run("initdb", f"--pgdata={self.data}", *arguments)

    def start(self, **settings: str) -> None:
        """Start with settings; those of before stay."""
        settings |= {
            "port": str(self.port),
            "listen_addresses": "127.0.0.1",
            "unix_socket_directories": str(self.directory),
            "fsync": "off",
        }
        with (self.data / "postgresql.conf").open("a") as file:
            file.writelines(f"{name} = '{value}'\n" for name, value in settings.items())
        log = str(self.directory / "log")
        self._run("pg_ctl", "-D", str(self.data), "-l", log, "-W", "start")
        self._wait_until_ready()

    def stop(self, mode: str = "immediate", *, check: bool = True) -> None:
        """Stop; `immediate` is as a crash."""
        self._run("pg_ctl", "-D", str(self.data), "-m", mode, "-w", "stop", check=check)

    def allow(self, *lines: str) -> None:
        """Have pg_hba.conf hold these lines alone."""
        (self.data / "pg_hba.conf").write_text("".join(f"{line}\n" for line in lines))

    def own(self, path: Path) -> None:
        """Give a path to the user that the server runs as."""
        if self._user is not None:
            shutil.chown(path, self._user)

    def connect(self) -> psycopg.Connection:
        return psycopg.connect(
            host=str(self.directory), port=self.port, user="postgres", password=PASSWORD,
            dbname="postgres", autocommit=True,
        )  # fmt: skip

    @property
    def configuration(self) -> dict[str, str]:
        """The configuration map of a customer."""
        return {
            "host": "127.0.0.1",
            "port": str(self.port),
            "database": "postgres",
            "user": "postgres",
            "password": PASSWORD,
            "sslmode": "prefer",
        }

    @property
    def as_user(self) -> list[str]:
        """What runs a command as the server's user."""
        return ["runuser", "-u", self._user, "--"] if self._user else []

    def _wait_until_ready(self) -> None:
        """Wait by connecting; pg_ctl's own waiting has been seen to crash."""
        for _ in range(300):
            with suppress(psycopg.OperationalError):
                self.connect().close()
                return
            time.sleep(0.1)
        raise AssertionError((self.directory / "log").read_text()[-1000:])

    def _run(self, program: str, *arguments: str, check: bool = True) -> None:
        """Run a program as the server's user; `subprocess` itself would have to fork all threads."""
        command = [*self.as_user, str(self._binaries / program), *arguments]
        subprocess.run(command, cwd="/", check=check, stdout=subprocess.DEVNULL)

    @staticmethod
    def _unprivileged() -> str | None:
        """PostgreSQL refuses to run as root; the embedded package makes this user then."""
        if os.geteuid() != 0:
            return None
        return pwd.getpwnam("pgserver").pw_name


@contextmanager
def own_server(binaries: Path) -> Iterator[OwnServer]:
    with TemporaryDirectory(prefix="server-") as name:
        directory = Path(name)
        directory.chmod(0o755)
        server = OwnServer(binaries, directory)
        try:
            yield server
        finally:
            server.stop(check=False)


@pytest.fixture(scope="module")
def password_server(postgres_uri: str) -> Iterator[OwnServer]:
    """A server that asks for passwords, of the embedded PostgreSQL."""
    del postgres_uri  # makes the user
    with own_server(psql_path().parent) as server:
        server.start()
        yield server


@pytest.fixture(scope="module")
def tls_server(postgres_uri: str) -> Iterator[OwnServer]:
    """A server that can do TLS, which the embedded PostgreSQL cannot."""
    del postgres_uri
    if not SYSTEM_BINARIES:
        pytest.skip("no PostgreSQL is installed that can do TLS, and the embedded one cannot")
    with own_server(SYSTEM_BINARIES[-1]) as server:
        yield server


@pytest.fixture(scope="module")
def german_server(postgres_uri: str) -> Iterator[OwnServer]:
    """A server whose messages are German."""
    del postgres_uri
    if not SYSTEM_BINARIES:
        pytest.skip("no PostgreSQL is installed that knows other languages than English")
    with own_server(SYSTEM_BINARIES[-1]) as server:
        server.start(max_connections="12", superuser_reserved_connections="3")
        with server.connect() as connection:
            try:
                connection.execute("ALTER SYSTEM SET lc_messages TO 'de_DE.UTF-8'")
            except psycopg.Error:
                pytest.skip("this machine lacks the locale de_DE.UTF-8")
            connection.execute("SELECT pg_reload_conf()")
        with server.connect() as connection, pytest.raises(psycopg.Error) as error:
            connection.execute("SELECT 1 / 0")
        if "Division durch Null" not in str(error.value):
            pytest.skip("the installed PostgreSQL lacks its German messages")
        yield server
