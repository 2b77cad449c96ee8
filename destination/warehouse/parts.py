"""The tables that staged rows are in: one, or several side by side for rows too wide for one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import sqlalchemy as sa

from destination.warehouse.naming import Alias

ORDINAL = "ordinal"
MASK = "mask"


@dataclass(frozen=True, slots=True)
class Part:
    """A table of some columns of staged rows.

    Args:
        table: the table; it has the rows' numbers too.
        numbers: which columns they are; number 3 has the name `c3`.
    """

    table: sa.Table
    numbers: range


def joined(parts: Sequence[Part]) -> sa.FromClause:
    """Whole rows, to select from; nothing else is joined before their parts are.

    Otherwise the rows of a join would have more columns than the warehouse may allow.
    """
    first, *others = (part.table for part in parts)
    if not others:
        return first
    columns = list(first.c)
    source: sa.FromClause = first
    for other in others:
        columns += [column for column in other.c if column.name != ORDINAL]
        source = source.join(other, other.c[ORDINAL] == first.c[ORDINAL])
    return sa.select(*columns).select_from(source).offset(0).subquery(Alias.ROWS)
