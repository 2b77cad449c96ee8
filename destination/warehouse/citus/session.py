"""One transaction on a cluster, by its coordinator."""

from __future__ import annotations

from collections.abc import Callable, Collection, Hashable, Iterator, Sequence
from contextlib import contextmanager

import sqlalchemy as sa
from psycopg import sql
from sqlalchemy.exc import DBAPIError

from destination.errors import RequestError
from destination.schema import START, Column
from destination.warehouse.base import Landed, Parameters, Result
from destination.warehouse.citus import commits, diagnosis, distribution, settling, staged
from destination.warehouse.citus.errors import INTERNAL_ERROR
from destination.warehouse.citus.expressions import CitusExpressions
from destination.warehouse.postgres import comments
from destination.warehouse.postgres.marks import Mark
from destination.warehouse.postgres.outcome import Transaction
from destination.warehouse.postgres.session import DUPLICATE_KEY, PostgresSession
from destination.warehouse.stored import StoredColumn, StoredTable, TableName

ALONE = sql.SQL("SET LOCAL citus.enable_ddl_propagation = {}")


class CitusSession(CitusExpressions, PostgresSession):
    """A transaction on a cluster."""

    surveyed = 2  # of each shard

    @contextmanager
    def explained_errors(self) -> Iterator[None]:
        try:
            with super().explained_errors():
                yield
        except DBAPIError as error:
            found = diagnosis.diagnosed(self.connection, error)
            if found is error:
                raise
            raise found from error

    def begin(self, table: TableName | None = None) -> Transaction:
        transaction = super().begin(table)
        settling.settle(self.connection, self.cancellation)
        return transaction

    def lock_table(self, name: TableName) -> StoredTable:
        """A table that must exist, locked against other sessions of this project.

        Raises:
            RequestError: if it does not exist; if it is distributed and has rules, since Citus has none
                of them run, and its coordinator crashes where an update is joined with other rows.
        """
        stored = super().lock_table(name)
        if not stored.mergeable and distribution.has_rules(self, stored.clause):
            raise RequestError(
                f"{name} is distributed and has a rule, by which Citus can crash: run DROP RULE … ON …"
            )
        return stored

    def execute(self, statement: sa.Executable) -> int:
        if staged.changes_rows(statement):
            statement = staged.queried(self._joinable(statement))
        return super().execute(statement)

    def _joinable(self, change: staged.Change) -> staged.Change:
        """A change of a reference table, with what it computes of staged rows in staging tables, too."""
        computed, target = staged.computed(change), change.table
        if not (
            computed and isinstance(target, sa.Table) and distribution.is_reference(self, target)
        ):
            return change
        for rows in computed:
            table = self.create_staging([sa.Column(each.name, each.type) for each in rows.c])
            self.execute(sa.insert(table).from_select(table.c.keys(), rows.element))
            change = staged.replaced(change, rows, table)
        return change

    def narrows(self, target: StoredTable) -> bool:
        """Not of a reference table, which is small."""
        return not distribution.is_reference(self, target.clause)

    def survey(self, table: sa.Table) -> None:
        """Citus refuses it after the coordinator has written rows of shards of its own."""

        def survey() -> bool:
            super(CitusSession, self).survey(table)
            return True

        self._unless({INTERNAL_ERROR}, survey)

    def place(self, table: sa.Table, key: Sequence[str]) -> None:
        column = next((name for name in key if name != START), None)
        if column is not None and distribution.is_wanted(self, table):
            distribution.distribute(self, table, self.name(column))

    @contextmanager
    def reshaping(
        self,
        target: StoredTable,
        touched: Collection[StoredColumn],
        key: Sequence[Column] | None,
    ) -> Iterator[None]:
        """Gather a table at the coordinator where the column that distributes it cannot go on so."""
        column = distribution.column_of(self, target.clause) if touched or key is not None else None
        gone = key is not None and column not in {self.name(each.name) for each in key}
        if column is None or not (gone or column in {each.name for each in touched}):
            with super().reshaping(target, touched, key):
                yield
            return
        kept = comments.of(self, target.clause)
        distribution.gather(self, target.clause)
        self.mark(target.clause, [each.name for each in target.columns if each.made_here])
        comments.put_back(self, target.clause, kept)
        with super().reshaping(target, touched, key):
            yield
        reshaped = self.get_table(target.name)
        self.place(reshaped.clause, reshaped.table.key_names)

    def mark(self, table: sa.Table, names: Sequence[str]) -> None:
        """Mark columns at the coordinator alone, which is where the mark is looked for."""
        if not names:
            return
        self.execute_raw(ALONE.format(sql.SQL("off")))
        self.execute(Mark(table, names))
        self.execute_raw(ALONE.format(sql.SQL("on")))

    def execute_raw(self, *statements: sql.Composable) -> None:
        """Execute each for itself: workers are handed the whole message that a setting stands in."""
        for statement in statements:
            super().execute_raw(statement)

    def has_written(self, table: sa.Table) -> Landed:
        if distribution.is_known(self, table):
            return commits.leave(self, table)
        return super().has_written(table)

    def unless_duplicate(self, work: Callable[[], Result | None]) -> Result | None:
        return self._unless(DUPLICATE_KEY | {INTERNAL_ERROR}, work)

    def execute_carrying(
        self, parameters: Parameters, key: Hashable, statement: Callable[[], sa.Executable]
    ) -> int:
        return super().execute_carrying(parameters, (CitusSession, key), statement)
