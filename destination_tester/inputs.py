"""The tester's inputs: JSON files of tables, operations and migrations, read into steps.

Numbers keep the text they have in the file, since that is what goes into a CSV batch file.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from destination.sdk import common_pb2 as common
from destination_tester.model import DELETED, HISTORY_COLUMNS, START, SYNCED

CONFIGURATION = "configuration.json"
ID = "_fivetran_id"
OPERATION_TIME = "op_time"
ROW_OPERATIONS = ("upsert", "update", "delete", "soft_delete")
TRUNCATIONS = ("truncate_before", "soft_truncate_before")

Texts = Mapping[str, str | None]


class InputError(Exception):
    """An input that cannot be read."""


@dataclass(frozen=True)
class Define:
    """Create a table, or alter it."""

    table: common.Table


@dataclass(frozen=True)
class Change:
    """Rows for a table: `operation` is one of ROW_OPERATIONS."""

    operation: str
    table: str
    rows: Sequence[Texts]


@dataclass(frozen=True)
class Truncate:
    """Delete what is in a table, or mark it as deleted."""

    table: str
    soft: bool


@dataclass(frozen=True)
class Migrate:
    """A schema migration, by the name it has in the input."""

    operation: str
    arguments: Mapping[str, str]


Step = Define | Change | Truncate | Migrate


@dataclass(frozen=True)
class Input:
    """One file: its steps in order, and the tables to show at the end."""

    name: str
    steps: Sequence[Step]
    describe: Sequence[str]


def inputs(directory: Path, only: str | None = None) -> Iterator[Input]:
    """The inputs in a directory, in alphabetical order.

    Args:
        directory: where they are.
        only: the name of the one to read.

    Raises:
        InputError: if there is none, or one cannot be read.
    """
    paths = sorted(path for path in directory.glob("*.json") if path.name != CONFIGURATION)
    if only is not None:
        paths = [path for path in paths if path.name == Path(only).name]
    if not paths:
        raise InputError(f"no input in {directory}")
    return map(read, paths)


def read(path: Path) -> Input:
    """Read one input.

    Raises:
        InputError: if it cannot be read.
    """
    try:
        content = json.loads(path.read_text(), parse_int=str, parse_float=str)
        return Input(path.stem, list(_steps(content)), content.get("describe_table", []))
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise InputError(f"{path.name} is no input: {type(error).__name__} {error}") from error


def _steps(content: Mapping[str, Any]) -> Iterator[Step]:
    for section in ("create_table", "alter_table"):
        for name, definition in content.get(section, {}).items():
            yield Define(_table(name, definition))
    for operations in content.get("ops", []):
        for operation, argument in operations.items():
            yield from _operation(operation, argument)
    for operations in content.get("schema_migration", []):
        for operation, arguments in operations.items():
            for each in arguments:
                yield Migrate(operation, each)


def _operation(operation: str, argument: Any) -> Iterator[Step]:
    if operation in TRUNCATIONS:
        for table in argument:
            yield Truncate(table, soft=operation == "soft_truncate_before")
    elif operation in ROW_OPERATIONS:
        for table, rows in argument.items():
            yield Change(operation, table, [_texts(row) for row in rows])
    else:
        raise InputError(f'no such operation: "{operation}"')


def _texts(row: Mapping[str, Any]) -> Texts:
    return {name: _text(value) for name, value in row.items()}


def _text(value: Any) -> str | None:
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    return json.dumps(value)


def _table(name: str, definition: Mapping[str, Any]) -> common.Table:
    keys = definition.get("primary_key") or [ID]
    columns = dict(definition["columns"])
    columns = {key: columns.get(key, "STRING") for key in keys if key == ID} | columns
    table = common.Table(name=name)
    for column, kind in columns.items():
        _add(table, column, kind, key=column in keys)
    _add(table, SYNCED, "UTC_DATETIME")
    if not definition.get("history_mode"):
        _add(table, DELETED, "BOOLEAN")
        return table
    for column, data_type in HISTORY_COLUMNS.items():
        _add(table, column, common.DataType.Name(data_type), key=column == START)
    return table


def _add(table: common.Table, name: str, kind: Any, *, key: bool = False) -> None:
    params = kind if isinstance(kind, dict) else {"type": kind}
    column = table.columns.add(name=name, type=params["type"], primary_key=key)
    if "precision" in params:
        column.params.decimal.precision = int(params["precision"])
        column.params.decimal.scale = int(params.get("scale", 0))
