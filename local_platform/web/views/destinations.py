"""Pages of destinations: chosen, set up, tested."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import RedirectResponse, Response

from local_platform.api.destinations import SERVICES, Wanted
from local_platform.api.errors import ApiError, InvalidInputError
from local_platform.api.platform import Platform
from local_platform.api.routes.common import Here
from local_platform.api.store import Destination
from local_platform.web import fields, render
from local_platform.web.security import Submitted

router = APIRouter()


@router.get("/destinations/new")
def choose(request: Request) -> Response:
    """The kinds of destinations."""
    kinds = ((service, *said) for service, said in SERVICES.items())
    lead = "Where do the tables go?"
    return render.kinds(request, "/destinations/new", "Add a destination", lead, kinds)


@router.get("/destinations/new/{service}")
def new(request: Request, here: Here, service: str, address: str | None = None) -> Response:
    """The setup form of a new destination."""
    return _new(request, here, service, address)


@router.post("/destinations/new/{service}")
def create(
    request: Request, here: Here, sent: Submitted, service: str, address: str | None = None
) -> Response:
    """Make a destination and test it."""
    name = str(sent.get("name", "")).strip()
    entered: Mapping[str, str] = {}
    try:
        entered = fields.read(here.destinations.form(service, address), sent)
        if not name:
            raise InvalidInputError("Name: fill it in")
        made = here.destinations.create_named(name, Wanted(service, address, entered))
    except ApiError as error:
        return _new(request, here, service, address, name, entered, str(error))
    return RedirectResponse(f"/destinations/{made.id}", 303)


@router.get("/destinations/{identity}")
def show(request: Request, here: Here, identity: str) -> Response:
    """A destination: its form, and how its tests went."""
    return _show(request, here, here.store.row(Destination, identity))


@router.post("/destinations/{identity}")
def change(request: Request, here: Here, sent: Submitted, identity: str) -> Response:
    """Change a destination and test it."""
    found = here.store.row(Destination, identity)
    try:
        entered = fields.read(here.destinations.form(found.service, found.address), sent)
        here.destinations.change(identity, Wanted("", None, entered), test=True)
    except ApiError as error:
        return _show(request, here, found, str(error))
    return RedirectResponse(f"/destinations/{identity}#tests", 303)


@router.post("/destinations/{identity}/delete")
def delete(request: Request, here: Here, _: Submitted, identity: str) -> Response:
    """Delete a destination."""
    try:
        here.destinations.delete(identity)
    except ApiError as error:
        return _show(request, here, here.store.row(Destination, identity), str(error))
    return RedirectResponse("/", 303)


def _new(
    request: Request,
    here: Platform,
    service: str,
    address: str | None,
    name: str = "",
    entered: Mapping[str, str] | None = None,
    error: str | None = None,
) -> Response:
    form = fields.shown(here.destinations.form(service, address), entered or None)
    return _page(request, service, form, error, destination=None, name=name, tests=[])


def _show(
    request: Request, here: Platform, found: Destination, error: str | None = None
) -> Response:
    form = here.destinations.form(found.service, found.address)
    shown = fields.shown(form, here.destinations.wanted(found).config)
    name = here.destination_names()[found.id]
    return _page(
        request, found.service, shown, error, destination=found, name=name, tests=found.tests
    )


def _page(
    request: Request, service: str, form: list[fields.Field], error: str | None, **context: Any
) -> Response:
    title, description = SERVICES[service]
    context |= {"title": title, "description": description, "fields": form, "error": error}
    return render.page(request, "destination.html", 400 if error else 200, **context)
