"""A second warehouse, which compiles statements and runs none: SQL of the standard, no PostgreSQL.

It has what CONTRIBUTING.md says a warehouse must have: UPDATE … FROM, DELETE … USING, LATERAL.
"""

# ruff: noqa: ARG002 (what a warehouse must do has arguments that this one needs not)
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any, TypeVar, cast

import pyarrow as pa
import sqlalchemy as sa
from sqlalchemy.engine.default import DefaultDialect
from sqlalchemy.engine.mock import MockConnection
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.schema import CreateTable
from sqlalchemy.sql.compiler import SQLCompiler

from destination.cancellation import Cancellation
from destination.rows import Rows
from destination.schema import Column, Table
from destination.warehouse.base import Commented, Landed, Parameters, Session, Traits
from destination.warehouse.ddl import AddColumn, Conversion, NamedType
from destination.warehouse.naming import Alias, Naming
from destination.warehouse.stored import StoredColumn, StoredTable, TableName

Result = TypeVar("Result")

NAMING = Naming(limit=128, reserved=frozenset({"rowid"}))


class SecondCompiler(SQLCompiler):
    """The statements that SQLAlchemy leaves to each dialect; notes which functions they call."""

    def visit_function(self, func: Any, add_to_result_map: Any = None, **kwargs: Any) -> str:
        cast("SecondDialect", self.dialect).functions.add(func.name)
        return super().visit_function(func, add_to_result_map, **kwargs)

    def update_from_clause(
        self, update_stmt: Any, from_table: Any, extra_froms: Any, from_hints: Any, **kw: Any
    ) -> str:
        return "FROM " + self._froms(extra_froms, **kw)

    def delete_extra_from_clause(
        self, delete_stmt: Any, from_table: Any, extra_froms: Any, from_hints: Any, **kw: Any
    ) -> str:
        return "USING " + self._froms(extra_froms, **kw)

    def _froms(self, froms: Any, **kw: Any) -> str:
        return ", ".join(self.process(each, asfrom=True, **kw) for each in froms)


class SecondDialect(DefaultDialect):
    """SQL of the standard, as far as SQLAlchemy has it."""

    name = "second"
    statement_compiler = SecondCompiler
    supports_statement_cache = False

    def __init__(self) -> None:
        super().__init__()
        self.functions: set[str] = set()


class Merge(sa.sql.expression.Executable, sa.sql.expression.ClauseElement):
    """MERGE INTO …"""

    inherit_cache = False

    def __init__(self, table: sa.Table, rows: sa.Select[Any], key: Sequence[str]) -> None:
        self.table, self.rows, self.key = table, rows, key


@compiles(Merge, "second")
def _merge(element: Merge, compiler: SQLCompiler, **options: Any) -> str:
    table = compiler.preparer.format_table(element.table)
    rows = compiler.process(element.rows, **options)
    return f"MERGE INTO {table} USING ({rows}) AS incoming ON {' AND '.join(element.key)}"


@dataclass
class SecondSession(Session):
    """A transaction that nothing comes of.

    Args:
        tables: the tables that are there.
        answers: leads from the text of a query to its answer.
        carrying: whether statements may carry rows.
        wider: the tables that are there once one was created, or given a column.
    """

    tables: dict[TableName, StoredTable]
    answers: Callable[[str], Any] = lambda _: False
    carrying: bool = True
    wider: dict[TableName, StoredTable] = field(default_factory=dict)
    compiled: list[str] = field(default_factory=list)
    elements: set[type] = field(default_factory=set)

    traits = Traits(NAMING, frozenset({"sys"}), "sys_", unstorable="")
    flags_type = NamedType("bits")

    def __post_init__(self) -> None:
        self.dialect = SecondDialect()
        connection = MockConnection(self.dialect, self._compile)
        super().__init__(cast("sa.Connection", connection), Cancellation())
        self._staged = 0

    def _compile(self, statement: Any, *_: Any) -> Any:
        text = " ".join(str(statement.compile(dialect=self.dialect)).split())
        self.compiled.append(text)
        self.elements.add(type(statement))
        if isinstance(statement, (AddColumn, CreateTable)):
            self.tables |= self.wider
        return SimpleNamespace(rowcount=1, scalar=lambda: self.answers(text))

    def finds(self, rows: sa.Select[Any]) -> bool:
        return bool(self.scalar(sa.select(sa.exists(rows))))

    def find_table(self, name: TableName) -> StoredTable | None:
        return self.tables.get(name)

    def require_free_name(self, name: TableName) -> None:
        pass

    def create_schema(self, schema: str) -> None:
        self.execute(sa.schema.CreateSchema(self.schema(schema)))

    def comment(self, target: Commented, comment: str | None) -> None:
        pass

    def change_type(
        self, column: sa.Column[Any], type_name: str, value: sa.ColumnElement[Any]
    ) -> None:
        self.execute(sa.update(column.table).values({column.name: value}))

    def lock(self, name: TableName) -> None:
        pass

    def keep_writers_out(self, table: sa.Table) -> None:
        pass

    def type_name(self, column: Column) -> str:
        return f"{column.type.value}({column.decimal})" if column.decimal else column.type.value

    def wire_type_name(self, column: Column) -> str:
        return self.type_name(column)

    def type_remark(self, column: Column) -> bool:
        return False

    def mark(self, table: sa.Table, names: Sequence[str]) -> None:
        pass

    def storage(self, table: Table) -> dict[str, Any]:
        return {}

    def cast(self, value: sa.ColumnElement[Any], source: str, target: str) -> sa.ColumnElement[Any]:
        return sa.cast(value, NamedType(target))

    def conversion(self, value: sa.Column[Any], old: StoredColumn, new: Column) -> Conversion:
        return Conversion(sa.cast(value, NamedType(self.type_name(new))), total=False)

    def has_written(self, table: sa.Table) -> Landed:
        return lambda _: True

    def create_staging(self, columns: Sequence[sa.Column[Any]]) -> sa.Table:
        self._staged += 1
        table = sa.Table(f"staging_{self._staged}", sa.MetaData(), *columns, prefixes=["TEMPORARY"])
        self.execute(CreateTable(table))
        return table

    def fitting(self, kinds: Sequence[NamedType], count: int) -> list[range]:
        half = (count + 1) // 2
        return [range(half), range(half, count)] if count > half else [range(count)]

    def carried_type(self, column: Column, stored: StoredColumn) -> str | None:
        return stored.type_name

    def carried(self, types: Mapping[str, str], ordinal: str) -> sa.FromClause:
        columns = [sa.column(name, NamedType(kind)) for name, kind in types.items()]
        rows = sa.values(*columns, sa.column(ordinal, sa.BigInteger), name=Alias.CARRIED)
        return rows.data([tuple(None for _ in range(len(types) + 1))])

    def parameters(self, rows: pa.RecordBatch, types: Sequence[str]) -> Parameters:
        return {}

    def execute_carrying(
        self, parameters: Parameters, key: Hashable, statement: Callable[[], sa.Executable]
    ) -> int:
        return self.execute(statement())

    def analyze(self, table: sa.Table, columns: Sequence[sa.Column[Any]]) -> None:
        pass

    def survey(self, table: sa.Table) -> None:
        pass

    def free_undone_rows(self, target: StoredTable) -> None:
        pass

    def size(self, table: sa.Table) -> int:
        return 0

    def copy(
        self, target: sa.Table, columns: Sequence[sa.Column[Any]], batches: Iterable[pa.RecordBatch]
    ) -> int:
        return sum(batch.num_rows for batch in batches)

    def unless_duplicate(self, work: Callable[[], Result | None]) -> Result | None:
        return work()

    def refusal(self, statement: sa.Executable) -> str | None:
        self.execute(statement)
        return None

    def key_built_last(
        self, target: StoredTable, work: Callable[[], Result | None]
    ) -> Result | None:
        return work()

    def fraction_digits(self, number: sa.ColumnElement[Any]) -> sa.ColumnElement[int]:
        return sa.func.digits_of_fraction(number)

    def upsert(
        self, target: sa.Table, rows: sa.Select[Any], names: Sequence[str], key: Sequence[str]
    ) -> Any:
        return Merge(target, rows, key)

    def last_rows(
        self,
        columns: Sequence[sa.ColumnElement[Any]],
        key: Sequence[sa.ColumnElement[Any]],
        order: sa.ColumnElement[Any],
    ) -> sa.Select[Any]:
        place = sa.func.row_number().over(partition_by=key, order_by=order.desc())
        numbered = sa.select(*columns, place.label("place")).subquery()
        return sa.select(*list(numbered.c)[:-1]).where(numbered.c.place == 1)

    def is_modified(self, mask: sa.ColumnElement[Any], position: int) -> sa.ColumnElement[bool]:
        return sa.func.substring(mask, position + 1, 1) == b"\1"

    def flags(self, mask: sa.ColumnElement[Any]) -> sa.ColumnElement[Any]:
        return sa.cast(mask, self.flags_type)

    def united(
        self, flags: sa.ColumnElement[Any], others: sa.ColumnElement[Any]
    ) -> sa.ColumnElement[Any]:
        return sa.func.united(flags, others)

    def is_set(self, flags: sa.ColumnElement[Any], position: int) -> sa.ColumnElement[bool]:
        return self.is_modified(flags, position)


OWN_FUNCTIONS = frozenset({"digits_of_fraction", "row_number", "substring", "united"})
"""What the second warehouse itself says."""


@dataclass(frozen=True)
class Source:
    """Rows in memory, as those of a batch file."""

    columns: tuple[Column, ...]
    batch: pa.RecordBatch
    name: str = "rows"
    size: int = 1

    def open(self) -> AbstractContextManager[Rows]:
        return nullcontext(Rows(self.columns, iter([self.batch])))


def stored(name: TableName, columns: Iterable[Column], *, mergeable: bool = True) -> StoredTable:
    """A table of the second warehouse."""
    kinds = SecondSession({})
    return StoredTable(
        name=name,
        columns=tuple(
            StoredColumn(
                column, column.name, kinds.type_name(column), None, made_here=True, generated=False
            )
            for column in columns
        ),
        key_constraint="key",
        standalone=True,
        mergeable=mergeable,
        policies=None,
        comment=None,
        naming=NAMING,
    )
