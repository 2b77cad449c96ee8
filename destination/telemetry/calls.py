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


class CallInterceptor(grpc.ServerInterceptor):
    """Tells of the calls of one service.

    Args:
        service: its full name.
    """

    def __init__(self, service: str) -> None:
        self._service = service
        self._live: Counter[tuple[str, str]] = Counter()
        self._lock = threading.Lock()

    def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], grpc.RpcMethodHandler[Any, Any] | None],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> grpc.RpcMethodHandler[Any, Any] | None:
        handler = continuation(handler_call_details)
        service, method = handler_call_details.method.strip("/").rsplit("/", 1)
        if service != self._service or handler is None or handler.unary_unary is None:
            return handler
        answer = handler.unary_unary

        def measured(request: Any, context: grpc.ServicerContext) -> Any:
            name, started = table_of(request), time.monotonic()
            table = (name.schema, name.table)
            outcome = INTERNAL.name
            attributes: Attributes = {**_names(table), **_files(request)}
            with telemetry.call(service, method, attributes) as result, self._alive(table):
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
                        {"rpc.method": f"{service}/{method}", "fivetran.outcome": outcome},
                    )
            return response

        return grpc.unary_unary_rpc_method_handler(
            measured, handler.request_deserializer, handler.response_serializer
        )

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


def _names(table: tuple[str, str]) -> dict[str, str]:
    names = zip(("db.namespace", "db.collection.name"), table, strict=True)
    return {key: name for key, name in names if name}


def _files(request: Any) -> dict[str, int]:
    """How many batch files of each kind a request has."""
    counts = {kind: len(getattr(request, kind, ())) for kind in FILES}
    return {f"fivetran.{kind}": count for kind, count in counts.items() if count}


def _outcome(response: Any) -> str:
    """Which of its answers a response holds: success, task, failure and the like."""
    has_answers = "response" in response.DESCRIPTOR.oneofs_by_name
    return (response.WhichOneof("response") if has_answers else None) or "success"
