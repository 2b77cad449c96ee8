"""Pages of destinations: chosen, set up, tested."""

from __future__ import annotations

from collections.abc import Mapping

from fastapi import APIRouter, Request
from fastapi.responses import RedirectResponse, Response

from local_platform.api.destinations import ADDRESS, SERVICES, Wanted
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
    kinds = [
        {
            "id": service,
            "name": name,
            "description": description,
            "asks_address": service == ADDRESS,
        }
        for service, (name, description) in SERVICES.items()
    ]
    return render.page(
        request, "choose_kind.html", title="Add a destination", kinds=kinds,
        path="/destinations/new", lead="Where do the tables go?",
    )  # fmt: skip


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
    return _show(request, here, here.destinations.get(identity))


@router.post("/destinations/{identity}")
def change(request: Request, here: Here, sent: Submitted, identity: str) -> Response:
    """Change a destination and test it."""
    found = here.destinations.get(identity)
    try:
        entered = fields.read(here.destinations.form(found.service, found.address), sent)
        here.destinations.change(identity, Wanted("", None, entered), test=True)
    except ApiError as error:
        return _show(request, here, found, str(error))
    return RedirectResponse(f"/destinations/{identity}#tests", 303)


@router.post("/destinations/{identity}/delete")
def delete(request: Request, here: Here, sent: Submitted, identity: str) -> Response:
    """Delete a destination."""
    del sent
    try:
        here.destinations.delete(identity)
    except ApiError as error:
        return _show(request, here, here.destinations.get(identity), str(error))
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
    form = here.destinations.form(service, address)
    title, description = SERVICES[service]
    return render.page(
        request, "destination.html", 400 if error else 200, title=title, description=description,
        destination=None, name=name, error=error, tests=[],
        fields=fields.shown(form, entered or None),
    )  # fmt: skip


def _show(
    request: Request, here: Platform, found: Destination, error: str | None = None
) -> Response:
    form = here.destinations.form(found.service, found.address)
    config = here.destinations.wanted(found).config
    title, description = SERVICES[found.service]
    return render.page(
        request, "destination.html", 400 if error else 200, title=title, description=description,
        destination=found, name=here.destination_names()[found.id], error=error, tests=found.tests,
        fields=fields.shown(form, config),
    )  # fmt: skip
