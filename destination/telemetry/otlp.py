"""OpenTelemetry: spans, metrics and log lines, sent by OTLP over gRPC in threads of its own.

What cannot be sent is dropped: queues are bounded, and nothing here waits for a collector.
"""

from __future__ import annotations

import json
import logging
import os
import threading
import time
import uuid
from collections import defaultdict, deque
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from contextvars import ContextVar
from functools import partial
from typing import Any, cast
from urllib.parse import urlsplit

from opentelemetry import trace
from opentelemetry._logs import SeverityNumber
from opentelemetry.context import Context, attach, detach, get_current
from opentelemetry.exporter.otlp.proto.grpc._log_exporter import OTLPLogExporter
from opentelemetry.exporter.otlp.proto.grpc.metric_exporter import OTLPMetricExporter
from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter
from opentelemetry.metrics import CallbackOptions, Meter, Observation
from opentelemetry.sdk._logs import LoggerProvider
from opentelemetry.sdk._logs.export import BatchLogRecordProcessor
from opentelemetry.sdk.metrics import AlwaysOffExemplarFilter, MeterProvider
from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader
from opentelemetry.sdk.resources import OTELResourceDetector, Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor

from destination import __version__, telemetry
from destination.logs import FivetranFormatter
from destination.telemetry import Attributes, Recorder, Results, Span
from destination.telemetry.metrics import Kind, Metric

logger = logging.getLogger(__name__)

NAME = "fivetran-destination"
SHUTDOWN_SECONDS = 5
LATER_SECONDS = 0.2
MOST_WAITING = 10_000
"""As many spans and lines may wait for the thread that hands them over."""
SECONDS_BUCKETS = (0.005, 0.02, 0.1, 0.5, 1, 2, 5, 10, 30, 60, 120, 300, 600, 1800, 3600)
SEVERITIES = {
    logging.DEBUG: SeverityNumber.DEBUG,
    logging.WARNING: SeverityNumber.WARN,
    logging.ERROR: SeverityNumber.ERROR,
    logging.CRITICAL: SeverityNumber.FATAL,
}


@contextmanager
def exporting(endpoint: str) -> Iterator[None]:
    """Send telemetry to a collector for as long as this lasts, and then what is left of it.

    Args:
        endpoint: the collector's URL, as `http://localhost:4317`; `https` for TLS.
    """
    logging.getLogger("opentelemetry").setLevel(logging.CRITICAL + 1)  # logged once, by ours
    resource, logged = _resource(), threading.Lock()
    traces = TracerProvider(resource=resource, shutdown_on_exit=False)
    traces.add_span_processor(BatchSpanProcessor(_SpanExporter(logged, endpoint)))
    reader = PeriodicExportingMetricReader(_MetricExporter(logged, endpoint))
    metrics = MeterProvider(
        resource=resource,
        metric_readers=[reader],
        exemplar_filter=AlwaysOffExemplarFilter(),  # they would take longer than the rest
        shutdown_on_exit=False,
    )
    lines = LoggerProvider(resource=resource, shutdown_on_exit=False)
    lines.add_log_record_processor(BatchLogRecordProcessor(_LogExporter(logged, endpoint)))
    with ExitStack() as resources:
        resources.callback(_shut_down, traces.shutdown, metrics.shutdown, lines.shutdown)
        later = _Later()
        resources.callback(later.stop)
        handler = _Handler(lines, later)
        logging.getLogger().addHandler(handler)
        resources.callback(logging.getLogger().removeHandler, handler)
        resources.enter_context(
            telemetry.recording(_Recorder(traces.get_tracer(NAME), metrics.get_meter(NAME), later))
        )
        yield


def _resource() -> Resource:
    ours = {
        "service.name": NAME,
        "service.version": __version__,
        "service.instance.id": str(uuid.uuid4()),
        "fivetran.account.name": os.environ.get("FIVETRAN_ACCOUNT_NAME"),
        "fivetran.group.name": os.environ.get("FIVETRAN_GROUP_NAME"),
    }
    known = Resource({name: value for name, value in ours.items() if value})
    return known.merge(OTELResourceDetector().detect())


def _shut_down(*shutdowns: Callable[[], object]) -> None:
    """Send what is left, all at once and within a few seconds: a collector may hang."""
    threads = [threading.Thread(target=each, daemon=True) for each in shutdowns]
    for thread in threads:
        thread.start()
    until = time.monotonic() + SHUTDOWN_SECONDS
    for thread in threads:
        thread.join(max(0, until - time.monotonic()))


_total: ContextVar[Results | None] = ContextVar("total", default=None)
"""What was counted in the call that this thread is in."""


_sums = partial[defaultdict[tuple[tuple[str, str | int | float], ...], float]](defaultdict, int)
"""An amount for each set of attributes."""


class _Later:
    """Does in a thread of its own what would take a call's time; what is too much is left out.

    It works at intervals: a thread that is woken within a call takes turns with it.
    """

    def __init__(self) -> None:
        self._works: deque[Callable[[], object]] = deque()
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, name="telemetry", daemon=True)
        self._thread.start()

    def do(self, work: Callable[[], object]) -> None:
        """Have something done soon, in the order of these calls."""
        if len(self._works) < MOST_WAITING:
            self._works.append(work)

    def stop(self) -> None:
        """Do what is left."""
        self._ended.set()
        self._thread.join(SHUTDOWN_SECONDS)

    def _run(self) -> None:
        ended = False
        while not ended:
            ended = self._ended.wait(LATER_SECONDS)
            while self._works:
                self._works.popleft()()


class _Recorder(Recorder):
    """Hands over to OpenTelemetry.

    Sums are kept here and read when they are sent: each instrument of OpenTelemetry takes longer than
    what it measures.
    """

    def __init__(self, tracer: trace.Tracer, meter: Meter, later: _Later) -> None:
        self._tracer = tracer
        self._later = later
        self._lock = threading.Lock()
        self._sums = {metric: _sums() for metric in Metric if metric.kind is not Kind.HISTOGRAM}
        self._histograms = {
            metric: meter.create_histogram(
                *metric.instrument, explicit_bucket_boundaries_advisory=SECONDS_BUCKETS
            )
            for metric in Metric
            if metric.kind is Kind.HISTOGRAM
        }
        for metric in self._sums:
            create: Callable[..., object] = (
                meter.create_observable_counter
                if metric.kind is Kind.COUNTER
                else meter.create_observable_up_down_counter
            )
            name, unit, description = metric.instrument
            create(name, [partial(self._read, metric)], unit, description)

    def here(self) -> Span:
        call = trace.get_current_span()
        return lambda *span: self._later.do(partial(self._span, call, *span))

    def add(self, metric: Metric, amount: float, attributes: Attributes) -> None:
        if (histogram := self._histograms.get(metric)) is not None:
            self._later.do(partial(histogram.record, amount, attributes))
            return
        key = tuple(attributes.items())
        with self._lock:
            self._sums[metric][key] += amount
        total = _total.get()
        if total is not None and metric.kind is Kind.COUNTER:
            name = ".".join([metric.label, *(str(value) for value in attributes.values())])
            total[name] = amount + cast("float", total.get(name, 0))

    def _read(self, metric: Metric, options: CallbackOptions) -> list[Observation]:
        del options
        with self._lock:
            sums = dict(self._sums[metric])
        return [Observation(amount, dict(key)) for key, amount in sums.items()]

    @contextmanager
    def call(self, called: str, attributes: Attributes) -> Iterator[Results]:
        total: Results = {}
        about = {"rpc.system.name": "grpc", "rpc.method": called, **attributes}
        span = self._tracer.start_span(called, None, trace.SpanKind.SERVER, about)
        # Not `start_as_current_span`: it takes longer, and records the text of an exception, which may
        # hold a value of a row.
        context, counted = attach(trace.set_span_in_context(span)), _total.set(total)
        try:
            yield total
        finally:
            _total.reset(counted)
            detach(context)
            span.set_attributes(total)
            span.end()

    def _span(
        self, call: trace.Span, name: str, started: int, ended: int, attributes: Attributes
    ) -> None:
        if call.get_span_context().trace_flags.sampled:
            self._tracer.start_span(
                name, trace.set_span_in_context(call), attributes=attributes, start_time=started
            ).end(ended)


class _Handler(logging.Handler):
    """Sends the lines of STDOUT, with the trace of the call that they are about."""

    def __init__(self, provider: LoggerProvider, later: _Later) -> None:
        super().__init__(logging.INFO)
        self._logger = provider.get_logger(NAME)
        self._later = later
        self.setFormatter(FivetranFormatter())

    def emit(self, record: logging.LogRecord) -> None:
        self._later.do(partial(self._send, record, get_current()))

    def _send(self, record: logging.LogRecord, context: Context) -> None:
        line = json.loads(self.format(record))
        self._logger.emit(
            context=context,
            timestamp=int(record.created * 1e9),
            severity_number=SEVERITIES.get(record.levelno, SeverityNumber.INFO),
            severity_text=line["level"],
            body=line["message"],
        )


class _TellsOnce:
    """Logs the first failure of the exporters that share a lock, and no other."""

    def __init__(self, logged: threading.Lock, endpoint: str) -> None:
        super().__init__(endpoint=endpoint)  # type: ignore[call-arg]
        self._logged = logged
        self._collector = urlsplit(endpoint).netloc.rpartition("@")[2] or endpoint

    def export(self, *arguments: Any, **options: Any) -> Any:
        result = super().export(*arguments, **options)  # type: ignore[misc]
        if result.name == "FAILURE" and self._logged.acquire(blocking=False):
            logger.warning(
                "the telemetry collector %s cannot be reached or refuses: spans, metrics and log "
                "lines are dropped until it takes them; calls are not affected; this is said once",
                self._collector,
            )
        return result


class _SpanExporter(_TellsOnce, OTLPSpanExporter): ...


class _MetricExporter(_TellsOnce, OTLPMetricExporter): ...


class _LogExporter(_TellsOnce, OTLPLogExporter): ...
