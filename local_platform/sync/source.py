"""A source connector's calls, and its process where the sync starts it."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import grpc

from destination.sdk import common_pb2 as common
from destination.sdk import connector_sdk_pb2 as sdk
from destination.sdk.connector_sdk_pb2_grpc import SourceConnectorStub
from destination_tester.client import open_channel
from local_platform.sync.errors import SourceError
from local_platform.sync.process import Log, Source, free_port

UPDATE = "/fivetran_sdk.v2.SourceConnector/Update"
ANSWER_SECONDS = 30
STARTS = 3
POLL_SECONDS = 0.05


class SourceClient:
    """Calls a source.

    Args:
        channel: to it.
        port: where it listens, for errors.
        process: its process, if the sync started it.
    """

    def __init__(self, channel: grpc.Channel, port: int, process: Source | None) -> None:
        self._stub = SourceConnectorStub(channel)
        self.update = channel.unary_stream(
            UPDATE,
            request_serializer=sdk.UpdateRequest.SerializeToString,
            response_deserializer=lambda raw: (len(raw), sdk.UpdateResponse.FromString(raw)),
        )
        """Begins an Update: one in a process, a second one would stall and fail. [O]

        The call yields responses with their sizes in bytes.
        """
        self._port = port
        self._process = process

    def form(self) -> common.ConfigurationFormResponse:
        """The setup form, once the source answers.

        Raises:
            SourceError: if it does not, or is no source.
        """
        until = time.monotonic() + ANSWER_SECONDS
        while True:
            if self._process is not None and self._process.ended:
                raise EndedError(
                    f"the source ended before it answered on port {self._port}{self._last_lines()}"
                )
            try:
                return self._stub.ConfigurationForm(common.ConfigurationFormRequest(), timeout=5)
            except grpc.RpcError as error:
                if error.code() == grpc.StatusCode.UNIMPLEMENTED:
                    raise SourceError(
                        f"what listens on port {self._port} is no source connector"
                    ) from error
                if error.code() not in WAITING:
                    raise failed("ConfigurationForm", error) from error
            if time.monotonic() > until:
                raise SourceError(
                    f"the source does not answer on port {self._port}{self._last_lines()}"
                )
            time.sleep(POLL_SECONDS)

    def test(self, name: str, configuration: Mapping[str, str]) -> str | None:
        """Run a test.

        Returns:
            Why it failed; None if it did not.
        """
        request = common.TestRequest(name=name, configuration=configuration)
        answer = self._call("Test", request)
        return None if answer.success else answer.failure or "the test failed"

    def schema(self, configuration: Mapping[str, str]) -> sdk.SchemaResponse:
        """What the source declares of its tables."""
        request = sdk.SchemaRequest(configuration=configuration)
        return self._call("Schema", request)

    def _call(self, method: str, request: Any) -> Any:
        try:
            return getattr(self._stub, method)(request)
        except grpc.RpcError as error:
            raise failed(method, error) from error

    def _last_lines(self) -> str:
        if self._process is None:
            return ""
        if self._process.ended:
            self._process.wait_for_lines()
        return "".join(f"\n  {line}" for line in self._process.lines)


WAITING = (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED)


class EndedError(SourceError):
    """The source's process ended before it answered."""


def failed(method: str, error: grpc.RpcError) -> SourceError:
    """The error for a call that failed."""
    return SourceError(f"{method} failed at the source: {error.code().name} {error.details()}")


def message_of(text: str) -> str:
    """A warning's or task's message: sources may send JSON with a message and a trace."""
    try:
        read = json.loads(text)
    except ValueError:
        return text
    if not isinstance(read, dict) or "message" not in read:
        return text
    return "\n".join(str(read[name]) for name in ("message", "trace") if read.get(name))


@contextmanager
def reached(
    host: str, port: int
) -> Iterator[tuple[SourceClient, common.ConfigurationFormResponse]]:
    """A source that listens already, and its form."""
    with open_channel(host, port) as channel:
        client = SourceClient(channel, port, None)
        yield client, client.form()


@contextmanager
def started(
    arguments: Callable[[int], list[str]], log: Log
) -> Iterator[tuple[SourceClient, common.ConfigurationFormResponse]]:
    """Start a source on a free port; one that ends since another took the port is started again.

    Args:
        arguments: its command for a port.
        log: gets what it prints.
    """
    for attempt in range(1, STARTS + 1):
        port = free_port()
        process = Source(arguments(port), log)
        try:
            with open_channel("localhost", port) as channel:
                client = SourceClient(channel, port, process)
                try:
                    form = client.form()
                except EndedError as error:
                    if attempt < STARTS and "bind" in str(error).lower():
                        continue
                    raise
                yield client, form
                return
        finally:
            process.stop()
