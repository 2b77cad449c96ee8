"""Fields of a setup form that mean the same for every warehouse: ports, uploads, the SSH tunnel."""

from __future__ import annotations

import base64
import binascii
import hashlib
import ssl
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from itertools import pairwise
from typing import Self

from destination.errors import ConfigurationError

DEFAULT_SSH_PORT = 22
FINGERPRINT = "SHA256:"
HOST_KEY_TYPES = ("ssh-", "ecdsa-sha2-")
PUBLIC_KEY = "AAAA"
MAX_PORT = 65535
DER_SEQUENCE = b"\x30\x82"
"""How a certificate in DER, the binary form that .cer files may have, begins."""


class Choice(Enum):
    """The options of a dropdown, each with its word in a request and what the form says of it."""

    def __init__(self, word: str, description: str, label: str = "") -> None:
        self.word = word
        self.description = description
        self.label = label or word

    @classmethod
    def parse(cls, values: Mapping[str, str], name: str, default: Self) -> Self:
        """The option that a field names.

        Raises:
            ConfigurationError: if it names none.
        """
        options = {option.word: option for option in cls}
        chosen = values.get(name, "").strip() or default.word
        if chosen not in options:
            raise ConfigurationError(f"{name}: must be one of {', '.join(options)}")
        return options[chosen]


class ConnectionType(Choice):
    """How the warehouse is reached, in the words of Fivetran's own destinations."""

    DIRECT = ("Directly", "Over the network, past your firewall.")
    SSH = ("SshTunnel", "Through an SSH server that can reach it.", "By an SSH tunnel")


@dataclass(frozen=True, slots=True)
class HostKeys:
    """The host keys that an SSH server may have.

    Args:
        fingerprints: their SHA256 in base64, as OpenSSH shows them.
        types: their types, as `ssh-ed25519`; empty where those are not known.
    """

    fingerprints: frozenset[str]
    types: frozenset[str]

    @classmethod
    def parse(cls, text: str) -> HostKeys:
        """Read fingerprints (`SHA256:...`) or public keys, as ssh-keyscan and ssh-keygen print them.

        Raises:
            ConfigurationError: if the field is filled in, but holds neither.
        """
        words = text.split()
        shown = {word.removeprefix(FINGERPRINT) for word in words if word.startswith(FINGERPRINT)}
        keys = [
            (kind, key)
            for kind, key in pairwise(words)
            if kind.startswith(HOST_KEY_TYPES) and key.startswith(PUBLIC_KEY)
        ]
        if words and not shown and not keys:
            raise ConfigurationError(
                "tunnel_host_key: must be a fingerprint (SHA256:…) or a public key (ssh-ed25519 AAAA…)"
            )
        types = frozenset(kind for kind, _ in keys) if not shown else frozenset()
        return cls(frozenset(shown) | {_fingerprint(key) for _, key in keys}, types)


@dataclass(frozen=True, slots=True)
class TunnelConfiguration:
    """An SSH server through which the warehouse is reached.

    Args:
        host: its name or address.
        port: its TCP port.
        user: the user to log in as.
        private_key: the key to log in with, in PEM.
        host_keys: the keys by which the server is known.
    """

    host: str
    port: int
    user: str
    private_key: bytes = field(repr=False)
    host_keys: HostKeys

    @classmethod
    def parse(cls, values: Mapping[str, str]) -> TunnelConfiguration | None:
        """Read the map that a request carries; None where the warehouse is reached directly.

        Raises:
            ConfigurationError: naming the field that is missing or malformed.
        """
        direct = ConnectionType.DIRECT
        if ConnectionType.parse(values, "connection_type", direct) is direct:
            return None
        private_key = upload(values, "tunnel_private_key")
        if private_key is None:
            raise ConfigurationError("tunnel_private_key: upload a private key for the SSH server")
        return cls(
            host=required(values, "tunnel_host"),
            port=port(values, "tunnel_port", DEFAULT_SSH_PORT),
            user=required(values, "tunnel_user"),
            private_key=private_key,
            host_keys=HostKeys.parse(values.get("tunnel_host_key", "")),
        )


def required(values: Mapping[str, str], name: str) -> str:
    """A field that must be filled in."""
    value = values.get(name, "").strip()
    if not value:
        raise ConfigurationError(f"{name}: fill in this field of the setup form")
    return value


def port(values: Mapping[str, str], name: str, default: int) -> int:
    """A TCP port."""
    value = values.get(name, "").strip()
    if not value:
        return default
    if not (value.isascii() and value.isdigit() and 0 < int(value) <= MAX_PORT):
        raise ConfigurationError(f"{name}: must be a number from 1 to 65535")
    return int(value)


def _fingerprint(public_key: str) -> str:
    """The SHA256 of a public key in base64, as OpenSSH shows it.

    Raises:
        ConfigurationError: if the key is not base64.
    """
    try:
        digest = hashlib.sha256(base64.b64decode(public_key, validate=True)).digest()
    except binascii.Error as error:
        raise ConfigurationError("tunnel_host_key: the public key is not complete") from error
    return base64.b64encode(digest).decode().rstrip("=")


def upload(values: Mapping[str, str], name: str) -> bytes | None:
    """The content of an uploaded file in PEM; it arrives as base64, of PEM or of DER."""
    value = values.get(name, "").strip()
    if not value:
        return None
    if value.startswith("-----BEGIN"):
        return value.encode()
    try:
        content = base64.b64decode(value, validate=True)
    except binascii.Error as error:
        raise ConfigurationError(f"{name}: is not an uploaded file in base64") from error
    if content.startswith(DER_SEQUENCE):
        return ssl.DER_cert_to_PEM_cert(content).encode()
    if b"-----BEGIN" not in content:
        raise ConfigurationError(f"{name}: is not a file in PEM format (-----BEGIN …)")
    return content
