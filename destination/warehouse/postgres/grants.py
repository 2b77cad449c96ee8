"""Of the statement that a privilege was missing for, the GRANT that gives it."""

from __future__ import annotations

import re
from collections.abc import Iterator

import psycopg
from psycopg.sql import Identifier
from sqlalchemy.exc import DBAPIError

NAME = r'"(?:[^"]|"")+"'
STAGING = re.compile(r'\s*CREATE (?:TEMPORARY TABLE|TABLE "?pg_temp"?\.)')
CREATED_IN = re.compile(rf"\s*CREATE TABLE ({NAME})\.")
TOUCHED = re.compile(rf"(?:TABLE|INTO|UPDATE|FROM|COPY|COLUMN) ({NAME})\.({NAME})")


def missing_grant(error: DBAPIError, database: str | None) -> str | None:
    """The GRANT of the privilege that a statement lacked, where the statement shows which."""
    message = error.orig.diag.message_primary if isinstance(error.orig, psycopg.Error) else None
    grants = list(_grants(error.statement or "", message or "", database))
    if not grants:
        return None
    return f"run {'; '.join(grants)}, for the user that the setup form names"


def _grants(statement: str, message: str, database: str | None) -> Iterator[str]:
    quoted = Identifier(database).as_string() if database else "…"
    if statement.lstrip().startswith("CREATE SCHEMA"):
        yield f"GRANT CREATE ON DATABASE {quoted} TO …"
    elif STAGING.match(statement):
        yield f"GRANT TEMPORARY ON DATABASE {quoted} TO …"
    elif found := CREATED_IN.match(statement):
        yield f"GRANT USAGE, CREATE ON SCHEMA {found[1]} TO …"
    elif found := TOUCHED.search(statement):
        schema, table = found.groups()
        # in any language, the message has the name of what it is about
        of_table, of_schema = (_plain(name) in message for name in (table, schema))
        if of_schema or not of_table:
            yield f"GRANT USAGE, CREATE ON SCHEMA {schema} TO …"
        if of_table or not of_schema:
            yield f"ALTER TABLE {schema}.{table} OWNER TO …"


def _plain(identifier: str) -> str:
    return identifier[1:-1].replace('""', '"')
