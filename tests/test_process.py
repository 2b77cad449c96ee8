"""The server's process ended in the middle of a batch: calls finish, or leave nothing behind."""

import re
import signal
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import grpc
import pytest

from destination.sdk import common_pb2 as common
from destination.warehouse.postgres import session
from destination_tester.files import BatchFiles, Row
from tests.support.fix_connector import Client, column, reaching
from tests.support.fix_postgres import Database
from tests.support.fix_secrets import MARK
from tests.support.waiting import wait_until
from tests.test_faults import wait_for_sessions
from tests.test_server import Running, start

TABLE = common.Table(name="t", columns=[column("id", common.LONG, key=True), column("text")])
ROWS: list[Row] = [{"id": i, "text": MARK} for i in range(5000)]


@pytest.fixture
def configuration(postgres_uri: str) -> dict[str, str]:
    (directory,) = parse_qs(urlsplit(postgres_uri).query).get("host", [""])
    if not directory.startswith("/"):
        pytest.skip("the PostgreSQL of TEST_POSTGRES_URL has no Unix socket here")
    return {"host": directory, "database": "postgres", "user": "postgres"}


@pytest.fixture
def process() -> Iterator[Running]:
    running = start()
    yield running
    if running.process.poll() is None:
        running.stop()
    elif running.process.stdout is not None:
        running.process.stdout.close()


@pytest.fixture
def far_client(
    process: Running, configuration: dict[str, str], schema: str, tmp_path: Path
) -> Iterator[Client]:
    with reaching(process.port) as stub:
        client = Client(stub, schema, BatchFiles(tmp_path))
        client.configuration = configuration
        assert client.create(TABLE).success
        yield client


def writing(client: Client) -> Any:
    path = client.files.write("batch", TABLE.columns, ROWS)
    return client.stub.WriteBatch.future(client.request(TABLE, replace_files=[path]))


def test_call_under_way_ends_before_the_server_does(
    process: Running, far_client: Client, database: Database
) -> None:
    with database.locked("t"):
        call = writing(far_client)
        wait_for_sessions(database, 1)
        stopping = threading.Thread(target=process.stop)
        stopping.start()
        time.sleep(1)
        assert process.process.poll() is None
    assert call.result().success
    stopping.join(timeout=30)
    assert process.process.returncode == 0
    assert database.execute("SELECT count(*) FROM {schema}.t") == [(len(ROWS),)]


def test_process_that_is_killed_leaves_nothing(
    process: Running, far_client: Client, client: Client, database: Database
) -> None:
    with database.locked("t"):
        call = writing(far_client)
        wait_for_sessions(database, 1)
        process.process.kill()
        with pytest.raises(grpc.RpcError):
            call.result()
    wait_for_sessions(database, 0)
    staging = "SELECT count(*) FROM pg_class WHERE relname LIKE 'fivetran_staging%'"
    assert database.execute("SELECT count(*) FROM {schema}.t") == [(0,)]
    assert database.execute(staging) == [(0,)]
    assert client.write(TABLE, replace=[ROWS]).success
    assert database.execute("SELECT count(*) FROM {schema}.t") == [(len(ROWS),)]


def test_server_opens_nothing_for_writing_and_dumps_no_core(
    process: Running, far_client: Client
) -> None:
    assert far_client.write(TABLE, replace=[ROWS]).success
    directory = Path(f"/proc/{process.process.pid}")
    limits = (directory / "limits").read_text()
    (core,) = [line for line in limits.splitlines() if line.startswith("Max core file size")]
    assert core.split()[4:6] == ["0", "0"]
    for descriptor in (directory / "fd").iterdir():
        target = str(descriptor.readlink())
        flags = int((directory / "fdinfo" / descriptor.name).read_text().split()[3], 8)
        if target.startswith("/") and not target.startswith("/dev/"):
            assert flags & 0o3 == 0, target


def test_stopped_process_is_named_and_applies_nothing_when_it_goes_on(
    process: Running,
    far_client: Client,
    client: Client,
    database: Database,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """It had been given up meanwhile, and its session was ended by the statement that the log shows."""
    monkeypatch.setattr(session, "LOOK", "300ms")
    newer: list[Row] = [{"id": i, "text": "newer"} for i in range(100)]
    with ThreadPoolExecutor(1) as calls:
        with database.locked("t"):
            call = writing(far_client)
            wait_for_sessions(database, 1)
            process.process.send_signal(signal.SIGSTOP)
        call.cancel()
        succeeding = calls.submit(client.write, TABLE, replace=[newer])
        remedy = re.compile(r"SELECT pg_terminate_backend\(\d+\)")
        wait_until(lambda: bool(remedy.search(caplog.text)))
        assert "that waits for its client" in caplog.text
        found = remedy.search(caplog.text)
        assert found is not None
        database.execute(found[0])
        assert succeeding.result().success
    process.process.send_signal(signal.SIGCONT)
    time.sleep(3)
    process.stop()
    assert any("nothing was done, since it was cancelled" in line for line in process.lines)
    expected = [(i, "newer") for i in range(100)]
    assert database.rows("t", "id", "text") == sorted(expected, key=repr)
