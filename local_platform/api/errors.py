"""What is answered to a request that cannot be carried out: a status, Fivetran's code, a message.

ApiError
├── UnauthorizedError  401  AuthFailed
├── NotFoundError      404  NotFound_…
├── InvalidInputError  400  InvalidInput
├── ConflictError      409  Conflict
└── TooManyError       429  TooManyRequests
"""

from __future__ import annotations

from collections.abc import Mapping

from fastapi.responses import JSONResponse


class ApiError(Exception):
    """Ends a request. Its text is for people, and never holds a configuration value or a row's."""

    status = 500
    code = "InternalError"
    headers: Mapping[str, str] | None = None


class UnauthorizedError(ApiError):
    """The key or the secret is wrong."""

    status, code = 401, "AuthFailed"


class NotFoundError(ApiError):
    """There is nothing of an id.

    Args:
        kind: what is missing: Connector, Group, Webhook …
        identity: its id.
    """

    status = 404

    def __init__(self, kind: str, identity: str) -> None:
        super().__init__(f"{kind} with id '{identity}' does not exist")
        self.code = f"NotFound_{kind}"


class InvalidInputError(ApiError):
    """What was sent cannot be used."""

    status, code = 400, "InvalidInput"


class ConflictError(ApiError):
    """What is there stands against it."""

    status, code = 409, "Conflict"


class TooManyError(ApiError):
    """There were more requests than are allowed.

    Args:
        seconds: after how long to ask again.
    """

    status, code = 429, "TooManyRequests"

    def __init__(self, seconds: int) -> None:
        super().__init__(f"too many requests: ask again in {seconds} s")
        self.headers = {"Retry-After": str(seconds)}


def envelope(
    status: int, code: str, message: str, headers: Mapping[str, str] | None = None
) -> JSONResponse:
    """The answer to a request that is not carried out."""
    return JSONResponse({"code": code, "message": message}, status, headers)
