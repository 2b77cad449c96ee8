"""The wire's messages from and to the project's own objects."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta

from google.protobuf.timestamp_pb2 import Timestamp

from destination import form
from destination.batch.decompression import Compression
from destination.batch.reader import FileParams
from destination.errors import RequestError
from destination.schema import Column, DataType, DecimalParams, Table
from destination.sdk import common_pb2 as common
from destination.sdk import destination_sdk_pb2 as sdk

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
LATEST = datetime.max.replace(tzinfo=UTC)
NANOS_PER_MICROSECOND = 1000


def table_from_wire(message: common.Table) -> Table:
    """A table of a request.

    Raises:
        RequestError: if a column's type is unknown or unspecified.
    """
    return Table(message.name, tuple(_column_from_wire(column) for column in message.columns))


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
        raise RequestError(f'column "{column}" has the type {name}, which this connector lacks')
    return DataType[name]


def instant_from_wire(timestamp: Timestamp) -> datetime:
    """The first microsecond that is not before an instant.

    Rows hold microseconds: those before the instant and those before this microsecond are the same.
    """
    microseconds = -(-timestamp.nanos // NANOS_PER_MICROSECOND)
    try:
        return EPOCH + timedelta(seconds=timestamp.seconds, microseconds=microseconds)
    except OverflowError:
        return LATEST


def file_params_from_wire(message: sdk.FileParams) -> FileParams:
    """How the batch files of a request are written.

    Raises:
        RequestError: if it is in a way unknown to this connector.
    """
    if message.compression not in sdk.Compression.values():
        raise RequestError(f"compression {message.compression} is unknown to this connector")
    if message.encryption not in sdk.Encryption.values():
        raise RequestError(f"encryption {message.encryption} is unknown to this connector")
    return FileParams(
        compression=Compression[sdk.Compression.Name(message.compression)],
        encrypted=message.encryption == sdk.AES,
        null_string=message.null_string,
        unmodified_string=message.unmodified_string,
    )


def form_to_wire() -> common.ConfigurationFormResponse:
    """The setup form and its tests."""
    return common.ConfigurationFormResponse(
        schema_selection_supported=True,
        table_selection_supported=True,
        fields=_fields_to_wire(form.FORM),
        tests=[common.ConfigurationTest(name=test.name, label=test.label) for test in form.TESTS],
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


def _fields_to_wire(
    fields: Iterable[form.Field | form.ConditionalFields],
) -> list[common.FormField]:
    return [_field_to_wire(field) for field in fields]


def _field_to_wire(field: form.Field | form.ConditionalFields) -> common.FormField:
    if isinstance(field, form.ConditionalFields):
        return common.FormField(
            name=field.name,
            conditional_fields=common.ConditionalFields(
                condition=common.VisibilityCondition(
                    condition_field=field.field, string_value=field.value
                ),
                fields=_fields_to_wire(field.fields),
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
            message.default_value = field.default
            message.descriptive_dropdown_fields.descriptive_dropdown_field.extend(
                common.DescriptiveDropDownField(value=value, label=label, description=description)
                for value, label, description in field.options
            )
        case form.UploadField():
            message.upload_field.allowed_file_type.extend(field.file_types)
            message.upload_field.max_file_size_bytes = form.MAX_UPLOAD_BYTES
    return message
