"""Batch files by the Java writers that Fivetran uses: every row arrives as it was written."""

import hashlib
import json
from collections import Counter
from typing import Any

import pytest
from psycopg import sql

from destination.sdk import common_pb2 as common
from destination.sdk import destination_sdk_pb2 as sdk
from tests.support.fix_connector import Client, column
from tests.support.fix_files import JAVA
from tests.support.fix_postgres import Database

MANIFEST: dict[str, Any] = (
    json.loads((JAVA / "manifest.json").read_text()) if JAVA.is_dir() else {"cases": []}
)
LONGEST_SHOWN = 2000
"""Longer values are in the manifest by their hash."""

REFUSED = {
    "extra-F10132_nested": "a nested column is no JSON text: Parquet's JSON is a string",
    "extra-F10133_union3": "a union of types is a nested column",
}
"""Cases that the manifest leaves open, and that end in a task: what cannot be taken exactly is refused."""
BYTES_OF_TEXT = {
    "features-F479_b64_PEM": "base64 in lines is not the notation; text that is not base64 is kept",
}
"""Cases that the manifest leaves open, and that load otherwise than it says."""

CANONICAL = {
    common.FLOAT: "encode(float4send({}), 'hex')",
    common.DOUBLE: "encode(float8send({}), 'hex')",
    common.NAIVE_TIME: "('x' || encode(time_send({}), 'hex'))::bit(64)::bigint::text",
    common.NAIVE_DATE: "({} - DATE '1970-01-01')::text",
    common.NAIVE_DATETIME: "(('x' || encode(timestamp_send({}), 'hex'))::bit(64)::bigint"
    " + 946684800000000)::text",
    common.UTC_DATETIME: "(('x' || encode(timestamptz_send({}), 'hex'))::bit(64)::bigint"
    " + 946684800000000)::text",
    common.BINARY: "encode({}, 'hex')",
}
"""The texts of the manifest, as expressions; of other types PostgreSQL's own."""


def table(case: dict[str, Any]) -> common.Table:
    columns = [
        column(
            each["name"],
            getattr(common, each["type"]),
            key=each.get("primary_key", False),
            decimal=each.get("decimal"),
        )
        for each in case["columns"]
    ]
    return common.Table(name="t", columns=columns)


def send(client: Client, message: common.Table, request: dict[str, Any]) -> sdk.WriteBatchResponse:
    """Send a request of the manifest."""
    files: dict[str, list[str]] = {}
    keys: dict[str, bytes] = {}
    for file in request["files"]:
        path = str(JAVA / file["file"])
        kind = "earliest_start" if file["kind"] == "earliest" else file["kind"]
        files.setdefault(f"{kind}_files", []).append(path)
        if "key" in file:
            keys[path] = bytes.fromhex(file["key"])
    client.files.keys = keys
    client.files.compression = getattr(sdk, request["compression"])
    client.files.encryption = getattr(sdk, request["encryption"])
    if request["rpc"] == "WriteHistoryBatch":
        return client.send_history(message, **files)
    return client.send(message, **files)


def contents(database: Database, message: common.Table) -> Counter[tuple[str | None, ...]]:
    """The table's rows in the manifest's texts."""
    values = [
        sql.SQL(CANONICAL.get(each.type, "{}::text")).format(sql.Identifier(each.name))
        for each in message.columns
    ]
    query = sql.SQL("SELECT {} FROM {}").format(
        sql.SQL(", ").join(values), sql.Identifier(database.schema, "t")
    )
    rows = database.connection.execute(query).fetchall()
    return Counter(tuple(map(shown, row)) for row in rows)


def shown(text: str | None) -> str | None:
    if text is None or len(text) <= LONGEST_SHOWN:
        return text
    return f"sha256:{hashlib.sha256(text.encode()).hexdigest()}:{len(text)}"


@pytest.mark.skipif(not JAVA.is_dir(), reason="the fixtures java are not on this machine")
@pytest.mark.parametrize("case", MANIFEST["cases"], ids=lambda case: case["id"])
def test_rows_arrive_as_java_wrote_them(
    client: Client, database: Database, case: dict[str, Any]
) -> None:
    message = table(case)
    assert client.create(message).success
    answers = [send(client, message, request) for request in case["requests"]]
    expected = MANIFEST["expected_sets"].get(case["expected"])
    if case["expect"] == "error" or case["id"] in REFUSED:
        assert all(answer.task.message for answer in answers)
        expected = []
    else:
        assert all(answer.success for answer in answers), answers
    found = contents(database, message)
    same = found == Counter(map(tuple, expected))
    assert same != (case["id"] in BYTES_OF_TEXT), found
