"""One transaction in PostgreSQL: its catalog, its COPY, its own ways to say things."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from contextlib import closing, contextmanager
from itertools import chain, count, islice
from typing import Any, cast

import psycopg
import pyarrow as pa
import sqlalchemy as sa
from pgpq import ArrowToPostgresBinaryEncoder
from psycopg import sql
from sqlalchemy.dialects import postgresql
from sqlalchemy.exc import DBAPIError
from sqlalchemy.schema import (
    CreateSchema,
    CreateTable,
    DropTable,
    SetColumnComment,
    SetTableComment,
)

from destination import telemetry
from destination.ahead import ahead, handing_over
from destination.cancellation import Cancellation
from destination.schema import TEXT_TYPES, Column, Table
from destination.warehouse.base import Capabilities, Result, Session
from destination.warehouse.ddl import AlterTable, Conversion, NamedType
from destination.warehouse.naming import STAGING_PREFIX, Naming
from destination.warehouse.postgres import catalog, conversions, types
from destination.warehouse.postgres.contract import LOCK_TIMEOUT
from destination.warehouse.postgres.driver import as_sqlalchemy, driver_of, sqlalchemy_error
from destination.warehouse.postgres.errors import explain_copy, sqlstate, value_refusal
from destination.warehouse.postgres.marks import Mark
from destination.warehouse.postgres.outcome import short_number
from destination.warehouse.postgres.upsert import Upsert
from destination.warehouse.stored import StoredColumn, StoredTable, TableName

WHOLE_PAGES: dict[str, Any] = {"postgresql_with": {"toast_tuple_target": 8160}}
"""Rows are stored whole as long as they fit a page. Those of a staging table are compressed only in
their place, since it takes longer than all else."""
MANY_TEXTS = 32
"""So many texts share a page only if they are short. PostgreSQL would move each of them out of the row,
which takes twice the space and five times as long."""
CLAIM_SECONDS = 30
"""For how long a table is claimed, in short attempts with pauses between, before work is begun anew."""
ATTEMPT = "1s"
PAUSE_SECONDS = 4
NOT_IN_TIME = frozenset({"55P03"})
NOT_LOCKABLE = "42809"
"""Of a foreign table, which takes no lock by command."""
TEXT = NamedType("text")
DUPLICATE_KEY = frozenset({"23505"})
IN_THE_WAY = frozenset({"55P03", "42501", "2BP01"})
"""A lock that is not available, a table that another owns, an object that depends on it."""

CAPABILITIES = Capabilities(
    naming=Naming(
        limit=63,
        reserved=frozenset({"cmax", "cmin", "ctid", "tableoid", "xmax", "xmin"}),
    ),
    reserved_schemas=frozenset({"information_schema"}),
    reserved_schema_prefix="pg_",
)


class PostgresSession(Session):
    """A transaction in PostgreSQL."""

    capabilities = CAPABILITIES

    def __init__(self, connection: sa.Connection, cancellation: Cancellation) -> None:
        super().__init__(connection, cancellation)
        self._staging_numbers = count(1)
        self._claimed: set[str] = set()

    def execute(self, statement: sa.Executable) -> int:
        match statement:
            case AlterTable(table=table) | DropTable(element=table):
                self._claim(table)
        return super().execute(statement)

    def find_table(self, name: TableName) -> StoredTable | None:
        return catalog.find_table(self, name)

    def create_schema(self, schema: str) -> None:
        stored = self.schema(schema)
        if catalog.schema_exists(self, stored):
            return
        self._lock(f"schema {schema}")
        if catalog.schema_exists(self, stored):
            return
        self.execute(CreateSchema(stored))
        if comment := self.capabilities.naming.comment("", schema):
            self._execute_raw(
                sql.SQL("COMMENT ON SCHEMA {} IS {}").format(sql.Identifier(stored), comment)
            )

    def comment(self, target: sa.Table | sa.Column[Any], comment: str | None) -> None:
        target.comment = comment
        if isinstance(target, sa.Table):
            self.execute(SetTableComment(target))
        else:
            self.execute(SetColumnComment(target))

    def lock(self, name: TableName) -> None:
        self._lock(f"table {self.schema(name.schema)}\0{self.name(name.table)}")

    def _claim(self, table: sa.Table) -> None:
        """Lock a table against everybody, once, and let readers through until that succeeds.

        Whoever waits for this lock holds up all who want to read after that. So each attempt is
        short, and behind it there is a pause.

        Raises:
            DBAPIError: if somebody else still holds a lock at the end.
        """
        name, _ = _names(table, ())
        if name.as_string() in self._claimed:
            return
        self._claimed.add(name.as_string())
        lock = sql.SQL(
            "SET LOCAL lock_timeout = {}; LOCK TABLE {} IN ACCESS EXCLUSIVE MODE; "
            "SET LOCAL lock_timeout = {}"
        ).format(ATTEMPT, name, LOCK_TIMEOUT)
        try:
            self._attempts(lock)
        except DBAPIError as error:
            if sqlstate(error) != NOT_LOCKABLE:
                raise

    def _attempts(self, lock: sql.Composed) -> None:
        until = time.monotonic() + CLAIM_SECONDS

        def attempt() -> bool:
            self._execute_raw(lock)
            return True

        while time.monotonic() < until:
            if self._unless(NOT_IN_TIME, attempt):
                return
            self.cancellation.sleep(PAUSE_SECONDS)
        attempt()

    def _lock(self, what: str) -> None:
        """Wait for other sessions of this project as long as it takes; for others from then on."""
        number = int.from_bytes(hashlib.sha256(what.encode()).digest()[:8], signed=True)
        waits = [sa.func.set_config("lock_timeout", limit, True) for limit in ("0", LOCK_TIMEOUT)]
        locking = sa.func.pg_advisory_xact_lock(number)
        with telemetry.waiting("lock"):
            self.connection.execute(sa.select(waits[0], locking, waits[1]))

    def keep_writers_out(self, table: sa.Table) -> None:
        name, _ = _names(table, ())
        self._execute_raw(sql.SQL("LOCK TABLE {} IN SHARE MODE").format(name))

    def type_name(self, column: Column) -> str:
        return types.type_name(column)

    def wire_type_name(self, column: Column) -> str:
        return types.wire_type_name(column)

    def type_remark(self, column: Column) -> bool:
        return types.needs_remark(column.type)

    def mark(self, table: sa.Table, names: Sequence[str]) -> None:
        if names:
            self.execute(Mark(table, names))

    def require_free_name(self, name: TableName) -> None:
        catalog.require_free_name(self, name)

    def storage(self, table: Table) -> dict[str, Any]:
        texts = [column for column in table.columns if column.type in TEXT_TYPES]
        return WHOLE_PAGES if len(texts) >= MANY_TEXTS else {}

    def cast(self, value: sa.ColumnElement[Any], source: str, target: str) -> sa.ColumnElement[Any]:
        return conversions.cast(value, source, target)

    def conversion(self, value: sa.Column[Any], old: StoredColumn, new: Column) -> Conversion:
        return conversions.conversion(value, old, new)

    def fraction_digits(self, number: sa.ColumnElement[Any]) -> sa.ColumnElement[int]:
        return sa.func.min_scale(number)

    def has_written(self, table: sa.Table) -> Callable[[Session], bool]:
        number = self.scalar(sa.select(sa.cast(sa.func.pg_current_xact_id(), sa.Text)))
        rows = sa.exists().select_from(table).where(sa.column("xmin") == short_number(number))
        return lambda later: bool(later.scalar(sa.select(rows)))

    def create_staging(self, columns: Sequence[sa.Column[Any]]) -> sa.Table:
        table = sa.Table(
            f"{STAGING_PREFIX}{next(self._staging_numbers)}",
            sa.MetaData(),
            *columns,
            schema="pg_temp",
            postgresql_on_commit="DROP",
            **WHOLE_PAGES,
        )
        self.execute(CreateTable(table))
        return table

    def analyze(self, table: sa.Table, columns: Sequence[sa.Column[Any]]) -> None:
        if columns:
            self._execute_raw(sql.SQL("ANALYZE {} ({})").format(*_names(table, columns)))

    def size(self, table: sa.Table) -> int:
        name, _ = _names(table, ())
        target = sa.cast(sa.literal(name.as_string()), postgresql.REGCLASS)
        return int(self.scalar(sa.select(sa.func.pg_relation_size(target))) or 0)

    def copy(
        self, target: sa.Table, columns: Sequence[sa.Column[Any]], batches: Iterable[pa.RecordBatch]
    ) -> int:
        batches = iter(batches)
        first = list(islice(batches, 1))
        if not first:
            return 0
        schema = first[0].schema
        names = _names(target, columns)
        statement = sql.SQL("COPY {} ({}) FROM STDIN (FORMAT binary)").format(*names)
        driver = driver_of(self.connection)
        try:
            with telemetry.phase("copy"), driver.cursor() as cursor, cursor.copy(statement) as copy:
                return self._write(copy, chain(handing_over(first), batches), schema)
        except psycopg.Error as error:
            stored = [column.name for column in columns]
            named = dict(zip(stored, schema.names, strict=True))
            refused = explain_copy(error, target.name, named)
            if refused is not None:
                raise refused from error
            raise sqlalchemy_error(driver, error, statement.as_string()) from error

    def unless_duplicate(self, work: Callable[[], Result | None]) -> Result | None:
        return self._unless(DUPLICATE_KEY, work)

    def refusal(self, statement: sa.Executable) -> str | None:
        savepoint = self.connection.begin_nested()
        try:
            self.execute(statement)
        except DBAPIError as error:
            reason = value_refusal(error)
            if error.connection_invalidated or reason is None:
                raise
            savepoint.rollback()
            return reason
        savepoint.commit()
        return None

    @contextmanager
    def key_built_last(self, target: StoredTable) -> Iterator[None]:
        if not (target.standalone and target.plain_key and self._drop_key(target)):
            yield
            return
        yield
        add = sql.SQL("ALTER TABLE {} ADD CONSTRAINT {} {}")
        with telemetry.phase("index"):
            self._execute_raw(add.format(*self._key(target), sql.SQL(target.plain_key)))

    def _drop_key(self, target: StoredTable) -> bool:
        """Drop the key, unless a report reads the table, a view needs the key, or another owns it."""
        table, key = self._key(target)
        statements = (
            sql.SQL("LOCK TABLE {} IN ACCESS EXCLUSIVE MODE NOWAIT").format(table),
            sql.SQL("ALTER TABLE {} DROP CONSTRAINT {}").format(table, key),
        )

        def drop() -> bool:
            for statement in statements:
                self._execute_raw(statement)
            return True

        return bool(self._unless(IN_THE_WAY, drop))

    def _key(self, target: StoredTable) -> tuple[sql.Identifier, sql.Identifier]:
        table, _ = _names(target.clause, ())
        return table, sql.Identifier(str(target.key_constraint))

    def _unless(self, states: Collection[str], work: Callable[[], Result | None]) -> Result | None:
        """Do work, or nothing at all if it fails with one of these SQLSTATEs or answers None."""
        savepoint = self.connection.begin_nested()
        try:
            result = work()
        except DBAPIError as error:
            if error.connection_invalidated:
                raise
            savepoint.rollback()
            if sqlstate(error) not in states:
                raise
            return None
        if result is None:
            savepoint.rollback()
        else:
            savepoint.commit()
        return result

    def upsert(
        self, target: sa.Table, rows: sa.Select[Any], names: Sequence[str], key: Sequence[str]
    ) -> sa.Executable:
        return Upsert(target, rows, names, key)

    def last_rows(
        self,
        columns: Sequence[sa.ColumnElement[Any]],
        key: Sequence[sa.ColumnElement[Any]],
        order: sa.ColumnElement[Any],
    ) -> sa.Select[Any]:
        rows = sa.select(*columns).ext(postgresql.distinct_on(*key))
        return rows.order_by(*key, order.desc())

    def last_value(
        self,
        value: sa.ColumnElement[Any],
        where: sa.ColumnElement[bool],
        order: sa.ColumnElement[Any],
    ) -> sa.ColumnElement[Any]:
        kind = cast("NamedType", value.type)
        if not types.is_made_here(kind.name):
            text = self.last_value(sa.cast(value, TEXT), where, order)
            return sa.cast(text, NamedType(kind.name))
        latest_first = postgresql.aggregate_order_by(value, order.desc())
        values = sa.func.array_agg(latest_first, type_=postgresql.ARRAY(kind))
        return values.filter(where)[1]

    def is_modified(self, mask: sa.ColumnElement[Any], position: int) -> sa.ColumnElement[bool]:
        return sa.func.get_byte(mask, position) == 1

    def _write(
        self, copy: psycopg.Copy, batches: Iterable[pa.RecordBatch], schema: pa.Schema
    ) -> int:
        encoder, rows = ArrowToPostgresBinaryEncoder(schema), 0

        def encode(batch: pa.RecordBatch) -> bytes:
            nonlocal rows
            rows += batch.num_rows
            return encoder.write_batch(batch)

        copy.write(encoder.write_header())
        with closing(ahead(map(encode, batches), "encoder", len)) as pieces:
            for piece in pieces:
                self.cancellation.check()
                copy.write(memoryview(piece))
                del piece
        copy.write(encoder.finish())
        return rows

    def _execute_raw(self, statement: sql.Composed) -> None:
        """Execute a statement that SQLAlchemy has no words for."""
        driver = driver_of(self.connection)
        with as_sqlalchemy(driver, statement.as_string()):
            driver.execute(statement)


def _names(
    table: sa.Table, columns: Sequence[sa.Column[Any]]
) -> tuple[sql.Identifier, sql.Composed]:
    """A table and a list of its columns, for statements that SQLAlchemy has no words for."""
    parts = [part for part in (table.schema, table.name) if part]
    listed = sql.SQL(", ").join(sql.Identifier(column.name) for column in columns)
    return sql.Identifier(*parts), listed
