"""An SSH server of a test's own: OpenSSH's, on this machine."""

import base64
import os
import shutil
import signal
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from getpass import getuser
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from tests.support.waiting import wait_until

PROGRAM = shutil.which("sshd", path="/usr/sbin:/usr/local/sbin:/sbin:/usr/bin")
HOST = "127.0.0.1"


class SshServer:
    """A server that lets one key in.

    Args:
        directory: holds its keys and its log.
    """

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self._process: subprocess.Popen[bytes] | None = None
        with socket.socket() as listener:
            listener.bind((HOST, 0))
            self.port = int(listener.getsockname()[1])
        self.new_host_key()
        self.new_client_key()

    def new_host_key(self, kind: str = "ed25519") -> None:
        """Have another host key from the next start on."""
        for old in self.directory.glob("host*"):
            old.unlink()
        make_key(self.directory / "host", kind)

    def new_client_key(self, kind: str = "ed25519", *options: str) -> None:
        """Let another key in, and no other."""
        for old in self.directory.glob("client*"):
            old.unlink()
        make_key(self.directory / "client", kind, *options)
        shutil.copy(self.directory / "client.pub", self.directory / "authorized")

    def start(self, *options: str) -> None:
        configuration = self.directory / "configuration"
        configuration.write_text(
            "\n".join(
                [
                    f"ListenAddress {HOST}:{self.port}",
                    f"HostKey {self.directory}/host",
                    f"AuthorizedKeysFile {self.directory}/authorized",
                    "PasswordAuthentication no",
                    "KbdInteractiveAuthentication no",
                    "PermitRootLogin prohibit-password",
                    "StrictModes no",
                    "UsePAM no",
                    "PidFile none",
                    *options,
                ]
            )
        )
        log = self.directory / "log"
        log.write_text("")
        self._process = subprocess.Popen(
            [str(PROGRAM), "-D", "-f", str(configuration), "-E", str(log)]
        )
        # A connection to see whether it listens would make it fork one session more.
        wait_until(lambda: "Server listening" in log.read_text())

    def stop(self) -> None:
        """End the server and its sessions."""
        if self._process is None:
            return
        sessions = self.session_processes()
        self._process.terminate()
        self._process.wait()
        self._process = None
        for session in sessions:
            with suppress(ProcessLookupError):
                os.kill(session, signal.SIGKILL)
        # A session that was forked a moment ago holds the port open until it has closed its copy.
        wait_until(self._refuses)

    def _refuses(self) -> bool:
        try:
            socket.create_connection((HOST, self.port)).close()
        except OSError as error:
            return isinstance(error, ConnectionRefusedError)
        return False

    @property
    def sessions(self) -> int:
        """How many clients are logged in."""
        return len(self.session_processes())

    def session_processes(self) -> list[int]:
        """The processes that serve clients."""
        if self._process is None:
            return []
        children = f"/proc/{self._process.pid}/task/{self._process.pid}/children"
        return [int(child) for child in Path(children).read_text().split()]

    @property
    def host_key(self) -> str:
        """The public half of its host key."""
        return (self.directory / "host.pub").read_text()

    def fingerprint(self) -> str:
        """Its host key's fingerprint, as ssh-keygen prints it."""
        key = f"{self.directory}/host.pub"
        printed = subprocess.run(
            ["ssh-keygen", "-lf", key], check=True, capture_output=True, text=True
        )
        return printed.stdout

    @property
    def configuration(self) -> dict[str, str]:
        """The fields of the setup form."""
        return {
            "connection_type": "SshTunnel",
            "tunnel_host": HOST,
            "tunnel_port": str(self.port),
            "tunnel_user": getuser(),
            "tunnel_private_key": uploaded(self.directory / "client"),
            "tunnel_host_key": self.host_key,
        }


def make_key(path: Path, kind: str = "ed25519", *options: str) -> None:
    passphrase = () if "-N" in options else ("-N", "")
    size = ("-b", "2048") if kind == "rsa" else ()  # more takes seconds to find
    command = ["ssh-keygen", "-q", "-t", kind, *size, "-f", str(path), *passphrase, *options]
    subprocess.run(command, check=True)


def uploaded(path: Path) -> str:
    """A file as Fivetran hands it over."""
    return base64.b64encode(path.read_bytes()).decode()


@contextmanager
def ssh_serving() -> Iterator[SshServer]:
    if PROGRAM is None or shutil.which("ssh-keygen") is None:
        pytest.skip("OpenSSH's server is not installed on this machine")
    Path("/run/sshd").mkdir(exist_ok=True)
    with TemporaryDirectory(prefix="ssh-") as name:
        server = SshServer(Path(name))
        try:
            yield server
        finally:
            server.stop()


@pytest.fixture
def ssh_server() -> Iterator[SshServer]:
    with ssh_serving() as server:
        server.start()
        yield server
