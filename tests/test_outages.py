"""A PostgreSQL server that crashes, fills its disk or becomes a standby: rows land once or not at all."""

import shutil
import subprocess
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from destination.sdk import common_pb2 as common
from destination.warehouse.postgres.database import (
    APPLICATION_NAME,
    PostgresWarehouse,
    RetryPolicy,
)
from destination.warehouse.postgres.embedded import psql_path
from destination_tester.files import Row
from tests.support.fix_connector import Client, calling, column
from tests.support.fix_proxy import COMMIT, Proxy, Trap
from tests.support.fix_server import OwnServer, own_server
from tests.support.waiting import wait_until

KEYED = common.Table(name="t", columns=[column("id", common.LONG, key=True), column("text")])
KEYLESS = common.Table(name="t", columns=[column("id", common.LONG), column("text")])
ROWS: list[Row] = [{"id": i, "text": "x" * 100} for i in range(20_000)]
DISK_MEGABYTES = 16
BALLAST_BYTES = 8 << 20
WAIT_SECONDS = 30


class Outage:
    """A server of the test's own behind a proxy, and a client of a connector to it."""

    def __init__(self, server: OwnServer, proxy: Proxy, client: Client) -> None:
        self.server = server
        self.proxy = proxy
        self.client = client
        self.restarted = threading.Event()

    def restart(self) -> None:
        self.server.stop("immediate")
        self.server.start()
        self.restarted.set()

    def sessions(self) -> set[int]:
        """The connector's sessions."""
        query = "SELECT pid FROM pg_stat_activity WHERE application_name = %s"
        with self.server.connect() as connection:
            return {pid for (pid,) in connection.execute(query, (APPLICATION_NAME,))}

    def rows(self) -> tuple[int, int]:
        """How many rows the table has, and how many keys."""
        with self.server.connect() as connection:
            query = f'SELECT count(*), count(DISTINCT id) FROM "{self.client.schema}".t'
            ((rows, keys),) = connection.execute(query)
            return rows, keys


@pytest.fixture(scope="module")
def server(postgres_uri: str) -> Iterator[OwnServer]:
    del postgres_uri  # makes the user that the server runs as
    with own_server(psql_path().parent) as own:
        own.start(log_min_messages="fatal")
        yield own


@pytest.fixture
def outage(server: OwnServer, schema: str, tmp_path: Path) -> Iterator[Outage]:
    configuration = server.configuration
    configuration["dbname"] = configuration.pop("database")
    proxy = Proxy(configuration)
    connect = PostgresWarehouse.from_uri
    with calling(lambda _: connect(proxy.conninfo), schema, tmp_path) as client:
        yield Outage(server, proxy, client)
    proxy.close()


@pytest.mark.parametrize("table", [KEYED, KEYLESS], ids=["keyed", "keyless"])
@pytest.mark.parametrize(
    "trap",
    [
        Trap(at=b"x" * 90),
        Trap(at=b"x" * 90, after=1_000_000),
        Trap(at=COMMIT),
        Trap(at=COMMIT, delivers=True),
    ],
    ids=["first rows", "middle of COPY", "before commit", "after commit"],
)
def test_crash_while_new_rows_are_copied(outage: Outage, trap: Trap, table: common.Table) -> None:
    assert outage.client.create(table).success
    outage.proxy.set_trap(Trap(trap.sender, trap.at, trap.after, trap.delivers, outage.restart))
    answer = outage.client.write(table, replace=[ROWS])
    assert answer.success, answer
    assert outage.restarted.wait(WAIT_SECONDS)
    assert outage.rows() == (len(ROWS), len(ROWS))


@pytest.mark.parametrize("table", [KEYED, KEYLESS], ids=["keyed", "keyless"])
def test_number_of_a_lost_transaction_is_given_to_another(
    outage: Outage, table: common.Table
) -> None:
    """A crash forgets transactions that were not written yet; others then commit as theirs."""

    def restart_and_use_up_numbers() -> None:
        outage.restart()
        with outage.server.connect() as connection:
            for _ in range(100):
                connection.execute("SELECT pg_current_xact_id()")

    assert outage.client.create(table).success
    outage.proxy.set_trap(Trap(at=COMMIT, then=restart_and_use_up_numbers))
    answer = outage.client.write(table, replace=[ROWS[:3]])
    assert answer.success, answer
    assert outage.rows() == (3, 3)


@pytest.mark.parametrize("call", ["create", "append"])
@pytest.mark.parametrize("landed", [True, False], ids=["answer lost", "commit lost"])
def test_crash_at_the_commit_of_what_must_not_be_done_twice(
    outage: Outage, call: str, *, landed: bool
) -> None:
    """The server commits, or not, and crashes before it answers."""

    def crash() -> None:
        outage.restart()
        outage.proxy.cut()

    if call == "append":
        assert outage.client.create(KEYLESS).success
    outage.proxy.set_trap(Trap("server" if landed else "client", at=COMMIT, then=crash))
    if call == "create":
        assert outage.client.create(KEYLESS).success
    else:
        assert outage.client.write(KEYLESS, replace=[ROWS]).success
    assert outage.restarted.wait(WAIT_SECONDS)
    rows = len(ROWS) if call == "append" else 0
    assert outage.rows() == (rows, rows)


@pytest.mark.parametrize("kind", ["replace", "update", "delete"])
def test_crash_in_the_middle_of_a_merge(outage: Outage, kind: str) -> None:
    """The merge has come as far as a row that another session has locked."""
    assert outage.client.create(KEYED).success
    assert outage.client.write(KEYED, replace=[ROWS]).success
    changed: list[Row] = [{"id": row["id"], "text": "y"} for row in ROWS]
    with ThreadPoolExecutor(1) as calls:
        other = outage.server.connect()
        other.execute("BEGIN")
        other.execute(f'SELECT FROM "{outage.client.schema}".t WHERE id = 19999 FOR UPDATE')
        writing = calls.submit(outage.client.write, KEYED, **{kind: [changed]})
        wait_for_a_row(outage.server)
        outage.restart()
        answer = writing.result()
    other.close()
    assert answer.success, answer
    expected = 0 if kind == "delete" else len(ROWS)
    assert outage.rows() == (expected, expected)


@contextmanager
def standby(server: OwnServer) -> Iterator[None]:
    """Have the server be a standby, or one that may be promoted."""
    signal = server.data / "standby.signal"
    server.stop("fast")
    signal.touch()
    server.own(signal)
    server.start()
    try:
        yield
    finally:
        server.stop("fast")
        signal.unlink(missing_ok=True)
        server.start()


def test_standby_is_a_task_that_names_the_primary(
    outage: Outage, schema: str, tmp_path: Path
) -> None:
    connect = partial(PostgresWarehouse.from_uri, outage.proxy.conninfo, RetryPolicy(2, 0.5))
    assert outage.client.create(KEYED).success
    with calling(lambda _: connect(), schema, tmp_path) as client, standby(outage.server):
        for answer in (client.write(KEYED, replace=[ROWS]), client.create(KEYED)):
            assert "connect to the primary server" in answer.task.message, answer
            assert "free disk space" in answer.task.message
            assert "tried for" in answer.task.message
        failure = client.stub.Test(common.TestRequest(name="permissions")).failure
        assert "primary" in failure
        assert client.describe("t").HasField("table")
    assert outage.rows() == (0, 0)
    assert outage.client.write(KEYED, replace=[ROWS]).success


def test_standby_that_becomes_the_primary_is_waited_for(outage: Outage) -> None:
    """As after a failover; on a connection of its own, since the primary may be another server."""
    assert outage.client.create(KEYED).success
    with standby(outage.server), ThreadPoolExecutor(1) as calls:
        assert outage.client.describe("t").HasField("table")
        before = outage.sessions()
        writing = calls.submit(outage.client.write, KEYED, replace=[ROWS])
        wait_until(lambda: outage.sessions().isdisjoint(before))
        assert not writing.done()
        with outage.server.connect() as connection:
            connection.execute("SELECT pg_promote()")
        answer = writing.result()
        assert answer.success, answer
        assert outage.rows() == (len(ROWS), len(ROWS))


@contextmanager
def small_disk() -> Iterator[Path]:
    with TemporaryDirectory(prefix="disk-") as name:
        options = ["-t", "tmpfs", "-o", f"size={DISK_MEGABYTES}m,mode=0777", "tmpfs", name]
        mount = shutil.which("mount")
        if (
            not mount
            or subprocess.run([mount, *options], check=False, capture_output=True).returncode
        ):
            pytest.skip("this user may not mount a small disk")
        try:
            yield Path(name)
        finally:
            subprocess.run(["umount", "--lazy", name], check=True)


@contextmanager
def tables_on(disk: Path, server: OwnServer) -> Iterator[None]:
    """Have the server make new tables on a disk."""
    server.own(disk)
    with server.connect() as connection:
        connection.execute(f"CREATE TABLESPACE small LOCATION '{disk}'")
        connection.execute("ALTER SYSTEM SET default_tablespace TO small")
        connection.execute("SELECT pg_reload_conf()")
        yield
        connection.execute("ALTER SYSTEM RESET default_tablespace")
        connection.execute("SELECT pg_reload_conf()")
        for (schema,) in connection.execute(
            "SELECT schemaname FROM pg_tables WHERE tablespace = 'small'"
        ):
            connection.execute(f'DROP SCHEMA "{schema}" CASCADE')
        connection.execute("DROP TABLESPACE small")


@pytest.mark.parametrize("table", [KEYED, KEYLESS], ids=["keyed", "keyless"])
@pytest.mark.parametrize("existing", [0, 1000], ids=["first load", "merge"])
def test_disk_that_is_full(outage: Outage, table: common.Table, existing: int) -> None:
    too_many: list[Row] = [{"id": i, "text": "x" * 100} for i in range(200_000)]
    with small_disk() as disk, tables_on(disk, outage.server):
        ballast = disk / "ballast"
        ballast.write_bytes(bytes(BALLAST_BYTES))
        assert outage.client.create(table).success
        if existing:
            assert outage.client.write(table, replace=[ROWS[:existing]]).success
        answer = outage.client.write(table, replace=[too_many])
        assert "the disk is full" in answer.task.message, answer
        assert "free disk space" in answer.task.message
        assert outage.rows() == (existing, existing)
        ballast.unlink()
        assert outage.client.write(table, replace=[ROWS[existing:]]).success
        assert outage.rows() == (len(ROWS), len(ROWS))


def wait_for_a_row(server: OwnServer) -> None:
    """Wait until a session waits for a row that another has locked."""
    query = "SELECT FROM pg_locks WHERE NOT granted AND locktype = 'transactionid'"
    with server.connect() as connection:
        wait_until(lambda: connection.execute(query).rowcount == 1)
