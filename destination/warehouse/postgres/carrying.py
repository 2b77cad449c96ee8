"""Rows that a statement carries: each column is a parameter, one array in PostgreSQL's binary format.

No table is created for them, which costs a small batch most of its time, and the server's catalogs dead
rows. A statement is compiled once for all batches of a shape, and sent as text.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import sqlalchemy as sa
from pgpq import ArrowToPostgresBinaryEncoder
from psycopg import RawCursor
from psycopg.abc import Buffer
from psycopg.adapt import Dumper
from psycopg.pq import Format

from destination.remembered import Remembered
from destination.schema import Column, DataType
from destination.warehouse.ddl import NamedType
from destination.warehouse.naming import Alias
from destination.warehouse.postgres.contract import ContractDialect
from destination.warehouse.postgres.driver import as_sqlalchemy, driver_of
from destination.warehouse.postgres.types import bare, wire_type_name
from destination.warehouse.stored import StoredColumn

NUMERIC = "numeric"
TEXT = "text"
ELEMENTS = {
    "boolean": 16,
    "bytea": 17,
    "bigint": 20,
    "smallint": 21,
    "integer": 23,
    TEXT: 25,
    "json": 114,
    "real": 700,
    "double precision": 701,
    "date": 1082,
    "time without time zone": 1083,
    "timestamp without time zone": 1114,
    "timestamp with time zone": 1184,
}
"""The number in `pg_type` of each type whose values travel in arrays. Those of `numeric`, which pgpq
puts into none, travel as texts."""
FIELDS, LENGTH = struct.Struct("!h"), struct.Struct("!i")
"""The number of a row's fields, and the length of each, as COPY has them."""
OFFSETS = struct.Struct("=ii")
"""Where a list begins and ends among the values, as Arrow has it."""


class Parameter(bytes):
    """A value in PostgreSQL's binary format, of the type to which the statement casts it."""

    __slots__ = ()


class ParameterDumper(Dumper):
    """Hands a `Parameter` on as it is."""

    format = Format.BINARY
    oid = 0

    def dump(self, obj: Buffer) -> Buffer:
        return obj


def carried_type(column: Column, stored: StoredColumn) -> str | None:
    """The type in which values of a column travel to a stored one; None where they cannot.

    See `Session.carried_type`.
    """
    if stored.collation is not None or stored.equality is not None:
        return None
    name, wire = stored.type_name, wire_type_name(column)
    if column.type is DataType.DECIMAL:
        return NUMERIC if name in {NUMERIC, wire} and bare(name) == NUMERIC else None
    return name if name == wire and name in ELEMENTS else None


def carried(types: Mapping[str, str], ordinal: str) -> sa.FromClause:
    """Rows as a clause of a statement that carries them; see `Session.carried`."""
    columns = [sa.column(name, NamedType(kind)) for name, kind in types.items()]
    arrays = [_array(_parameter(i), kind) for i, kind in enumerate(types.values())]
    rows = sa.func.unnest(*arrays).table_valued(*columns, with_ordinality=ordinal)
    return rows.render_derived(name=Alias.CARRIED)


def _array(parameter: str, kind: str) -> sa.ColumnElement[Any]:
    value: sa.ColumnElement[Any] = sa.bindparam(parameter)
    if kind != NUMERIC:
        return sa.cast(value, NamedType(f"{kind}[]"))
    return sa.cast(sa.cast(value, NamedType("text[]")), NamedType("numeric[]"))


def _parameter(position: int) -> str:
    """The name of the parameter that holds a column."""
    return f"array{position}"


def parameters(rows: pa.RecordBatch, types: Sequence[str]) -> Mapping[str, Parameter | None]:
    """The columns of rows as the parameters of `carried`.

    One of nulls alone is no array: `unnest` makes them as long as the longest, which the first may be.
    """
    kinds, offsets = {}, pa.py_buffer(OFFSETS.pack(0, rows.num_rows))
    lists: dict[str, pa.Array] = {}
    for i, (column, kind) in enumerate(zip(rows.columns, types, strict=True)):
        if i > 0 and column.null_count == rows.num_rows:
            continue
        name, texts = _parameter(i), kind == NUMERIC
        values = pc.cast(column, pa.string()) if texts else column
        # ListArray.from_arrays lets go of Python's lock three times, which other calls wait for.
        lists[name] = pa.Array.from_buffers(
            pa.list_(values.type), 1, [None, offsets], children=[values]
        )
        kinds[name] = ELEMENTS[TEXT if texts else kind].to_bytes(4)
    arrays = _encoded(pa.RecordBatch.from_arrays(list(lists.values()), list(lists)))
    given = {
        name: Parameter(b"".join((array[:8], kind, array[12:])))
        for (name, kind), array in zip(kinds.items(), arrays, strict=True)
    }
    return dict.fromkeys(map(_parameter, range(len(types)))) | given


def _encoded(row: pa.RecordBatch) -> Iterator[memoryview]:
    """The values of a single row in PostgreSQL's binary format.

    COPY has their number first, then each value after its length.
    """
    encoder = ArrowToPostgresBinaryEncoder(row.schema)
    header = encoder.write_header()
    data = memoryview(b"".join((header, encoder.write_batch(row), encoder.finish())))
    begin = len(header) + FIELDS.size
    for _ in range(row.num_columns):
        (size,) = LENGTH.unpack_from(data, begin)
        begin += LENGTH.size
        yield data[begin : begin + size]
        begin += size


@dataclass(frozen=True, slots=True)
class _Text:
    """A compiled statement.

    Args:
        command: its text.
        order: the names of its parameters.
        constants: the values of those that are the same for all batches.
    """

    command: bytes
    order: tuple[str, ...]
    constants: Mapping[str, Any]

    @property
    def size(self) -> int:
        """About how many bytes it takes, its key included."""
        return 2 * len(self.command) + 100 * len(self.order)


_TEXTS: Remembered[_Text] = Remembered(16 << 20, lambda text: text.size)


def execute(
    connection: sa.Connection,
    values: Mapping[str, Parameter | None],
    key: Hashable,
    statement: Callable[[], sa.Executable],
) -> int:
    """Execute a statement that carries rows; see `Session.execute_carrying`.

    Args:
        connection: the transaction's.
        values: the rows.
        key: all that the statement depends on besides them.
        statement: makes it.

    Returns:
        How many rows it changed.
    """
    version = connection.dialect.server_version_info or ()
    text = _TEXTS.get((version, key), lambda: _compiled(statement(), version))
    given = {**text.constants, **values}
    driver = driver_of(connection)
    with as_sqlalchemy(driver, text.command.decode()), RawCursor(driver) as cursor:
        cursor.execute(text.command, [given[name] for name in text.order])
        return cursor.rowcount


def _compiled(statement: sa.Executable, version: tuple[Any, ...]) -> _Text:
    compiled = statement.compile(dialect=_dialect(version))  # type: ignore[attr-defined]
    order = tuple(compiled.positiontup)
    constants = {name: value for name, value in compiled.params.items() if value is not None}
    return _Text(compiled.string.encode(), order, constants)


@cache
def _dialect(version: tuple[Any, ...]) -> ContractDialect:
    """The dialect for a server's version, with parameters by their numbers."""
    dialect = ContractDialect(paramstyle="numeric_dollar")
    dialect.server_version_info = version
    return dialect
