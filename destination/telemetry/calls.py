"""Tells of each call of the service: what it was about, how it ended, how long it took."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import grpc

from destination import telemetry
from destination.telemetry import Attributes
from destination.telemetry.metrics import Metric
from destination.wire import table_of

FILES = ("earliest_start_files", "replace_files", "update_files", "delete_files")
INTERNAL = grpc.StatusCode.INTERNAL
Answer = Callable[[Any, grpc.ServicerContext], Any]
"""Answers a request."""


class CallMeter:
    """Tells of the calls of a service."""

    def __init__(self) -> None:
        self._live: Counter[tuple[str, str]] = Counter()
        self._lock = threading.Lock()

    def measured(
        self, called: str, answer: Answer, request: Any, context: grpc.ServicerContext
    ) -> Any:
        """Answer a call, and tell of it.

        Args:
            called: its service and method.
            answer: what answers it.
            request: what it asks.
            context: gRPC's.
        """
        name, started = table_of(request), time.monotonic()
        table = (name.schema, name.table)
        outcome = INTERNAL.name
        with telemetry.call(called, _about(request, table)) as result, self._alive(table):
            try:
                response = answer(request, context)
                outcome = _outcome(response)
            except Exception:
                outcome = getattr(context.code(), "name", INTERNAL.name)  # type: ignore[attr-defined]
                raise
            finally:
                result["fivetran.outcome"] = outcome
                telemetry.add(
                    Metric.CALL_SECONDS,
                    time.monotonic() - started,
                    {"rpc.method": called, "fivetran.outcome": outcome},
                )
        return response

    @contextmanager
    def _alive(self, table: tuple[str, str]) -> Iterator[None]:
        if not any(table):
            yield
            return
        self._count(table, 1)
        try:
            yield
        finally:
            self._count(table, -1)

    def _count(self, table: tuple[str, str], calls: int) -> None:
        with self._lock:
            before = len(self._live)
            self._live[table] += calls
            if not self._live[table]:
                del self._live[table]
            telemetry.add(Metric.LIVE_TABLES, len(self._live) - before)


def _about(request: Any, table: tuple[str, str]) -> Attributes:
    """The table that a request is about, and how many batch files of each kind it has."""
    names = dict(zip(("db.namespace", "db.collection.name"), table, strict=True))
    counts = {f"fivetran.{kind}": len(getattr(request, kind, ())) for kind in FILES}
    return {key: value for key, value in (names | counts).items() if value}


def _outcome(response: Any) -> str:
    """Which of its answers a response holds: success, task, failure and the like."""
    has_answers = "response" in response.DESCRIPTOR.oneofs_by_name
    return (response.WhichOneof("response") if has_answers else None) or "success"
