"""Pages of runs: the last hundred, and one."""

from __future__ import annotations

import sqlalchemy as sa
from fastapi import APIRouter, Request
from fastapi.responses import Response

from local_platform.api.errors import NotFoundError
from local_platform.api.routes.common import Here
from local_platform.api.store import Connection, Line, Run
from local_platform.web import charts, render
from local_platform.web.views.sync import live

router = APIRouter()

MOST = 100
MOST_LINES = 1000


@router.get("/runs")
def everything(request: Request, here: Here) -> Response:
    """The last runs of all connections."""
    return _list(request, here, None)


@router.get("/connections/{identity}/runs")
def of_connection(request: Request, here: Here, identity: str) -> Response:
    """The last runs of a connection."""
    return _list(request, here, here.store.row(Connection, identity))


@router.get("/runs/{identity}")
def show(request: Request, here: Here, identity: str) -> Response:
    """A run: what it loaded, how long it took, what it said."""
    with here.store.reading() as session:
        run = session.get(Run, identity)
        if run is None:
            raise NotFoundError("Run", identity)
        report = run.report
        lines = session.scalars(
            sa.select(Line).where(Line.run_id == identity).order_by(Line.id).limit(MOST_LINES)
        ).all()
    return render.page(
        request, "run.html", run=run, connection=here.store.row(Connection, run.connection_id),
        tab="runs", log=lines, **live(None, report),
    )  # fmt: skip


def _list(request: Request, here: Here, connection: Connection | None) -> Response:
    query = sa.select(Run, Connection.schema).join(Connection, Connection.id == Run.connection_id)
    if connection is not None:
        query = query.where(Run.connection_id == connection.id)
    with here.store.reading() as session:
        found = session.execute(query.order_by(Run.started_at.desc()).limit(MOST)).all()
    runs = [run for run, _ in found]
    bars, top = charts.durations(runs)
    return render.page(
        request, "runs.html", connection=connection, tab="runs", bars=bars, top=top, found=found
    )
