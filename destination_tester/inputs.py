"""The tester's inputs: JSON files of tables, operations and migrations, read into steps.

Whatever a file holds is either a step or an InputError that says where it stands.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from destination.sdk import common_pb2 as common
from destination_tester import documents
from destination_tester.documents import InputError, Number
from destination_tester.notation import NotationError, from_text
from destination_tester.stored import DELETED, HISTORY_COLUMNS, ID, START, SYNCED

CONFIGURATION = "configuration.json"
OPERATION_TIME = "op_time"
ROW_OPERATIONS = ("upsert", "update", "delete", "soft_delete")
TRUNCATIONS = {"truncate_before": False, "truncate": False, "soft_truncate_before": True}
"""Operations on whole tables, and whether they are soft; `truncate` is an old name."""

MIGRATIONS: dict[str, tuple[str, ...]] = {
    "add_column": ("table", "column", "data_type"),
    "change_column_data_type": ("table", "column", "data_type"),
    "drop_column": ("table", "column"),
    "drop_table": ("table",),
    "rename_table": ("from_table", "to_table"),
    "copy_table": ("from_table", "to_table"),
    "copy_table_to_history_mode": ("from_table", "to_table"),
    "rename_column": ("table", "from_column", "to_column"),
    "copy_column": ("table", "from_column", "to_column"),
    "update_column_value": ("table", "column", "value"),
    "set_column_to_null": ("table", "column"),
    "add_column_with_default_value": ("table", "column", "data_type", "default_value"),
    "add_column_in_history_mode": (
        "table", "column", "data_type", "default_value", "operation_timestamp",
    ),
    "drop_column_in_history_mode": ("table", "column", "operation_timestamp"),
    "migrate_soft_delete_to_live": ("table",),
    "migrate_soft_delete_to_history": ("table",),
    "migrate_history_to_soft_delete": ("table",),
    "migrate_history_to_live": ("table",),
    "migrate_live_to_soft_delete": ("table",),
    "migrate_live_to_history": ("table",),
}  # fmt: skip
"""The schema migrations, and what each must say; `deleted_column` may stand beside that."""

INSTANT = common.Column(name=OPERATION_TIME, type=common.UTC_DATETIME)
MAX_DIGITS = 9
"""How long the text of a precision or a scale may be, for the wire to take it."""
VALUES = ("value", "default_value")
"""Arguments that may be of any type in JSON."""

Texts = Mapping[str, str | None]
"""A row: column names and texts as they stand in a CSV batch file."""


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
    """A schema migration.

    Args:
        operation: one of MIGRATIONS.
        arguments: its texts by name.
        column: the column that it adds or changes, if it does.
    """

    operation: str
    arguments: Mapping[str, str]
    column: common.Column


Step = Define | Change | Truncate | Migrate


@dataclass(frozen=True)
class Input:
    """One file: its steps in order, and the tables to show at the end."""

    name: str
    steps: Sequence[Step]
    describe: Sequence[str]


def inputs(directory: Path, only: str | None = None) -> list[Input]:
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
    return [read(path) for path in paths]


def read(path: Path) -> Input:
    """Read one input.

    Raises:
        InputError: if it cannot be read.
    """
    content = documents.read(path)
    try:
        content = documents.mapping(content, "the input")
        return Input(path.stem, list(_steps(content)), _names(content, "describe_table"))
    except InputError as error:
        raise InputError(f"{path.name}: {error}") from error


def _steps(content: Mapping[str, Any]) -> Iterator[Step]:
    for section in ("create_table", "alter_table"):
        for name, definition in documents.member(content, section, {}).items():
            yield Define(_table(name, documents.mapping(definition, f"{section} {name}")))
    for operations in _objects(content, "ops"):
        for operation, argument in operations.items():
            yield from _operation(operation, argument)
    for operations in _objects(content, "schema_migration"):
        for operation in operations:
            if operation not in MIGRATIONS:
                raise InputError(f'no such migration: "{operation}"')
            for arguments in _objects(operations, operation):
                yield _migration(operation, arguments)


def _objects(content: Mapping[str, Any], name: str) -> list[Mapping[str, Any]]:
    items: list[Any] = documents.member(content, name, [])
    return [documents.mapping(each, f"what is in {name}") for each in items]


def _names(content: Mapping[str, Any], name: str) -> list[str]:
    items: list[Any] = documents.member(content, name, [])
    return [documents.name(each, f"what is in {name}") for each in items]


def _operation(operation: str, argument: Any) -> Iterator[Step]:
    if operation in TRUNCATIONS:
        for table in _names({operation: argument}, operation):
            yield Truncate(table, TRUNCATIONS[operation])
    elif operation in ROW_OPERATIONS:
        for table in documents.mapping(argument, operation):
            rows = [_row(row, f"{operation} {table}") for row in _objects(argument, table)]
            yield Change(operation, table, rows)
    else:
        raise InputError(f'no such operation: "{operation}"')


def _row(row: Mapping[str, Any], where: str) -> Texts:
    texts = {name: documents.text(value) for name, value in row.items()}
    if OPERATION_TIME in texts:
        _require_instant(texts[OPERATION_TIME], f"{OPERATION_TIME} in {where}")
    return texts


def _require_instant(text: str | None, where: str) -> None:
    """Refuse what is no instant of the years that Python has, since the model computes with it."""
    try:
        if not isinstance(from_text(text or "", INSTANT), str):
            return
    except NotationError:
        pass
    raise InputError(f"{where} is no instant from year 1 to 9999")


def _migration(operation: str, content: Mapping[str, Any]) -> Migrate:
    column = common.Column()
    arguments = {}
    for name, value in content.items():
        where = f"{name} of {operation}"
        if name == "data_type":
            column = _column(str(content.get("column")), value, where)
        elif name in VALUES:
            arguments[name] = _constant(name, value)
        elif value is not None:
            arguments[name] = documents.name(value, where)
    missing = [name for name in MIGRATIONS[operation] if name not in content]
    if missing:
        raise InputError(f"{operation} says no {', '.join(missing)}")
    if "operation_timestamp" in MIGRATIONS[operation]:
        _require_instant(arguments.get("operation_timestamp"), f"the timestamp of {operation}")
    return Migrate(operation, arguments, column)


def _constant(name: str, value: Any) -> str:
    """A value as the call has it: `NULL` means NULL for a value, and nothing for a default."""
    text = documents.text(value)
    if text is None:
        return "NULL" if name == "value" else ""
    return text


def _table(name: str, definition: Mapping[str, Any]) -> common.Table:
    keys = _names(definition, "primary_key") or [ID]
    kinds = dict(documents.member(definition, "columns", {}))
    kinds = {key: kinds.get(key, "STRING") for key in keys if key == ID} | kinds
    strange = [key for key in keys if key not in kinds]
    if strange:
        raise InputError(f'table "{name}" has no column "{strange[0]}" for its key')
    columns = {
        each: _column(each, kind, f"column {each} of {name}", key=each in keys)
        for each, kind in kinds.items()
    }
    columns[SYNCED] = common.Column(name=SYNCED, type=common.UTC_DATETIME)
    if documents.flag(definition, "history_mode"):
        for each, data_type in HISTORY_COLUMNS.items():
            columns[each] = common.Column(name=each, type=data_type, primary_key=each == START)
    else:
        columns[DELETED] = common.Column(name=DELETED, type=common.BOOLEAN)
    return common.Table(name=name, columns=columns.values())


def _column(name: str, kind: Any, where: str, *, key: bool = False) -> common.Column:
    """A column of a type's name, or of an object of `type`, `precision` and `scale`."""
    params = kind if isinstance(kind, dict) else {"type": kind}
    type_name = documents.name(params.get("type"), f"the type of {where}").upper()
    if type_name not in common.DataType.keys() or type_name == "UNSPECIFIED":  # noqa: SIM118
        raise InputError(f'{where} is of no such type: "{type_name}"')
    column = common.Column(name=name, type=type_name, primary_key=key)
    if "precision" in params:
        column.params.decimal.precision = _digits(params["precision"], where)
        column.params.decimal.scale = _digits(params.get("scale", Number("0")), where)
    return column


def _digits(value: Any, where: str) -> int:
    text = documents.text(value) or ""
    if not (text.isascii() and text.isdigit() and len(text) <= MAX_DIGITS):
        raise InputError(f"precision or scale of {where} is no number of digits")
    return int(text)
