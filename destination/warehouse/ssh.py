"""The client's side of SSH, by Twisted's Conch: the server's key, our log-in, signs of life."""

from __future__ import annotations

import base64
from collections.abc import Callable
from typing import Any

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, RSAPublicKey
from twisted.conch.error import ConchError
from twisted.conch.ssh import keys
from twisted.conch.ssh.channel import SSHChannel
from twisted.conch.ssh.connection import OPEN_ADMINISTRATIVELY_PROHIBITED, SSHConnection
from twisted.conch.ssh.transport import (
    DISCONNECT_KEY_EXCHANGE_FAILED,
    DISCONNECT_NO_MORE_AUTH_METHODS_AVAILABLE,
    SSHClientTransport,
)
from twisted.conch.ssh.userauth import SSHUserAuthClient
from twisted.internet import defer, reactor, task
from twisted.python.failure import Failure

from destination.configuration import HostKeys, TunnelConfiguration
from destination.errors import ConfigurationError, TunnelLostError, TunnelRefusedError

KEEPALIVE_SECONDS = 30
KEEPALIVE_LOST_SECONDS = 20
HOST_KEY_ALGORITHMS = (
    b"ssh-ed25519",
    b"ecdsa-sha2-nistp256",
    b"ecdsa-sha2-nistp384",
    b"ecdsa-sha2-nistp521",
    b"rsa-sha2-512",
    b"rsa-sha2-256",
)
"""As OpenSSH prefers them."""
RSA = b"ssh-rsa"
RSA_SIGNATURE = b"rsa-sha2-512"


def private_key(pem: bytes) -> keys.Key:
    """The key in an uploaded file, whichever of its usual forms it has.

    Raises:
        ConfigurationError: if it cannot be read.
    """
    openssh = b"BEGIN OPENSSH" in pem
    load: Callable[..., Any] = (
        serialization.load_ssh_private_key if openssh else serialization.load_pem_private_key
    )
    try:
        read = load(pem, password=None)
        key = RsaKey(read) if isinstance(read, RSAPrivateKey) else keys.Key(read)
        key.sshType()
    except TypeError as error:
        raise ConfigurationError(
            "tunnel_private_key: the key is protected by a passphrase: upload one without"
        ) from error
    except (ValueError, UnsupportedAlgorithm, keys.BadKeyError, RuntimeError) as error:
        raise ConfigurationError(
            "tunnel_private_key: is not a private key for SSH, as ssh-keygen makes it"
        ) from error
    return key


class RsaKey(keys.Key):
    """An RSA key that signs by SHA-512: Conch's would by SHA-1, which servers refuse."""

    def __init__(self, key: RSAPrivateKey | RSAPublicKey) -> None:
        super().__init__(key)
        self._rsa = key

    def public(self) -> RsaKey:
        return RsaKey(self._rsa.public_key()) if isinstance(self._rsa, RSAPrivateKey) else self

    def sshType(self) -> bytes:
        return RSA_SIGNATURE

    def sign(self, data: bytes, signatureType: bytes = RSA_SIGNATURE) -> bytes:
        signature: bytes = super().sign(data, signatureType)
        return signature


class Transport(SSHClientTransport):
    """The connection to the SSH server: who it is, and whether it lets us in.

    Args:
        configuration: what to expect and how to log in.
        key: the private key to log in with.
        lost: makes the error of a connection that ended.

    Attributes:
        ready: the connection, once we are logged in.
    """

    supportedCiphers = (b"aes128-ctr", b"aes192-ctr", b"aes256-ctr")
    supportedMACs = (b"hmac-sha2-256", b"hmac-sha2-512")
    supportedCompressions = (b"none",)

    def __init__(
        self,
        configuration: TunnelConfiguration,
        key: keys.Key,
        lost: Callable[[str], TunnelLostError],
    ) -> None:
        self._configuration = configuration
        self._key = key
        self._lost = lost
        self._error: Exception | None = None
        self.supportedPublicKeys = _algorithms(configuration.host_keys)
        self.ready: defer.Deferred[Connection] = defer.Deferred()

    def give_up_after(self, seconds: float) -> None:
        """Hang up if we are not logged in by then."""

        def give_up(_: object, seconds: float) -> Failure:
            self.transport.abortConnection()
            return Failure(self._lost(f"it did not let us in within {seconds:.0f} s"))

        self.ready.addTimeout(seconds, reactor, onTimeoutCancel=give_up)

    def verifyHostKey(self, hostKey: bytes, fingerprint: bytes) -> defer.Deferred[bool]:
        del fingerprint  # an MD5
        key = keys.Key.fromString(hostKey)
        found = key.fingerprint(keys.FingerprintFormats.SHA256_BASE64).rstrip("=")
        known = self._configuration.host_keys
        if found in known.fingerprints:
            return defer.succeed(True)
        named = f"{key.sshType().decode()} SHA256:{found}"
        self._error = TunnelRefusedError(
            f"the SSH server's host key is {named}, not the one in SSH host key: if it was changed on "
            f"purpose, correct the field; if not, somebody may be in between"
            if known.fingerprints
            else f"SSH host key: fill in this field of the setup form. The server shows {named}: "
            f"compare that with ssh-keygen -lf /etc/ssh/ssh_host_ed25519_key.pub on the server"
        )
        return defer.fail(self._error)

    def connectionSecure(self) -> None:
        self.requestService(_LogIn(self._configuration.user, self._key, Connection(self.ready)))

    def sendDisconnect(self, reason: int, desc: bytes) -> None:
        if self._error is None and reason == DISCONNECT_NO_MORE_AUTH_METHODS_AVAILABLE:
            public = _line_of(self._key)
            self._error = TunnelRefusedError(
                f"the SSH server refuses the user {self._configuration.user} with this key: check SSH "
                f"user, and add this line to ~/.ssh/authorized_keys of that user: {public}"
            )
        elif self._error is None and reason == DISCONNECT_KEY_EXCHANGE_FAILED:
            self._error = TunnelRefusedError(
                "the SSH server and this connector have no algorithms in common: allow aes256-ctr and "
                "hmac-sha2-256, and a host key of the type in SSH host key"
            )
        super().sendDisconnect(reason, desc)

    def receiveError(self, reasonCode: int, description: bytes) -> None:
        if self._error is None:
            self._error = self._lost(description.decode(errors="replace")[:200])

    def connectionLost(self, reason: Failure | None = None) -> None:
        super().connectionLost(reason)
        if not self.ready.called:
            self.ready.errback(self._error or self._lost("it hung up"))


def _line_of(key: keys.Key) -> str:
    """The public half of a key, as authorized_keys holds it."""
    blob: bytes = key.public().blob()
    kind_bytes = int.from_bytes(blob[:4])
    return f"{blob[4 : 4 + kind_bytes].decode()} {base64.b64encode(blob).decode()}"


def _algorithms(known: HostKeys) -> list[bytes]:
    """The algorithms for host keys to ask for: of the types that are known, if they are."""
    types = {kind.encode() for kind in known.types}
    return [
        name
        for name in HOST_KEY_ALGORITHMS
        if not types or name in types or (name.startswith(b"rsa") and RSA in types)
    ]


class _LogIn(SSHUserAuthClient):
    """Logs in by a key alone."""

    preferredOrder = (b"publickey",)

    def __init__(self, user: str, key: keys.Key, connection: Connection) -> None:
        super().__init__(user.encode(), connection)
        self._key = key
        self._offered = False

    def getPublicKey(self) -> keys.Key | None:
        if self._offered:
            return None
        self._offered = True
        return self._key.public()

    def getPrivateKey(self) -> defer.Deferred[keys.Key]:
        return defer.succeed(self._key)


class Connection(SSHConnection):
    """The service above the transport, which carries the channels and is kept alive.

    Attributes:
        alive: whether it is logged in and was not lost.
        wanted: whether it is to stay without a channel.
    """

    def __init__(self, ready: defer.Deferred[Connection]) -> None:
        super().__init__()
        self._ready = ready
        self._keeping = task.LoopingCall(self._keep_alive)
        self.alive = False
        self.wanted = True

    def serviceStarted(self) -> None:
        super().serviceStarted()
        self.alive = True
        self._keeping.start(KEEPALIVE_SECONDS, now=False)
        self._ready.callback(self)

    def serviceStopped(self) -> None:
        self.alive = False
        if self._keeping.running:
            self._keeping.stop()
        super().serviceStopped()

    def end(self) -> None:
        """Hang up."""
        self.alive = False
        self.transport.loseConnection()

    def rest(self) -> None:
        """Hang up as soon as nothing passes any more, unless it is wanted again."""
        self.wanted = False
        self._end_if_unused()

    def channelClosed(self, channel: SSHChannel) -> None:
        super().channelClosed(channel)
        self._end_if_unused()

    def _end_if_unused(self) -> None:
        if self.alive and not self.wanted and not self.channels:
            self.end()

    def getChannel(self, *_: object) -> SSHChannel:
        raise ConchError("nothing is served here", OPEN_ADMINISTRATIVELY_PROHIBITED)

    def _keep_alive(self) -> None:
        """Ask for an answer; most servers answer that they do not know the question."""
        answer = self.sendGlobalRequest(b"keepalive@openssh.com", b"", wantReply=1)
        answer.addErrback(lambda failure: failure.trap(ConchError))
        answer.addTimeout(KEEPALIVE_LOST_SECONDS, reactor)
        answer.addErrback(lambda _: self.transport.transport.abortConnection())
