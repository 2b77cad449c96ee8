"""Staged rows in statements that change a cluster's tables.

A staging table is the coordinator's own. Beside a reference table, or one of a schema that is a tenant,
it is no table that Citus knows; a query of it is one that it runs first.
"""

from __future__ import annotations

from string import ascii_lowercase

import sqlalchemy as sa
from sqlalchemy.sql import util, visitors

from destination.warehouse.naming import Alias

OWN = "pg_temp"
"""The schema of staging tables."""


def queried(statement: sa.Executable) -> sa.Executable:
    """A statement in which each staging table is a query of the columns that are used."""
    if not isinstance(statement, sa.Update | sa.Delete):
        return statement
    if getattr(statement.table, "schema", OWN) == OWN:
        return statement
    used: dict[sa.Table, set[str]] = {}
    for each in visitors.iterate(statement):
        if isinstance(each, sa.Column) and isinstance(each.table, sa.Table):
            used.setdefault(each.table, set()).add(each.name)
    staging = [table for table in used if table.schema == OWN]
    for letter, table in zip(ascii_lowercase, staging, strict=False):
        rows = sa.select(*[column for column in table.c if column.name in used[table]])
        statement = util.ClauseAdapter(rows.subquery(Alias.SENT + letter)).traverse(statement)
    return statement
