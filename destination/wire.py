"""Conversions between Fivetran's messages and the connector's own objects."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

from google.protobuf.timestamp_pb2 import Timestamp

from destination import form
from destination.batch.constants import Constant
from destination.batch.decompression import Compression
from destination.batch.reader import FileParams
from destination.errors import RequestError
from destination.remembered import Remembered
from destination.schema import Column, DataType, DecimalParams, Table
from destination.sdk import common_pb2 as common
from destination.sdk import destination_sdk_pb2 as sdk
from destination.warehouse import migration
from destination.warehouse.base import Session
from destination.warehouse.kind import Kind
from destination.warehouse.stored import TableName

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
LATEST = datetime.max.replace(tzinfo=UTC)
NANOS_PER_MICROSECOND = 1000

COMPRESSIONS = {sdk.Compression.Value(kind.value): kind for kind in Compression}
ENCRYPTED = {sdk.NONE: False, sdk.AES: True}
ENTITIES = frozenset({"drop", "copy", "rename", "add"})
"""The groups of migrations that have an operation within."""
SYNC_MODES = {
    sdk.SOFT_DELETE_TO_HISTORY: "soft_delete_to_history",
    sdk.HISTORY_TO_SOFT_DELETE: "history_to_soft_delete",
}
"""The changes of sync mode that are open to partners' destinations."""
Migration = Callable[[Session], None]

_TABLES: Remembered[Table] = Remembered(4 << 20, lambda table: 512 * (len(table.columns) + 1))
"""The tables of requests, by the bytes in which they came."""


def table_of(request: Any) -> TableName:
    """The table that a request is about; of empty names where it is about none."""
    if hasattr(request, "details"):
        return TableName(request.details.schema, request.details.table)
    name = request.table.name if hasattr(request, "table") else getattr(request, "table_name", "")
    return TableName(getattr(request, "schema_name", ""), name)


def table_from_wire(message: common.Table) -> Table:
    """A table of a request.

    Raises:
        RequestError: if a column's type is unknown or unspecified.
    """
    content = message.SerializeToString(deterministic=True)
    return _TABLES.get(
        content,
        lambda: Table(message.name, tuple(_column_from_wire(each) for each in message.columns)),
    )


def table_to_wire(table: Table) -> common.Table:
    """A table for a response."""
    return common.Table(
        name=table.name, columns=[_column_to_wire(column) for column in table.columns]
    )


def data_type_from_wire(value: common.DataType, column: str) -> DataType:
    """A column's type.

    Raises:
        RequestError: if it is unknown or unspecified.
    """
    name = common.DataType.Name(value) if value in common.DataType.values() else str(value)
    if name not in DataType.__members__:
        raise RequestError(
            f'column "{column}" has the type {name}, which is not supported by this version: '
            f"upgrade the connector"
        )
    return DataType[name]


def delete_before_from_wire(request: sdk.TruncateRequest) -> datetime:
    """The instant of a truncate: rows that were synced before it are deleted.

    Raises:
        RequestError: if the request holds none.
    """
    if not request.HasField("utc_delete_before"):
        raise RequestError("the request does not say before which instant to truncate")
    return instant_from_wire(request.utc_delete_before)


def instant_from_wire(timestamp: Timestamp) -> datetime:
    """An instant, rounded up to a whole microsecond.

    Rows hold microseconds, so that the same rows lie before both.
    """
    microseconds = -(-timestamp.nanos // NANOS_PER_MICROSECOND)
    try:
        return EPOCH + timedelta(seconds=timestamp.seconds, microseconds=microseconds)
    except OverflowError:
        return LATEST


def file_params_from_wire(message: sdk.FileParams) -> FileParams:
    """How the batch files of a request are written.

    Raises:
        RequestError: if their compression or encryption is unknown.
    """
    if message.compression not in COMPRESSIONS:
        raise _unsupported("compression", message.compression)
    if message.encryption not in ENCRYPTED:
        raise _unsupported("encryption", message.encryption)
    return FileParams(
        compression=COMPRESSIONS[message.compression],
        encrypted=ENCRYPTED[message.encryption],
        null_string=message.null_string,
        unmodified_string=message.unmodified_string,
    )


def _unsupported(what: str, value: int) -> RequestError:
    return RequestError(
        f"{what} {value} of the batch files is not supported by this version: upgrade the connector"
    )


def migration_from_wire(details: sdk.MigrationDetails) -> tuple[str, Migration] | None:
    """The operation that a migration asks for.

    Returns:
        Its name and the function to call in a transaction, which raises a RequestError where a
        column's type is unknown; None if it is not supported.
    """
    operation = details.WhichOneof("operation")
    if operation is None:
        return None
    message: Any = getattr(details, operation)
    if operation in ENTITIES:
        operation = message.WhichOneof("entity")
        message = getattr(message, operation) if operation else None
    elif operation == "table_sync_mode_migration":
        operation = SYNC_MODES.get(message.type)
    if operation not in MIGRATIONS:
        return None
    name, apply = TableName(details.schema, details.table), MIGRATIONS[operation]
    return operation, lambda session: apply(session, name, message)


def _new_column(message: Any) -> Column:
    return Column(message.column, data_type_from_wire(message.column_type, message.column))


def _tables(name: TableName, message: Any) -> tuple[TableName, TableName]:
    """Two tables of a schema; the one that a message leaves out is the one that the request names."""
    source, target = (each or name.table for each in (message.from_table, message.to_table))
    return TableName(name.schema, source), TableName(name.schema, target)


def _deleted(message: Any) -> str | None:
    return message.soft_deleted_column or None


def _default(message: Any) -> migration.RequestValue:
    return partial(Constant.default, text=message.default_value)


def _time(message: Any) -> migration.RequestValue:
    return partial(Constant.instant, text=message.operation_timestamp)


MIGRATIONS: dict[str, Callable[[Session, TableName, Any], None]] = {
    "drop_table": lambda session, name, wanted: migration.drop_table(session, name, wanted=wanted),
    "rename_table": lambda session, name, message: migration.rename_table(
        session, *_tables(name, message)
    ),
    "copy_table": lambda session, name, message: migration.copy_table(
        session, *_tables(name, message)
    ),
    "copy_table_to_history_mode": lambda session, name, message: (
        migration.copy_table_to_history_mode(session, *_tables(name, message), _deleted(message))
    ),
    "rename_column": lambda session, name, message: migration.rename_column(
        session, name, message.from_column, message.to_column
    ),
    "copy_column": lambda session, name, message: migration.copy_column(
        session, name, message.from_column, message.to_column
    ),
    "add_column_with_default_value": lambda session, name, message: (
        migration.add_column_with_default_value(
            session, name, _new_column(message), _default(message)
        )
    ),
    "update_column_value": lambda session, name, message: migration.update_column_value(
        session, name, message.column, partial(Constant.value, text=message.value)
    ),
    "add_column_in_history_mode": lambda session, name, message: (
        migration.add_column_in_history_mode(
            session, name, _new_column(message), _default(message), _time(message)
        )
    ),
    "drop_column_in_history_mode": lambda session, name, message: (
        migration.drop_column_in_history_mode(session, name, message.column, _time(message))
    ),
    "soft_delete_to_history": lambda session, name, message: migration.soft_delete_to_history(
        session, name, _deleted(message)
    ),
    "history_to_soft_delete": lambda session, name, message: migration.history_to_soft_delete(
        session, name, _deleted(message)
    ),
}
"""The operations that are supported, by their names on the wire."""


def form_to_wire(kind: Kind[Any]) -> common.ConfigurationFormResponse:
    """The setup form of a kind of warehouse, and its tests."""
    return common.ConfigurationFormResponse(
        schema_selection_supported=True,
        table_selection_supported=True,
        fields=map(_field_to_wire, kind.form),
        tests=[common.ConfigurationTest(name=test.name, label=test.label) for test in kind.tests],
    )


def _column_from_wire(message: common.Column) -> Column:
    params = message.params
    decimal = None
    if params.HasField("decimal") and params.decimal.precision:
        decimal = DecimalParams(params.decimal.precision, params.decimal.scale)
    kind = data_type_from_wire(message.type, message.name)
    return Column(
        message.name,
        kind,
        message.primary_key,
        decimal=decimal if kind is DataType.DECIMAL else None,
        string_byte_length=params.string_byte_length or None,
    )


def _column_to_wire(column: Column) -> common.Column:
    message = common.Column(
        name=column.name,
        type=column.type.value,
        primary_key=column.primary_key,
    )
    if column.decimal is not None:
        message.params.decimal.precision = column.decimal.precision
        message.params.decimal.scale = column.decimal.scale
    if column.string_byte_length is not None:
        message.params.string_byte_length = column.string_byte_length
    return message


def _field_to_wire(field: form.Field | form.ConditionalFields) -> common.FormField:
    if isinstance(field, form.ConditionalFields):
        return common.FormField(
            name=field.name,
            conditional_fields=common.ConditionalFields(
                condition=common.VisibilityCondition(
                    condition_field=field.field, string_value=field.value
                ),
                fields=map(_field_to_wire, field.fields),
            ),
        )
    message = common.FormField(
        name=field.name,
        label=field.label,
        description=field.description,
        required=field.required,
    )
    match field:
        case form.TextField():
            message.text_field = common.Password if field.secret else common.PlainText
            if field.placeholder is not None:
                message.placeholder = field.placeholder
            if field.default is not None:
                message.default_value = field.default
        case form.DropdownField():
            message.default_value = field.default.word
            message.descriptive_dropdown_fields.descriptive_dropdown_field.extend(
                common.DescriptiveDropDownField(
                    value=option.word, label=option.label, description=option.description
                )
                for option in field.options
            )
        case form.UploadField():
            message.upload_field.allowed_file_type.extend(field.file_types)
            message.upload_field.max_file_size_bytes = form.MAX_UPLOAD_BYTES
    return message
