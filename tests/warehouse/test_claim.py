"""A change of a table's shape behind a long report: other readers pass, and the change waits."""

import time
from concurrent.futures import ThreadPoolExecutor

import psycopg
import pytest

from destination.sdk import common_pb2 as common
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
    read = f'SELECT count(*) FROM "{client.schema}".t'
    changes = {
        "alter": lambda: client.alter(WIDER),
        "drop": lambda: client.migrate("t", drop={"drop_table": True}),
        "rename": lambda: client.migrate(
            "t", rename={"rename_table": {"from_table": "t", "to_table": "u"}}
        ),
    }
    longest, until = 0.0, time.monotonic() + REPORT_SECONDS
    with ThreadPoolExecutor(1) as calls, psycopg.connect(postgres_uri) as report:
        report.execute(read)
        changing = calls.submit(changes[call])
        while time.monotonic() < until:
            begun = time.monotonic()
            database.connection.execute(read)
            longest = max(longest, time.monotonic() - begun)
            assert not changing.done()
            time.sleep(0.01)
        report.rollback()
        assert changing.result().success, changing.result()
    assert 0.1 < longest < REPORT_SECONDS / 2


def test_most_of_the_time_of_a_change_that_waits_is_the_readers() -> None:
    attempt = float(session.ATTEMPT.removesuffix("s"))
    assert attempt < session.PAUSE_SECONDS / 3
    assert attempt + session.PAUSE_SECONDS < session.CLAIM_SECONDS / 3


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
