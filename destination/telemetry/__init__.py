"""Telemetry: spans, metrics and log lines for a collector. Off unless switched on.

The rest of the code says `phase` around what may take time, `waiting` around waits, `held` around what
is in use, `add` where something is counted. Where telemetry is off, each of them is one comparison.
It may hold names of tables and numbers, never values of rows.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Generator, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Protocol, TypeVar

from destination.telemetry.metrics import Metric

Item = TypeVar("Item")
Attributes = Mapping[str, str | int | float]
Results = dict[str, str | int | float]
"""What becomes known of a call: further attributes."""
Span = Callable[[str, int, int, Attributes], None]
"""Records a span: its name, begin and end in nanoseconds since 1970, and attributes."""

ENDPOINT = "OTEL_EXPORTER_OTLP_ENDPOINT"
LEAST_NANOSECONDS = 1_000_000
"""A phase that took less has no span: what took the time is what spans are for."""

NO_ATTRIBUTES: Attributes = {}
_NOTHING: AbstractContextManager[None] = nullcontext()


class Recorder(Protocol):
    """Where telemetry goes."""

    def call(self, called: str, attributes: Attributes) -> AbstractContextManager[Results]:
        """A call of a service and method in this thread; what it yields takes further attributes."""

    def add(self, metric: Metric, amount: float, attributes: Attributes) -> None:
        """Count, or record an amount."""

    def here(self) -> Span:
        """Records below the call that this thread is in, if any; other threads may call it."""


_recorder: Recorder | None = None


def is_on() -> bool:
    """Whether anything is recorded."""
    return _recorder is not None


def endpoint_of(option: str | None) -> str | None:
    """Where to send telemetry: what the command line says, or the standard variable; None if nowhere."""
    if os.environ.get("OTEL_SDK_DISABLED", "").strip().lower() == "true":
        return None
    return option or os.environ.get(ENDPOINT, "").strip() or None


@contextmanager
def recording(recorder: Recorder) -> Iterator[None]:
    """Record for as long as this lasts."""
    global _recorder  # noqa: PLW0603  # one a process, as logging is
    _recorder = recorder
    try:
        yield
    finally:
        _recorder = None


def add(metric: Metric, amount: float, attributes: Attributes = NO_ATTRIBUTES) -> None:
    """Add an amount to a counter, or record it in a histogram."""
    if _recorder is not None:
        _recorder.add(metric, amount, attributes)


def call(called: str, attributes: Attributes) -> AbstractContextManager[Results]:
    """A call of a service and method in this thread; what it yields takes further attributes."""
    return nullcontext({}) if _recorder is None else _recorder.call(called, attributes)


def held(metric: Metric, amount: float = 1) -> AbstractContextManager[None]:
    """An amount of something that is in use meanwhile."""
    return _NOTHING if _recorder is None else _held(_recorder, metric, amount)


@contextmanager
def _held(recorder: Recorder, metric: Metric, amount: float) -> Iterator[None]:
    recorder.add(metric, amount, NO_ATTRIBUTES)
    try:
        yield
    finally:
        recorder.add(metric, -amount, NO_ATTRIBUTES)


def phase(name: str, operation: str = "") -> AbstractContextManager[None]:
    """A part of a call: a span, if it takes a millisecond or more.

    Args:
        name: what is done.
        operation: the database's word for it, if it is one statement.
    """
    if _recorder is None:
        return _NOTHING
    return _timed(_recorder, name, {"db.operation.name": operation} if operation else {})


def waiting(subject: str) -> AbstractContextManager[None]:
    """A wait for what others hold: a phase that is counted in `Metric.WAIT_SECONDS` too."""
    if _recorder is None:
        return _NOTHING
    return _timed(_recorder, f"wait for {subject}", {}, subject)


@contextmanager
def _timed(
    recorder: Recorder, name: str, attributes: Attributes, waited_for: str | None = None
) -> Iterator[None]:
    started = time.time_ns()
    try:
        yield
    finally:
        ended = time.time_ns()
        if ended - started >= LEAST_NANOSECONDS:
            recorder.here()(name, started, ended, attributes)
            if waited_for is not None:
                waited = {"fivetran.wait.subject": waited_for}
                recorder.add(Metric.WAIT_SECONDS, (ended - started) / 1e9, waited)


def made(name: str, items: Generator[Item]) -> Generator[Item]:
    """The same items; making them, in whatever thread, is one phase.

    The span lasts from the first to the last; `fivetran.busy.seconds` is what they took to make.
    """
    return items if _recorder is None else _timed_items(name, items, _recorder.here())


def _timed_items(name: str, items: Generator[Item], span: Span) -> Generator[Item]:
    first, busy = time.time_ns(), 0
    try:
        while True:
            started = time.time_ns()
            try:
                item = next(items)
            except StopIteration:
                return
            finally:
                busy += time.time_ns() - started
            yield item
            del item
    finally:
        ended = time.time_ns()
        if busy >= LEAST_NANOSECONDS:
            span(name, first, ended, {"fivetran.busy.seconds": busy / 1e9})
