"""Chains: partial rows of a record, which take their unmodified values from the row before.

Each row has a link to the one before. In each round, every row takes values from the row that it links
to, and then that row's link, so links double in length: a chain of 1,000 rows needs ten rounds.

    rows      1: a=1   2: b=2   3: c=3      links 2→1, 3→2
    round 1   2: a=1 b=2        3: b=2 c=3  links 3→1
    round 2   3: a=1 b=2 c=3                no links
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from destination.warehouse.base import Session
from destination.warehouse.naming import Alias
from destination.warehouse.staging import ORDINAL, Staged, Values
from destination.warehouse.stored import StoredColumn

LINK, FLAGS, LAST = "link", "flags", "last"
BASE = "base"
"""The version that the first row of a chain is completed from; the other rows take it over."""


@dataclass(frozen=True, slots=True)
class Changes:
    """Partial rows, of which no two share a key; see `statements.Rows`.

    Args:
        clause: where to select them from.
        columns: the target's columns that they hold.
        ordinal: their numbers.
        values: their values.
        modified: whether each is modified.
        flags: the same as flags.
    """

    clause: sa.FromClause
    columns: tuple[StoredColumn, ...]
    ordinal: sa.ColumnElement[Any]
    values: Values
    modified: dict[str, sa.ColumnElement[bool]]
    flags: sa.ColumnElement[Any]


def folded(session: Session, staged: Staged, key: Sequence[str]) -> Changes:
    """Staged partial rows, combined to one row a key, as if they were applied one after the other.

    Each column has the value of the last row that modifies it.
    """
    columns, flags = staged.columns, session.flags(staged.mask)
    if not staged.may_repeat(key):
        return Changes(
            staged.clause, columns, staged.ordinal, staged.values, staged.modified, flags
        )
    in_order: dict[str, Any] = {
        "partition_by": [staged.values[name] for name in key],
        "order_by": staged.ordinal,
    }
    before = sa.func.lag(staged.ordinal).over(**in_order)
    last = sa.func.lead(staged.ordinal).over(**in_order).is_(None)
    linked = sa.select(staged.ordinal, before, last, flags).select_from(staged.clause)
    links = link(session, linked, sa.Column(LAST, sa.Boolean))
    inherit(session, staged, links, key)
    same = sa.and_(staged.ordinal == links.c[ORDINAL], links.c[LAST])
    folding = sa.select(*staged.values.values(), staged.ordinal, links.c[FLAGS])
    rows = folding.select_from(staged.clause.join(links, same)).subquery(Alias.FOLDED)
    return Changes(
        rows,
        columns,
        rows.c[ORDINAL],
        {name: rows.c[str(value.key)] for name, value in staged.values.items()},
        modified_by(session, staged, rows.c[FLAGS]),
        rows.c[FLAGS],
    )


def link(session: Session, rows: sa.Select[Any], further: sa.Column[Any]) -> sa.Table:
    """A table of links.

    Args:
        session: the transaction.
        rows: of each row its number, that of the one before in its chain, the further column, its flags.
        further: an additional column of the links.
    """
    links = session.create_staging(
        [
            sa.Column(ORDINAL, sa.BigInteger),
            sa.Column(LINK, sa.BigInteger),
            further,
            sa.Column(FLAGS, session.flags_type),
        ]
    )
    session.execute(sa.insert(links).from_select([column.name for column in links.c], rows))
    session.analyze(links, [links.c[ORDINAL], links.c[LINK]])
    return links


def modified_by(
    session: Session, staged: Staged, flags: sa.ColumnElement[Any]
) -> dict[str, sa.ColumnElement[bool]]:
    """Whether the rows of chains, or those before them, modify values."""
    names = [column.column.name for column in staged.columns]
    return {name: session.is_set(flags, i) for i, name in enumerate(names)}


def inherit(session: Session, staged: Staged, links: sa.Table, own: Collection[str]) -> None:
    """Give each row of a chain the last values of those before it where it modifies none.

    Args:
        session: the transaction.
        staged: the rows.
        links: how they are linked; afterwards its flags say what a row and those before it modify.
        own: the columns that rows keep for themselves.
    """
    taken = links.alias(Alias.TAKEN)
    all_flags = session.united(links.c[FLAGS], taken.c[FLAGS])
    linked = sa.select(sa.literal(1)).where(links.c[LINK].is_not(None))
    values = {
        f"c{i}": session.is_set(links.c[FLAGS], i)
        for i, column in enumerate(staged.columns)
        if column.column.name not in own
    }
    further = [column.name for column in links.c if column.name in (LINK, BASE)]
    while session.finds(linked):
        for part in staged.parts:
            giver = part.table.alias(Alias.ROWS)
            changed = {
                column.name: sa.case((values[column.name], column), else_=giver.c[column.name])
                for column in part.table.c
                if column.name in values
            }
            if changed:
                taking = sa.update(part.table).values(changed)
                session.execute(
                    taking.where(
                        part.table.c[ORDINAL] == links.c[ORDINAL],
                        links.c[LINK] == taken.c[ORDINAL],
                        giver.c[ORDINAL] == taken.c[ORDINAL],
                        all_flags != links.c[FLAGS],
                    )
                )
        following = sa.update(links).where(links.c[LINK] == taken.c[ORDINAL])
        session.execute(
            following.values({FLAGS: all_flags, **{name: taken.c[name] for name in further}})
        )
