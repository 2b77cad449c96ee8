"""The server as a process of its own: ports, health, reflection, log, start and stop."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc

from destination import __version__
from destination.sdk import common_pb2 as common
from destination.sdk import destination_sdk_pb2 as sdk
from destination.sdk.destination_sdk_pb2_grpc import DestinationConnectorStub
from tests.support.fix_secrets import MARK, WATCH

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[1]


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


@dataclass
class Running:
    process: subprocess.Popen[str]
    port: int
    lines: list[str]

    def stop(self, number: int = signal.SIGTERM) -> int:
        self.process.send_signal(number)
        with self.process.stdout or nullcontext() as output:
            self.lines += (output.read() if output else "").splitlines()
        WATCH.look_for([MARK], "\n".join(self.lines))
        return self.process.wait(timeout=30)


def start(*arguments: str) -> Running:
    port = free_port()
    process = subprocess.Popen(
        [sys.executable, "main.py", "--port", str(port), *arguments],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env={**os.environ, "FIVETRAN_ACCOUNT_NAME": "acme", "FIVETRAN_GROUP_NAME": "night"},
    )
    assert process.stdout is not None
    running = Running(process, port, [])
    while not running.lines or "listens" not in running.lines[-1]:
        line = process.stdout.readline()
        assert line, running.lines
        running.lines.append(line)
    return running


@pytest.fixture
def running() -> Iterator[Running]:
    server = start()
    yield server
    if server.process.poll() is None:
        server.stop()


@pytest.mark.parametrize("address", ["127.0.0.1", "[::1]"])
def test_answers_on_ipv4_and_ipv6(running: Running, address: str) -> None:
    if address == "[::1]" and not Path("/proc/net/if_inet6").exists():
        pytest.skip("this machine has no IPv6")
    with grpc.insecure_channel(f"{address}:{running.port}") as channel:
        stub = DestinationConnectorStub(channel)
        assert stub.Capabilities(sdk.CapabilitiesRequest()).batch_file_format == sdk.CSV
        assert stub.ConfigurationForm(common.ConfigurationFormRequest()).table_selection_supported


@pytest.mark.skipif(sys.platform != "linux", reason="127.0.0.2 is this machine's on Linux alone")
def test_local_option_listens_on_this_machine_alone(running: Running) -> None:
    local = start("--local")
    for server, reached in ((running, True), (local, False)):
        with socket.create_connection(("127.0.0.1", server.port), 5):
            pass
        with socket.socket() as other:
            assert (other.connect_ex(("127.0.0.2", server.port)) == 0) is reached
    assert local.stop() == 0


def test_parquet_is_asked_for_by_option() -> None:
    server = start("--batch-file-format", "parquet")
    with grpc.insecure_channel(f"localhost:{server.port}") as channel:
        stub = DestinationConnectorStub(channel)
        assert stub.Capabilities(sdk.CapabilitiesRequest()).batch_file_format == sdk.PARQUET
    assert server.stop() == 0


def test_health_and_reflection(running: Running) -> None:
    with grpc.insecure_channel(f"localhost:{running.port}") as channel:
        health = health_pb2_grpc.HealthStub(channel)
        for service in ("", "fivetran_sdk.v2.DestinationConnector"):
            answer = health.Check(health_pb2.HealthCheckRequest(service=service))
            assert answer.status == health_pb2.HealthCheckResponse.SERVING
        reflection = reflection_pb2_grpc.ServerReflectionStub(channel)
        request = reflection_pb2.ServerReflectionRequest(list_services="")
        (answer,) = reflection.ServerReflectionInfo(iter([request]))
        names = {service.name for service in answer.list_services_response.service}
        assert "fivetran_sdk.v2.DestinationConnector" in names


def test_whoever_watches_its_health_is_told_that_it_stops(running: Running) -> None:
    with grpc.insecure_channel(f"localhost:{running.port}") as channel:
        request = health_pb2.HealthCheckRequest()
        watched = health_pb2_grpc.HealthStub(channel).Watch(request, timeout=10)
        assert next(watched).status == health_pb2.HealthCheckResponse.SERVING
        running.process.send_signal(signal.SIGTERM)
        assert next(watched).status == health_pb2.HealthCheckResponse.NOT_SERVING
        watched.cancel()
    assert running.stop() == 0


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_stops_on_a_signal_with_json_lines_only(running: Running, number: int) -> None:
    with grpc.insecure_channel(f"localhost:{running.port}") as channel:
        stub = DestinationConnectorStub(channel)
        request = sdk.DescribeTableRequest(schema_name="s", table_name="t")
        assert "host" in stub.DescribeTable(request).task.message
    assert running.stop(number) == 0
    records = [json.loads(line) for line in running.lines]
    assert all(set(record) == {"level", "message", "message-origin"} for record in records)
    assert {record["level"] for record in records} <= {"INFO", "WARNING", "SEVERE"}
    assert {record["message-origin"] for record in records} == {"sdk_destination"}
    assert "acme" in records[0]["message"]
    assert "night" in records[0]["message"]
    assert __version__ in records[0]["message"]


def test_signal_that_comes_again_until_the_end_changes_nothing(running: Running) -> None:
    while running.process.poll() is None:
        running.process.send_signal(signal.SIGTERM)
        time.sleep(0.002)
    assert running.stop() == 0


def test_large_messages_pass(running: Running) -> None:
    options = [("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1)]
    with grpc.insecure_channel(f"localhost:{running.port}", options=options) as channel:
        stub = DestinationConnectorStub(channel)
        request = sdk.DescribeTableRequest(schema_name="s", table_name="x" * (100 << 20))
        assert "host" in stub.DescribeTable(request).task.message


def test_taken_port_is_a_clear_error(running: Running) -> None:
    second = subprocess.run(
        [sys.executable, "main.py", "--port", str(running.port)],
        cwd=ROOT, capture_output=True, text=True, timeout=30, check=False,
    )  # fmt: skip
    assert second.returncode == 1
    assert "in use" in second.stdout
    assert "Traceback" not in second.stdout + second.stderr


def health(port: int) -> int:
    command = [sys.executable, "main.py", "--health", "--port", str(port)]
    return subprocess.run(
        command, cwd=ROOT, check=False, timeout=30, capture_output=True
    ).returncode


def test_health_option_asks_the_server(running: Running) -> None:
    assert health(running.port) == 0
    assert health(free_port()) == 1


@pytest.mark.parametrize("package", ["opentelemetry.sdk", "twisted"])
def test_start_waits_for_no_library_that_few_need(package: str) -> None:
    """Telemetry and the SSH tunnel load theirs when they are asked for."""
    program = f"import sys, destination.cli; sys.exit({package!r} in sys.modules)"
    subprocess.run([sys.executable, "-c", program], cwd=ROOT, check=True)


def test_version_option_prints_the_version() -> None:
    printed = subprocess.run(
        [sys.executable, "main.py", "--version"],
        cwd=ROOT, capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert printed.stdout.strip() == __version__


def test_embedded_option_serves_requests_without_host(tmp_path: Path) -> None:
    server = start("--embedded", str(tmp_path / "data"))
    with grpc.insecure_channel(f"localhost:{server.port}") as channel:
        stub = DestinationConnectorStub(channel)
        for name in ("connection", "permissions", "version"):
            assert stub.Test(common.TestRequest(name=name)).success
    assert server.stop() == 0
    assert any("psql" in line for line in server.lines)
