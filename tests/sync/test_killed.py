"""Syncs and destinations that are killed: the state is never ahead, and the next sync converges."""

import json
import os
import random
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from destination.sdk import connector_sdk_pb2 as sdk
from local_platform.sync.state import load
from tests.support.fix_postgres import Database
from tests.support.fix_server import OwnServer
from tests.sync import killing
from tests.sync.fix_sync import Syncs
from tests.sync.messages import checkpoint, upsert
from tests.sync.sources import Script, serving_source
from tests.test_server import free_port

ROOT = Path(__file__).parents[2]
MOMENTS = int(os.environ.get("SYNC_KILLS", "3"))
TABLES = {"orders": ("id", "at", "seen", "extra_0", "extra_4", "_fivetran_deleted"), "lines": ("id", "part", "at", "text")}  # fmt: skip


def test_sync_killed_at_any_moment_converges(syncs: Syncs, database: Database) -> None:
    chance = random.Random(7)
    started = threading.Event()

    def updates(request: sdk.UpdateRequest) -> Iterator[sdk.UpdateResponse]:
        started.set()
        yield from killing.updates(request)

    moments = 0
    with serving_source(Script(updates, killing.SCHEMA)) as port:
        where = ("--source", f"localhost:{port}", "--flush-seconds", "0.05", "--buffer-mib", "0.2")
        program = [
            sys.executable, "-m", "local_platform", "sync", str(syncs.directory), "--json",
            "--schema", syncs.schema, "--port", str(syncs.port), *where,
        ]  # fmt: skip
        while moments < MOMENTS:
            started.clear()
            with subprocess.Popen(program, cwd=ROOT, stdout=subprocess.DEVNULL) as process:
                assert started.wait(60)
                time.sleep(chance.uniform(0, 1.2))
                process.kill()
            moments += 1
            reached = look(syncs, database)
            if reached == killing.STEPS:
                (syncs.directory / "state.json").unlink()
                syncs.database.execute("DROP SCHEMA {schema} CASCADE")
        assert syncs.command(*where).code == 0
    found = {name: syncs.rows(name, *columns) for name, columns in TABLES.items()}
    assert json.loads(syncs.state["state"]) == {"next": killing.STEPS}
    syncs.database.execute("DROP SCHEMA {schema} CASCADE")
    (syncs.directory / "state.json").unlink()
    assert syncs.run(Script(killing.updates, killing.SCHEMA)).code == 0
    assert found == {name: syncs.rows(name, *columns) for name, columns in TABLES.items()}


def look(syncs: Syncs, database: Database) -> int:
    """How far the state is; all that came before it is in the tables."""
    state = load(syncs.directory, syncs.schema, "soft-delete", "fivetran", resync=False)
    reached = int(json.loads(state.state).get("next", 0))
    if reached:
        keys = set(database.rows("lines", "id", "part"))
        assert killing.keys_of_lines(reached) <= keys
    return reached


class OwnDestination:
    """A destination in a process of its own, to be killed."""

    def __init__(self, port: int) -> None:
        self.port = port
        self._process: subprocess.Popen[str] | None = None

    def start(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "main.py", "--port", str(self.port)], cwd=ROOT, text=True,
            stdout=subprocess.PIPE,
        )  # fmt: skip
        assert self._process.stdout is not None
        assert any("listens on port" in line for line in self._process.stdout)

    def kill(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.communicate()
            self._process = None


@pytest.fixture
def own_destination(syncs: Syncs, password_server: OwnServer) -> Iterator[OwnDestination]:
    (syncs.directory / "destination.json").write_text(json.dumps(password_server.configuration))
    destination = OwnDestination(free_port())
    destination.start()
    syncs.port = destination.port
    yield destination
    destination.kill()


@pytest.mark.parametrize("comes_back", [True, False])
def test_destination_killed_while_a_window_is_sent(
    syncs: Syncs, own_destination: OwnDestination, password_server: OwnServer, monkeypatch: pytest.MonkeyPatch,
    *, comes_back: bool,
) -> None:  # fmt: skip
    monkeypatch.setattr(
        "local_platform.sync.destination.RETRY_SECONDS",
        (1, 2, 4, 8, 16) if comes_back else (0.1,) * 3,
    )

    def updates(_: sdk.UpdateRequest) -> Iterator[sdk.UpdateResponse]:
        yield upsert("items", {"id": 1})
        yield checkpoint('{"n": 1}')
        time.sleep(1)
        yield from (upsert("items", {"id": n, "text": "t" * 5000}) for n in range(2000))
        yield checkpoint('{"n": 2}')
        time.sleep(0.1)
        own_destination.kill()
        if comes_back:
            own_destination.start()

    outcome = syncs.run(Script(updates), "--flush-seconds", "0")
    connection = password_server.connect()
    (count,) = connection.execute(f'SELECT count(*) FROM "{syncs.schema}".items').fetchone() or (0,)
    connection.close()
    if comes_back:
        assert (outcome.code, syncs.state["state"], count) == (0, '{"n": 2}', 2001)
        return
    assert outcome.code in {0, 2}
    assert syncs.state["state"] == ('{"n": 2}' if outcome.code == 0 else '{"n": 1}')
    assert count == 2001 if outcome.code == 0 else count in {1, 2001}
