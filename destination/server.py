"""The gRPC server: ports, limits, health, reflection, and a stop that loses nothing."""

from __future__ import annotations

import logging
import socket
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

import grpc
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection

from destination import telemetry
from destination.errors import CancelledError, ConnectorError
from destination.sdk import destination_sdk_pb2, destination_sdk_pb2_grpc
from destination.servicer import Servicer
from destination.telemetry.calls import Answer, CallMeter

logger = logging.getLogger(__name__)

MAX_MESSAGE_BYTES = 128 << 20
HEALTH_SECONDS = 3
LOOPBACK = "127.0.0.1"
MAX_CALLS = 64
"""Calls under way at once; further ones wait."""
SERVICE = destination_sdk_pb2.DESCRIPTOR.services_by_name["DestinationConnector"].full_name


class Server:
    """A gRPC server for one servicer.

    Args:
        servicer: answers the calls.
        port: the port to listen on; 0 for any that is free.
        local: whether to listen on this machine's own address alone, instead of every one.

    Raises:
        ConnectorError: if the port is taken.
    """

    def __init__(self, servicer: Servicer, port: int, *, local: bool = False) -> None:
        self._calls = ThreadPoolExecutor(MAX_CALLS, thread_name_prefix="call")
        self._server = grpc.server(
            self._calls,
            interceptors=_interceptors(),
            options=[
                ("grpc.max_send_message_length", MAX_MESSAGE_BYTES),
                ("grpc.max_receive_message_length", MAX_MESSAGE_BYTES),
                ("grpc.so_reuseport", 0),
            ],
        )
        self._health = HealthServicer()
        destination_sdk_pb2_grpc.add_DestinationConnectorServicer_to_server(servicer, self._server)
        health_pb2_grpc.add_HealthServicer_to_server(self._health, self._server)
        services = (SERVICE, health.SERVICE_NAME, reflection.SERVICE_NAME)
        reflection.enable_server_reflection(services, self._server)
        self.port = self._listen(LOOPBACK if local else _every_address(), port)

    def start(self) -> None:
        """Begin to answer calls."""
        self._server.start()
        for service in ("", SERVICE):
            self._health.set(service, health_pb2.HealthCheckResponse.SERVING)

    def stop(self, grace_seconds: float) -> None:
        """Accept no further calls, and wait for those under way to end.

        Args:
            grace_seconds: how long to wait; calls that last longer are cancelled and rolled back.
        """
        self._health.enter_graceful_shutdown()
        self._server.stop(grace_seconds).wait()
        self._calls.shutdown(wait=True)

    def _listen(self, address: str, port: int) -> int:
        try:
            return self._server.add_insecure_port(f"{address}:{port}")
        except RuntimeError as error:
            raise ConnectorError(f"port {port} cannot be listened on: is it in use?") from error


def _interceptors() -> list[grpc.ServerInterceptor]:
    measuring = [CallInterceptor(CallMeter().measured)] if telemetry.is_on() else []
    return [*measuring, CallInterceptor(guarded)]


def is_serving(port: int) -> bool:
    """Whether the server that listens on a port of this machine says that it serves."""
    request = health_pb2.HealthCheckRequest(service=SERVICE)
    with grpc.insecure_channel(f"localhost:{port}") as channel:
        try:
            stub: Any = health_pb2_grpc.HealthStub(channel)
            answer = stub.Check(request, timeout=HEALTH_SECONDS)
        except grpc.RpcError as error:
            logger.warning("the server on port %d does not answer: %s", port, _code(error))
            return False
    return bool(answer.status == health_pb2.HealthCheckResponse.SERVING)


def _code(error: grpc.RpcError) -> str:
    return error.code().name if isinstance(error, grpc.Call) else "unknown"


def _every_address() -> str:
    """`[::]`, on which gRPC accepts IPv4 too; `0.0.0.0` where there is no IPv6."""
    try:
        with socket.socket(socket.AF_INET6) as probe:
            probe.bind(("::", 0))
    except OSError:
        return "0.0.0.0"
    return "[::]"


class HealthServicer(health.HealthServicer):
    """Answers health checks on a thread of its own: all others may be busy with calls."""

    def Check(  # noqa: N802 (the RPC's name)
        self, request: health_pb2.HealthCheckRequest, context: grpc.ServicerContext
    ) -> health_pb2.HealthCheckResponse:
        return super().Check(request, context)

    Check.experimental_thread_pool = ThreadPoolExecutor(1, thread_name_prefix="health")  # type: ignore[attr-defined]


class CallInterceptor(grpc.ServerInterceptor):
    """Has the calls of our own service answered by a function around what answers them.

    Args:
        around: takes the call's service and method, what answers it, its request and its context.
    """

    def __init__(self, around: Callable[[str, Answer, Any, grpc.ServicerContext], Any]) -> None:
        self._around = around

    def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], grpc.RpcMethodHandler[Any, Any] | None],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> grpc.RpcMethodHandler[Any, Any] | None:
        handler = continuation(handler_call_details)
        called = handler_call_details.method.strip("/")
        if handler is None or handler.unary_unary is None or called.partition("/")[0] != SERVICE:
            return handler
        return grpc.unary_unary_rpc_method_handler(
            partial(self._around, called, handler.unary_unary),
            handler.request_deserializer,
            handler.response_serializer,
        )


def guarded(called: str, answer: Answer, request: Any, context: grpc.ServicerContext) -> Any:
    """Answer INTERNAL where the connector itself fails, without the exception's text.

    gRPC would send the exception's text to the client, which may hold values of rows.
    """
    try:
        return answer(request, context)
    except CancelledError as error:
        context.abort(grpc.StatusCode.CANCELLED, str(error))
    except Exception as error:  # otherwise gRPC would show its text
        method = called.partition("/")[2]
        logger.critical("%s failed by a defect of the connector", method, exc_info=error)
        context.abort(
            grpc.StatusCode.INTERNAL,
            f"{method} failed by a defect of the connector ({type(error).__name__}): "
            f"its log says where",
        )
