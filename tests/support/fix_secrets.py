"""Watches all that the connector says during the tests, for what must stay secret.

Tests put the mark into passwords and rows. Neither it nor a batch file's key may stand in a response,
in a log line or in what PostgreSQL shows of its sessions.
"""

import base64
import logging
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import grpc
import psycopg
import pytest

from destination.logs import FivetranFormatter

MARK = "marked-secret"
POLL_SECONDS = 0.02
RECENT_LINES = 50
LIBRARIES = ("grpc", "psycopg", "sqlalchemy.dialects", "sqlalchemy.engine", "sqlalchemy.pool")
"""Those that may log what the server says, down to the lines for debugging."""
RECENT_ANSWERS = 500


def forms(key: bytes) -> list[str]:
    """How a key would look if it were printed."""
    return [base64.b64encode(key).decode(), key.hex(), repr(key)[2:-1]] if key else []


class Watch(logging.Handler, grpc.UnaryUnaryClientInterceptor):
    """Looks at log lines as a handler, at responses as an interceptor, at sessions as a thread."""

    def __init__(self) -> None:
        super().__init__(logging.DEBUG)
        self.setFormatter(FivetranFormatter())
        self.leaks: list[str] = []
        self.answers: deque[str] = deque(maxlen=RECENT_ANSWERS)
        self.queries: set[str] = set()
        self._recent: deque[str] = deque(maxlen=RECENT_LINES)
        self._over = threading.Event()

    def emit(self, record: logging.LogRecord) -> None:
        line = self.format(record)
        self._recent.append(line)
        self.look_for([MARK], line)

    def intercept_unary_unary(
        self, continuation: Callable[..., Any], client_call_details: Any, request: Any
    ) -> Any:
        call = continuation(client_call_details, request)
        call.add_done_callback(lambda done: self._look_at(request, done))
        return call

    @contextmanager
    def looking_at_sessions(self, uri: str) -> Iterator[None]:
        """Look at what PostgreSQL shows of its sessions for as long as this lasts."""
        looking = threading.Thread(target=self._look_at_sessions, args=(uri,))
        looking.start()
        try:
            yield
        finally:
            self._over.set()
            looking.join()

    def _look_at_sessions(self, uri: str) -> None:
        # A session's query is in the encoding of its own database.
        shown = (
            "SELECT application_name, textsend(query) FROM pg_stat_activity"
            " WHERE pid <> pg_backend_pid() AND query IS NOT NULL"
        )
        with psycopg.connect(uri, autocommit=True) as connection:
            while not self._over.wait(POLL_SECONDS):
                for name, query in connection.execute(shown):
                    if name.startswith("fivetran"):
                        text = query.decode(errors="replace")
                        self.queries.add(text)
                        self.look_for([MARK], f"{name} {text}")

    def look_for(self, secrets: Iterable[str], text: str) -> None:
        self.leaks += [f"{secret} in {text[:500]}" for secret in secrets if secret in text]

    def _look_at(self, request: Any, done: Any) -> None:
        answered = done.code() == grpc.StatusCode.OK
        response = str(done.result()) if answered else str(done.details())
        self.answers.append(response)
        keys = [form for key in getattr(request, "keys", {}).values() for form in forms(key)]
        self.look_for([MARK, *keys], response)
        self.look_for(keys, "\n".join(self._recent))


WATCH = Watch()


@pytest.fixture(scope="session", autouse=True)
def watching() -> Iterator[None]:
    logging.getLogger().addHandler(WATCH)
    logging.getLogger("destination").setLevel(logging.INFO)
    for logger in map(logging.getLogger, LIBRARIES):
        logger.setLevel(logging.DEBUG)
        logger.addHandler(WATCH)
        logger.propagate = False  # pytest would keep its many lines of every test
    yield
    for logger in map(logging.getLogger, ("", *LIBRARIES)):
        logger.removeHandler(WATCH)


@pytest.fixture(autouse=True)
def nothing_leaks() -> Iterator[None]:
    """Holds for each test."""
    yield
    leaks, WATCH.leaks = WATCH.leaks, []
    assert not leaks
