"""Who may use the pages: on this machine anybody who opens them, elsewhere who has the API's key."""

from __future__ import annotations

import hmac
import secrets
from collections.abc import AsyncIterator
from typing import Annotated, Any

from fastapi import Depends, Request
from starlette.datastructures import FormData

from local_platform.api import account
from local_platform.api.errors import InvalidInputError, UnauthorizedError
from local_platform.api.platform import Platform

TOKEN = "token"  # noqa: S105 - the name of the form's field
SESSION_KEY = "session_key"
SIGNED_IN = "signed_in"
POLICY = (
    "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self'; connect-src 'self';"
    " form-action 'self'; frame-ancestors 'none'; base-uri 'none'"
)
"""Content-Security-Policy: nothing that a table's values may hold is ever run."""


class SignInError(UnauthorizedError):
    """A page that needs somebody to sign in first."""


def session_key(platform: Platform) -> str:
    """What the pages' cookie is signed with."""
    known = platform.store.setting(SESSION_KEY)
    if known is None:
        known = secrets.token_urlsafe(32)
        platform.store.set(SESSION_KEY, known)
    return known


def token(request: Request) -> str:
    """The token that this browser's forms must bring, which other sites cannot read."""
    known: str | None = request.session.get(TOKEN)
    if known is None:
        known = request.session[TOKEN] = secrets.token_urlsafe(16)
    return known


async def submitted(request: Request) -> AsyncIterator[FormData]:
    """A form that was sent from a page of ours; its files are closed afterwards.

    Raises:
        InvalidInputError: if it does not bring the token.
    """
    async with request.form(max_files=50, max_fields=5000, max_part_size=1 << 20) as form:
        given = form.get(TOKEN, "")
        known = request.session.get(TOKEN, "")
        if not isinstance(given, str) or not known or not hmac.compare_digest(known, given):
            raise InvalidInputError(
                "this form is not of this browser's session: load the page again"
            )
        yield form


Submitted = Annotated[FormData, Depends(submitted)]


def signed_in(request: Request) -> None:
    """Let a request through if nobody must sign in, or this browser did.

    Raises:
        SignInError: otherwise.
    """
    if request.app.state.login and not request.session.get(SIGNED_IN):
        raise SignInError("sign in first")


def sign_in(request: Request, platform: Platform, form: Any) -> bool:
    """Sign a browser in by the API's key and secret.

    Returns:
        Whether they are right.
    """
    key, secret = str(form.get("key", "")), str(form.get("secret", ""))
    if not account.matches(platform.store, key, secret):
        return False
    request.session.clear()
    request.session[SIGNED_IN] = True
    return True
