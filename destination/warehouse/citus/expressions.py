"""How statements on a cluster say what it would gather at the coordinator, or refuse, otherwise."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql

from destination.warehouse.expressions import CLOSING_UNIT
from destination.warehouse.naming import Alias
from destination.warehouse.postgres.expressions import PostgresExpressions

UTC = "UTC"


class CitusExpressions(PostgresExpressions):
    """A cluster's parts of statements: no LATERAL, and of columns immutable functions alone."""

    def just_before(self, instant: sa.ColumnElement[Any]) -> sa.ColumnElement[Any]:
        local = sa.func.timezone(UTC, instant) - sa.literal(CLOSING_UNIT, sa.Interval())
        return sa.func.timezone(UTC, local)

    def preceding(
        self,
        rows: sa.FromClause,
        table: sa.Table,
        record: Mapping[str, sa.ColumnElement[Any]],
        start: tuple[str, sa.ColumnElement[Any]],
    ) -> tuple[sa.FromClause, sa.ColumnElement[bool]]:
        versions = table.alias(Alias.PRECEDING)
        starts, at = versions.c[start[0]], start[1]
        same = [versions.c[name] == value for name, value in record.items()]
        keys = [*[versions.c[name] for name in record], at]
        earlier = (
            sa.select(*versions.c, at.label(Alias.START))
            .select_from(rows.join(versions, sa.and_(*same, starts < at)))
            .ext(postgresql.distinct_on(*keys))
            .order_by(*keys, starts.desc())
        )
        found = earlier.subquery(Alias.BASE)
        again = [found.c[name] == value for name, value in record.items()]
        return found, sa.and_(*again, found.c[Alias.START] == at)

    def matched(
        self, rows: sa.FromClause, table: sa.Table, on: sa.ColumnElement[bool]
    ) -> sa.Select[Any]:
        return sa.select(sa.literal(1)).select_from(rows.join(table, on))
