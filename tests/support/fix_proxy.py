"""A proxy before PostgreSQL, which gets in the way of its connections where a test wants it."""

import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Literal

import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict, make_conninfo

HOST = "127.0.0.1"
PIECE = 1 << 16
COMMIT = b"COMMIT\0"
"""The statement, and the server's answer to it; BEGIN says READ COMMITTED too."""

Sender = Literal["client", "server"]


@dataclass(frozen=True)
class Trap:
    """Where a connection is cut, or something else happens, once.

    Args:
        sender: whose bytes are counted and looked at.
        at: bytes that must be among those sent.
        after: how many bytes must have been passed on since the trap was set; those pass.
        delivers: whether the bytes that spring the trap are passed on.
        then: what happens instead of the cut.
    """

    sender: Sender = "client"
    at: bytes = b""
    after: int = 0
    delivers: bool = False
    then: Callable[[], object] | None = None


class Proxy:
    """Passes bytes on, both ways, between TCP clients and a server.

    Args:
        parameters: libpq's parameters of the server: host (a name or a directory) and port.
    """

    def __init__(self, parameters: dict[str, Any]) -> None:
        self._parameters = parameters
        self._trap: Trap | None = None
        self.passed = 0
        """How many bytes the sender of the trap has sent since it was set."""
        self._lock = threading.Lock()
        self._springing = threading.Lock()
        self._flowing = threading.Event()
        self._flowing.set()
        self._closed = threading.Event()
        self._connections: set[socket.socket] = set()
        self._clients: set[socket.socket] = set()
        self.bytes_per_second: float | None = None
        self.sprung = 0
        """How many traps were sprung."""
        self.port = 0
        self.accept()

    @property
    def conninfo(self) -> str:
        """How to connect to the server through the proxy."""
        return make_conninfo(**{**self._parameters, "host": HOST, "port": self.port})

    def set_trap(self, trap: Trap) -> None:
        """Have something happen once, to one of the connections."""
        with self._lock:
            self._trap, self.passed = trap, 0

    def cut_once(self, at: bytes, *, delivers: bool = False) -> None:
        """Cut the next connection on which a client sends these bytes, and none after it."""
        self.set_trap(Trap(at=at, delivers=delivers))

    def stall(self) -> None:
        """Keep the connections, but pass nothing on."""
        self._flowing.clear()

    def resume(self) -> None:
        """Pass on again."""
        self._flowing.set()

    def refuse(self) -> None:
        """Refuse connections from now on, and cut those that there are."""
        _shut_down(self._listener)
        self._listener.close()
        self.cut()

    def accept(self) -> None:
        """Accept connections, on the same port as before."""
        self._listener = socket.socket()
        self._listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self._listener.bind((HOST, self.port))
        self._listener.listen()
        self.port = int(self._listener.getsockname()[1])
        threading.Thread(target=self._accept, args=(self._listener,), daemon=True).start()

    def cut(self) -> None:
        """Cut all connections."""
        with self._lock:
            connections = list(self._connections)
        for connection in connections:
            _shut_down(connection)

    def vanish(self) -> None:
        """Cut all connections at the clients' side; the server notices nothing until `close`."""
        with self._lock:
            clients = list(self._clients)
        for client in clients:
            _shut_down(client)
        self._closed.wait()

    def close(self) -> None:
        """Cut all connections, and wait for what a trap does: the next test might be in its way."""
        self._closed.set()
        self.resume()
        self.refuse()
        with self._springing:
            pass

    def _accept(self, listener: socket.socket) -> None:
        with suppress(OSError):
            while True:
                client, _ = listener.accept()
                try:
                    server = self._connect()
                except OSError:
                    client.close()
                    continue
                with self._lock:
                    self._connections |= {client, server}
                    self._clients.add(client)
                for pair in ((client, server, "client"), (server, client, "server")):
                    threading.Thread(target=self._pass_on, args=pair, daemon=True).start()

    def _connect(self) -> socket.socket:
        host, port = self._parameters["host"], int(self._parameters.get("port", 5432))
        if not host.startswith("/"):
            return socket.create_connection((host, port))
        server = socket.socket(socket.AF_UNIX)
        server.connect(f"{host}/.s.PGSQL.{port}")
        return server

    def _pass_on(self, source: socket.socket, target: socket.socket, sender: Sender) -> None:
        with source, suppress(OSError):
            while data := source.recv(PIECE):
                self._flowing.wait()
                if self.bytes_per_second is not None:
                    time.sleep(len(data) / self.bytes_per_second)
                allowed, trap = self._sprung(sender, data)
                target.sendall(data[:allowed])
                if trap is None:
                    continue
                if trap.then is None:
                    break
                with self._springing:
                    trap.then()
                target.sendall(data[allowed:])
        _shut_down(target)
        with self._lock:
            self._connections.discard(source)
            self._clients.discard(source)

    def _sprung(self, sender: Sender, data: bytes) -> tuple[int, Trap | None]:
        """How many of the bytes pass, and the trap that they spring."""
        with self._lock:
            trap = self._trap
            if trap is None or trap.sender != sender:
                return len(data), None
            before, self.passed = self.passed, self.passed + len(data)
            if self.passed < trap.after or trap.at not in data:
                return len(data), None
            self._trap = None
            self.sprung += 1
            return len(data) if trap.delivers else max(trap.after - before, 0), trap


def _shut_down(connection: socket.socket) -> None:
    with suppress(OSError):
        connection.shutdown(socket.SHUT_RDWR)


@pytest.fixture
def proxy(postgres_uri: str, schema: str) -> Iterator[Proxy]:
    """One that is closed before the schema is dropped, for which its sessions may have to end."""
    del schema
    opened = Proxy(conninfo_to_dict(postgres_uri))
    with psycopg.connect(opened.conninfo):
        pass
    yield opened
    opened.close()
