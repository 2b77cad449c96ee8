"""A proxy before PostgreSQL's Unix socket, which can cut a connection where a test wants it."""

import socket
import threading
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from urllib.parse import parse_qs, urlsplit

import pytest

SOCKET_NAME = ".s.PGSQL.5432"
PIECE = 1 << 16


class Proxy:
    """Passes bytes on, both ways.

    `cut_at` cuts the connection when the client has sent these bytes; `answer` tells whether the
    server still gets them, and has them answered, before.
    """

    def __init__(self, directory: Path, server: str) -> None:
        self.directory = directory
        self._server = server
        self._cut_at: bytes | None = None
        self._delivers = False
        self.cuts = 0
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(str(directory / SOCKET_NAME))
        self._listener.listen()
        threading.Thread(target=self._accept, daemon=True).start()

    def cut_once(self, at: bytes, *, delivers: bool) -> None:
        """Cut the next connection on which these bytes pass, and none after it."""
        self._cut_at, self._delivers = at, delivers

    def close(self) -> None:
        self._listener.close()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                server = socket.socket(socket.AF_UNIX)
                server.connect(self._server)
                for pair in ((client, server, True), (server, client, False)):
                    threading.Thread(target=self._pass_on, args=pair, daemon=True).start()

    def _pass_on(self, source: socket.socket, target: socket.socket, from_client: bool) -> None:  # noqa: FBT001
        with source, suppress(OSError):
            while data := source.recv(PIECE):
                if from_client and self._cut_at is not None and self._cut_at in data:
                    self._cut(source, target, data)
                    break
                target.sendall(data)
            target.shutdown(socket.SHUT_RDWR)

    def _cut(self, client: socket.socket, server: socket.socket, data: bytes) -> None:
        self._cut_at = None
        self.cuts += 1
        client.shutdown(socket.SHUT_RDWR)
        if self._delivers:
            server.sendall(data)


@pytest.fixture
def proxy(postgres_uri: str) -> Iterator[Proxy]:
    (server,) = parse_qs(urlsplit(postgres_uri).query).get("host", [""])
    if not server.startswith("/"):
        pytest.skip("the PostgreSQL of TEST_POSTGRES_URL has no Unix socket here")
    with TemporaryDirectory(prefix="proxy-") as directory:
        opened = Proxy(Path(directory), f"{server}/{SOCKET_NAME}")
        yield opened
        opened.close()
