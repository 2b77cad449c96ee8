"""Verification: a table is read by SQLAlchemy and compared with the model."""

from __future__ import annotations

import json
import re
import struct
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import sqlalchemy as sa

from destination.sdk import common_pb2 as common
from destination_tester import temporal
from destination_tester.console import Difference, Output, type_name
from destination_tester.documents import InputError
from destination_tester.model import TableModel
from destination_tester.stored import Stored, comparable

MISSING = "(missing)"
TEMPORALS = (common.NAIVE_DATE, common.NAIVE_DATETIME, common.UTC_DATETIME)
POSTGRES_SETTINGS = (
    "citus.propagate_set_commands = 'local'",
    "datestyle = 'ISO'",
    "timezone = 'UTC'",
    "extra_float_digits = 1",
    "statement_timeout = 0",
    "idle_in_transaction_session_timeout = 0",
)
"""What reading depends on; first, that a Citus cluster's workers are handed the others."""
POSTGRES_TEMPORAL = re.compile(
    r"(?P<year>\d{4,})(?P<day>-\d\d-\d\d)(?: (?P<time>[\d:.]+))?(?:\+00)?(?P<bc> BC)?"
)


class Verifier:
    """Reads tables from a database.

    Args:
        url: the database, as SQLAlchemy has it.
        schema: the tables' schema.
        output: shows which tables it cannot read.

    Raises:
        InputError: if there is no way to read such a database.
    """

    def __init__(self, url: str, schema: str, output: Output) -> None:
        try:
            self._engine = sa.create_engine(_with_driver(url))
        except (sa.exc.ArgumentError, ImportError) as error:
            raise InputError(f"--verify: {type(error).__name__}: not a database's URL") from error
        self._schema = schema
        self._output = output
        self._postgres = self._engine.dialect.name == "postgresql"

    def close(self) -> None:
        """Close the connections to the database."""
        self._engine.dispose()

    def seed(self, model: TableModel, name: str) -> None:
        """Take the rows that a table has before the first operation on it."""
        model.rows = self.rows(model, name) or []

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
        different = list(_compare_columns(name, model, described))
        if different:
            return different
        rows = self.rows(model, name)
        if rows is None:
            return []
        return [*self._compare_key(name, model), *_compare_rows(name, model, rows)]

    def _compare_key(self, name: str, model: TableModel) -> list[Difference]:
        with self._reading() as connection:
            constraint = sa.inspect(connection).get_pk_constraint(name, self._schema)
        expected, found = sorted(model.key), sorted(constraint["constrained_columns"])
        if expected == found:
            return []
        return [Difference(name, "", "(primary key)", ", ".join(expected), ", ".join(found))]

    def rows(self, model: TableModel, name: str) -> list[Stored] | None:
        """A table's rows, comparable to the model's.

        Returns:
            The rows; None if the database has no table of that name, or one of other columns: a
            connector stores a name under another where the warehouse cannot hold it.
        """
        with self._reading() as connection:
            if not sa.inspect(connection).has_table(name, self._schema):
                self._unread(name, "the database has no table of that very name")
                return None
            table = sa.Table(name, sa.MetaData(), schema=self._schema, autoload_with=connection)
            found = [table.c.get(each) for each in model.columns]
            columns = [column for column in found if column is not None]
            if len(columns) < len(found):
                self._unread(name, "the database has other names for its columns")
                return None
            kinds = list(model.columns.values())
            selected = [self._readable(*pair) for pair in zip(columns, kinds, strict=True)]
            rows = connection.execute(sa.select(*selected)).all()
        return [
            {c.name: _found(value, c) for c, value in zip(kinds, row, strict=True)} for row in rows
        ]

    @contextmanager
    def _reading(self) -> Iterator[sa.Connection]:
        with self._engine.connect() as connection:
            if self._postgres:
                for setting in POSTGRES_SETTINGS:
                    connection.exec_driver_sql(f"SET LOCAL {setting}")
            yield connection

    def _unread(self, name: str, message: str) -> None:
        self._output.operation(f"verify {name}", 0, 0.0, "skipped", message)

    def _readable(self, column: sa.Column[Any], kind: common.Column) -> sa.ColumnElement[Any]:
        """A column as it is read: as its text where the driver would change or refuse values."""
        beyond_python = self._postgres and kind.type in TEMPORALS
        if beyond_python or isinstance(column.type, sa.JSON):
            return sa.cast(column, sa.Text).label(column.name)
        return column


def _with_driver(url: str) -> sa.URL:
    parsed = sa.make_url(url)
    if parsed.drivername in ("postgresql", "postgres"):
        return parsed.set(drivername="postgresql+psycopg")
    return parsed


def _compare_columns(name: str, model: TableModel, described: common.Table) -> list[Difference]:
    found = {column.name: _column(column) for column in described.columns}
    expected = {name: _column(column) for name, column in model.columns.items()}
    return [
        Difference(name, "", column, expected.get(column, MISSING), found.get(column, MISSING))
        for column in {**expected, **found}
        if expected.get(column) != found.get(column)
    ]


def _column(column: common.Column) -> str:
    params = column.params.decimal
    digits = f"({params.precision},{params.scale})" if params.precision else ""
    return f"{type_name(column)}{digits}{', key' if column.primary_key else ''}"


def _found(value: Any, column: common.Column) -> Any:  # noqa: PLR0911
    """A value as it was read, comparable to the model's; one of another type as it is."""
    match column.type, value:
        case _, None:
            return None
        case ((common.NAIVE_DATE | common.NAIVE_DATETIME | common.UTC_DATETIME), str()):
            return comparable(_temporal(value, column.type))
        case common.UTC_DATETIME, datetime():
            return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)
        case common.FLOAT, float():
            return comparable(_to_32_bits(value))
        case common.BINARY, (bytes() | bytearray() | memoryview()):
            return bytes(value)
        case common.BOOLEAN, int():
            return bool(value)
        case common.DECIMAL, (int() | float()):
            return comparable(Decimal(value))
    return comparable(value)


def _to_32_bits(value: float) -> float:
    try:
        return float(struct.unpack("f", struct.pack("f", value))[0])
    except OverflowError:
        return value


def _temporal(text: str, kind: int) -> Any:
    """A date or date-time from PostgreSQL's ISO notation; the text itself if it is in none."""
    match = POSTGRES_TEMPORAL.fullmatch(text)
    if match is None:
        return text
    year = 1 - int(match["year"]) if match["bc"] else int(match["year"])
    written = f"{year:+05}{match['day']}"
    try:
        if kind == common.NAIVE_DATE:
            return temporal.parse_date(written)
        zone = UTC if kind == common.UTC_DATETIME else None
        return temporal.parse_datetime(f"{written}T{match['time']}", zone)
    except temporal.TemporalError:
        return text


def _compare_rows(table: str, model: TableModel, rows: Sequence[Stored]) -> list[Difference]:
    """What differs between rows, matched by their keys; without a key, by all that they hold."""
    names = model.identity or list(model.columns)
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
    if expected == found:
        return True
    if column.type != common.JSON or not isinstance(expected, str) or not isinstance(found, str):
        return False
    try:
        return bool(json.loads(expected) == json.loads(found))
    except (ValueError, RecursionError):
        return False
