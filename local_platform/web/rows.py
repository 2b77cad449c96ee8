"""Rows of tables that syncs made, as text, a page at a time."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from local_platform.api.errors import ApiError, InvalidInputError

PAGE = 50
MAX_TEXT = 200
"""The most characters of a value; more are cut."""
EXACT = 100_000
"""Tables with more rows are not counted, but estimated by PostgreSQL."""
SETTINGS = (
    "SET TRANSACTION READ ONLY; SET LOCAL statement_timeout = 5000; SET LOCAL timezone = 'UTC'"
)
LOOK = sa.text(
    "SELECT a.attname AS name, format_type(a.atttypid, a.atttypmod) AS type,"
    " array_position(i.indkey::smallint[], a.attnum) AS key, c.reltuples::bigint AS rows"
    " FROM pg_catalog.pg_class c"
    " JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace"
    " JOIN pg_catalog.pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped"
    " LEFT JOIN pg_catalog.pg_index i ON i.indrelid = c.oid AND i.indisprimary"
    " WHERE n.nspname = :schema AND c.relname = :name AND c.relkind IN ('r', 'p')"
    " ORDER BY a.attnum"
)
MAX_VERSIONS = 200


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
        WarehouseError: by each method, if the database cannot be read.
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
            seen = self._look(connection)
            key = seen.key or [column.name for column in seen.columns]
            order = [seen.table.c[name] for name in key]
            query = seen.query().limit(PAGE + 1)
            backwards = before is not None
            at = before if backwards else after
            if at is not None:
                here, there = sa.tuple_(*order), sa.tuple_(*seen.values(key, at))
                query = query.where(here < there if backwards else here > there)
            query = query.order_by(*(column.desc() if backwards else column for column in order))
            found = [dict(row) for row in connection.execute(query).mappings()]
            count, exact = seen.count(connection)
        more, rows = len(found) > PAGE, found[:PAGE]
        rows = rows[::-1] if backwards else rows
        earlier = more if backwards else after is not None
        later = backwards or more
        return Page(
            seen.columns, rows,
            place(rows[0], key) if rows and earlier else None,
            place(rows[-1], key) if rows and later else None,
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
            seen = self._look(connection)
            if start not in seen.key:
                raise InvalidInputError("the table is not in history mode")
            key = [name for name in seen.key if name != start]
            same = sa.tuple_(*(seen.table.c[name] for name in key)) == sa.tuple_(
                *seen.values(key, at)
            )
            query = seen.query().where(same).order_by(seen.table.c[start]).limit(MAX_VERSIONS)
            return seen.columns, [dict(row) for row in connection.execute(query).mappings()]

    def _look(self, connection: sa.Connection) -> Seen:
        found = connection.execute(LOOK, {"schema": self.schema, "name": self.name}).all()
        if not found:
            raise WarehouseError(f"{self.schema}.{self.name} is not in the warehouse")
        columns = [Column(row.name, row.type, row.key is not None) for row in found]
        keys = sorted((row.key, row.name) for row in found if row.key is not None)
        named: list[sa.ColumnClause[Any]] = [sa.column(row.name) for row in found]
        table = sa.table(self.name, *named, schema=self.schema)
        return Seen(table, columns, [name for _, name in keys], found[0].rows)


@dataclass(frozen=True)
class Seen:
    """A table as the catalog has it.

    Args:
        table: for queries.
        columns: its columns.
        key: the names of its key columns, in the key's order.
        estimate: how many rows PostgreSQL thinks it has; -1 where it does not know.
    """

    table: sa.TableClause
    columns: list[Column]
    key: list[str]
    estimate: int

    def query(self) -> sa.Select[Any]:
        """Its rows as text; keys whole, since they lead to the next page."""
        texts = []
        for column in self.columns:
            text = sa.cast(self.table.c[column.name], sa.Text)
            texts.append((text if column.key else sa.func.left(text, MAX_TEXT)).label(column.name))
        return sa.select(*texts).select_from(self.table)

    def values(self, key: Sequence[str], at: str) -> list[sa.ColumnElement[Any]]:
        """What a place says of key columns, in their types.

        Raises:
            InvalidInputError: if it is no place of this table.
        """
        try:
            texts = json.loads(at)
        except ValueError as error:
            raise InvalidInputError("this address leads to no row") from error
        if not isinstance(texts, list) or len(texts) != len(key):
            raise InvalidInputError("this address leads to no row")
        types = {column.name: Spelled(column.type) for column in self.columns}
        return [
            sa.cast(sa.literal(text, sa.Text), types[name])
            for text, name in zip(texts, key, strict=True)
        ]

    def count(self, connection: sa.Connection) -> tuple[int, bool]:
        """How many rows it has, and whether they were counted."""
        if self.estimate > EXACT:
            return self.estimate, False
        counted = sa.select(sa.literal(1)).select_from(self.table).limit(EXACT + 1).subquery()
        count = connection.scalar(sa.select(sa.func.count()).select_from(counted)) or 0
        return count, count <= EXACT


class Spelled(sa.types.UserDefinedType[Any]):
    """A type by PostgreSQL's own name for it.

    Args:
        name: from its catalog.
    """

    cache_ok = True

    def __init__(self, name: str) -> None:
        self.name = name

    def get_col_spec(self, **_: Any) -> str:
        return self.name


def estimated(connection: sa.Connection, schema: str) -> dict[str, int]:
    """How many rows PostgreSQL thinks each table of a schema has; -1 where it does not know.

    Tables are named `schema.table`.
    """
    found = connection.execute(
        sa.text(
            "SELECT c.relname, c.reltuples::bigint FROM pg_catalog.pg_class c"
            " JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace"
            " WHERE n.nspname = :schema AND c.relkind IN ('r', 'p')"
        ),
        {"schema": schema},
    )
    return {f"{schema}.{name}": int(count) for name, count in found}


def place(row: Mapping[str, str | None], names: Sequence[str]) -> str:
    """What a row has in some columns, as text for an address."""
    return json.dumps([row[name] for name in names])


@contextmanager
def asking(engine: sa.Engine) -> Iterator[sa.Connection]:
    """A connection for reading, whose errors are the warehouse's."""
    try:
        with engine.connect() as connection:
            connection.exec_driver_sql(SETTINGS)
            yield connection
    except sa.exc.DataError as error:
        raise InvalidInputError("this address leads to no row") from error
    except sa.exc.SQLAlchemyError as error:
        raise WarehouseError(
            f"the warehouse cannot be looked at ({type(error).__name__})"
        ) from error
