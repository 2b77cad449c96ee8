"""Each field of the setup form with a wrong value: what fails says which field, and what to do."""

import base64
import time
from collections.abc import Iterator
from pathlib import Path

import certifi
import psycopg
import pytest
import trustme

from destination.sdk import common_pb2 as common
from destination.sdk.destination_sdk_pb2_grpc import DestinationConnectorStub
from destination.warehouse.postgres.database import APPLICATION_NAME
from destination.warehouse.postgres.kind import connector
from tests.support.fix_connector import Client, calling, column
from tests.support.fix_proxy import Proxy, Trap
from tests.support.fix_server import PASSWORD, OwnServer
from tests.support.fix_ssh import SshServer
from tests.support.waiting import wait_until

TABLE = common.Table(name="t", columns=[column("id", common.INT, key=True)])


def failure_of(stub: DestinationConnectorStub, configuration: dict[str, str]) -> str:
    """What the test of the connection fails with; empty if it passes."""
    request = common.TestRequest(name="connection", configuration=configuration)
    return str(stub.Test(request, timeout=10).failure)


@pytest.mark.parametrize(
    ("field", "value", "told"),
    [
        ("password", "wrong", "correct User and Password"),
        ("password", "", "fill in Password"),
        ("user", "nobody", "correct User and Password"),
        ("database", "nowhere", "correct Database"),
        ("port", "1", "check Host and Port"),
        ("host", "no-such-host.invalid", "correct Host"),
        ("sslmode", "require", "choose the TLS mode prefer"),
    ],
)
def test_wrong_value_is_told_with_its_remedy(
    stub: DestinationConnectorStub, password_server: OwnServer, field: str, value: str, told: str
) -> None:
    assert failure_of(stub, password_server.configuration) == ""
    failure = failure_of(stub, {**password_server.configuration, field: value})
    assert told in failure
    assert PASSWORD not in failure


def test_role_whose_password_expired(
    stub: DestinationConnectorStub, password_server: OwnServer
) -> None:
    with password_server.connect() as connection:
        connection.execute("CREATE ROLE expired LOGIN PASSWORD 'x' VALID UNTIL '2020-01-01'")
    configuration = {**password_server.configuration, "user": "expired", "password": "x"}
    assert "correct User and Password" in failure_of(stub, configuration)


def wait_until_no_session_is_left(server: OwnServer) -> None:
    """Wait until the connector has none at a server, which ends each a moment after it was left."""
    query = "SELECT FROM pg_stat_activity WHERE application_name = %s"
    with server.connect() as connection:
        wait_until(lambda: connection.execute(query, (APPLICATION_NAME,)).rowcount == 0)


def test_test_of_the_form_leaves_no_connection(
    stub: DestinationConnectorStub, password_server: OwnServer
) -> None:
    for name in ("connection", "permissions", "version"):
        request = common.TestRequest(name=name, configuration=password_server.configuration)
        assert stub.Test(request).success
    wait_until_no_session_is_left(password_server)


def test_test_of_the_form_meets_no_stale_connection(
    patient: Client, password_server: OwnServer
) -> None:
    """Sessions that were pooled before the server was restarted are none of its business."""
    patient.configuration = password_server.configuration
    assert patient.create(TABLE).success
    password_server.stop("fast")
    password_server.start()
    assert failure_of(patient.stub, password_server.configuration) == ""


def test_test_of_the_form_meets_no_connection_that_idled_for_too_long(
    patient: Client, password_server: OwnServer
) -> None:
    patient.configuration = password_server.configuration
    with password_server.connect() as connection:
        connection.execute("ALTER ROLE postgres SET idle_session_timeout TO '2s'")
        try:
            assert patient.create(TABLE).success
            wait_until_no_session_is_left(password_server)
            assert failure_of(patient.stub, password_server.configuration) == ""
            assert patient.describe("t").HasField("table")
        finally:
            connection.execute("ALTER ROLE postgres RESET idle_session_timeout")


@pytest.fixture
def patient(tmp_path: Path, schema: str) -> Iterator[Client]:
    with calling(connector(None), schema, tmp_path) as client:
        yield client


def test_customers_share_no_connection(patient: Client, password_server: OwnServer) -> None:
    """Not even where only the password differs."""
    right = password_server.configuration
    other = {**right, "user": "other", "password": "marked-secret-other"}
    with password_server.connect() as connection:
        connection.execute("CREATE ROLE other LOGIN PASSWORD 'marked-secret-other'")
        connection.execute("GRANT CREATE ON DATABASE postgres TO other")
        schema = patient.schema
        for configuration in (right, other):
            patient.configuration = configuration
            patient.schema = f"{schema}_{configuration['user']}"
            assert patient.create(TABLE).success
        patient.configuration = {**right, "password": "marked-secret-wrong"}
        assert "correct User and Password" in patient.describe("t").task.message
        owners = "SELECT tableowner FROM pg_tables WHERE schemaname LIKE %s ORDER BY 1"
        assert connection.execute(owners, (f"{schema}%",)).fetchall() == [("other",), ("postgres",)]
        sessions = "SELECT DISTINCT usename FROM pg_stat_activity WHERE application_name = %s"
        users = connection.execute(sessions, (APPLICATION_NAME,)).fetchall()
        assert {("other",), ("postgres",)} <= set(users)


def test_server_that_crashes_and_comes_back(patient: Client, password_server: OwnServer) -> None:
    patient.configuration = password_server.configuration
    assert patient.create(TABLE).success
    rows = [{"id": i} for i in range(1000)]
    path = patient.files.write("batch", TABLE.columns, rows)
    password_server.stop("immediate")
    writing = patient.stub.WriteBatch.future(
        patient.request(TABLE, replace_files=[path]), timeout=60
    )
    time.sleep(1)
    assert not writing.done()
    password_server.start()
    assert writing.result().success
    with password_server.connect() as connection:
        table = psycopg.sql.Identifier(patient.schema, "t")
        query = psycopg.sql.SQL("SELECT count(*) FROM {}").format(table)
        assert connection.execute(query).fetchone() == (1000,)


def test_too_many_clients_are_waited_for(patient: Client, password_server: OwnServer) -> None:
    password_server.stop("fast")
    password_server.start(max_connections="5", superuser_reserved_connections="0")
    patient.configuration = password_server.configuration
    connections = [password_server.connect() for _ in range(5)]
    creating = patient.stub.DescribeTable.future(patient.describing("t"), timeout=60)
    time.sleep(1)
    assert not creating.done()
    for connection in connections:
        connection.close()
    assert creating.result().not_found


class Authorities:
    """A server's certificate with the right authority, and a wrong one."""

    def __init__(self, server: OwnServer, *names: str) -> None:
        self.right, self.wrong = trustme.CA(), trustme.CA()
        issued = self.right.issue_cert(*names)
        self._write(server, "server.crt", issued.cert_chain_pems[0].bytes())
        self._write(server, "server.key", issued.private_key_pem.bytes())
        self._write(server, "ca.crt", self.right.cert_pem.bytes())

    def _write(self, server: OwnServer, name: str, content: bytes) -> None:
        path = server.directory / name
        path.write_bytes(content)
        path.chmod(0o600)
        server.own(path)


def upload(content: bytes) -> str:
    return base64.b64encode(content).decode()


@pytest.fixture(scope="module")
def tls(tls_server: OwnServer) -> Authorities:
    authorities = Authorities(tls_server, "localhost")
    tls_server.allow(
        "local all all scram-sha-256",
        "hostssl all certified 127.0.0.1/32 cert",
        "hostssl all all 127.0.0.1/32 scram-sha-256",
    )
    tls_server.start(
        ssl="on",
        ssl_cert_file=str(tls_server.directory / "server.crt"),
        ssl_key_file=str(tls_server.directory / "server.key"),
        ssl_ca_file=str(tls_server.directory / "ca.crt"),
    )
    with tls_server.connect() as connection:
        connection.execute("CREATE ROLE certified LOGIN")
    return authorities


@pytest.mark.parametrize(
    ("mode", "host", "authority", "told"),
    [
        ("disable", "localhost", "", "pg_hba.conf"),
        ("disable", "localhost", "wrong", "pg_hba.conf"),
        ("allow", "localhost", "", ""),
        ("allow", "localhost", "wrong", ""),
        ("prefer", "localhost", "", ""),
        ("prefer", "localhost", "wrong", ""),
        ("require", "localhost", "", ""),
        ("require", "127.0.0.1", "wrong", ""),
        ("verify-ca", "localhost", "right", ""),
        ("verify-ca", "127.0.0.1", "right", ""),
        ("verify-ca", "localhost", "wrong", "upload the certificate"),
        ("verify-ca", "localhost", "", "sslrootcert"),
        ("verify-full", "localhost", "right", ""),
        ("verify-full", "127.0.0.1", "right", "set Host to the name"),
        ("verify-full", "localhost", "wrong", "upload the certificate"),
        ("verify-full", "localhost", "", "upload the certificate"),
    ],
)
def test_every_tls_mode(
    stub: DestinationConnectorStub,
    tls_server: OwnServer,
    tls: Authorities,
    mode: str,
    host: str,
    authority: str,
    told: str,
) -> None:
    authorities = {"right": tls.right.cert_pem.bytes(), "wrong": tls.wrong.cert_pem.bytes()}
    configuration = {**tls_server.configuration, "sslmode": mode, "host": host}
    if authority:
        configuration["sslrootcert"] = upload(authorities[authority])
    failure = failure_of(stub, configuration)
    assert told in failure
    assert bool(failure) == bool(told)


def test_public_authorities_are_trusted_without_an_upload(
    patient: Client,
    tls_server: OwnServer,
    tls: Authorities,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """They are those of certifi, wherever the connector runs: here with one more that a test can be."""
    bundle = tmp_path / "authorities.pem"
    bundle.write_bytes(Path(certifi.where()).read_bytes() + tls.right.cert_pem.bytes())
    monkeypatch.setattr(certifi, "where", lambda: str(bundle))
    configuration = {**tls_server.configuration, "sslmode": "verify-full", "host": "localhost"}
    assert failure_of(patient.stub, configuration) == ""


@pytest.mark.parametrize(
    ("host", "told"), [("localhost", ""), ("127.0.0.1", "set Host to the name")]
)
def test_certificates_are_checked_from_end_to_end_of_a_tunnel(
    stub: DestinationConnectorStub,
    tls_server: OwnServer,
    tls: Authorities,
    ssh_server: SshServer,
    host: str,
    told: str,
) -> None:
    configuration = {
        **tls_server.configuration,
        **ssh_server.configuration,
        "sslmode": "verify-full",
        "sslrootcert": upload(tls.right.cert_pem.bytes()),
        "host": host,
    }
    failure = failure_of(stub, configuration)
    assert told in failure
    assert bool(failure) == bool(told)


def test_client_certificate(
    stub: DestinationConnectorStub, tls_server: OwnServer, tls: Authorities
) -> None:
    configuration = {**tls_server.configuration, "sslmode": "require", "user": "certified"}
    assert "client certificate" in failure_of(stub, configuration)
    issued = tls.right.issue_cert(common_name="certified")
    configuration["sslcert"] = upload(issued.cert_chain_pems[0].bytes())
    configuration["sslkey"] = upload(issued.private_key_pem.bytes())
    assert failure_of(stub, configuration) == ""


@pytest.mark.usefixtures("tls")
def test_line_with_tls_that_is_cut_is_retried(patient: Client, tls_server: OwnServer) -> None:
    """OpenSSL then says that a line ended unexpectedly; no SQLSTATE comes with that."""
    direct = tls_server.configuration
    names = {"database": "dbname"}
    proxy = Proxy({names.get(name, name): value for name, value in direct.items()})
    with psycopg.connect(proxy.conninfo, sslmode="require") as connection:
        proxy.cut()
        with pytest.raises(psycopg.OperationalError, match="SSL") as cut:
            connection.execute("SELECT 1")
        assert cut.value.sqlstate is None
    patient.configuration = {**direct, "port": str(proxy.port), "sslmode": "require"}
    assert patient.create(TABLE).success
    for trap in (Trap("client", after=500), Trap("server", after=500)):
        proxy.set_trap(trap)
        assert patient.write(TABLE, replace=[[{"id": i} for i in range(1000)]]).success
    assert proxy.sprung == len((trap, trap))
    proxy.close()
