"""PostgreSQL and its variants, which are known by the extension that makes them."""

from __future__ import annotations

import sqlalchemy as sa

from destination.warehouse.citus import contract as citus
from destination.warehouse.citus.session import CitusSession
from destination.warehouse.postgres.contract import ContractDialect
from destination.warehouse.postgres.session import PostgresSession

SETTINGS = {citus.EXTENSION: citus.SETTINGS}
"""What each variant sets besides in a transaction."""
SESSIONS: dict[str | None, type[PostgresSession]] = {
    None: PostgresSession,
    citus.EXTENSION: CitusSession,
}


def session_type(connection: sa.Connection) -> type[PostgresSession]:
    """The class of a connection's sessions, by what its server said when it was first reached."""
    dialect = connection.dialect
    return SESSIONS[dialect.extension if isinstance(dialect, ContractDialect) else None]
