"""The REST API as an ASGI application, and what every request goes through."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from http import HTTPStatus
from typing import Any

from fastapi import APIRouter, Depends, FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

from local_platform.api.errors import ApiError, InvalidInputError, TooManyError
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
    app.add_exception_handler(ApiError, _refused)
    app.add_exception_handler(RequestValidationError, _invalid)
    app.add_exception_handler(HTTPException, refused_by_framework)
    app.add_exception_handler(Exception, failed)
    app.add_middleware(Guard, hosts=hosts)
    return app


def envelope(error: ApiError) -> JSONResponse:
    """The answer to a request that is not carried out."""
    headers = {"Retry-After": str(error.seconds)} if isinstance(error, TooManyError) else None
    content = {"code": error.code, "message": str(error)}
    return JSONResponse(content, error.status, headers)


def _refused(_: Request, error: Exception) -> JSONResponse:
    if not isinstance(error, ApiError):
        raise error
    return envelope(error)


def _invalid(_: Request, error: Exception) -> JSONResponse:
    """What is wrong with a request's fields; never the values, which may be secret."""
    found: Any = error.errors() if isinstance(error, RequestValidationError) else []
    said = [f"{'.'.join(map(str, each['loc'][1:])) or 'body'}: {each['msg']}" for each in found]
    return envelope(InvalidInputError("; ".join(said)))


def refused_by_framework(_: Request, error: Exception) -> JSONResponse:
    """The answer to what matches no route, or not its method."""
    if not isinstance(error, HTTPException):
        raise error
    code = HTTPStatus(error.status_code).phrase.replace(" ", "")
    return JSONResponse(
        {"code": code, "message": str(error.detail)}, error.status_code, error.headers
    )


def failed(_: Request, error: Exception) -> JSONResponse:
    """The answer to a request that met a defect."""
    logger.error("a request failed", exc_info=error)
    return JSONResponse({"code": "InternalError", "message": "see the platform's log"}, 500)
