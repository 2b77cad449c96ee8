"""The pages, added to the application that serves the API."""

from __future__ import annotations

from pathlib import Path

from fastapi import Depends, FastAPI, Request
from fastapi.responses import HTMLResponse, RedirectResponse, Response
from starlette.exceptions import HTTPException
from starlette.middleware.sessions import SessionMiddleware
from starlette.staticfiles import StaticFiles

from local_platform.api.app import PREFIX, failed, refused, refused_by_framework
from local_platform.api.errors import ApiError
from local_platform.api.platform import Platform
from local_platform.web import render, security
from local_platform.web.rows import Warehouses
from local_platform.web.views import (
    connections,
    destinations,
    home,
    reference,
    runs,
    schema,
    sign_in,
    sync,
    tables,
)

STATIC = Path(__file__).parent / "static"
COOKIE = "local_platform"


def add(app: FastAPI, platform: Platform, *, login: bool) -> None:
    """Add the pages.

    Args:
        app: the application.
        platform: what they work on.
        login: whether people must sign in with the API's key and secret.
    """
    app.state.login = login
    app.state.warehouses = Warehouses()
    app.mount("/static", StaticFiles(directory=STATIC), name="static")
    guarded = [Depends(security.signed_in)]
    for module in (home, destinations, connections, schema, sync, tables, runs, reference):
        app.include_router(module.router, dependencies=guarded, include_in_schema=False)
    app.include_router(sign_in.router, include_in_schema=False)
    app.exception_handler(ApiError)(_refused)
    app.exception_handler(HTTPException)(_other)
    app.exception_handler(Exception)(_failed)
    app.add_middleware(
        SessionMiddleware, secret_key=security.session_key(platform), session_cookie=COOKIE,
        same_site="strict", max_age=None,
    )  # fmt: skip


def _refused(request: Request, error: ApiError) -> Response:
    if request.url.path.startswith(PREFIX):
        return refused(request, error)
    if isinstance(error, security.SignInError):
        return RedirectResponse("/sign-in", 303)
    return render.page(request, "error.html", error.status, message=str(error))


def _failed(request: Request, error: Exception) -> Response:
    answer = failed(request, error)
    if request.url.path.startswith(PREFIX):
        return answer
    text = render.part("error.html", request=request, message="A defect: see the platform's log.")
    return HTMLResponse(text, answer.status_code)


def _other(request: Request, error: HTTPException) -> Response:
    if request.url.path.startswith(PREFIX):
        return refused_by_framework(request, error)
    return render.page(request, "error.html", error.status_code, message=str(error.detail))
