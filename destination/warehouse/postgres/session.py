"""One transaction in PostgreSQL: its catalog, COPY and locks."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Collection, Hashable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from itertools import count
from typing import Any

import pyarrow as pa
import sqlalchemy as sa
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
from destination.cancellation import Cancellation
from destination.schema import TEXT_TYPES, Column, Table
from destination.warehouse.base import (
    Commented,
    Landed,
    Parameters,
    Result,
    Session,
    Traits,
    required,
)
from destination.warehouse.ddl import AlterTable
from destination.warehouse.naming import STAGING_PREFIX, Naming
from destination.warehouse.postgres import carrying, catalog, comments, conversions, locks, types
from destination.warehouse.postgres.contract import LOCK_TIMEOUT
from destination.warehouse.postgres.copying import Copying
from destination.warehouse.postgres.ddl import AlterColumnType
from destination.warehouse.postgres.driver import execute, names_of
from destination.warehouse.postgres.errors import LOCK_NOT_AVAILABLE, sqlstate, value_refusal
from destination.warehouse.postgres.expressions import PostgresExpressions
from destination.warehouse.postgres.marks import Mark
from destination.warehouse.postgres.outcome import Transaction, short_number
from destination.warehouse.stored import StoredColumn, StoredTable, TableName

WHOLE_PAGES: dict[str, Any] = {"postgresql_with": {"toast_tuple_target": 8160}}
"""Rows are not moved to TOAST as long as they fit a page: compressing staged rows takes longer than all
else."""
MANY_TEXTS = 32
"""So many texts share a page only if they are short. PostgreSQL would move each of them out of the row,
which takes twice the space and five times as long."""
CLAIM_SECONDS = 30
"""How long to try to lock a table, in short attempts with pauses, before the work is retried."""
ATTEMPT = "1s"
PAUSE_SECONDS = 4
LOOK = "30s"
"""How often a session that waits for another one of this project logs which it is."""
NOT_IN_TIME = frozenset({LOCK_NOT_AVAILABLE})
NOT_LOCKABLE = "42809"
"""Of a foreign table, which takes no lock by command."""
DUPLICATE_KEY = frozenset({"23505"})
IN_THE_WAY = frozenset({LOCK_NOT_AVAILABLE, "42501", "2BP01"})
"""A lock that is not available, a table that another owns, an object that depends on it."""

logger = logging.getLogger(__name__)

TRAITS = Traits(
    naming=Naming(
        limit=63,
        reserved=frozenset({"cmax", "cmin", "ctid", "tableoid", "xmax", "xmin"}),
    ),
    reserved_schemas=frozenset({"information_schema"}),
    reserved_schema_prefix="pg_",
    unstorable="\0",
)


class _GivingWayError(Exception):
    """Another session waits for the table that this one has locked."""


class PostgresSession(PostgresExpressions, Session):
    """A transaction in PostgreSQL."""

    surveyed, surveyed_columns = 20, 50
    """ANALYZE reads 300 times as many rows of a first load, fewer of more columns."""
    traits = TRAITS
    type_name = staticmethod(types.type_name)
    wire_type_name = staticmethod(types.wire_type_name)
    type_remark = staticmethod(types.type_remark)
    cast = staticmethod(conversions.cast)
    conversion = staticmethod(conversions.conversion)
    fitting = staticmethod(types.fitting)
    carried_type = staticmethod(carrying.carried_type)
    carried = staticmethod(carrying.carried)
    parameters = staticmethod(carrying.parameters)
    find_table = catalog.find_table
    require_free_name = catalog.require_free_name

    def __init__(
        self, connection: sa.Connection, cancellation: Cancellation, *, carrying: bool = True
    ) -> None:
        super().__init__(connection, cancellation)
        self.carrying = carrying
        self.has_carried = False
        self._opened: dict[TableName, StoredTable | None] = {}
        self._number: str | None = None
        self._staging_numbers = count(1)
        self._claimed: set[str] = set()
        self._barred: sql.Identifier | None = None

    def begin(self, table: TableName | None = None) -> Transaction:
        """Begin a transaction that writes.

        Args:
            table: is locked and read from the catalog with it, in one round trip, if it is free.
        """
        queries = () if table is None else catalog.opening(self, table)
        transaction, rows = Transaction.start(self.connection, queries)
        self.connection.begin()
        self._number = transaction.number
        if table is not None and rows[0] == (True,):
            self._opened[table] = catalog.described(self, table, *rows[1]) if rows[1] else None
        return transaction

    @contextmanager
    def explained_errors(self) -> Iterator[None]:
        """Add to the server's errors what a reader needs: who holds the lock that was waited for."""
        with locks.noted(self.connection):
            yield

    def lock_table(self, name: TableName) -> StoredTable:
        if name in self._opened:
            return required(name, self._opened.pop(name))
        return super().lock_table(name)

    def execute(self, statement: sa.Executable) -> int:
        match statement:
            case AlterTable(table=table) | DropTable(element=table):
                self._claim(table)
        return super().execute(statement)

    def create_schema(self, schema: str) -> None:
        stored = self.schema(schema)
        if catalog.schema_exists(self, stored):
            return
        self._lock(locks.of_schema(schema), f'schema "{schema}"')
        if catalog.schema_exists(self, stored):
            return
        self.execute(CreateSchema(stored))
        if comment := self.traits.naming.comment("", schema):
            self.execute_raw(
                sql.SQL("COMMENT ON SCHEMA {} IS {}").format(sql.Identifier(stored), comment)
            )

    def comment(self, target: Commented, comment: str | None) -> None:
        target.comment = comment
        if isinstance(target, sa.Table):
            self.execute(SetTableComment(target))
        else:
            self.execute(SetColumnComment(target))

    def reshaping(
        self,
        target: StoredTable,
        touched: Collection[StoredColumn],  # noqa: ARG002
        key: Sequence[Column] | None,
    ) -> AbstractContextManager[None]:
        return comments.kept_on_key(self, target) if key else nullcontext()

    def change_type(
        self, column: sa.Column[Any], type_name: str, value: sa.ColumnElement[Any]
    ) -> None:
        self.execute(AlterColumnType(column.table, column.name, type_name, value))

    def lock(self, name: TableName) -> None:
        self._lock(locks.of_table(self, name), str(name))

    def _claim(self, table: sa.Table) -> None:
        """Lock a table exclusively, once; until that succeeds, readers get through.

        Whoever waits for this lock blocks all later readers. So each attempt is short, and a pause
        follows it.

        Raises:
            DBAPIError: if somebody else still holds a lock at the end.
        """
        name, _ = names_of(table)
        if name.as_string() in self._claimed:
            return
        self._claimed.add(name.as_string())
        lock = (
            sql.SQL("SET LOCAL lock_timeout = {}").format(ATTEMPT),
            sql.SQL("LOCK TABLE {} IN ACCESS EXCLUSIVE MODE").format(name),
            sql.SQL("SET LOCAL lock_timeout = {}").format(LOCK_TIMEOUT),
        )
        try:
            self._attempts(lock)
        except DBAPIError as error:
            if sqlstate(error) != NOT_LOCKABLE:
                raise

    def _attempts(self, lock: Sequence[sql.Composable]) -> None:
        until = time.monotonic() + CLAIM_SECONDS

        def attempt() -> bool:
            self.execute_raw(*lock)
            return True

        while time.monotonic() < until:
            if self._unless(NOT_IN_TIME, attempt):
                return
            self.cancellation.sleep(PAUSE_SECONDS)
        attempt()

    def _lock(self, number: int, subject: str) -> None:
        """Wait for other sessions of this project without a limit, and log which.

        After each `LOOK`, this session goes to the end of the queue.
        """
        if self.scalar(sa.select(sa.func.pg_try_advisory_xact_lock(number))):
            return
        waits = [sa.func.set_config("lock_timeout", limit, True) for limit in (LOOK, LOCK_TIMEOUT)]
        waiting = sa.select(waits[0], sa.func.pg_advisory_xact_lock(number), waits[1])
        started = time.monotonic()
        with telemetry.waiting("lock"):
            while not self._unless(NOT_IN_TIME, lambda: self.connection.execute(waiting).all()):
                self.cancellation.check()
                holder = locks.holders_of(self.connection, number)
                waited = time.monotonic() - started
                logger.warning("%s: waits since %.0f s for a lock of %s", subject, waited, holder)

    def keep_writers_out(self, table: sa.Table) -> None:
        name, _ = names_of(table)
        self.execute_raw(sql.SQL("LOCK TABLE {} IN SHARE MODE").format(name))

    def mark(self, table: sa.Table, names: Sequence[str]) -> None:
        if names:
            self.execute(Mark(table, names))

    def storage(self, table: Table) -> dict[str, Any]:
        texts = [column for column in table.columns if column.type in TEXT_TYPES]
        return WHOLE_PAGES if len(texts) >= MANY_TEXTS else {}

    def has_written(self, table: sa.Table) -> Landed:
        if self._number is None:
            self._number = self.scalar(sa.select(sa.cast(sa.func.pg_current_xact_id(), sa.Text)))
        rows = sa.exists().select_from(table).where(sa.column("xmin") == short_number(self._number))
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

    def execute_carrying(
        self, parameters: Parameters, key: Hashable, statement: Callable[[], sa.Executable]
    ) -> int:
        self.cancellation.check()
        self.has_carried = True
        self.progress.phase = "merging rows"
        with telemetry.phase("merge"):
            return carrying.execute(self.connection, parameters, key, statement)

    def analyze(self, table: sa.Table, columns: Sequence[sa.Column[Any]]) -> None:
        if columns:
            self.execute_raw(sql.SQL("ANALYZE {} ({})").format(*names_of(table, columns)))

    def survey(self, table: sa.Table) -> None:
        name, _ = names_of(table)
        target = self.surveyed * min(1, self.surveyed_columns / len(table.columns))
        self.execute_raw(
            sql.SQL("SET LOCAL default_statistics_target = {}").format(max(1, int(target))),
            sql.SQL("ANALYZE (SKIP_LOCKED) {}").format(name),
            sql.SQL("SET LOCAL default_statistics_target TO DEFAULT"),
        )

    def free_undone_rows(self, target: StoredTable) -> None:
        if target.standalone:
            self._unless(IN_THE_WAY, lambda: self._truncate_if_empty(target))

    def _truncate_if_empty(self, target: StoredTable) -> bool | None:
        table, _ = names_of(target.clause)
        self.execute_raw(sql.SQL("LOCK TABLE {} IN ACCESS EXCLUSIVE MODE NOWAIT").format(table))
        row = sa.select(sa.literal(1)).select_from(target.clause)
        if self.scalar(sa.select(sa.exists(row))):
            return None
        self.execute_raw(sql.SQL("TRUNCATE {}").format(table))
        return True

    def size(self, table: sa.Table) -> int:
        name, _ = names_of(table)
        target = sa.cast(sa.literal(name.as_string()), postgresql.REGCLASS)
        return int(self.scalar(sa.select(sa.func.pg_relation_size(target))) or 0)

    def copy(
        self, target: sa.Table, columns: Sequence[sa.Column[Any]], batches: Iterable[pa.RecordBatch]
    ) -> int:
        self.progress.phase = "reading batch files"
        between = self._give_way if self._barred is not None else None
        copying = Copying(
            self.connection, target, columns, self.cancellation, self.progress, between
        )
        with telemetry.phase("copy"):
            return copying.append(batches)

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

    def key_built_last(
        self, target: StoredTable, work: Callable[[], Result | None]
    ) -> Result | None:
        plain = catalog.plain_key(self, target) if target.standalone else None
        if plain is None:
            return work()
        filled = self._unless(IN_THE_WAY, lambda: self._without_key(target, plain, work))
        return work() if filled is None else filled

    def _without_key(
        self, target: StoredTable, plain: str, work: Callable[[], Result | None]
    ) -> Result | None:
        """Drop the key, fill the table, build the key; nobody can read the table meanwhile."""
        table, _ = names_of(target.clause)
        key = sql.Identifier(str(target.key_constraint))
        self.execute_raw(sql.SQL("LOCK TABLE {} IN ACCESS EXCLUSIVE MODE NOWAIT").format(table))
        self.execute_raw(sql.SQL("ALTER TABLE {} DROP CONSTRAINT {}").format(table, key))
        self._barred = table
        try:
            result = work()
        finally:
            self._barred = None
        if result is not None:
            self.progress.phase = "building the index of the key"
            add = sql.SQL("ALTER TABLE {} ADD CONSTRAINT {} {}")
            with telemetry.phase("index"):
                self.execute_raw(add.format(table, key, sql.SQL(plain)))
        return result

    def _give_way(self) -> None:
        """Go on, unless another session waits for the table that is locked.

        Raises:
            _GivingWayError: if somebody does.
        """
        if self._barred and locks.others_wait(self.connection, self._barred.as_string()):
            raise _GivingWayError

    def _unless(self, states: Collection[str], work: Callable[[], Result | None]) -> Result | None:
        """Run in a savepoint; on one of these SQLSTATEs or None, roll back and return None."""
        savepoint = self.connection.begin_nested()
        try:
            result = work()
        except _GivingWayError:
            result = None
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

    def execute_raw(self, *statements: sql.Composable) -> None:
        """Execute statements that SQLAlchemy cannot express, in one round trip."""
        execute(self.connection, sql.SQL("; ").join(statements))
