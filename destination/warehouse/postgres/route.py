"""The way to PostgreSQL: the direct one, or a tunnel through an SSH server."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import psycopg

from destination.warehouse.postgres.configuration import Configuration

if TYPE_CHECKING:
    from destination.warehouse.tunnel import Tunnel


class Route:
    """Leads libpq to the server.

    Args:
        tunnel: the tunnel to take; None for none.
    """

    def __init__(self, tunnel: Tunnel | None = None) -> None:
        self._tunnel = tunnel

    @classmethod
    def of(cls, configuration: Configuration) -> Route:
        """The way that the setup form describes."""
        if configuration.tunnel is None:
            return cls()
        from destination.warehouse.tunnel import Tunnel  # noqa: PLC0415  # takes long, few need it

        return cls(Tunnel(configuration.tunnel, configuration.host, configuration.port))

    def connect(self, parameters: dict[str, Any], **options: Any) -> psycopg.Connection[Any]:
        """Connect, through the tunnel if there is one.

        Args:
            parameters: libpq's.
            options: psycopg's.

        Raises:
            psycopg.OperationalError: if PostgreSQL cannot be reached.
            TunnelRefusedError: if the SSH server is another one or does not let us in.
            TunnelLostError: if it cannot be reached, or cannot reach PostgreSQL.
        """
        if self._tunnel is None:
            return psycopg.connect(**parameters, **options)
        address, port = self._tunnel.open()
        try:
            return psycopg.connect(**{**parameters, "hostaddr": address, "port": port}, **options)
        except psycopg.OperationalError as error:
            refusal = self._tunnel.refusal()
            if refusal is None:
                raise
            raise refusal from error

    def check(self, seconds: float) -> None:
        """Reach the SSH server and log in, if there is one.

        Raises:
            TunnelRefusedError: as `connect`.
            TunnelLostError: as `connect`.
        """
        if self._tunnel is not None:
            self._tunnel.check(seconds)

    def rest(self) -> None:
        """Leave the SSH server as soon as nobody uses the tunnel."""
        if self._tunnel is not None:
            self._tunnel.rest()

    def close(self) -> None:
        """Close the tunnel."""
        if self._tunnel is not None:
            self._tunnel.close()
