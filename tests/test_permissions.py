"""Roles with few privileges: what is missing is named, with the statement that gives it."""

from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import psycopg
import pytest
from psycopg import sql

from destination.sdk import common_pb2 as common
from destination.warehouse.postgres.database import PostgresWarehouse
from tests.fix_connector import Client, calling, column
from tests.fix_postgres import Database

TABLE = common.Table(name="t", columns=[column("id", common.INT, key=True), column("text")])


class Role:
    """A role that may log in, and a client of a connector that does so as it."""

    def __init__(self, connection: psycopg.Connection, name: str, client: Client) -> None:
        self._connection = connection
        self.name = name
        self.client = client

    def grant(self, statement: str, *names: str) -> None:
        identifiers = [sql.Identifier(each) for each in (*names, self.name)]
        self._connection.execute(sql.SQL(statement).format(*identifiers))


@pytest.fixture
def role(
    postgres_uri: str, session_connection: psycopg.Connection, schema: str, tmp_path: Path
) -> Iterator[Role]:
    name = f"role_{uuid4().hex[:12]}"
    identifier = sql.Identifier(name)
    session_connection.execute(sql.SQL("CREATE ROLE {} LOGIN").format(identifier))
    parameters = {**psycopg.conninfo.conninfo_to_dict(postgres_uri), "user": name}
    with calling(lambda _: PostgresWarehouse(dict(parameters)), schema, tmp_path) as client:
        yield Role(session_connection, name, client)
    session_connection.execute(sql.SQL("DROP OWNED BY {} CASCADE").format(identifier))
    session_connection.execute(sql.SQL("DROP ROLE {}").format(identifier))


def fails(role: Role, name: str) -> str:
    return str(role.client.stub.Test(common.TestRequest(name=name)).failure)


def test_role_that_may_not_create_schemas(
    role: Role, session_connection: psycopg.Connection
) -> None:
    database = session_connection.info.dbname
    assert not fails(role, "connection")
    assert f'GRANT CREATE ON DATABASE "{database}"' in fails(role, "permissions")
    assert "GRANT CREATE ON DATABASE" in role.client.create(TABLE).task.message
    role.grant("GRANT CREATE ON DATABASE {} TO {}", database)
    assert not fails(role, "permissions")
    assert role.client.create(TABLE).success


def test_minimal_grants_suffice_for_everything(
    role: Role, session_connection: psycopg.Connection, database: Database
) -> None:
    role.grant(
        "GRANT CONNECT, CREATE, TEMPORARY ON DATABASE {} TO {}", session_connection.info.dbname
    )
    assert role.client.create(TABLE).success
    for _ in range(2):
        assert role.client.write(TABLE, replace=[[{"id": 1, "text": "a"}]]).success
    assert role.client.write(TABLE, update=[[{"id": 1, "text": "b"}]]).success
    wider = common.Table(name="t", columns=[*TABLE.columns, column("more")])
    assert role.client.alter(wider).success
    assert database.rows("t") == [(1, "b", None)]


def test_role_that_uses_the_schema_and_tables_of_another(role: Role, database: Database) -> None:
    database.execute("CREATE SCHEMA {schema}")
    database.execute("CREATE TABLE {schema}.t (id int PRIMARY KEY, text text)")
    other = common.Table(name="u", columns=TABLE.columns)
    assert (
        f'GRANT USAGE, CREATE ON SCHEMA "{database.schema}"'
        in role.client.create(other).task.message
    )
    role.grant("GRANT USAGE, CREATE ON SCHEMA {} TO {}", database.schema)
    assert role.client.create(other).success
    write = role.client.write(TABLE, replace=[[{"id": 1, "text": "marked-secret"}]])
    assert "OWNER TO" in write.task.message
    assert "marked-secret" not in write.task.message
    wider = common.Table(name="t", columns=[*TABLE.columns, column("more")])
    assert 'ALTER TABLE "t" OWNER TO' in role.client.alter(wider).task.message
