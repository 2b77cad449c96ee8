"""What became of a transaction whose commit was not answered."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from destination.warehouse.base import Session
from destination.warehouse.ddl import NamedType

IN_PROGRESS, COMMITTED = "in progress", "committed"
"""As pg_xact_status answers."""
LOST = "lost in a crash"

ERA = sa.cast(sa.func.pg_stat_get_bgwriter_stat_reset_time(), sa.Text)
"""The server's statistics begin anew when it recovers from a crash, and are not replicated."""
ACTIVITY = sa.table(
    "pg_stat_activity", sa.column("pid"), sa.column("backend_xid"), schema="pg_catalog"
)


@dataclass(frozen=True, slots=True)
class Transaction:
    """What a transaction is known by.

    Args:
        number: its number; of a transaction that only reads, 0.
        era: when the server last forgot what it had not written yet, by a crash or a failover:
            the numbers of transactions that it forgot are given to others.
    """

    number: str
    era: str

    @classmethod
    def begun(
        cls, connection: sa.Connection, settings: dict[str, str], *, writing: bool
    ) -> Transaction:
        """Begin a transaction with settings of its own."""
        set_all = [sa.func.set_config(name, value, True) for name, value in settings.items()]
        number = sa.func.pg_current_xact_id() if writing else sa.literal("0")
        query = sa.select(sa.cast(number, sa.Text), ERA, *set_all)
        row = connection.execute(query).one()
        return cls(row[0], row[1])

    def outcome(self, session: Session, landed: Callable[[Session], bool] | None) -> str:
        """What became of it, asked in a later session.

        A server that has not noticed that the connection is lost has its session ended. In another
        era, work that may be done again counts as lost, and other work is looked for.

        Args:
            session: where to ask.
            landed: the transaction's session's of that name.
        """
        if session.scalar(sa.select(ERA)) != self.era:
            return COMMITTED if landed is not None and landed(session) else LOST
        number = sa.cast(sa.literal(self.number), NamedType("xid8"))
        status = str(session.scalar(sa.select(sa.func.pg_xact_status(number))))
        if status == IN_PROGRESS:
            ending = sa.func.pg_terminate_backend(ACTIVITY.c.pid)
            stuck = ACTIVITY.c.backend_xid == short_number(self.number)
            session.scalar(sa.select(ending).where(stuck))
        return status


def short_number(number: str) -> sa.ColumnElement[Any]:
    """A transaction's number as rows and sessions bear it."""
    whole = sa.cast(sa.literal(number), NamedType("xid8"))
    return sa.cast(whole, NamedType("xid"))
