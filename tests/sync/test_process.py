"""The process of a source starts whatever else its parent does."""

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from functools import partial

import grpc
import pytest

from destination.sdk import destination_sdk_pb2 as sdk
from destination.sdk import destination_sdk_pb2_grpc as sdk_grpc
from destination_tester.client import open_channel
from local_platform.sync.process import Source
from tests.support.waiting import wait_until


@contextmanager
def calls_under_way() -> Iterator[None]:
    """gRPC calls by several threads, which a server of this process refuses."""
    ended = threading.Event()
    server = grpc.server(ThreadPoolExecutor(4))
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()

    request = sdk.CapabilitiesRequest()

    def call() -> None:
        while not ended.is_set():
            with open_channel("127.0.0.1", port) as channel, suppress(grpc.RpcError):
                sdk_grpc.DestinationConnectorStub(channel).Capabilities(request)

    with ThreadPoolExecutor(3) as callers:
        calling = [callers.submit(call) for _ in range(3)]
        yield
        ended.set()
        for caller in calling:
            caller.result()
    server.stop(None).wait()


def _has_ended(source: Source) -> bool:
    return source.ended


@pytest.mark.slow
def test_source_starts_among_calls_of_grpc() -> None:
    printed: list[str] = []
    with calls_under_way():
        for _ in range(100):
            source = Source(["echo", "started"], lambda _, message: printed.append(message))
            wait_until(partial(_has_ended, source))
            source.stop()
    assert printed == ["started"] * 100
