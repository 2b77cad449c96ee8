"""What every request must be before anything looks at it: for this host, from it, and not too large."""

from __future__ import annotations

from collections.abc import Sequence
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from local_platform.api.errors import envelope
from local_platform.api.limits import MAX_BODY

HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
}


class Guard:
    """Refuses requests of other sites, and bodies that are too large.

    A page of another site may make a browser call this host by a name of its own, or send a form here:
    the first is known by Host, the second by Origin.

    Args:
        app: gets the rest.
        hosts: the names that requests may call this host by.
    """

    def __init__(self, app: ASGIApp, hosts: Sequence[str]) -> None:
        self._app = app
        self._hosts = set(hosts)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        refusal = self._refusal(headers, scope["method"], scope["path"])
        answering = self._app if refusal is None else refusal
        await answering(scope, _limited(receive), _with_headers(send))

    def _refusal(self, headers: Headers, method: str, path: str) -> JSONResponse | None:
        host = headers.get("host", "")
        if _name(host) not in self._hosts:
            return envelope(403, "Forbidden", "this host is not called by that name")
        origin = headers.get("origin")
        foreign = origin is not None and urlsplit(origin).netloc != host
        if foreign or (headers.get("sec-fetch-site") == "cross-site" and method != "GET"):
            return envelope(403, "Forbidden", "requests of other sites are not taken")
        length = headers.get("content-length", "0")
        if not length.isdigit() or int(length) > MAX_BODY:
            return envelope(413, "PayloadTooLarge", f"a body may have {MAX_BODY} bytes")
        kind = headers.get("content-type", "application/json").partition(";")[0].strip().lower()
        if path.startswith("/v1/") and method in ("POST", "PATCH") and kind != "application/json":
            return envelope(415, "UnsupportedMediaType", "send application/json")
        return None


def _limited(receive: Receive) -> Receive:
    """Take no more of a body than is allowed, whatever its header says."""
    taken = 0

    async def limited() -> Message:
        nonlocal taken
        message = await receive()
        taken += len(message.get("body", b""))
        if taken > MAX_BODY:
            return {"type": "http.disconnect"}
        return message

    return limited


def _with_headers(send: Send) -> Send:
    async def sending(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = MutableHeaders(scope=message)
            for name, value in HEADERS.items():
                headers.setdefault(name, value)
        await send(message)

    return sending


def _name(host: str) -> str:
    """The name of a Host header, without its port."""
    return urlsplit(f"//{host}").hostname or ""
