"""The page of a connection's syncs: started, watched while they run, stopped."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import RedirectResponse, Response, StreamingResponse

from local_platform.api.platform import Platform
from local_platform.api.progress import Progress
from local_platform.api.routes.common import Here
from local_platform.api.runner import latest
from local_platform.api.store import Connection
from local_platform.web import charts, render
from local_platform.web.security import Submitted

router = APIRouter()

LOOK_SECONDS = 0.5
LINES = 30


@router.get("/connections/{identity}")
def show(request: Request, here: Here, identity: str) -> Response:
    """A connection's sync that is under way, or how the last one went."""
    found = here.store.row(Connection, identity)
    with here.store.reading() as session:
        run = latest(session, identity)
        report = run.report if run else {}
    return render.page(
        request, "connection.html", connection=found, tab="sync", run=run,
        names=here.destination_names(), **live(here.runner.progress(identity), report),
    )  # fmt: skip


@router.get("/connections/{identity}/events")
async def watch(request: Request, here: Here, identity: str) -> Response:
    """A sync as it runs: the part of the page that changes, sent at each change and at the end."""
    found = here.store.row(Connection, identity)
    return StreamingResponse(_events(request, here, found), media_type="text/event-stream")


@router.post("/connections/{identity}/sync")
def start(here: Here, _: Submitted, identity: str) -> Response:
    """Start a sync."""
    here.connections.sync(identity)
    return RedirectResponse(f"/connections/{identity}", 303)


@router.post("/connections/{identity}/resync")
def restart(here: Here, _: Submitted, identity: str) -> Response:
    """Start a sync from the beginning."""
    here.connections.sync(identity, resync=True)
    return RedirectResponse(f"/connections/{identity}", 303)


@router.post("/connections/{identity}/stop")
def stop(here: Here, _: Submitted, identity: str) -> Response:
    """Stop a sync."""
    here.connections.stop(identity)
    return RedirectResponse(f"/connections/{identity}", 303)


@router.post("/connections/{identity}/schedule")
def schedule(here: Here, sent: Submitted, identity: str) -> Response:
    """Pause a connection, or let it be synced by its schedule."""
    here.connections.change(identity, {}, paused=sent.get("paused") == "true")
    return RedirectResponse(f"/connections/{identity}", 303)


async def _events(request: Request, here: Platform, found: Connection) -> AsyncIterator[str]:
    before = ""
    while not await request.is_disconnected():
        progress = here.runner.progress(found.id)
        if progress is None:
            yield "event: end\ndata: \n\n"
            return
        html = render.part("_live.html", **live(progress, {}))
        if html != before:
            lines = "".join(f"data: {line}\n" for line in html.splitlines())
            yield f"event: progress\n{lines}\n"
            before = html
        await asyncio.sleep(LOOK_SECONDS)


def live(progress: Progress | None, ended: dict[str, Any]) -> dict[str, Any]:
    """What the part of the page shows that moves.

    Args:
        progress: of the sync that is under way, if there is one.
        ended: the report of a sync to show otherwise; what it lacks is shown as nothing.
    """
    lines = list(progress.lines)[-LINES:] if progress else []
    report = progress.report() if progress else Progress().report() | ended
    tables = report["tables"]
    most = max((each["received"] for each in tables.values()), default=0)
    return {
        "running": progress is not None, "report": report, "lines": lines,
        "tables": tables, "most": most or 1,
        "charts": charts.rates(report["samples"]) if report["samples"] else [],
        "received": sum(each["received"] for each in tables.values()),
        "sent": sum(each["sent"] for each in tables.values()),
    }  # fmt: skip
