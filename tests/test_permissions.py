"""Roles with few privileges: what is missing is named, with the statement that gives it."""

from pathlib import Path

import psycopg
import pytest

from destination.sdk import common_pb2 as common
from tests.support.fix_connector import column
from tests.support.fix_postgres import Database
from tests.support.fix_roles import Role, plays_samples

TABLE = common.Table(name="t", columns=[column("id", common.INT, key=True), column("text")])


def test_role_that_may_not_create_schemas(
    role: Role, session_connection: psycopg.Connection
) -> None:
    database = session_connection.info.dbname
    assert not role.fails("connection")
    assert f'GRANT CREATE ON DATABASE "{database}"' in role.fails("permissions")
    assert "GRANT CREATE ON DATABASE" in role.client.create(TABLE).task.message
    role.grant("GRANT CREATE ON DATABASE {} TO {}", database)
    assert not role.fails("permissions")
    assert role.client.create(TABLE).success


def test_role_that_may_create_no_temporary_tables(
    role: Role, session_connection: psycopg.Connection
) -> None:
    """The test of the setup form says so, instead of every load that comes later."""
    database = session_connection.info.dbname
    role.grant("GRANT CREATE ON DATABASE {} TO {}", database)
    session_connection.execute(f'REVOKE TEMPORARY ON DATABASE "{database}" FROM PUBLIC')
    try:
        assert f'GRANT TEMPORARY ON DATABASE "{database}"' in role.fails("permissions")
        role.grant("GRANT TEMPORARY ON DATABASE {} TO {}", database)
        assert not role.fails("permissions")
    finally:
        session_connection.execute(f'GRANT TEMPORARY ON DATABASE "{database}" TO PUBLIC')


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
        assert not role.fails(test)
    assert plays_samples(role.port, postgres_uri, tmp_path, file_type)


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
    assert f'ALTER TABLE "{database.schema}"."t" OWNER TO' in role.client.alter(wider).task.message
