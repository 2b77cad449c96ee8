"""Requests of Fivetran's REST API: the key, the envelope, what is tried again."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import urlsplit

import httpx

from local_platform.client.errors import AnswerError, InputError

KEY, SECRET, URL = "FIVETRAN_API_KEY", "FIVETRAN_API_SECRET", "FIVETRAN_API_URL"
DEFAULT_URL = "https://api.fivetran.com"
LOOPBACK = ("localhost", "127.0.0.1", "::1")
ACCEPT = "application/json;version=2"
ANSWER_SECONDS = 300
"""Setup tests are run before a request is answered."""
TRIES = 5
LONGEST_WAIT = 60.0
TOO_MANY, SERVER_ERROR = 429, 500
REPEATABLE = ("GET", "PATCH", "DELETE")
"""Carried out twice they do no harm; a POST is repeated only where it was not let in."""
PAGE = 100


def environment(name: str) -> str:
    """A variable of the environment.

    Raises:
        InputError: if it is not set.
    """
    value = os.environ.get(name)
    if not value:
        raise InputError(f"{name} is not set")
    return value


class Http:
    """Sends requests.

    Args:
        key: the API key.
        secret: the API secret.
        url: where the API is; https, but on this machine.

    Raises:
        InputError: if the secret would go unencrypted to another machine.
    """

    def __init__(self, key: str, secret: str, url: str) -> None:
        parts = urlsplit(url)
        if parts.scheme != "https" and parts.hostname not in LOOPBACK:
            raise InputError(f"{parts.scheme}://{parts.hostname}: only https leaves this machine")
        self._client = httpx.Client(
            base_url=url.rstrip("/"), auth=(key, secret), timeout=ANSWER_SECONDS,
            headers={"Accept": ACCEPT}, follow_redirects=False,
        )  # fmt: skip

    def close(self) -> None:
        """Close the connections."""
        self._client.close()

    def send(self, method: str, path: str, body: Any = None, **parameters: Any) -> Any:
        """Send a request, again where the API asks for that.

        Returns:
            The answer's data.

        Raises:
            AnswerError: if it is refused, or nothing answers.
        """
        for attempt in range(1, TRIES + 1):
            try:
                answer = self._client.request(method, path, json=body, params=parameters or None)
            except httpx.ConnectError as error:
                problem = AnswerError(None, type(error).__name__, "the API is not reached")
                wait: float | None = 2.0 ** (attempt - 1)
            except httpx.HTTPError as error:
                problem = AnswerError(None, type(error).__name__, "the API did not answer")
                wait = 2.0 ** (attempt - 1) if method in REPEATABLE else None
            else:
                if answer.is_success:
                    return answer.json().get("data")
                problem = _problem(answer)
                wait = _wait(answer, method, attempt)
            if wait is None or attempt == TRIES:
                raise problem
            time.sleep(min(wait, LONGEST_WAIT))
        raise AssertionError("the last try raises")

    def items(self, path: str, **parameters: Any) -> Iterator[Mapping[str, Any]]:
        """All items of a list, page by page."""
        cursor = None
        while True:
            further: dict[str, str] = {"cursor": cursor} if cursor else {}
            data = self.send("GET", path, limit=PAGE, **parameters, **further)
            yield from data["items"]
            cursor = data.get("next_cursor")
            if not cursor:
                return


def _problem(answer: httpx.Response) -> AnswerError:
    try:
        content = answer.json()
        return AnswerError(answer.status_code, str(content["code"]), str(content["message"]))
    except (ValueError, KeyError, TypeError):
        return AnswerError(answer.status_code, answer.reason_phrase, "the answer is no envelope")


def _wait(answer: httpx.Response, method: str, attempt: int) -> float | None:
    """After how many seconds to send a request again; None if it is refused for good."""
    if answer.status_code == TOO_MANY:
        given = answer.headers.get("Retry-After", "")
        return float(given) if given.isdigit() else 2.0 ** (attempt - 1)
    if answer.status_code >= SERVER_ERROR and method in REPEATABLE:
        return 2.0 ** (attempt - 1)
    return None
