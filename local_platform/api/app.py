"""The REST API as an ASGI application, and what every request goes through."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from http import HTTPStatus

from fastapi import APIRouter, Depends, FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

from local_platform.api.errors import ApiError, InvalidInputError, envelope
from local_platform.api.guard import Guard
from local_platform.api.limits import Rate
from local_platform.api.platform import Platform
from local_platform.api.routes import connections, destinations, metadata, webhooks
from local_platform.api.routes.common import authorized

logger = logging.getLogger(__name__)

PREFIX = "/v1"
MOST_A_MINUTE = 6000
DESCRIPTION = (
    "The part of Fivetran's REST API that operates destinations and connections, over real syncs on"
    " one's own machine. For developing and testing: no scheduler for production."
)


def create(platform: Platform, hosts: Sequence[str], per_minute: int = MOST_A_MINUTE) -> FastAPI:
    """The application.

    Args:
        platform: what it works on.
        hosts: the names that requests may call this host by.
        per_minute: how many requests a client may send.
    """
    app = FastAPI(
        title="Local platform", version="1", description=DESCRIPTION, docs_url=None, redoc_url=None
    )
    app.state.platform = platform
    app.state.rate = Rate(per_minute)
    api = APIRouter(prefix=PREFIX, dependencies=[Depends(authorized)])
    for module in (metadata, destinations, connections, webhooks):
        api.include_router(module.router)
    app.include_router(api)
    app.exception_handler(ApiError)(refused)
    app.exception_handler(RequestValidationError)(_invalid)
    app.exception_handler(HTTPException)(refused_by_framework)
    app.exception_handler(Exception)(failed)
    app.add_middleware(Guard, hosts=hosts)
    return app


def refused(_: Request, error: ApiError) -> JSONResponse:
    """The answer to a request that is not carried out."""
    return envelope(error.status, error.code, str(error), error.headers)


def _invalid(request: Request, error: RequestValidationError) -> JSONResponse:
    """What is wrong with a request's fields; never the values, which may be secret."""
    said = [
        f"{'.'.join(map(str, each['loc'][1:])) or 'body'}: {each['msg']}" for each in error.errors()
    ]
    return refused(request, InvalidInputError("; ".join(said)))


def refused_by_framework(_: Request, error: HTTPException) -> JSONResponse:
    """The answer to what matches no route, or not its method."""
    code = HTTPStatus(error.status_code).phrase.replace(" ", "")
    return envelope(error.status_code, code, str(error.detail), error.headers)


def failed(_: Request, error: Exception) -> JSONResponse:
    """The answer to a request that met a defect."""
    logger.error("a request failed", exc_info=error)
    return envelope(500, "InternalError", "see the platform's log")
