"""A server whose messages are German: the customer is told the same as in English."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import psycopg
import pytest

from destination.sdk import common_pb2 as common
from destination.warehouse.postgres.configuration import Configuration
from destination.warehouse.postgres.database import PostgresWarehouse, RetryPolicy
from destination_tester.files import Row
from tests.support.fix_connector import Client, calling, column
from tests.support.fix_server import PASSWORD, OwnServer
from tests.support.waiting import wait_until

KEY = column("id", common.LONG, key=True)
TABLE = common.Table(name="t 5", columns=[KEY, column("an item 7", common.JSON), column("text")])
PATIENCE = RetryPolicy(4, 0.5)


@pytest.fixture
def german(german_server: OwnServer, schema: str, tmp_path: Path) -> Iterator[Client]:
    """A client that calls as a role that may create schemas."""

    def connect(configuration: Configuration) -> PostgresWarehouse:
        return PostgresWarehouse.from_configuration(configuration, PATIENCE)

    with german_server.connect() as connection:
        connection.execute(f"CREATE ROLE loader LOGIN PASSWORD '{PASSWORD}'")
        connection.execute("GRANT CREATE, TEMPORARY ON DATABASE postgres TO loader")
        connection.execute("REVOKE TEMPORARY ON DATABASE postgres FROM PUBLIC")
        with calling(connect, schema, tmp_path) as client:
            client.configuration = {**german_server.configuration, "user": "loader"}
            yield client
        connection.execute("DROP OWNED BY loader CASCADE")
        connection.execute("DROP ROLE loader")


def as_administrator(server: OwnServer, client: Client, statement: str) -> None:
    with server.connect() as connection:
        connection.execute(statement.format(f'"{client.schema}"', f'"{client.schema}"."t 5"'))


def refused(client: Client, rows: list[Row]) -> str:
    return str(client.write(TABLE, replace=[rows]).task.message)


def test_row_and_column_that_are_refused(german: Client) -> None:
    """Those of a first load, which goes straight into the table, and of a merge."""
    assert german.create(TABLE).success
    rows: list[Row] = [{"id": i, "an item 7": "{}", "text": "x"} for i in range(9)]
    for number in (3, 8):
        message = refused(german, [*rows[:number], {**rows[number], "an item 7": "{"}])
        assert f'row {number + 1}, column "an item 7": a value is not of the column' in message
        assert german.write(TABLE, replace=[rows[:1]]).success


def test_row_that_a_hand_made_column_refuses(german: Client, german_server: OwnServer) -> None:
    assert german.create(TABLE).success
    as_administrator(german_server, german, "ALTER TABLE {1} ALTER text TYPE varchar(3)")
    message = refused(german, [{"id": 1, "an item 7": "{}", "text": "long"}])
    refused_by = "a value is longer than the column allows: change the column's type"
    assert f'row 1, column "text": {refused_by}' in message


def test_constraint_that_is_violated_is_named(german: Client, german_server: OwnServer) -> None:
    assert german.create(TABLE).success
    as_administrator(german_server, german, "ALTER TABLE {1} ADD CONSTRAINT c CHECK (text <> 'x')")
    message = refused(german, [{"id": 1, "an item 7": "{}", "text": "x"}])
    assert 'a check constraint is violated (constraint "c"): drop the check constraint' in message


@pytest.mark.parametrize(
    ("revoked", "told"),
    [
        ("CREATE ON DATABASE postgres FROM loader", 'GRANT CREATE ON DATABASE "postgres" TO …'),
        ("USAGE ON SCHEMA {0} FROM loader", "GRANT USAGE, CREATE ON SCHEMA {0} TO …"),
        ("CREATE ON SCHEMA {0} FROM loader", "GRANT USAGE, CREATE ON SCHEMA {0} TO …"),
        ("INSERT ON TABLE {1} FROM loader", "ALTER TABLE {1} OWNER TO …"),
        ("TEMPORARY ON DATABASE postgres FROM loader", 'GRANT TEMPORARY ON DATABASE "postgres" TO …'),
    ],
    ids=["schemas", "usage", "tables", "rows", "staging"],
)  # fmt: skip
def test_privilege_that_is_missing_comes_with_its_grant(
    german: Client, german_server: OwnServer, revoked: str, told: str
) -> None:
    row: Row = {"id": 1, "an item 7": "{}", "text": "x"}
    if "DATABASE" not in revoked or "TEMP" in revoked:
        assert german.create(TABLE).success
        assert german.write(TABLE, replace=[[row]]).success
    for given in (
        "ALTER SCHEMA {0} OWNER TO postgres",
        "GRANT USAGE, CREATE ON SCHEMA {0} TO loader",
    ):
        if "ON SCHEMA" in revoked:
            as_administrator(german_server, german, given)
    as_administrator(german_server, german, f"REVOKE {revoked}")
    other = common.Table(name="other", columns=[KEY])
    many: list[Row] = [{**row, "id": i, "text": "x" * 100} for i in range(20_000)]  # are staged
    answer = (
        german.create(other)
        if revoked.startswith("CREATE")
        else german.write(TABLE, replace=[many])
    )
    names = f'"{german.schema}"', f'"{german.schema}"."t 5"'
    assert "a privilege is missing" in answer.task.message
    assert f"run {told.format(*names)}, for the user" in answer.task.message


def test_table_of_another_owner(german: Client, german_server: OwnServer) -> None:
    assert german.create(TABLE).success
    as_administrator(german_server, german, "ALTER TABLE {1} OWNER TO postgres")
    wider = common.Table(name="t 5", columns=[*TABLE.columns, column("more")])
    message = german.alter(wider).task.message
    assert f'run ALTER TABLE "{german.schema}"."t 5" OWNER TO …' in message


def test_column_that_a_view_needs(german: Client, german_server: OwnServer) -> None:
    assert german.create(TABLE).success
    as_administrator(german_server, german, "CREATE VIEW {0}.v AS SELECT text FROM {1}")
    retyped = common.Table(name="t 5", columns=[*TABLE.columns[:2], column("text", common.LONG)])
    for answer in (
        german.alter(retyped),
        german.alter(common.Table(name="t 5", columns=TABLE.columns[:2]), drop=True),
    ):
        assert 'column "text"' in answer.task.message
        assert "drop or change what depends on it" in answer.task.message
        assert "v" in answer.task.message.split("text", 1)[1]


def connections(server: OwnServer) -> Iterator[psycopg.Connection]:
    """As many as there is room for."""
    with suppress(psycopg.OperationalError):
        while True:
            yield psycopg.connect(
                host=str(server.directory), port=server.port, dbname="postgres",
                user="loader", password=PASSWORD,
            )  # fmt: skip


def test_too_many_connections_are_waited_for(german: Client, german_server: OwnServer) -> None:
    """A log-in that fails has no SQLSTATE, and its message has no English word."""
    assert german.create(TABLE).success
    german.configuration = {**german.configuration, "sslmode": "disable"}
    others = list(connections(german_server))
    assert others
    with ThreadPoolExecutor(1) as calls:
        describing = calls.submit(german.describe, TABLE.name)
        wait_until(describing.running)
        with pytest.raises(TimeoutError):
            describing.result(1)
        for each in others:
            each.close()
        assert describing.result().HasField("table")


def test_too_many_connections_come_with_their_remedy_in_the_end(
    german: Client, german_server: OwnServer
) -> None:
    """One remedy among those for what a log-in is refused for, and the server's own words."""
    german.configuration = {**german.configuration, "sslmode": "disable"}
    others = list(connections(german_server))
    try:
        request = common.TestRequest(name="connection", configuration=german.configuration)
        form = german.stub.Test(request, timeout=3).failure
        message = german.describe("t").task.message
    finally:
        for each in others:
            each.close()
    for told in (form, message):
        assert f"port {german_server.port} failed: FATAL:  die verbleibenden Verbindungen" in told
        assert "raise the server's max_connections" in told
        assert "end sessions" in told
    assert float(message.split("tried for ")[1].split()[0]) >= PATIENCE.seconds


def test_wrong_password_is_told_at_once_by_the_form_and_in_the_end_by_a_call(
    german: Client,
) -> None:
    german.configuration = {**german.configuration, "password": "wrong"}
    request = common.TestRequest(name="connection", configuration=german.configuration)
    for told in (german.stub.Test(request, timeout=3).failure, german.describe("t").task.message):
        assert "correct User, Password and Database" in told
