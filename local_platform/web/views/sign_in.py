"""Signing in, where the platform does not listen on this machine alone."""

from __future__ import annotations

from fastapi import APIRouter, Request
from fastapi.responses import RedirectResponse, Response

from local_platform.api.routes.common import Here
from local_platform.web import render, security
from local_platform.web.security import Submitted

router = APIRouter()


@router.get("/sign-in")
def show(request: Request) -> Response:
    """The form."""
    return render.page(request, "sign_in.html", failed=False)


@router.post("/sign-in")
def take(request: Request, here: Here, form: Submitted) -> Response:
    """Sign in."""
    request.app.state.rate.take(request.client.host if request.client else "")
    if security.sign_in(request, here, form):
        return RedirectResponse("/", 303)
    return render.page(request, "sign_in.html", 401, failed=True)
