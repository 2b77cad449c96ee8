"""What the setup form says of a PostgreSQL server and of the way to it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from destination.configuration import Choice, TunnelConfiguration, port, required, upload
from destination.errors import ConfigurationError

DEFAULT_PORT = 5432


class SslMode(Choice):
    """libpq's `sslmode` values, with what the form says about each."""

    DISABLE = ("disable", "Never use TLS: only for a network that you trust altogether.")
    ALLOW = ("allow", "Use TLS only if the server insists on it.")
    PREFER = ("prefer", "Use TLS if the server offers it.")
    REQUIRE = ("require", "Always use TLS, whoever the server is.")
    VERIFY_CA = (
        "verify-ca",
        "Use TLS and check that your certificate authority vouches for the server.",
    )
    VERIFY_FULL = (
        "verify-full",
        "As verify-ca, and check that the server's name is the one in Host.",
    )

    @property
    def verifies(self) -> bool:
        """Whether the server's certificate is checked."""
        return self in (SslMode.VERIFY_CA, SslMode.VERIFY_FULL)


@dataclass(frozen=True, slots=True)
class Configuration:
    """Where the warehouse is and how to log in; secrets are left out of its repr.

    Args:
        host: its name or address; empty for the embedded warehouse.
        port: its TCP port.
        database: the database's name.
        user: the user to log in as.
        password: their password.
        sslmode: libpq's `sslmode`.
        sslrootcert: the certificate authorities to trust, in PEM; None for those of the system.
        sslcert: the client's certificate, in PEM.
        sslkey: the key to it, in PEM.
        tunnel: the SSH server through which it is reached; None for none.
    """

    host: str
    port: int
    database: str
    user: str
    password: str = field(repr=False)
    sslmode: SslMode = SslMode.REQUIRE
    sslrootcert: bytes | None = field(default=None, repr=False)
    sslcert: bytes | None = field(default=None, repr=False)
    sslkey: bytes | None = field(default=None, repr=False)
    tunnel: TunnelConfiguration | None = None

    @classmethod
    def parse(cls, values: Mapping[str, str]) -> Configuration:
        """Read the map that a request carries; keys that are no field of the form are ignored.

        Raises:
            ConfigurationError: naming the field that is missing or malformed.
        """
        for name, value in values.items():
            if "\0" in value:
                raise ConfigurationError(f"{name}: holds U+0000, which no setting may")
        host = values.get("host", "").strip()
        if not host:
            return EMBEDDED
        sslmode = SslMode.parse(values, "sslmode", SslMode.REQUIRE)
        configuration = cls(
            host=host,
            port=port(values, "port", DEFAULT_PORT),
            database=required(values, "database"),
            user=required(values, "user"),
            password=values.get("password", ""),
            sslmode=sslmode,
            sslrootcert=upload(values, "sslrootcert") if sslmode.verifies else None,
            sslcert=upload(values, "sslcert"),
            sslkey=upload(values, "sslkey"),
            tunnel=TunnelConfiguration.parse(values),
        )
        if sslmode is SslMode.VERIFY_CA and configuration.sslrootcert is None:
            raise ConfigurationError(
                "sslrootcert: with sslmode verify-ca, upload the certificate of the certificate "
                "authority that signed the server's"
            )
        if (configuration.sslcert is None) != (configuration.sslkey is None):
            raise ConfigurationError("sslcert and sslkey: upload both of them, or neither")
        return configuration

    def __str__(self) -> str:
        return f"{self.user}@{self.host}:{self.port}/{self.database}"


EMBEDDED = Configuration(host="", port=DEFAULT_PORT, database="", user="", password="")
"""A configuration that names no host."""
