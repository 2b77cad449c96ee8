"""What all routes share: the platform they work on, the key they ask for, their answers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any, TypeVar

import sqlalchemy as sa
from fastapi import Depends, Query, Request
from fastapi.security import HTTPBasic, HTTPBasicCredentials
from sqlalchemy.orm import DeclarativeBase

from local_platform.api import account
from local_platform.api.errors import InvalidInputError, UnauthorizedError
from local_platform.api.models import Answer, Items
from local_platform.api.platform import Platform

MOST = 1000
"""The most items of a page. [D]"""

R = TypeVar("R", bound=DeclarativeBase)
T = TypeVar("T")


def platform_of(request: Request) -> Platform:
    """The platform that the application serves."""
    found: Platform = request.app.state.platform
    return found


Here = Annotated[Platform, Depends(platform_of)]
Credentials = Annotated[HTTPBasicCredentials | None, Depends(HTTPBasic(auto_error=False))]


def authorized(request: Request, here: Here, given: Credentials) -> None:
    """Let a request through that brings the key and secret, and comes not too often.

    Raises:
        UnauthorizedError: if it brings others, or none.
        TooManyError: if it comes too often.
    """
    request.app.state.rate.take(request.client.host if request.client else "")
    if given is None or not account.matches(here.store, given.username, given.password):
        raise UnauthorizedError("the API key or secret is wrong: see what `make platform` printed")


Cursor = Annotated[str | None, Query(description="next_cursor of the page before")]
Limit = Annotated[int, Query(ge=1, le=MOST)]


def page(
    here: Platform,
    model: type[R],
    cursor: str | None,
    limit: int,
    show: Callable[[R], T],
    *conditions: sa.ColumnElement[bool],
) -> Answer[Items[T]]:
    """A page of the rows of a table, in the order in which they were made.

    Raises:
        InvalidInputError: if the cursor is none.
    """
    key: Any = sa.inspect(model).primary_key[0]
    made: Any = model.created_at
    query = sa.select(model).where(*conditions).order_by(made, key).limit(limit + 1)
    with here.store.reading() as session:
        if cursor is not None:
            last = session.get(model, cursor)
            if last is None:
                raise InvalidInputError("cursor: it leads nowhere")
            after = sa.tuple_(made, key) > sa.tuple_(
                sa.literal(last.created_at, made.type),
                sa.literal(cursor),
            )
            query = query.where(after)
        rows = list(session.scalars(query))
    next_cursor = getattr(rows[limit - 1], key.key) if len(rows) > limit else None
    items = [show(row) for row in rows[:limit]]
    return Answer(data=Items(items=items, next_cursor=next_cursor))
