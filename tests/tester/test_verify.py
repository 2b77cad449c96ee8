"""Tables are read whatever a database hands its sessions."""

from contextlib import closing
from urllib.parse import quote

import pytest

from destination.sdk import common_pb2 as common
from destination_tester.console import JsonOutput
from destination_tester.model import TableModel
from destination_tester.stored import Stored
from destination_tester.verify import Verifier
from tests.support.fix_connector import column
from tests.support.fix_postgres import Database

MODEL = TableModel.of(
    common.Table(columns=[column("id", common.INT), column("at", common.UTC_DATETIME)])
)


def rows(uri: str, schema: str) -> list[Stored] | None:
    with closing(Verifier(uri, schema, JsonOutput())) as verifier:
        return verifier.rows(MODEL, "v")


@pytest.mark.parametrize(
    "setting",
    [
        "statement_timeout=2s",
        "idle_in_transaction_session_timeout=2s",
        "datestyle=SQL,DMY",
        "timezone=Asia/Kathmandu",
    ],
)
def test_rows_are_read_whatever_is_set(database: Database, postgres_uri: str, setting: str) -> None:
    database.execute(
        "CREATE SCHEMA {schema}; CREATE VIEW {schema}.v AS SELECT 1 AS id,"
        " '2020-01-02 03:04:05+00'::timestamptz AS at FROM pg_sleep(2.5)"
    )
    joint = "&" if "?" in postgres_uri else "?"
    uri = f"{postgres_uri}{joint}options={quote(f'-c {setting}')}"
    read, plain = rows(uri, database.schema), rows(postgres_uri, database.schema)
    assert read is not None
    assert len(read) == 1
    assert read == plain
