"""Pages of tables: which there are, their rows, the history of a record."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import Response

from destination_tester.stored import ACTIVE, DELETED, END, START, SYNCED
from local_platform.api.errors import ApiError, NotFoundError
from local_platform.api.platform import Platform
from local_platform.api.routes.common import Here
from local_platform.api.store import Connection, Destination
from local_platform.sync import state
from local_platform.web import render, timeline
from local_platform.web.rows import Rows, WarehouseError, asking, estimated, place

router = APIRouter()


@router.get("/connections/{identity}/tables")
def everything(request: Request, here: Here, identity: str) -> Response:
    """The tables that a connection's syncs made."""
    found = here.store.row(Connection, identity)
    tables = _tables(here, found)
    counts: dict[str, int] = {}
    error = None
    try:
        with asking(_engine(request, here, found)) as connection:
            for schema in {name.partition(".")[0] for name in tables}:
                counts |= estimated(connection, schema)
    except ApiError as problem:
        error = str(problem)
    return render.page(
        request,
        "tables.html",
        connection=found,
        tab="tables",
        tables=tables,
        counts=counts,
        error=error,
    )


@router.get("/connections/{identity}/tables/{table}")
def show(
    request: Request,
    here: Here,
    identity: str,
    table: str,
    after: str | None = None,
    before: str | None = None,
) -> Response:
    """A page of a table's rows."""
    found = here.store.row(Connection, identity)
    rows = _rows(request, here, found, table)
    page = rows.page(after, before)
    names = [column.name for column in page.columns]
    history = START in page.key
    record = [name for name in page.key if name != START]
    links = [place(row, record) for row in page.rows] if history else []
    return render.page(
        request, "rows.html", connection=found, tab="tables", table=table, page=page,
        links=links, deleted=DELETED if DELETED in names else None, active=ACTIVE if history else None,
    )  # fmt: skip


@router.get("/connections/{identity}/tables/{table}/record")
def record(request: Request, here: Here, identity: str, table: str, key: str) -> Response:
    """All versions of a record, drawn over time."""
    found = here.store.row(Connection, identity)
    columns, versions = _rows(request, here, found, table).versions(key, START)
    named = [
        (column.name, versions[0][column.name])
        for column in columns
        if versions and column.key and column.name != START
    ]
    return render.page(
        request, "record.html", connection=found, tab="tables", table=table, columns=columns,
        versions=timeline.changes(versions, {START, END, ACTIVE, SYNCED}),
        spans=timeline.spans(versions, START, END), named=named,
    )  # fmt: skip


def _tables(here: Platform, found: Connection) -> dict[str, Any]:
    """The tables that were filled, by `schema.table`, as the syncs remember them."""
    reached = state.reached(here.connections.directory(found.id))
    return dict(sorted(reached.tables.items())) if reached else {}


def _rows(request: Request, here: Platform, found: Connection, table: str) -> Rows:
    if table not in _tables(here, found):
        raise NotFoundError("Table", table)
    schema, _, name = table.partition(".")
    return Rows(_engine(request, here, found), schema, name)


def _engine(request: Request, here: Platform, found: Connection) -> Any:
    destination = here.store.row(Destination, found.group_id)
    url = here.destinations.database(here.destinations.wanted(destination))
    if url is None:
        raise WarehouseError(
            "rows are shown of PostgreSQL servers that this machine reaches by host, database and user,"
            " without a tunnel and without certificates to check"
        )
    return request.app.state.warehouses.engine(url)
