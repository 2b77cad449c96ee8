"""Looking at what arrived: a table read by SQLAlchemy and compared with the model."""

from __future__ import annotations

import json
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import sqlalchemy as sa

from destination.sdk import common_pb2 as common
from destination_tester.model import Stored, TableModel, comparable

MISSING = "(missing)"


@dataclass(frozen=True)
class Difference:
    """Something that is not as it must be.

    Args:
        table: where.
        key: the row's key; empty where it is about the table itself.
        column: the column's name.
        expected: what must be there.
        found: what is there.
    """

    table: str
    key: str
    column: str
    expected: str
    found: str


class Verifier:
    """Reads tables from a database.

    Args:
        url: the database, as SQLAlchemy has it.
        schema: the tables' schema.
    """

    def __init__(self, url: str, schema: str) -> None:
        self._engine = sa.create_engine(_with_driver(url))
        self._schema = schema

    def close(self) -> None:
        """Close the connections to the database."""
        self._engine.dispose()

    def seed(self, model: TableModel, name: str) -> None:
        """Take the rows that a table has before the first operation on it."""
        model.rows = self.rows(model, name)

    def compare(
        self, name: str, model: TableModel | None, described: common.Table | None
    ) -> list[Difference]:
        """What differs between a table and what it must be.

        Args:
            name: the table.
            model: what it must be; None if it must not exist.
            described: how the connector describes it; None if it says there is none.
        """
        if model is None or described is None:
            if (model is None) == (described is None):
                return []
            states = ("no table", "a table")
            return [
                Difference(name, "", "", states[model is not None], states[described is not None])
            ]
        different = list(self._compare_columns(name, model, described))
        rows = None if different else self.rows(model, name)
        return different if rows is None else _compare_rows(name, model, rows)

    def _compare_columns(
        self, name: str, model: TableModel, described: common.Table
    ) -> list[Difference]:
        found = {column.name: _column(column) for column in described.columns}
        expected = {name: _column(column) for name, column in model.columns.items()}
        different = [
            Difference(name, "", column, expected.get(column, MISSING), found.get(column, MISSING))
            for column in {**expected, **found}
            if expected.get(column) != found.get(column)
        ]
        with self._engine.connect() as connection:
            constraint = sa.inspect(connection).get_pk_constraint(name, self._schema)
        key = sorted(constraint["constrained_columns"])
        if key != sorted(model.key):
            expected_key, found_key = (", ".join(names) for names in (sorted(model.key), key))
            different.append(Difference(name, "", "(primary key)", expected_key, found_key))
        return different

    def rows(self, model: TableModel, name: str) -> list[Stored]:
        """A table's rows, comparable to the model's; none if there is no such table."""
        if not sa.inspect(self._engine).has_table(name, self._schema):
            return []
        with self._engine.connect() as connection:
            table = sa.Table(name, sa.MetaData(), schema=self._schema, autoload_with=connection)
            columns = [
                sa.cast(table.c[each], sa.Text).label(each)
                if isinstance(table.c[each].type, sa.JSON)
                else table.c[each]
                for each in model.columns
            ]
            rows = connection.execute(sa.select(*columns)).all()
        kinds = list(model.columns.values())
        return [
            {c.name: _found(value, c) for c, value in zip(kinds, row, strict=True)} for row in rows
        ]


def _with_driver(url: str) -> sa.URL:
    parsed = sa.make_url(url)
    if parsed.drivername in ("postgresql", "postgres"):
        return parsed.set(drivername="postgresql+psycopg")
    return parsed


def _column(column: common.Column) -> str:
    kind = common.DataType.Name(column.type)
    params = column.params.decimal
    digits = f"({params.precision},{params.scale})" if params.precision else ""
    return f"{kind}{digits}{', key' if column.primary_key else ''}"


def _found(value: Any, column: common.Column) -> Any:  # noqa: PLR0911
    """A value as it was read, comparable to the model's."""
    if value is None:
        return None
    match column.type:
        case common.UTC_DATETIME if isinstance(value, datetime):
            return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)
        case common.FLOAT:
            return comparable(struct.unpack("f", struct.pack("f", value))[0])
        case common.BINARY:
            return bytes(value)
        case common.BOOLEAN:
            return bool(value)
        case common.DECIMAL:
            return comparable(Decimal(value))
    return comparable(value)


def _compare_rows(table: str, model: TableModel, rows: Sequence[Stored]) -> list[Difference]:
    """What differs between rows, matched by their keys; without a key, by all that they hold."""
    names = model.key or list(model.columns)
    expected = _by_key(model.rows, names)
    found = _by_key(rows, names)
    different = []
    for key in {**expected, **found}:
        there, here = expected.get(key, []), found.get(key, [])
        if len(there) != len(here):
            counts = (f"{len(each)} rows" for each in (there, here))
            different.append(Difference(table, key, "", *counts))
            continue
        different += [
            Difference(table, key, name, repr(wanted[name]), repr(given[name]))
            for wanted, given in zip(there, here, strict=True)
            for name, column in model.columns.items()
            if not _same(wanted[name], given[name], column)
        ]
    return different


def _by_key(rows: Sequence[Stored], names: Sequence[str]) -> dict[str, list[Stored]]:
    grouped: dict[str, list[Stored]] = {}
    for row in rows:
        grouped.setdefault(", ".join(str(row[name]) for name in names), []).append(row)
    return grouped


def _same(expected: Any, found: Any, column: common.Column) -> bool:
    expected = comparable(expected)
    if column.type == common.JSON and expected is not None and found is not None:
        return bool(json.loads(expected) == json.loads(found))
    return bool(expected == found)
