"""Staged rows in statements that change a cluster's tables.

A staging table is the coordinator's own. Beside a reference table, or one of a schema that is a tenant,
it is no table that Citus knows; a query of it is one that it runs first.
"""

from __future__ import annotations

from collections.abc import Iterator
from string import ascii_lowercase
from typing import Any, TypeGuard

import sqlalchemy as sa
from sqlalchemy.sql import util, visitors

from destination.warehouse.naming import Alias

Change = sa.Update | sa.Delete
OWN = "pg_temp"
"""The schema of staging tables."""


def changes_rows(statement: sa.Executable) -> TypeGuard[Change]:
    """Whether a statement changes rows of a table that is no staging table."""
    return isinstance(statement, sa.Update | sa.Delete) and not _is_own(statement.table)


def queried(change: Change) -> Change:
    """A statement in which each staging table is a query of the columns that are used."""
    used: dict[sa.Table, set[str]] = {}
    for table, name in _columns(change):
        if _is_own(table):
            used.setdefault(table, set()).add(name)
    for letter, table in zip(ascii_lowercase, used, strict=False):
        rows = sa.select(*[column for column in table.c if column.name in used[table]])
        change = util.ClauseAdapter(rows.subquery(Alias.SENT + letter)).traverse(change)
    return change


def computed(change: Change) -> list[sa.Subquery]:
    """The queries of staging tables that a statement joins with the table that it changes.

    Citus joins none that groups or sorts rows with a reference table.
    """
    joined = dict.fromkeys(table for table, _ in _columns(change))
    return [
        rows
        for rows in joined
        if isinstance(rows, sa.Subquery)
        and any(_is_own(table) for table, _ in _columns(rows.element))
    ]


def replaced(change: Change, rows: sa.Subquery, table: sa.Table) -> Change:
    """The statement with a table in the place of a query."""

    def column(element: Any, **_: Any) -> Any:
        return table.c[element.name] if getattr(element, "table", None) is rows else None

    changed: Any = visitors.replacement_traverse(change, {}, column)
    return changed  # type: ignore[no-any-return]


def _is_own(table: sa.FromClause) -> TypeGuard[sa.Table]:
    return isinstance(table, sa.Table) and table.schema == OWN


def _columns(clause: Any) -> Iterator[tuple[sa.FromClause, str]]:
    """The columns of a clause, with what they are of."""
    for each in visitors.iterate(clause):
        if isinstance(each, sa.ColumnClause) and isinstance(each.table, sa.FromClause):
            yield each.table, each.name
