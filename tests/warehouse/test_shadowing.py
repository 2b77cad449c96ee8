"""Another user's functions, operators, types and tables never stand in for PostgreSQL's own.

What our statements use is found from those that a server is really sent while the tester plays its
samples. All of it is then shadowed in the schema `public`, which the role's search_path puts first.
"""

import re
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from psycopg import sql

from destination.warehouse.postgres.embedded import psql_path
from tests.support.fix_poison import sane
from tests.support.fix_postgres import own_database
from tests.support.fix_roles import plays_samples, role_of
from tests.support.fix_server import OwnServer, own_server

QUOTED = re.compile(r"'(?:[^']|'')*'")
"""Literals, which name nothing; identifiers in double quotes stay."""

FUNCTIONS = """
    SELECT p.oid::regprocedure::text, p.proname, pg_get_function_identity_arguments(p.oid),
           pg_get_function_result(p.oid)
    FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace
    WHERE n.nspname = 'pg_catalog' AND p.proname = ANY (%s)
      AND 'internal'::regtype <> ALL (p.proargtypes) AND '"any"'::regtype <> ALL (p.proargtypes)
      AND pg_get_function_identity_arguments(p.oid) NOT LIKE '%%ORDER BY%%'
      AND p.provariadic = 0
"""
OPERATORS = """
    SELECT o.oprname, o.oprleft::regtype::text, o.oprright::regtype::text, o.oprresult::regtype::text
    FROM pg_operator o JOIN pg_namespace n ON n.oid = o.oprnamespace
    WHERE n.nspname = 'pg_catalog' AND o.oprkind = 'b' AND o.oprname = ANY (%s)
"""
TYPES = """
    SELECT t.typname FROM pg_type t JOIN pg_namespace n ON n.oid = t.typnamespace
    WHERE n.nspname = 'pg_catalog' AND t.typtype = 'b' AND t.typname = ANY (%s)
"""
RELATIONS = """
    SELECT c.relname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE n.nspname = 'pg_catalog' AND c.relkind IN ('r', 'v') AND c.relname = ANY (%s)
"""
TEXT = re.compile(r"\btext\b")
"""A function that takes varchar instead stands nearer to parameters, which SQLAlchemy casts to that."""
SHADOW = "BEGIN RAISE EXCEPTION 'a shadow ran' USING ERRCODE = 'P0001'; END"


@pytest.fixture(scope="module")
def logging_server(postgres_uri: str) -> Iterator[OwnServer]:
    """A server whose log holds each statement that it is sent."""
    del postgres_uri
    with own_server(psql_path().parent) as server:
        server.allow("local all all trust", "host all all 127.0.0.1/32 trust")
        server.start(log_statement="all", log_line_prefix="%m [%p] %a ")
        yield server


def uri_of(server: OwnServer, database: str = "postgres") -> str:
    return f"postgresql://postgres@127.0.0.1:{server.port}/{database}"


def statements(server: OwnServer) -> list[str]:
    """What the connector sent."""
    log = (server.directory / "log").read_text(errors="replace")
    entries = re.split(r"^\d{4}-\d\d-\d\d \S+ \S+ \[\d+\] ", log, flags=re.MULTILINE)
    ours = (entry for entry in entries if entry.startswith("fivetran_destination "))
    return [QUOTED.sub("''", entry.split("statement: ", 1)[-1]) for entry in ours]


class Shadows:
    """Makes, in `public`, what stands in front of PostgreSQL's own things."""

    def __init__(self, connection: psycopg.Connection) -> None:
        self._connection = connection
        self.made: list[str] = []

    def make(self, what: str, statement: sql.Composed) -> None:
        """Make one, where such can be made at all."""
        try:
            self._connection.execute(statement)
        except (
            psycopg.errors.InvalidFunctionDefinition,
            psycopg.errors.FeatureNotSupported,
            psycopg.errors.DuplicateObject,
            psycopg.errors.DuplicateFunction,
            psycopg.errors.InvalidObjectDefinition,
        ):
            return
        self.made.append(what)

    def function(self, name: str, arguments: str, result: str) -> None:
        create = "CREATE FUNCTION public.{} ({}) RETURNS {} LANGUAGE plpgsql AS {}"
        parts = (sql.Identifier(name), sql.SQL(arguments), sql.SQL(result), sql.Literal(SHADOW))
        self.make(f"{name}({arguments})", sql.SQL(create).format(*parts))

    def operator(self, name: str, left: str, right: str, result: str, *, number: int) -> None:
        self.function(f"shadow_{number}", f"{left}, {right}", result)
        create = "CREATE OPERATOR public.{} (LEFTARG = {}, RIGHTARG = {}, FUNCTION = public.{})"
        function = sql.Identifier(f"shadow_{number}")
        parts = (sql.SQL(name), sql.SQL(left), sql.SQL(right), function)
        self.make(f"{left} {name} {right}", sql.SQL(create).format(*parts))

    def type(self, name: str) -> None:
        create = "CREATE DOMAIN public.{0} AS pg_catalog.{0} CHECK (false)"
        self.make(f"type {name}", sql.SQL(create).format(sql.Identifier(name)))

    def relation(self, name: str) -> None:
        create = "CREATE TABLE public.{} (shadow pg_catalog.int4)"
        self.make(f"table {name}", sql.SQL(create).format(sql.Identifier(name)))


def shadow_all(connection: psycopg.Connection, sent: list[str]) -> list[str]:
    """Shadow whatever statements use; tells what."""
    text = "\n".join(sent)
    words = sorted(set(re.findall(r"[a-z_][a-z0-9_]*", text)))
    signs = sorted(set(re.findall(r"[-+*/<>=~!@#%^&|`?]+", text)))
    shadows = Shadows(connection)
    for _, name, arguments, result in connection.execute(FUNCTIONS, [words]).fetchall():
        shadows.function(name, arguments, result)
        if (of_varchar := TEXT.sub("character varying", arguments)) != arguments:
            shadows.function(name, of_varchar, result)
    for number, operator in enumerate(connection.execute(OPERATORS, [signs]).fetchall()):
        shadows.operator(*operator, number=number)
    for (name,) in connection.execute(RELATIONS, [words]).fetchall():
        shadows.relation(name)
    for (name,) in connection.execute(TYPES, [words]).fetchall():
        shadows.type(name)
    return shadows.made


def test_what_other_users_create_is_never_used(logging_server: OwnServer, tmp_path: Path) -> None:
    uri = uri_of(logging_server)
    (tmp_path / "first").mkdir()
    with role_of(uri, "schema", tmp_path / "first") as role:
        role.grant("GRANT CREATE, TEMPORARY ON DATABASE {} TO {}", "postgres")
        for file_type in ("CSV", "PARQUET"):
            assert plays_samples(role.port, uri, tmp_path / "first", file_type)
    sent = statements(logging_server)
    assert len(sent) > 500
    with own_database(uri) as shadowed, role_of(shadowed, "schema", tmp_path) as role:
        database = role.connection.info.dbname
        role.grant("GRANT CREATE, TEMPORARY ON DATABASE {} TO {}", database)
        made = shadow_all(role.connection, sent)
        for essential in (
            "set_config(text, text, boolean)",
            "set_config(character varying, character varying, boolean)",
            "type text",
            "table pg_class",
        ):
            assert essential in made
        assert any(each.startswith("integer = ") for each in made)
        role.connection.execute(
            sql.SQL("ALTER ROLE {} SET search_path TO public, pg_catalog").format(
                sql.Identifier(role.name)
            )
        )
        for test in ("connection", "permissions", "version"):
            assert role.fails(test) == ""
        for file_type in ("CSV", "PARQUET"):
            assert plays_samples(role.port, sane(shadowed), tmp_path, file_type)
    assert "ERROR:  a shadow ran" not in (logging_server.directory / "log").read_text(
        errors="replace"
    )
