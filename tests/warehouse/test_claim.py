"""A change of a table's shape behind a long report: other readers pass, and the change waits."""

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import psycopg
import pytest

from destination.sdk import common_pb2 as common
from destination.sdk import destination_sdk_pb2 as sdk
from destination.warehouse.postgres import session
from tests.support.fix_connector import Client, column
from tests.support.fix_postgres import Database

KEY = column("id", common.LONG, key=True)
TABLE = common.Table(name="t", columns=[KEY, column("text")])
WIDER = common.Table(name="t", columns=[*TABLE.columns, column("more")])
REPORT_SECONDS = 4


@pytest.mark.parametrize("call", ["alter", "drop", "rename"])
def test_readers_pass_while_a_change_waits_for_a_report(
    client: Client,
    database: Database,
    postgres_uri: str,
    monkeypatch: pytest.MonkeyPatch,
    call: str,
) -> None:
    monkeypatch.setattr(session, "ATTEMPT", "200ms")
    monkeypatch.setattr(session, "PAUSE_SECONDS", 0.5)
    assert client.create(TABLE).success
    changes: dict[str, Callable[[], sdk.AlterTableResponse | sdk.MigrateResponse]] = {
        "alter": lambda: client.alter(WIDER),
        "drop": lambda: client.migrate("t", drop={"drop_table": True}),
        "rename": lambda: client.migrate(
            "t", rename={"rename_table": {"from_table": "t", "to_table": "u"}}
        ),
    }
    waits = waits_behind_a_report(client, database, postgres_uri, changes[call], REPORT_SECONDS)
    assert 0.1 < max(waits) < 1


def test_readers_pass_most_of_the_time_with_the_times_that_are_set(
    client: Client, database: Database, postgres_uri: str
) -> None:
    assert client.create(TABLE).success
    waits = waits_behind_a_report(client, database, postgres_uri, lambda: client.alter(WIDER), 10)
    assert 0.1 < max(waits) < 3
    assert sum(each for each in waits if each > 0.1) < 5


def waits_behind_a_report(
    client: Client,
    database: Database,
    uri: str,
    change: Callable[[], sdk.AlterTableResponse | sdk.MigrateResponse],
    seconds: float,
) -> list[float]:
    """How long each reader waits while a change of the table waits for a report of so many seconds."""
    read = f'SELECT count(*) FROM "{client.schema}".t'
    waits, until = [], time.monotonic() + seconds
    with ThreadPoolExecutor(1) as calls, psycopg.connect(uri) as report:
        report.execute(read)
        changing = calls.submit(change)
        while time.monotonic() < until:
            begun = time.monotonic()
            database.connection.execute(read)
            waits.append(time.monotonic() - begun)
            assert not changing.done()
            time.sleep(0.01)
        report.rollback()
        assert changing.result().success, changing.result()
    return waits


def test_change_of_a_foreign_table(client: Client, database: Database) -> None:
    """It takes no lock by command; what it needs is told in PostgreSQL's words."""
    database.execute("CREATE SCHEMA {schema}")
    database.execute("CREATE FOREIGN DATA WRAPPER {schema}")
    database.execute("CREATE SERVER {schema} FOREIGN DATA WRAPPER {schema}")
    database.execute("CREATE FOREIGN TABLE {schema}.t (id bigint, text text) SERVER {schema}")
    plain = common.Table(name="t", columns=[column("id", common.LONG), *WIDER.columns[1:]])
    answer = client.alter(plain)
    database.execute("DROP FOREIGN DATA WRAPPER {schema} CASCADE")
    assert answer.success, answer
