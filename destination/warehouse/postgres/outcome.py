"""What became of a transaction whose commit was not answered."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, LiteralString

import sqlalchemy as sa

from destination.warehouse.base import Landed, Session
from destination.warehouse.ddl import NamedType
from destination.warehouse.postgres.contract import DURABLE, begin

IN_PROGRESS, COMMITTED = "in progress", "committed"
"""As pg_xact_status answers."""
LOST = "lost in a crash"

NUMBER: LiteralString = "pg_current_xact_id()::text"
ERA: LiteralString = "pg_stat_get_bgwriter_stat_reset_time()::text"
"""When statistics were reset: a server does so when it recovers from a crash. It is not replicated."""
ACTIVITY = sa.table(
    "pg_stat_activity", sa.column("pid"), sa.column("backend_xid"), schema="pg_catalog"
)


@dataclass(frozen=True, slots=True)
class Transaction:
    """What identifies a transaction.

    Args:
        number: its number.
        era: when the server last forgot what it had not written yet, by a crash or a failover:
            the numbers of transactions that it forgot are given to others.
    """

    number: str
    era: str

    @classmethod
    def start(
        cls, connection: sa.Connection, queries: Sequence[bytes] = ()
    ) -> tuple[Transaction, list[tuple[Any, ...]]]:
        """Begin a transaction that writes; with it the first row of each further query."""
        (number, era, _), *rows = begin(connection, f"{NUMBER}, {ERA}, {DURABLE}", queries)
        return cls(number, era), rows

    def outcome(self, session: Session, landed: Landed | None) -> str:
        """What became of it.

        If the server still runs the lost session, end that. In another era, work that may be repeated
        counts as lost; for other work, look for its rows.

        Args:
            session: a later session.
            landed: finds out whether the lost work was committed; None for work that may be repeated.
        """
        if session.scalar(sa.select(sa.text(ERA))) != self.era:
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
