"""Roles with few privileges: what is missing is named, with the statement that gives it."""

import shutil
from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import psycopg
import pytest
from psycopg import sql

from destination.memory import Budget
from destination.sdk import common_pb2 as common
from destination.warehouse.postgres.database import PostgresWarehouse
from destination_tester import demo
from destination_tester.__main__ import main
from destination_tester.files import BatchFiles
from tests.fix_connector import Client, column, reaching, serving
from tests.fix_postgres import Database

TABLE = common.Table(name="t", columns=[column("id", common.INT, key=True), column("text")])


class Role:
    """A role that may log in, and a client of a connector, on a port, that does so as it."""

    def __init__(
        self, connection: psycopg.Connection, name: str, client: Client, port: int
    ) -> None:
        self._connection = connection
        self.name = name
        self.client = client
        self.port = port

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
    with (
        serving(lambda _: PostgresWarehouse(dict(parameters)), Budget()) as port,
        reaching(port) as stub,
    ):
        client = Client(stub, schema, BatchFiles(tmp_path))
        yield Role(session_connection, name, client, port)
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


@pytest.mark.parametrize("file_type", ["CSV", "PARQUET"])
def test_minimal_grants_suffice_for_everything(
    role: Role,
    session_connection: psycopg.Connection,
    postgres_uri: str,
    tmp_path: Path,
    file_type: str,
) -> None:
    """The tester plays its inputs, which hold every kind of call, and compares the tables."""
    role.grant(
        "GRANT CONNECT, CREATE, TEMPORARY ON DATABASE {} TO {}", session_connection.info.dbname
    )
    for test in ("connection", "permissions", "version"):
        assert not fails(role, test)
    inputs = tmp_path / "inputs"
    shutil.copytree(demo.SAMPLE, inputs)
    (inputs / "configuration.json").write_text("{}")
    where = ("--port", str(role.port), "--schema-name", role.client.schema)
    verifying = ("--verify", postgres_uri, "--disable-operation-delay")
    assert main([str(inputs), *where, *verifying, "--batch-file-type", file_type]) == 0


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
