"""Templates and what they share: words for numbers and times, headers that keep pages safe."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from pathlib import Path
from typing import Any

from fastapi import Request
from fastapi.templating import Jinja2Templates
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from starlette.responses import Response

from local_platform.api.sources import ADDRESS
from local_platform.api.store import now
from local_platform.web import charts
from local_platform.web.security import POLICY, SIGNED_IN, token

FOLDER = Path(__file__).parent
MINUTE, HOUR, DAY = 60, 3600, 86400
MARKS = {
    "succeeded": "good", "connected": "good", "PASSED": "good",
    "failed": "bad", "broken": "bad", "FAILED": "bad", "JOB_FAILED": "bad",
    "running": "busy", "queued": "busy",
}  # fmt: skip
"""How a status looks; any other is neutral."""


def ago(moment: datetime | None) -> str:
    """How long ago an instant was."""
    if moment is None:
        return "never"
    seconds = (now() - moment).total_seconds()
    if seconds < MINUTE:
        return "just now"
    if seconds < HOUR:
        return f"{seconds // MINUTE:.0f} min ago"
    if seconds < DAY:
        return f"{seconds // HOUR:.0f} h ago"
    return f"{seconds // DAY:.0f} days ago"


def instant(moment: datetime | None) -> str:
    """An instant, to the second."""
    return "" if moment is None else f"{moment:%Y-%m-%d %H:%M:%S} UTC"


ENVIRONMENT = Environment(
    loader=FileSystemLoader(FOLDER / "templates"), autoescape=True, trim_blocks=True,
    lstrip_blocks=True, undefined=StrictUndefined,
)  # fmt: skip
ENVIRONMENT.filters |= {
    "ago": ago, "instant": instant, "duration": charts.duration, "number": charts.number,
    "mark": lambda status: MARKS.get(status, "neutral"),
}  # fmt: skip
TEMPLATES = Jinja2Templates(env=ENVIRONMENT)


def page(request: Request, template: str, status: int = 200, /, **context: Any) -> Response:
    """A page.

    Args:
        request: that it answers.
        template: its name.
        status: of the answer.
        context: what the template shows.
    """
    context |= {"token": token(request), "signed_in": SIGNED_IN in request.session}
    response = TEMPLATES.TemplateResponse(request, template, context, status_code=status)
    response.headers["Content-Security-Policy"] = POLICY
    response.headers["Cache-Control"] = "no-store"
    return response


def part(template: str, /, **context: Any) -> str:
    """A part of a page."""
    return TEMPLATES.get_template(template).render(**context)


def kinds(request: Request, path: str, title: str, lead: str, listed: Iterable[Any]) -> Response:
    """The page that chooses a kind of source or destination.

    Args:
        request: that it answers.
        path: the page's; what follows it is the kind.
        title: the page's.
        lead: the question that it asks.
        listed: of each kind its name in the API, its name, its description.
    """
    cards = [
        {"id": each, "name": name, "description": said, "asks_address": each == ADDRESS}
        for each, name, said in listed
    ]
    return page(request, "choose_kind.html", title=title, kinds=cards, path=path, lead=lead)
