"""A collector that receives OTLP on a socket, for the tests of telemetry."""

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import grpc
import pytest
from opentelemetry.proto.collector.logs.v1 import logs_service_pb2 as logs
from opentelemetry.proto.collector.logs.v1 import logs_service_pb2_grpc as logs_grpc
from opentelemetry.proto.collector.metrics.v1 import metrics_service_pb2 as metrics
from opentelemetry.proto.collector.metrics.v1 import metrics_service_pb2_grpc as metrics_grpc
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2 as traces
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2_grpc as traces_grpc


class Collector:
    """Keeps what it receives.

    Attributes:
        received: every request, in the order in which they came.
        answer: what is done with a request before it is answered.
    """

    def __init__(self) -> None:
        self.received: list[Any] = []
        self.answer: Callable[[grpc.ServicerContext], object] = lambda _: None
        self.asked = threading.Event()
        self._server = grpc.server(ThreadPoolExecutor(4))
        for register, response in (
            (traces_grpc.add_TraceServiceServicer_to_server, traces.ExportTraceServiceResponse),
            (
                metrics_grpc.add_MetricsServiceServicer_to_server,
                metrics.ExportMetricsServiceResponse,
            ),
            (logs_grpc.add_LogsServiceServicer_to_server, logs.ExportLogsServiceResponse),
        ):
            register(_Service(self, response), self._server)
        self.port = self._server.add_insecure_port("127.0.0.1:0")
        self._server.start()

    @property
    def endpoint(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def text(self) -> str:
        """All that came, to look for what must not be in it."""
        return "\n".join(str(request) for request in self.received)

    @property
    def spans(self) -> list[Any]:
        return [
            span
            for request in self.received
            for resource in getattr(request, "resource_spans", ())
            for scope in resource.scope_spans
            for span in scope.spans
        ]

    @property
    def lines(self) -> list[Any]:
        return [
            record
            for request in self.received
            for resource in getattr(request, "resource_logs", ())
            for scope in resource.scope_logs
            for record in scope.log_records
        ]

    def metric(self, name: str) -> list[Any]:
        """The data points of a metric, as last received."""
        found = [
            getattr(metric, metric.WhichOneof("data")).data_points
            for request in self.received
            for resource in getattr(request, "resource_metrics", ())
            for scope in resource.scope_metrics
            for metric in scope.metrics
            if metric.name == name
        ]
        return list(found[-1]) if found else []

    def stop(self) -> None:
        self._server.stop(0).wait()


class _Service:
    def __init__(self, collector: Collector, response: Callable[[], Any]) -> None:
        self._collector = collector
        self._response = response

    def Export(self, request: Any, context: grpc.ServicerContext) -> Any:  # noqa: N802
        self._collector.asked.set()
        self._collector.answer(context)
        self._collector.received.append(request)
        return self._response()


@contextmanager
def collecting() -> Iterator[Collector]:
    collector = Collector()
    try:
        yield collector
    finally:
        collector.stop()


@pytest.fixture
def collector() -> Iterator[Collector]:
    with collecting() as running:
        yield running
