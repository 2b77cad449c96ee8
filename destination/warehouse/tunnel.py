"""An SSH tunnel: a port of this machine that leads, through an SSH server, into a private network.

Twisted's Conch speaks SSH, in one thread for all tunnels. Whoever connects to the port keeps to the
warehouse's own name, so TLS and its checks reach from end to end.
"""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from functools import cache, partial
from typing import Any, TypeVar

from twisted.conch.error import ConchError
from twisted.conch.ssh.channel import SSHChannel
from twisted.conch.ssh.forwarding import packOpen_direct_tcpip
from twisted.internet import defer, protocol, reactor
from twisted.internet.threads import blockingCallFromThread
from twisted.logger import globalLogBeginner
from twisted.python.failure import Failure

from destination.configuration import TunnelConfiguration
from destination.errors import TunnelLostError
from destination.warehouse.ssh import Connection, Transport, private_key

Result = TypeVar("Result")

LOCAL = "127.0.0.1"
PATIENCE_SECONDS = 20
"""How long the SSH server may take to answer and to let us in."""


class Tunnel:
    """A tunnel to one host and port, opened when it is needed and again when it was lost.

    Args:
        configuration: the SSH server, and how to log in there.
        host: where the tunnel leads to, as the SSH server names it.
        port: the port there.

    Attributes:
        refused: why the SSH server did not open the last channel; None if it did.

    Raises:
        ConfigurationError: if the private key cannot be read.
    """

    def __init__(self, configuration: TunnelConfiguration, host: str, port: int) -> None:
        self.server = f"{configuration.host}:{configuration.port}"
        self._configuration = configuration
        self._target = (host, port)
        self._key = private_key(configuration.private_key)
        self._lock = threading.Lock()
        self._connection: Connection | None = None
        self._port: Any = None
        self.refused: str | None = None

    def open(self) -> tuple[str, int]:
        """Open the tunnel unless it is open.

        Returns:
            The address and port of this machine that lead through it.

        Raises:
            TunnelRefusedError: if the SSH server is another one or does not let us in.
            TunnelLostError: if it cannot be reached.
        """
        with self._lock:
            self.refused = None
            if self._connection is not None:
                self._connection.wanted = True
            if self._connection is None or not self._connection.alive:
                self._connection = self._open(PATIENCE_SECONDS)
            if self._port is None:
                self._port = _in_ssh_thread(self._listen)
            return LOCAL, self._port.getHost().port

    def check(self, seconds: float) -> None:
        """Log in anew, also where the tunnel is open.

        Args:
            seconds: how long to wait for the SSH server.

        Raises:
            TunnelRefusedError: as `open`.
            TunnelLostError: as `open`.
        """
        _in_ssh_thread(self._open(seconds).end)

    def refusal(self) -> TunnelLostError | None:
        """Why the SSH server did not pass on the last connection; None if it did."""
        if self.refused is None:
            return None
        host, port = self._target
        return TunnelLostError(
            f"the SSH server {self.server} does not connect to {host}:{port} ({self.refused}): check "
            f"Host and Port as that server knows them, and that it allows TCP forwarding"
        )

    def rest(self) -> None:
        """Close the connection to the SSH server as soon as nobody uses it."""
        with self._lock:
            if self._connection is not None and self._connection.alive:
                _in_ssh_thread(self._connection.rest)

    def close(self) -> None:
        """Close the port, the connection to the SSH server, and all that goes through it."""
        with self._lock:
            if self._port is not None:
                _in_ssh_thread(self._port.stopListening)
                self._port = None
            if self._connection is not None:
                _in_ssh_thread(self._connection.end)
                self._connection = None

    def _open(self, seconds: float) -> Connection:
        until = time.monotonic() + seconds
        where = (self._configuration.host, self._configuration.port)
        try:
            line = socket.create_connection(where, timeout=seconds)
        except OSError as error:
            raise self._lost(error.strerror or str(error)) from error
        with line:
            line.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
            line.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            line.setblocking(False)
            log_in = partial(self._log_in, line, until - time.monotonic())
            connection: Connection = _in_ssh_thread(log_in)
            return connection

    def _log_in(self, line: socket.socket, seconds: float) -> defer.Deferred[Connection]:
        transport = Transport(self._configuration, self._key, self._lost)
        transport.give_up_after(max(seconds, 0.1))
        factory = protocol.Factory.forProtocol(lambda: transport)
        reactor.adoptStreamConnection(line.fileno(), line.family, factory)
        ready: defer.Deferred[Connection] = transport.ready
        return ready

    def _lost(self, reason: str) -> TunnelLostError:
        return TunnelLostError(
            f"the SSH server {self.server} cannot be reached ({reason}): check SSH host and SSH port, "
            f"that it is running, and that the network lets Fivetran through"
        )

    def _listen(self) -> Any:
        factory = protocol.Factory.forProtocol(lambda: _Local(self))
        return reactor.listenTCP(0, factory, interface=LOCAL)

    def pass_on(self, local: _Local, source: tuple[str, int]) -> SSHChannel | None:
        """Open a channel for a connection to the port; None where the SSH server is gone."""
        if self._connection is None or not self._connection.alive:
            return None
        channel = _Channel(local, conn=self._connection)
        host, port = self._target
        self._connection.openChannel(channel, packOpen_direct_tcpip((host, port), source))
        return channel


@cache
def _ssh_thread() -> None:
    """Start the thread that all tunnels share; it ends with the process.

    What Conch logs may hold bytes on their way, so nothing of it is kept or shown.
    """
    globalLogBeginner.beginLoggingTo([], discardBuffer=True, redirectStandardIO=False)
    run: Callable[..., object] = reactor.run
    threading.Thread(
        target=run, kwargs={"installSignalHandlers": False}, name="ssh", daemon=True
    ).start()


def _in_ssh_thread(work: Callable[[], Result | defer.Deferred[Result]]) -> Result:
    _ssh_thread()
    result: Result = blockingCallFromThread(reactor, work)
    return result


class _Local(protocol.Protocol):
    """A connection to the tunnel's port."""

    def __init__(self, tunnel: Tunnel) -> None:
        self.tunnel = tunnel
        self._channel: SSHChannel | None = None

    def connectionMade(self) -> None:
        self.transport.pauseProducing()
        self.transport.setTcpNoDelay(True)
        peer = self.transport.getPeer()
        self._channel = self.tunnel.pass_on(self, (peer.host, peer.port))
        if self._channel is None:
            self.transport.abortConnection()

    def dataReceived(self, data: bytes) -> None:
        if self._channel is not None:
            self._channel.write(data)

    def connectionLost(self, reason: Failure | None = None) -> None:
        del reason
        if self._channel is not None:
            with suppress(KeyError):  # of a channel that is closed already
                self._channel.loseConnection()


class _Channel(SSHChannel):
    """What carries one connection through the tunnel."""

    name = b"direct-tcpip"

    def __init__(self, local: _Local, **options: Any) -> None:
        super().__init__(**options)
        self._local = local

    def channelOpen(self, specificData: bytes) -> None:
        self._local.transport.resumeProducing()

    def openFailed(self, reason: ConchError) -> None:
        text = getattr(reason, "value", b"")
        self._local.tunnel.refused = (
            text.decode(errors="replace")[:200] if text else "the connection was lost"
        )
        self._local.transport.abortConnection()

    def dataReceived(self, data: bytes) -> None:
        self._local.transport.write(data)

    def stopWriting(self) -> None:
        self._local.transport.pauseProducing()

    def startWriting(self) -> None:
        self._local.transport.resumeProducing()

    def eofReceived(self) -> None:
        self._local.transport.loseConnection()

    def closed(self) -> None:
        self._local.transport.loseConnection()
