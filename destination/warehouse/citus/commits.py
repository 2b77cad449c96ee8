"""Rows that tell, after the coordinator crashed, whether a transaction was committed.

Rows that were appended to a distributed table do not bear the coordinator's number of their transaction.
So each of these leaves a row of its own in a table of ours, which is committed with them or not at all.
"""

from __future__ import annotations

from datetime import timedelta
from uuid import uuid4

import sqlalchemy as sa
from sqlalchemy.schema import CreateTable

from destination.warehouse.base import Landed, Session
from destination.warehouse.naming import COMMITS
from destination.warehouse.postgres import locks
from destination.warehouse.postgres.session import PostgresSession

KEPT = timedelta(days=1)
"""Long after it is known what became of a transaction."""


def leave(session: PostgresSession, table: sa.Table) -> Landed:
    """Leave a row in the schema of a table, and tell in a later session whether it is there."""
    mine = uuid4().hex
    commits = sa.Table(
        COMMITS,
        sa.MetaData(),
        sa.Column("id", sa.Text, primary_key=True),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        schema=str(table.schema),
    )
    if not _is_there(session, commits):
        session.scalar(sa.select(sa.func.pg_advisory_xact_lock(locks.of_schema(str(table.schema)))))
        session.execute(CreateTable(commits, if_not_exists=True))
    session.execute(sa.delete(commits).where(commits.c.at < sa.func.now() - KEPT))
    session.execute(sa.insert(commits).values(id=mine, at=sa.func.now()))
    row = sa.select(sa.literal(1)).select_from(commits).where(commits.c.id == mine)
    return lambda later: _is_there(later, commits) and later.finds(row)


def _is_there(session: Session, commits: sa.Table) -> bool:
    return sa.inspect(session.connection).has_table(commits.name, commits.schema)
