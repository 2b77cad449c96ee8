"""Source servers: replay what real sources sent, or send what a test says."""

import base64
import json
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import grpc
from google.protobuf.internal.decoder import _DecodeVarint32

from destination.sdk import common_pb2 as common
from destination.sdk import connector_sdk_pb2 as sdk
from destination.sdk.connector_sdk_pb2_grpc import (
    SourceConnectorServicer,
    add_SourceConnectorServicer_to_server,
)

Updates = Callable[[sdk.UpdateRequest], Iterable[sdk.UpdateResponse | bytes | Exception]]


@dataclass
class Script(SourceConnectorServicer):
    """What a source says; it remembers what it was asked."""

    updates: Updates
    schema: sdk.SchemaResponse = field(
        default_factory=lambda: sdk.SchemaResponse(schema_response_not_supported=True)
    )
    form: common.ConfigurationFormResponse = field(default_factory=common.ConfigurationFormResponse)
    failures: dict[str, str] = field(default_factory=dict)
    requests: list[sdk.UpdateRequest] = field(default_factory=list)
    tested: list[common.TestRequest] = field(default_factory=list)

    def ConfigurationForm(self, request: Any, context: Any) -> common.ConfigurationFormResponse:
        return self.form

    def Test(self, request: common.TestRequest, context: Any) -> common.TestResponse:
        self.tested.append(request)
        failure = self.failures.get(request.name)
        return (
            common.TestResponse(failure=failure) if failure else common.TestResponse(success=True)
        )

    def Schema(self, request: Any, context: Any) -> sdk.SchemaResponse:
        return self.schema

    def Update(self, request: sdk.UpdateRequest, context: Any) -> Iterator[Any]:
        self.requests.append(request)
        for response in self.updates(request):
            if isinstance(response, Exception):
                context.abort(grpc.StatusCode.INTERNAL, str(response))
            yield response


def _serialize(response: Any) -> bytes:
    return response if isinstance(response, bytes) else response.SerializeToString()


@contextmanager
def serving_source(script: Script) -> Iterator[int]:
    """Serve a script; yields the port. Responses that are bytes are sent as they are."""
    server = grpc.server(ThreadPoolExecutor(4))
    add_SourceConnectorServicer_to_server(script, server)
    update = grpc.unary_stream_rpc_method_handler(
        script.Update, sdk.UpdateRequest.FromString, _serialize
    )
    server.add_registered_method_handlers("fivetran_sdk.v2.SourceConnector", {"Update": update})
    port = server.add_insecure_port("localhost:0")
    server.start()
    try:
        yield port
    finally:
        server.stop(0).wait()


@dataclass(frozen=True)
class Recording:
    """One run of a real source."""

    state_before: str
    schema: sdk.SchemaResponse
    form: common.ConfigurationFormResponse
    updates: list[sdk.UpdateResponse]
    error: list[str] | None
    state_after: str

    def script(self) -> Script:
        def updates(request: sdk.UpdateRequest) -> Iterator[Any]:
            assert json.loads(request.state_json) == json.loads(self.state_before)
            yield from self.updates
            if self.error:
                yield RuntimeError(self.error[1])

        return Script(updates, self.schema, self.form)


def recordings(directory: Path, name: str) -> tuple[dict[str, str], list[Recording]]:
    """The configuration and the runs of a source that was recorded."""
    for source in json.loads((directory / "manifest.json").read_text()):
        if source["source"] == name:
            return source["configuration"], [_recording(directory, run) for run in source["runs"]]
    raise LookupError(name)


def _recording(directory: Path, run: dict[str, Any]) -> Recording:
    return Recording(
        run["state_before"],
        sdk.SchemaResponse.FromString(base64.b64decode(run["schema"])),
        common.ConfigurationFormResponse.FromString(base64.b64decode(run["form"])),
        list(_delimited((directory / run["updates"]).read_bytes())),
        run["error"],
        run["state_after"],
    )


def _delimited(content: bytes) -> Iterator[sdk.UpdateResponse]:
    position = 0
    while position < len(content):
        length, position = _DecodeVarint32(content, position)
        yield sdk.UpdateResponse.FromString(content[position : position + length])
        position += length
