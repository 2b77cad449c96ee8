"""The first page: connections and destinations."""

from __future__ import annotations

import sqlalchemy as sa
from fastapi import APIRouter, Request
from fastapi.responses import Response

from local_platform.api.routes.common import Here
from local_platform.api.runner import latest_of_all
from local_platform.api.store import Connection, Destination
from local_platform.web import render

router = APIRouter()


@router.get("/")
def show(request: Request, here: Here) -> Response:
    """All connections with their last runs."""
    with here.store.reading() as session:
        connections = list(session.scalars(sa.select(Connection).order_by(Connection.created_at)))
        destinations = list(
            session.scalars(sa.select(Destination).order_by(Destination.created_at))
        )
        latest = latest_of_all(session)
    return render.page(
        request, "home.html", connections=connections, destinations=destinations, latest=latest,
        names=here.destination_names(), kinds={kind.id: kind.name for kind in here.sources.kinds()},
    )  # fmt: skip
