"""A database of a module's own, and a role of a test's own that is handed settings there."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import quote, urlsplit

import psycopg
import pytest
from psycopg import sql

from destination.warehouse.postgres.contract import CONTRACT
from tests.support.fix_postgres import own_database
from tests.support.fix_roles import Role, role_of


def known(connection: psycopg.Connection, settings: dict[str, str]) -> dict[str, str]:
    """The settings that the server's version has."""
    names = {name.lower() for (name,) in connection.execute("SELECT name FROM pg_settings")}
    return {name: value for name, value in settings.items() if name.lower() in names}


def assign(name: str, value: str) -> sql.Composed:
    listed = sql.SQL(", ").join(sql.Literal(part) for part in value.split(", "))
    return sql.SQL("SET {} TO {}").format(sql.Identifier(name), listed)


@contextmanager
def poisoned(role: Role, level: str, settings: dict[str, str]) -> Iterator[None]:
    """Have the role, or its database, hand settings to every session."""
    where = sql.SQL("ALTER {} {} ").format(
        sql.SQL(level),
        sql.Identifier(role.name if level == "ROLE" else role.connection.info.dbname),
    )
    role.connection.execute("SET default_transaction_read_only TO off")
    for name, value in known(role.connection, settings).items():
        role.connection.execute(where + assign(name, value))
    try:
        yield
    finally:
        role.connection.execute(where + sql.SQL("RESET ALL"))


def sane(uri: str) -> str:
    """A URI whose sessions have the contract's settings, whatever the database hands them."""
    with psycopg.connect(uri) as connection:
        version = connection.info.server_version
    options = ["-c default_transaction_read_only=off"]
    for setting in CONTRACT:
        if setting.known_to(version):
            value = setting.value if isinstance(setting.value, str) else ",".join(setting.value)
            options.append(f"-c {setting.name}={value.replace(' ', '')}")
    joint = "&" if urlsplit(uri).query else "?"
    return f"{uri}{joint}options={quote(' '.join(options))}"


@pytest.fixture(scope="module")
def own_uri(postgres_uri: str) -> Iterator[str]:
    """The URI of a database of this module's own, as its superuser looks at it."""
    with own_database(postgres_uri) as uri:
        yield sane(uri)


@pytest.fixture
def own_role(own_uri: str, schema: str, tmp_path: Path) -> Iterator[Role]:
    with role_of(own_uri, schema, tmp_path) as role:
        role.grant("GRANT CREATE, TEMPORARY ON DATABASE {} TO {}", role.connection.info.dbname)
        yield role
