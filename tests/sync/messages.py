"""Messages of sources, from plain Python values."""

from collections.abc import Mapping
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

from destination.sdk import common_pb2 as common
from destination.sdk import connector_sdk_pb2 as sdk


def value(content: Any, kind: str | None = None) -> common.ValueType:
    """A value of the kind that Fivetran's Partner SDK gives such a one, or of a given kind."""
    message = common.ValueType()
    match content:
        case None:
            message.null = True
        case bool():
            message.bool = content
        case datetime() if kind != "naive_datetime":
            getattr(message, kind or "utc_datetime").FromDatetime(content)
        case datetime():
            message.naive_datetime.FromDatetime(content.replace(tzinfo=UTC))
        case date():
            message.naive_date.FromDatetime(datetime(content.year, content.month, content.day))
        case Decimal():
            message.decimal = str(content)
        case _:
            kinds = {int: "long", float: "double", bytes: "binary", str: "string"}
            setattr(message, kind or kinds[type(content)], content)
    return message


def record(
    table: str,
    values: Mapping[str, Any],
    operation: common.RecordType = common.UPSERT,
    schema: str | None = None,
) -> sdk.Record:
    """A record; values that are messages already stand for themselves."""
    message = sdk.Record(table_name=table, type=operation)
    if schema is not None:
        message.schema_name = schema
    for name, content in values.items():
        given = content if isinstance(content, common.ValueType) else value(content)
        message.data[name].CopyFrom(given)
    return message


def sending(*records: sdk.Record) -> sdk.UpdateResponse:
    return sdk.UpdateResponse(records=sdk.Records(records=records))


def upsert(table: str, values: Mapping[str, Any], schema: str | None = None) -> sdk.UpdateResponse:
    return sending(record(table, values, schema=schema))


def update(table: str, values: Mapping[str, Any]) -> sdk.UpdateResponse:
    return sending(record(table, values, common.UPDATE))


def delete(table: str, values: Mapping[str, Any]) -> sdk.UpdateResponse:
    return sending(record(table, values, common.DELETE))


def truncate(table: str) -> sdk.UpdateResponse:
    return sending(record(table, {}, common.TRUNCATE))


def checkpoint(state: str) -> sdk.UpdateResponse:
    return sdk.UpdateResponse(checkpoint=sdk.Checkpoint(state_json=state))


def table(name: str, /, **columns: Any) -> common.Table:
    """A declared table: column=(type, is_key), or column=type."""
    message = common.Table(name=name)
    for column, declared in columns.items():
        kind, key = declared if isinstance(declared, tuple) else (declared, False)
        message.columns.add(name=column, type=kind, primary_key=key)
    return message


def declaring(*tables: common.Table) -> sdk.SchemaResponse:
    return sdk.SchemaResponse(without_schema=common.TableList(tables=tables))


ITEMS = declaring(table("items", id=(common.LONG, True), name=common.STRING))
LIVE = ("id", "name", "_fivetran_deleted")


def item(key: int, name: Any = "n", **further: Any) -> dict[str, Any]:
    """A row of ITEMS."""
    return {"id": key, "name": name, **further}
