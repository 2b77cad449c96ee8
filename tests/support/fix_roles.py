"""Roles of a test's own, each with a connector that logs in as it, and the tester's samples played."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
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
from tests.support.fix_connector import Client, reaching, serving


class Role:
    """A role that may log in, and a client of a connector, on a port, that does so as it."""

    def __init__(
        self, connection: psycopg.Connection, parameters: dict[str, Any], client: Client, port: int
    ) -> None:
        self.connection = connection
        self.parameters = parameters
        self.name = str(parameters["user"])
        self.client = client
        self.port = port

    def fails(self, name: str) -> str:
        """What a test of the setup form fails with; empty if it passes."""
        return str(self.client.stub.Test(common.TestRequest(name=name)).failure)

    def grant(self, statement: str, *names: str) -> None:
        identifiers = [sql.Identifier(each) for each in (*names, self.name)]
        self.connection.execute(sql.SQL(statement).format(*identifiers))


@pytest.fixture
def role(postgres_uri: str, schema: str, tmp_path: Path) -> Iterator[Role]:
    with role_of(postgres_uri, schema, tmp_path) as role:
        yield role


@contextmanager
def role_of(uri: str, schema: str, directory: Path) -> Iterator[Role]:
    """A role in the database of a URI, and a client of a connector that logs in as it."""
    name = f"role_{uuid4().hex[:12]}"
    identifier = sql.Identifier(name)
    parameters = {**psycopg.conninfo.conninfo_to_dict(uri), "user": name, "options": ""}
    with psycopg.connect(uri, autocommit=True) as connection:
        connection.execute(sql.SQL("CREATE ROLE {} LOGIN").format(identifier))
        with (
            serving(lambda _: PostgresWarehouse(dict(parameters)), Budget()) as port,
            reaching(port) as stub,
        ):
            yield Role(connection, parameters, Client(stub, schema, BatchFiles(directory)), port)
        connection.execute(sql.SQL("DROP OWNED BY {} CASCADE").format(identifier))
        connection.execute(sql.SQL("DROP ROLE {}").format(identifier))


def plays_samples(port: int, uri: str, directory: Path, file_type: str) -> bool:
    """Whether the tester's sample inputs, which hold every kind of call, leave the tables they should.

    Args:
        port: the connector's.
        uri: the database, to look at the tables.
        directory: for the tester's files.
        file_type: CSV or PARQUET.
    """
    inputs = directory / f"inputs-{file_type}"
    shutil.copytree(demo.SAMPLE, inputs)
    (inputs / "configuration.json").write_text("{}")
    where = ("--port", str(port), "--schema-name", f"samples_{file_type.lower()}")
    verifying = ("--verify", uri, "--disable-operation-delay")
    return main([str(inputs), *where, *verifying, "--batch-file-type", file_type]) == 0
