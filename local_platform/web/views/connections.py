"""Pages that set up connections: the kind of source, its form, its tests."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import RedirectResponse, Response

from local_platform.api.errors import ApiError
from local_platform.api.platform import Platform
from local_platform.api.routes.common import Here
from local_platform.api.sources import ADDRESS
from local_platform.api.store import Connection
from local_platform.web import fields, render
from local_platform.web.security import Submitted

router = APIRouter()


@router.get("/connections/new")
def choose(request: Request, here: Here) -> Response:
    """The kinds of sources."""
    kinds = ((kind.id, kind.name, kind.description) for kind in here.sources.kinds())
    lead = "Where do the rows come from?"
    return render.kinds(request, "/connections/new", "Add a source", lead, kinds)


@router.get("/connections/new/{service}")
def new(request: Request, here: Here, service: str, address: str | None = None) -> Response:
    """The setup form of a new connection."""
    return _new(request, here, service, address)


@router.post("/connections/new/{service}")
def create(
    request: Request, here: Here, sent: Submitted, service: str, address: str | None = None
) -> Response:
    """Make a connection and test it. It is paused until tables are chosen."""
    named = {
        "schema": str(sent.get("schema", "")).strip(),
        "group_id": str(sent.get("group_id", "")),
    }
    entered: Mapping[str, str] = {}
    try:
        entered = fields.read(here.sources.form(service, address), sent)
        made = here.connections.create(
            named["group_id"], service, named["schema"], entered, address=address, paused=True
        )
    except ApiError as error:
        return _new(request, here, service, address, named, entered, str(error))
    following = "schema" if made.setup_state == "connected" and made.declared else "setup"
    return RedirectResponse(f"/connections/{made.id}/{following}", 303)


@router.get("/connections/{identity}/setup")
def show(request: Request, here: Here, identity: str) -> Response:
    """A connection's form, and how its tests went."""
    return _show(request, here, here.store.row(Connection, identity))


@router.post("/connections/{identity}/setup")
def change(request: Request, here: Here, sent: Submitted, identity: str) -> Response:
    """Change a connection and test it."""
    found = here.store.row(Connection, identity)
    try:
        form = here.sources.form(found.service, found.address)
        here.connections.change(identity, fields.read(form, sent))
        here.connections.run_tests(identity)
    except ApiError as error:
        return _show(request, here, found, str(error))
    return RedirectResponse(f"/connections/{identity}/setup#tests", 303)


@router.post("/connections/{identity}/delete")
def delete(here: Here, _: Submitted, identity: str) -> Response:
    """Delete a connection."""
    here.connections.delete(identity)
    return RedirectResponse("/", 303)


def _new(
    request: Request,
    here: Platform,
    service: str,
    address: str | None,
    named: Mapping[str, str] | None = None,
    entered: Mapping[str, str] | None = None,
    error: str | None = None,
) -> Response:
    kind = here.sources.kind(service)
    form = here.sources.form(service, address)
    return render.page(
        request, "new_connection.html", 400 if error else 200, kind=kind, error=error,
        named=named or {"schema": service if service != ADDRESS else "", "group_id": ""},
        destinations=here.destination_names(), fields=fields.shown(form, entered or None),
    )  # fmt: skip


def _show(
    request: Request, here: Platform, found: Connection, error: str | None = None
) -> Response:
    context: dict[str, Any] = {"fields": [], "unreachable": None}
    try:
        form = here.sources.form(found.service, found.address)
        context["fields"] = fields.shown(form, here.vault.unlock(found.config))
    except ApiError as problem:
        context["unreachable"] = str(problem)
    return render.page(
        request, "setup.html", 400 if error else 200, connection=found, error=error, tab="setup",
        tests=found.tests, **context,
    )  # fmt: skip
