"""The page that chooses what is synced."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import RedirectResponse, Response
from starlette.datastructures import FormData

from local_platform.api.choices import ALLOW_ALL, BLOCK_ALL, HISTORY, SOFT_DELETE
from local_platform.api.errors import ApiError, NotFoundError
from local_platform.api.platform import Platform
from local_platform.api.routes.common import Here
from local_platform.api.store import Connection
from local_platform.web import render
from local_platform.web.security import Submitted

router = APIRouter()


@router.get("/connections/{identity}/schema")
def show(request: Request, here: Here, identity: str) -> Response:
    """What can be chosen, and what is."""
    return _show(request, here, here.store.row(Connection, identity))


@router.post("/connections/{identity}/schema")
def choose(request: Request, here: Here, sent: Submitted, identity: str) -> Response:
    """Choose, and start a sync if that is the button."""
    found = here.store.row(Connection, identity)
    syncs = sent.get("then") == "sync"
    try:
        view = here.connections.schemas(found).view()
        here.connections.choose(identity, _patch(view, sent))
        if syncs:
            here.connections.sync(identity)
    except ApiError as error:
        return _show(request, here, found, str(error))
    return RedirectResponse(f"/connections/{identity}{'' if syncs else '/schema'}", 303)


@router.post("/connections/{identity}/schema/reload")
def reload(here: Here, _: Submitted, identity: str) -> Response:
    """Ask the source again."""
    here.connections.run_tests(identity)
    return RedirectResponse(f"/connections/{identity}/schema", 303)


def _patch(view: dict[str, Any], sent: FormData) -> dict[str, Any]:
    """What the boxes say, in the API's shape; a box of what cannot be chosen is not sent."""
    schemas = {}
    for number, (outer, schema) in enumerate(view["schemas"].items()):
        tables = {}
        for place, (name, table) in enumerate(schema["tables"].items()):
            box = f"table.{number}.{place}"
            chosen: dict[str, Any] = {
                "sync_mode": HISTORY if sent.get(f"{box}.mode") == HISTORY else SOFT_DELETE
            }
            if table["enabled_patch_settings"]["allowed"]:
                chosen["enabled"] = box in sent
                chosen["columns"] = {
                    column: {"enabled": f"{box}.{index}" in sent}
                    for index, (column, each) in enumerate(table["columns"].items())
                    if each["enabled_patch_settings"]["allowed"]
                }
            tables[name] = chosen
        schemas[outer] = {"tables": tables}
    handling = ALLOW_ALL if "allow_new" in sent else BLOCK_ALL
    return {"schemas": schemas, "schema_change_handling": handling}


def _show(
    request: Request, here: Platform, found: Connection, error: str | None = None
) -> Response:
    try:
        view = here.connections.schemas(found).view()
    except NotFoundError:
        view = None
    except ApiError as problem:
        view, error = None, str(problem)
    return render.page(
        request, "schema.html", 400 if error else 200, connection=found, view=view, error=error,
        tab="schema", progress=here.runner.progress(found.id),
    )  # fmt: skip
