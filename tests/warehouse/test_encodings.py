"""Databases in other encodings than UTF-8: what fits arrives exactly, what does not is told."""

from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit
from uuid import uuid4

import psycopg
import pytest
from psycopg import sql

from destination.sdk import common_pb2 as common
from destination_tester.files import Row
from tests.support.fix_connector import column
from tests.support.fix_roles import Role, plays_samples, role_of

TABLE = common.Table(
    name="t",
    columns=[column("id", common.INT, key=True), column("text"), column("json", common.JSON)],
)
FITTING = {
    "LATIN1": "é ß ½ ÿ",
    "WIN1252": "€ “é” Ÿ",
    "EUC_JP": "日本語 カタカナ",
    "SQL_ASCII": "é 日本 😀",
}


@pytest.fixture(params=FITTING)
def encoded(
    request: pytest.FixtureRequest, postgres_uri: str, tmp_path: Path
) -> Iterator[tuple[str, str, Role]]:
    """An encoding, the URI of a database in it, and a role there."""
    encoding, name = request.param, f"test_{uuid4().hex[:12]}"
    create = sql.SQL("CREATE DATABASE {} TEMPLATE template0 ENCODING {} LOCALE 'C'")
    uri = urlsplit(postgres_uri)._replace(path=f"/{name}").geturl()
    uri += f"{'&' if '?' in uri else '?'}client_encoding=UTF8"
    with psycopg.connect(postgres_uri, autocommit=True) as connection:
        connection.execute(create.format(sql.Identifier(name), encoding))
        with role_of(uri, "schema", tmp_path) as role:
            role.grant("GRANT CREATE, TEMPORARY ON DATABASE {} TO {}", name)
            yield encoding, uri, role
        connection.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))


def texts(role: Role) -> list[tuple[object, ...]]:
    query = "SELECT id, text, json::text FROM schema.t ORDER BY 1"
    return role.connection.execute(query).fetchall()


def test_text_that_fits_the_encoding_is_stored_exactly(encoded: tuple[str, str, Role]) -> None:
    encoding, _, role = encoded
    text, client = FITTING[encoding], role.client
    json = f'{{"a": "{text}"}}'
    for test in ("connection", "permissions", "version"):
        assert role.fails(test) == ""
    assert client.create(TABLE).success
    assert client.write(TABLE, replace=[[{"id": 1, "text": text, "json": json}]]).success
    assert texts(role) == [(1, text, json)]
    changed: Row = {"id": 1, "text": text * 2, "json": client.files.params.unmodified_string}
    assert client.write(TABLE, update=[[changed]]).success
    assert texts(role) == [(1, text * 2, json)]


def test_name_that_fits_the_encoding_is_kept(encoded: tuple[str, str, Role]) -> None:
    encoding, _, role = encoded
    name = FITTING[encoding]
    table = common.Table(name=name, columns=[column(name, common.INT, key=True)])
    assert role.client.create(table).success
    assert role.client.write(table, replace=[[{name: 1}]]).success
    assert role.client.describe(name).table.columns[0].name == name


def test_text_that_does_not_fit_is_told_by_row_and_column(encoded: tuple[str, str, Role]) -> None:
    encoding, _, role = encoded
    if encoding == "SQL_ASCII":
        pytest.skip("SQL_ASCII takes all bytes")
    client = role.client
    assert client.create(TABLE).success
    rows: list[Row] = [
        {"id": i, "text": "marked-secret 😀" if i == 7 else "a", "json": "1"} for i in range(20)
    ]
    written = client.write(TABLE, replace=[rows])
    assert "row 8" in written.task.message
    assert 'column "text"' in written.task.message
    assert "a text holds a character that the database's encoding lacks" in written.task.message
    assert texts(role) == []
    odd = common.Table(name="😀", columns=TABLE.columns)
    assert "the database's encoding lacks" in client.create(odd).task.message


@pytest.mark.parametrize("encoded", ["SQL_ASCII"], indirect=True)
@pytest.mark.parametrize("file_type", ["CSV", "PARQUET"])
def test_samples_arrive_as_bytes_of_utf8(
    encoded: tuple[str, str, Role], tmp_path: Path, file_type: str
) -> None:
    _, uri, role = encoded
    assert plays_samples(role.port, uri, tmp_path, file_type)
