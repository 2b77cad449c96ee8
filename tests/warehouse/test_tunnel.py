"""The way to PostgreSQL through an SSH server, OpenSSH's: what passes, and what is said where not."""

import os
import re
import signal
import socket
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from destination.errors import ConfigurationError
from destination.sdk import common_pb2 as common
from destination.warehouse import ssh
from destination.warehouse.kind import Warehouse
from destination.warehouse.postgres import database
from destination.warehouse.postgres.configuration import Configuration
from destination.warehouse.postgres.database import PostgresWarehouse, RetryPolicy
from destination_tester.files import Row
from tests.support.fix_connector import Client, calling, column
from tests.support.fix_server import OwnServer
from tests.support.fix_ssh import SshServer, make_key, uploaded
from tests.support.waiting import wait_until

TABLE = common.Table(name="t", columns=[column("id", common.LONG, key=True), column("text")])
ROWS: list[Row] = [{"id": i, "text": f"text {i} " * 20} for i in range(20_000)]


def connect(configuration: Configuration) -> Warehouse:
    return PostgresWarehouse.from_configuration(configuration, RetryPolicy(4, 0.3))


@pytest.fixture
def far(
    ssh_server: SshServer, password_server: OwnServer, schema: str, tmp_path: Path
) -> Iterator[Client]:
    """A client of a connector that reaches PostgreSQL through an SSH server."""
    with calling(connect, schema, tmp_path) as client:
        client.configuration = {**password_server.configuration, **ssh_server.configuration}
        yield client


def failure_of(client: Client, test: str, **changed: str) -> str:
    request = common.TestRequest(name=test, configuration={**client.configuration, **changed})
    return str(client.stub.Test(request, timeout=10).failure)


def count(client: Client, server: OwnServer) -> tuple[int, int]:
    with server.connect() as connection:
        query = f'SELECT count(*), count(DISTINCT id) FROM "{client.schema}".t'
        row = connection.execute(query).fetchone()
        assert row is not None
        return row


def cut_sessions(server: SshServer, number: int = signal.SIGKILL) -> None:
    for process in server.session_processes():
        os.kill(process, number)


def test_rows_land_through_one_connection_to_the_ssh_server(
    far: Client, ssh_server: SshServer, password_server: OwnServer
) -> None:
    assert far.create(TABLE).success
    parts = [ROWS[i::4] for i in range(4)]
    with ThreadPoolExecutor(4) as pool:
        answers = list(pool.map(lambda rows: far.write(TABLE, replace=[rows]), parts))
    assert all(answer.success for answer in answers)
    assert count(far, password_server) == (len(ROWS), len(ROWS))
    assert ssh_server.sessions == 1


def test_tunnel_is_closed_with_its_warehouse(
    ssh_server: SshServer, password_server: OwnServer, schema: str, tmp_path: Path
) -> None:
    with calling(connect, schema, tmp_path) as client:
        client.configuration = {**password_server.configuration, **ssh_server.configuration}
        assert client.create(TABLE).success
        assert ssh_server.sessions == 1
    wait_until(lambda: ssh_server.sessions == 0)


def test_tests_of_the_form_pass_and_leave_nothing_open(far: Client, ssh_server: SshServer) -> None:
    for test in ("tunnel", "connection", "permissions", "version"):
        assert failure_of(far, test) == ""
    wait_until(lambda: ssh_server.sessions == 0)


def test_the_way_without_a_tunnel_has_nothing_to_reach(
    far: Client, password_server: OwnServer
) -> None:
    far.configuration = password_server.configuration
    assert failure_of(far, "tunnel") == ""


@pytest.mark.parametrize("kind", ["rsa", "ecdsa", "ed25519"])
def test_every_kind_of_host_key_and_of_our_own(
    kind: str, far: Client, ssh_server: SshServer
) -> None:
    ssh_server.stop()
    ssh_server.new_host_key(kind)
    ssh_server.new_client_key(kind)
    ssh_server.start()
    far.configuration.update(ssh_server.configuration)
    assert failure_of(far, "tunnel") == ""


@pytest.mark.parametrize("kind", ["rsa", "ecdsa"])
@pytest.mark.parametrize("form", ["PEM", "PKCS8"])
def test_every_form_of_a_key_file(form: str, kind: str, far: Client, ssh_server: SshServer) -> None:
    ssh_server.new_client_key(kind, "-m", form)
    far.configuration.update(ssh_server.configuration)
    assert failure_of(far, "tunnel") == ""


def test_key_with_a_passphrase_is_told(far: Client, tmp_path: Path) -> None:
    make_key(tmp_path / "locked", "ed25519", "-N", "marked-secret")
    told = failure_of(far, "tunnel", tunnel_private_key=uploaded(tmp_path / "locked"))
    assert "protected by a passphrase" in told


def test_what_is_no_key_is_told(far: Client, ssh_server: SshServer, tmp_path: Path) -> None:
    broken = tmp_path / "broken"
    lines = (ssh_server.directory / "client").read_text().splitlines()
    broken.write_text("\n".join([lines[0], *lines[2:]]))
    told = failure_of(far, "tunnel", tunnel_private_key=uploaded(broken))
    assert "is not a private key for SSH" in told


def test_without_a_host_key_the_test_shows_the_one_to_fill_in(far: Client) -> None:
    told = failure_of(far, "tunnel", tunnel_host_key="")
    (shown,) = re.findall(r"SHA256:[A-Za-z0-9+/]{43}", told)
    assert "fill in" in told
    assert failure_of(far, "tunnel", tunnel_host_key=shown) == ""
    assert far.create(TABLE).success
    far.configuration["tunnel_host_key"] = ""
    assert "fill in" in far.describe("t").task.message


def test_changed_host_key_is_refused_before_anything_is_sent(
    far: Client, ssh_server: SshServer
) -> None:
    assert far.create(TABLE).success
    ssh_server.stop()
    ssh_server.new_host_key()
    ssh_server.start()
    told = "not the one in SSH host key"
    assert told in failure_of(far, "tunnel")
    assert told in failure_of(far, "connection")
    assert told in far.write(TABLE, replace=[ROWS[:5]]).task.message


def test_refused_key_is_told_with_the_line_that_lets_it_in(
    far: Client, ssh_server: SshServer, tmp_path: Path
) -> None:
    make_key(tmp_path / "other")
    other = uploaded(tmp_path / "other")
    told = failure_of(far, "tunnel", tunnel_private_key=other)
    public = " ".join((tmp_path / "other.pub").read_text().split()[:2])
    assert "authorized_keys" in told
    assert public in told
    (ssh_server.directory / "authorized").write_text(public + "\n")
    assert failure_of(far, "tunnel", tunnel_private_key=other) == ""


def test_test_of_the_tunnel_logs_in_anew_where_one_stands(
    far: Client, ssh_server: SshServer
) -> None:
    assert far.create(TABLE).success
    (ssh_server.directory / "authorized").write_text("")
    assert "authorized_keys" in failure_of(far, "tunnel")
    assert far.describe("t").HasField("table")


def test_server_that_is_not_there_is_told(far: Client, ssh_server: SshServer) -> None:
    ssh_server.stop()
    assert "refused" in failure_of(far, "tunnel")
    task = far.describe("t").task.message
    assert f"127.0.0.1:{ssh_server.port}" in task
    assert "check SSH host and SSH port" in task


def test_server_that_does_not_answer_is_told_in_time(
    far: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(database, "PATIENCE_SECONDS", 2)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = str(silent.getsockname()[1])
        assert "did not let us in within" in failure_of(far, "tunnel", tunnel_port=port)


def test_server_that_speaks_no_ssh_is_told(far: Client, password_server: OwnServer) -> None:
    port = str(password_server.port)
    assert "cannot be reached" in failure_of(far, "tunnel", tunnel_port=port)


@pytest.mark.parametrize(
    ("options", "changed", "told"),
    [
        (["AllowTcpForwarding no"], {}, "allows TCP forwarding"),
        ([], {"port": "1"}, "check Host and Port as that server knows them"),
        ([], {"host": "nowhere.invalid"}, "check Host and Port as that server knows them"),
    ],
    ids=["forbidden", "no such port", "no such host"],
)
def test_what_lies_behind_the_server_is_told_apart(
    options: list[str], changed: dict[str, str], told: str, far: Client, ssh_server: SshServer
) -> None:
    ssh_server.stop()
    ssh_server.start(*options)
    assert failure_of(far, "tunnel", **changed) == ""
    failure = failure_of(far, "connection", **changed)
    assert told in failure
    assert "b'" not in failure


def test_server_without_common_algorithms_is_told(far: Client, ssh_server: SshServer) -> None:
    ssh_server.stop()
    ssh_server.start("Ciphers aes256-gcm@openssh.com")
    assert "no algorithms in common" in failure_of(far, "tunnel")


def test_tunnel_cut_in_the_middle_of_a_load_is_opened_again(
    far: Client, ssh_server: SshServer, password_server: OwnServer
) -> None:
    assert far.create(TABLE).success
    path = far.files.write("batch", TABLE.columns, ROWS)
    with password_server.connect() as connection:
        connection.autocommit = False
        connection.execute(f'LOCK TABLE "{far.schema}".t IN ACCESS EXCLUSIVE MODE')
        call = far.stub.WriteBatch.future(far.request(TABLE, replace_files=[path]))
        wait_until(lambda: waits_for_lock(password_server))
        cut_sessions(ssh_server)
        connection.rollback()
    assert call.result().success
    assert count(far, password_server) == (len(ROWS), len(ROWS))


def waits_for_lock(server: OwnServer) -> bool:
    with server.connect() as connection:
        query = "SELECT 1 FROM pg_stat_activity WHERE wait_event_type = 'Lock'"
        return connection.execute(query).fetchone() is not None


def test_server_restarted_between_two_calls_is_logged_in_to_again(
    far: Client, ssh_server: SshServer
) -> None:
    assert far.create(TABLE).success
    ssh_server.stop()
    ssh_server.start()
    assert far.write(TABLE, replace=[ROWS[:5]]).success


def test_server_that_vanished_without_a_word_is_noticed(
    far: Client, ssh_server: SshServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ssh, "KEEPALIVE_SECONDS", 0.2)
    monkeypatch.setattr(ssh, "KEEPALIVE_LOST_SECONDS", 0.5)
    assert far.create(TABLE).success
    stopped = ssh_server.session_processes()
    cut_sessions(ssh_server, signal.SIGSTOP)
    try:
        assert far.write(TABLE, replace=[ROWS[:5]]).success
    finally:
        for process in stopped:
            os.kill(process, signal.SIGKILL)


def test_idle_tunnel_stays(
    far: Client, ssh_server: SshServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ssh, "KEEPALIVE_SECONDS", 0.05)
    monkeypatch.setattr(ssh, "KEEPALIVE_LOST_SECONDS", 5)
    ssh_server.stop()
    ssh_server.start("ClientAliveInterval 1", "ClientAliveCountMax 1")
    assert far.create(TABLE).success
    before = ssh_server.session_processes()
    time.sleep(2.5)
    assert far.describe("t").HasField("table")
    assert ssh_server.session_processes() == before


def test_large_rows_pass_both_windows(far: Client, password_server: OwnServer) -> None:
    assert far.create(TABLE).success
    rows: list[Row] = [{"id": i, "text": os.urandom(1 << 20).hex()} for i in range(12)]
    assert far.write(TABLE, replace=[rows]).success
    with password_server.connect() as connection:
        query = f'SELECT id, text FROM "{far.schema}".t ORDER BY id'
        assert connection.execute(query).fetchall() == [(row["id"], row["text"]) for row in rows]


def test_private_key_is_never_told(far: Client, ssh_server: SshServer, tmp_path: Path) -> None:
    secret = (ssh_server.directory / "client").read_text().splitlines()[2]
    make_key(tmp_path / "other")
    for wrong in ({"tunnel_host_key": "SHA256:other"}, {"tunnel_user": "nobody-here"}):
        failure = failure_of(far, "tunnel", **wrong)
        assert failure
        assert secret not in failure
    configuration = Configuration.parse(far.configuration)
    assert secret not in repr(configuration)


@pytest.mark.parametrize(
    ("field", "value", "told"),
    [
        (
            "connection_type",
            "Carrier pigeon",
            "connection_type: must be one of Directly, SshTunnel",
        ),
        ("tunnel_host", "", "tunnel_host: fill in"),
        ("tunnel_user", " ", "tunnel_user: fill in"),
        ("tunnel_port", "ssh", "tunnel_port: must be a number"),
        ("tunnel_private_key", "", "tunnel_private_key: upload"),
        ("tunnel_private_key", "no base64!", "tunnel_private_key: is not an uploaded file"),
        ("tunnel_host_key", "something", "tunnel_host_key: must be a fingerprint"),
        ("tunnel_host_key", "ssh-ed25519 AAAA!", "tunnel_host_key: the public key is not complete"),
    ],
)
def test_malformed_fields_are_named(
    field: str, value: str, told: str, ssh_server: SshServer
) -> None:
    there = {"host": "db", "database": "d", "user": "u", **ssh_server.configuration, field: value}
    with pytest.raises(ConfigurationError, match=re.escape(told)):
        Configuration.parse(there)


def test_fields_of_the_tunnel_are_ignored_without_one(ssh_server: SshServer) -> None:
    there = {"host": "db", "database": "d", "user": "u", **ssh_server.configuration}
    for way in ("", "Directly"):
        broken = {**there, "connection_type": way, "tunnel_private_key": "no base64!"}
        assert Configuration.parse(broken).tunnel is None


def test_host_key_is_taken_in_every_form_in_which_it_is_shown(
    far: Client, ssh_server: SshServer
) -> None:
    kind, key, *_ = ssh_server.host_key.split()
    scanned = (
        f"# 127.0.0.1:22 SSH-2.0-OpenSSH_9.2p1\n127.0.0.1 {kind} {key}\n127.0.0.1 ssh-rsa AAAA"
    )
    for shown in (ssh_server.host_key, f"{kind} {key}", scanned, ssh_server.fingerprint()):
        assert failure_of(far, "tunnel", tunnel_host_key=shown) == ""


def test_server_with_several_host_keys_is_asked_for_the_known_type(
    far: Client, ssh_server: SshServer, tmp_path: Path
) -> None:
    make_key(tmp_path / "second", "rsa")
    ssh_server.stop()
    ssh_server.start(f"HostKey {tmp_path}/second")
    public = (tmp_path / "second.pub").read_text()
    assert failure_of(far, "tunnel", tunnel_host_key=public) == ""
