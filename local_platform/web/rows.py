"""Rows of tables that syncs made, as text, a page at a time."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql

from local_platform.api.errors import ApiError, InvalidInputError

PAGE = 50
MAX_TEXT = 200
"""The most characters of a value; more are cut."""
EXACT = 100_000
"""Tables with more rows are not counted, but estimated by PostgreSQL."""
STATEMENT_MS = 5000
MAX_VERSIONS = 200
DIALECT = postgresql.dialect()


class WarehouseError(ApiError):
    """The warehouse cannot be looked at."""

    status, code = 502, "WarehouseUnavailable"


@dataclass(frozen=True)
class Column:
    """A column as people see it."""

    name: str
    type: str
    key: bool


@dataclass(frozen=True)
class Page:
    """A page of a table.

    Args:
        columns: its columns, keys first as the table has them.
        rows: their values as text.
        before: leads to the page before; None on the first.
        after: leads to the next; None on the last.
        count: how many rows there are.
        exact: whether they were counted.
    """

    columns: list[Column]
    rows: list[dict[str, str | None]]
    before: str | None
    after: str | None
    count: int
    exact: bool

    @property
    def key(self) -> list[str]:
        """The names of the key columns."""
        return [column.name for column in self.columns if column.key]


class Warehouses:
    """Connections to warehouses, kept for the next page."""

    def __init__(self) -> None:
        self._engines: dict[str, sa.Engine] = {}
        self._lock = threading.Lock()

    def engine(self, url: sa.URL) -> sa.Engine:
        """What connects to a database."""
        name = url.render_as_string(hide_password=False)
        with self._lock:
            if name not in self._engines:
                self._engines[name] = sa.create_engine(
                    url, pool_size=2, pool_pre_ping=True, connect_args={"connect_timeout": 5}
                )
            return self._engines[name]

    def close(self) -> None:
        """Close all."""
        for engine in self._engines.values():
            engine.dispose()


@dataclass(frozen=True)
class Rows:
    """The rows of a table.

    Args:
        engine: connects to its database.
        schema: its schema.
        name: its name.

    Raises:
        WarehouseError: by each method, if the database cannot be asked.
    """

    engine: sa.Engine
    schema: str
    name: str

    def page(self, after: str | None, before: str | None) -> Page:
        """A page.

        Args:
            after: what the row before it has in the key, from a page.
            before: what the row after it has.

        Raises:
            InvalidInputError: if either is none of a page.
        """
        with asking(self.engine) as connection:
            table = self._reflected(connection)
            key = list(table.primary_key.columns) or list(table.columns)
            query = sa.select(*_texts(table.columns)).limit(PAGE + 1)
            backwards = before is not None
            at = before if backwards else after
            if at is not None:
                here, there = sa.tuple_(*key), sa.tuple_(*_values(key, at))
                query = query.where(here < there if backwards else here > there)
            query = query.order_by(*(column.desc() if backwards else column for column in key))
            found = [dict(row) for row in connection.execute(query).mappings()]
            count, exact = self._count(connection, table)
        more, rows = len(found) > PAGE, found[:PAGE]
        rows = rows[::-1] if backwards else rows
        earlier = more if backwards else after is not None
        later = backwards or more
        names = [column.name for column in key]
        return Page(
            _columns(table), rows,
            place(rows[0], names) if rows and earlier else None,
            place(rows[-1], names) if rows and later else None,
            count, exact,
        )  # fmt: skip

    def versions(self, at: str, start: str) -> tuple[list[Column], list[dict[str, str | None]]]:
        """All versions of a record in history mode, the oldest first.

        Args:
            at: what it has in the key, as `place` has it.
            start: the column that a version begins with.

        Raises:
            InvalidInputError: if it is no place of this table.
        """
        with asking(self.engine) as connection:
            table = self._reflected(connection)
            if start not in table.columns:
                raise InvalidInputError("the table is not in history mode")
            key = [column for column in table.primary_key.columns if column.name != start]
            query = (
                sa.select(*_texts(table.columns))
                .where(sa.tuple_(*key) == sa.tuple_(*_values(key, at)))
                .order_by(table.c[start])
                .limit(MAX_VERSIONS)
            )
            return _columns(table), [dict(row) for row in connection.execute(query).mappings()]

    def _reflected(self, connection: sa.Connection) -> sa.Table:
        try:
            return sa.Table(
                self.name, sa.MetaData(), schema=self.schema, autoload_with=connection,
                resolve_fks=False,
            )  # fmt: skip
        except sa.exc.NoSuchTableError as error:
            raise WarehouseError(f"{self.schema}.{self.name} is not in the warehouse") from error

    def _count(self, connection: sa.Connection, table: sa.Table) -> tuple[int, bool]:
        estimate = estimated(connection, self.schema).get(self.name, -1)
        if estimate > EXACT:
            return estimate, False
        counted = sa.select(sa.literal(1)).select_from(table).limit(EXACT + 1).subquery()
        count = connection.scalar(sa.select(sa.func.count()).select_from(counted)) or 0
        return count, count <= EXACT


def estimated(connection: sa.Connection, schema: str) -> dict[str, int]:
    """How many rows PostgreSQL thinks each table of a schema has; -1 where it does not know."""
    found = connection.execute(
        sa.text(
            "SELECT c.relname, c.reltuples::bigint FROM pg_catalog.pg_class c"
            " JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace"
            " WHERE n.nspname = :schema AND c.relkind IN ('r', 'p')"
        ),
        {"schema": schema},
    )
    return {name: int(count) for name, count in found}


def place(row: Mapping[str, str | None], names: Sequence[str]) -> str:
    """What a row has in some columns, as text for an address."""
    return json.dumps([row[name] for name in names])


def _values(key: Sequence[sa.Column[Any]], at: str) -> list[sa.ColumnElement[Any]]:
    try:
        texts = json.loads(at)
    except ValueError as error:
        raise InvalidInputError("this address leads to no row") from error
    if not isinstance(texts, list) or len(texts) != len(key):
        raise InvalidInputError("this address leads to no row")
    return [
        sa.cast(sa.literal(text, sa.Text), column.type)
        for text, column in zip(texts, key, strict=True)
    ]


def _columns(table: sa.Table) -> list[Column]:
    return [
        Column(column.name, column.type.compile(DIALECT).lower(), column.primary_key)
        for column in table.columns
    ]


def _texts(columns: Any) -> list[sa.ColumnElement[Any]]:
    """Columns as text; keys whole, since they lead to the next page."""
    return [
        (text if column.primary_key else sa.func.left(text, MAX_TEXT)).label(column.name)
        for column in columns
        for text in [sa.cast(column, sa.Text)]
    ]


@contextmanager
def asking(engine: sa.Engine) -> Iterator[sa.Connection]:
    """A connection for reading, whose errors are the warehouse's."""
    try:
        with engine.connect() as connection:
            connection.exec_driver_sql("SET TRANSACTION READ ONLY")
            connection.exec_driver_sql(f"SET LOCAL statement_timeout = {STATEMENT_MS}")
            connection.exec_driver_sql("SET LOCAL timezone = 'UTC'")
            yield connection
    except sa.exc.DataError as error:
        raise InvalidInputError("this address leads to no row") from error
    except sa.exc.SQLAlchemyError as error:
        raise WarehouseError(
            f"the warehouse cannot be looked at ({type(error).__name__})"
        ) from error
