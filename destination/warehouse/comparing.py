"""Comparing: whether a table holds what another one should have been copied to."""

from __future__ import annotations

import sqlalchemy as sa

from destination.warehouse.base import Session
from destination.warehouse.naming import Alias
from destination.warehouse.staging import Values
from destination.warehouse.stored import StoredTable


def hold_the_same(
    session: Session, source: StoredTable, existing: StoredTable, values: Values
) -> bool:
    """Whether values of each of a table's rows are all that another table holds.

    Values are compared as texts, since not all types know what is equal; the key as it is too, so that
    each part of a cluster compares its own rows.
    """
    key = [name for name in source.table.key_names if name in values]
    copied, found = (
        sa.select(
            *[each[name].label(f"k{i}") for i, name in enumerate(key)],
            *[sa.cast(value, sa.Text).label(f"c{i}") for i, value in enumerate(held)],
            sa.literal(count).label("count"),
        ).select_from(each.clause)
        for each, held, count in (
            (source, values.values(), 1),
            (existing, [existing[name] for name in values], -1),
        )
    )
    both = sa.union_all(copied, found).subquery(Alias.ROWS)
    *row, count = both.c
    differ = (
        sa.select(sa.literal(1)).select_from(both).group_by(*row).having(sa.func.sum(count) != 0)
    )
    return not session.finds(differ)
