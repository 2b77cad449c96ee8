"""Nothing secret leaves the process: not in its output, its answers, its sessions, or a file."""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time
from decimal import Decimal
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from psycopg import sql

from destination.sdk import common_pb2 as common
from destination.sdk import destination_sdk_pb2 as sdk
from destination.warehouse.postgres.database import PostgresWarehouse, RetryPolicy
from destination_tester.files import BatchFiles, Row
from destination_tester.notation import Cell
from destination_tester.stored import ACTIVE, END, OPEN_END, START
from tests.support.fix_connector import Client, calling, column, reaching
from tests.support.fix_postgres import Database
from tests.support.fix_secrets import MARK, WATCH, Watch, forms
from tests.support.fix_server import OwnServer
from tests.test_server import ROOT, free_port

VALUES: dict[common.DataType, Cell] = {
    common.SHORT: 27364,
    common.INT: 918273645,
    common.LONG: 918273645546372819,
    common.FLOAT: 9182736.0,
    common.DOUBLE: 91827.364554,
    common.DECIMAL: Decimal("918273.6455"),
    common.NAIVE_DATE: date(1918, 2, 27),
    common.NAIVE_TIME: time(19, 18, 27),
    common.NAIVE_DATETIME: datetime(1918, 2, 27, 19, 18, 27),
    common.UTC_DATETIME: datetime(1918, 2, 27, 19, 18, 27, tzinfo=UTC),
    common.STRING: MARK,
    common.XML: f"<a>{MARK}</a>",
    common.JSON: f'{{"a": "{MARK}"}}',
    common.BINARY: MARK.encode(),
}
MARKS = [
    MARK, MARK.upper(), *forms(MARK.encode()), "918273", "91827.3", "27364", "1918-02-27", "19:18:27",
]  # fmt: skip
UNFIT = [
    MARK,
    "918273645546372819918273645546372819",
    "918273.645546372819",
    "1918-02-27x",
    "99999-02-27",
]
TYPED = [
    column(common.DataType.Name(kind).lower(), kind, decimal=(12, 4) if kind == common.DECIMAL else None)
    for kind in VALUES
]  # fmt: skip
TABLE = common.Table(name="t", columns=[column("id", common.LONG, key=True), *TYPED])
HISTORY = common.Table(
    name="h",
    columns=[
        column("id", common.STRING, key=True),
        column("value"),
        column(START, common.UTC_DATETIME, key=True),
        column(END, common.UTC_DATETIME),
        column(ACTIVE, common.BOOLEAN),
    ],
)


@dataclass
class Connector:
    """A connector's process, all that it prints, and the system calls with which it opens files."""

    port: int
    process: subprocess.Popen[str]
    traced: Path | None
    printed: list[str] = field(default_factory=list)

    def stop(self) -> None:
        self.process.terminate()
        output, errors = self.process.communicate(timeout=30)
        self.printed += [output, errors]


@pytest.fixture
def traffic(tmp_path: Path) -> Iterator[Connector]:
    port, traced = free_port(), tmp_path / "trace"
    strace = shutil.which("strace")
    tracing = [
        "-D",
        "-f",
        "-qq",
        "-e",
        "trace=open,openat,openat2,creat,memfd_create",
        "-o",
        str(traced),
    ]
    command = [strace, *tracing] if strace else []
    process = subprocess.Popen(
        [*command, sys.executable, "main.py", "--port", str(port)],
        cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        env={**os.environ, "PYTHONDONTWRITEBYTECODE": "1"},
    )  # fmt: skip
    assert process.stdout is not None
    connector = Connector(port, process, traced if strace else None)
    connector.printed.append(process.stdout.readline())
    yield connector
    if process.poll() is None:
        connector.stop()


def accepted(client: Client) -> None:
    """Every kind of call, with marked values, that succeeds."""
    row: Row = {"id": 1, **{c.name: VALUES[c.type] for c in TYPED}}
    assert client.create(TABLE).success
    for file_format in (sdk.CSV, sdk.PARQUET):
        client.files.format = file_format
        for files in ({"replace": [[row]]}, {"replace": [[row, row]]}, {"update": [[row]]}):
            assert client.write(TABLE, **files).success
    client.files.format = sdk.CSV
    assert client.create(HISTORY).success
    version: Row = {
        "id": MARK,
        "value": MARK,
        START: VALUES[common.UTC_DATETIME],
        END: OPEN_END,
        ACTIVE: True,
    }
    for kind in ("earliest", "replace", "update", "delete"):
        assert client.write_history(HISTORY, **{kind: [[version]]}).success
    update = sdk.UpdateColumnValueOperation(column="string", value=MARK)
    assert client.migrate("t", update_column_value=update).success
    add = sdk.AddColumnWithDefaultValue(
        column="more", column_type=common.STRING, default_value=MARK
    )
    assert client.migrate("t", add=sdk.AddOperation(add_column_with_default_value=add)).success
    assert client.write(TABLE, delete=[[row]]).success


def refused(client: Client) -> int:
    """Calls with marked values that do not fit, layer by layer; returns how many."""
    answers: list[Any] = []
    for each in TYPED:
        for text in UNFIT:
            content = f'id,{each.name}\n1,"{text}"\n'.encode()
            path = client.files.write_bytes("unfit.csv", content)
            answers.append(client.send(TABLE, replace_files=[path]))
        update = sdk.UpdateColumnValueOperation(column=each.name, value=UNFIT[-1])
        answers.append(client.migrate("t", update_column_value=update))
    for text in (f"1,{MARK}\n", f"id,string\n1,{MARK},{MARK}\n", f'id,string\n1,"{MARK}'):
        path = client.files.write_bytes("malformed.csv", text.encode())
        answers.append(client.send(TABLE, replace_files=[path]))
    path = client.files.write("keyed", TABLE.columns, [{"id": 1, "string": MARK}])
    for key in (MARK.encode().ljust(32), MARK.encode()):
        client.files.keys[path] = key
        answers.append(client.send(TABLE, replace_files=[path]))
    configuration = client.configuration
    for wrong in ({"password": f"{MARK}-wrong"}, {"sslmode": "verify-ca", "ca_certificate": MARK}):
        client.configuration = {**configuration, **wrong}
        answers.append(client.create(TABLE))
        tested = common.TestRequest(name="connection", configuration=client.configuration)
        assert client.stub.Test(tested).failure
    client.configuration = configuration
    return sum(answer.WhichOneof("response") == "task" for answer in answers)


def refused_by_the_database(client: Client, server: OwnServer, constraint: str) -> None:
    """A batch with a marked value that a constraint of the customer's own does not allow."""
    table = common.Table(name="own", columns=[column("id", common.LONG, key=True), column("text")])
    assert client.create(table).success
    with server.connect() as connection:
        for statement in constraint.format(f'"{client.schema}".own').split(";;"):
            connection.execute(statement)
        for rows in (1, 2):
            batch: Sequence[Row] = [{"id": i, "text": MARK} for i in range(rows)]
            answer = client.write(table, replace=[batch])
        assert answer.WhichOneof("response") == "task", answer
        connection.execute(f'DROP TABLE "{client.schema}".own CASCADE')


CONSTRAINTS = {
    "check": "ALTER TABLE {0} ADD CHECK (text = 'other')",
    "unique": "ALTER TABLE {0} ADD UNIQUE (text)",
    "not null": "ALTER TABLE {0} ADD COLUMN n int NOT NULL",
    "too long": "ALTER TABLE {0} ALTER text TYPE varchar(3)",
    "foreign key": "CREATE TABLE {0}_other (text text PRIMARY KEY);;"
    "ALTER TABLE {0} ADD FOREIGN KEY (text) REFERENCES {0}_other",
    "trigger": "CREATE OR REPLACE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS "
    "$$BEGIN RAISE EXCEPTION 'no %', NEW.text; END$$;;"
    "CREATE TRIGGER refuse BEFORE INSERT ON {0} FOR EACH ROW EXECUTE FUNCTION refuse()",
    "generated": "ALTER TABLE {0} ADD COLUMN n int GENERATED ALWAYS AS (text::int) STORED",
}


def test_secrets_are_nowhere_in_calls_that_succeed_or_fail(
    traffic: Connector, password_server: OwnServer, schema: str, tmp_path: Path
) -> None:
    """Marked passwords, keys and values, in calls that succeed and that fail in every layer."""
    sessions = Watch()
    with password_server.connect() as connection:
        uri = connection.info.dsn
    uri = f"{uri} password={password_server.configuration['password']}"
    with sessions.looking_at_sessions(uri), reaching(traffic.port) as stub:
        client = Client(stub, schema, BatchFiles(tmp_path))
        client.configuration = password_server.configuration
        accepted(client)
        tasks = refused(client)
        for constraint in CONSTRAINTS.values():
            refused_by_the_database(client, password_server, constraint)
    traffic.stop()
    assert tasks > len(TYPED)
    assert sessions.queries
    shown = [*traffic.printed, *sessions.queries, *WATCH.answers]
    keys = [form for key in client.files.keys.values() for form in forms(key)]
    for secret in (*MARKS, *keys, password_server.configuration["password"]):
        assert not [text for text in shown if secret in text], secret
    assert '"WARNING"' in traffic.printed[1]
    if traffic.traced is not None:
        assert not opened_for_writing(traffic.traced.read_text())


def opened_for_writing(trace: str) -> list[str]:
    """The system calls of a trace that opened a file of a disk so that it could be written to."""
    writing = re.compile(r"O_WRONLY|O_RDWR|O_CREAT|\bcreat\(")
    calls = [line for line in trace.splitlines() if writing.search(line) and "= -1" not in line]
    return [line for line in calls if not re.search(r'"/dev/(null|tty|shm/)', line)]


def test_trace_tells_who_writes(tmp_path: Path) -> None:
    strace = shutil.which("strace")
    if strace is None:
        pytest.skip("strace is not installed")
    traced = tmp_path / "trace"
    command = [strace, "-f", "-qq", "-e", "trace=openat,creat", "-o", str(traced)]
    subprocess.run([*command, "sh", "-c", f"echo > {tmp_path}/written"], check=True)
    assert len(opened_for_writing(traced.read_text())) == 1


HAND_MADE = {
    "tsquery": "ALTER TABLE {0} ALTER text TYPE tsquery USING NULL",
    "tsvector": "ALTER TABLE {0} ALTER text TYPE tsvector USING NULL",
    "regclass": "ALTER TABLE {0} ALTER text TYPE regclass USING NULL",
    "regtype": "ALTER TABLE {0} ALTER text TYPE regtype USING NULL",
    "regconfig": "ALTER TABLE {0} ALTER text TYPE regconfig USING NULL",
    "enum": "CREATE TYPE {0}_enum AS ENUM ('a');;ALTER TABLE {0} ALTER text TYPE {0}_enum USING NULL",
    "domain": "CREATE DOMAIN {0}_domain AS text CHECK (value = 'a');;"
    "ALTER TABLE {0} ALTER text TYPE {0}_domain",
    "range": "ALTER TABLE {0} ALTER text TYPE int4range USING NULL",
    "exclusion": "ALTER TABLE {0} ADD EXCLUDE (text WITH =)",
    "deferred": "ALTER TABLE {0} ADD UNIQUE (text) DEFERRABLE INITIALLY DEFERRED",
}
RAISED = ("42P01", "42501", "2BP01", "0A000", "08006", "57014", "28000", "55P03", "25006", "23505", "22P02")  # fmt: skip
RAISING = """CREATE FUNCTION {0}_refuse() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN
RAISE EXCEPTION 'no %', NEW.text USING ERRCODE = '%', DETAIL = NEW.text, HINT = NEW.text,
COLUMN = NEW.text, CONSTRAINT = NEW.text, TABLE = NEW.text; END$$"""


@pytest.fixture
def impatient(postgres_uri: str, schema: str, tmp_path: Path) -> Iterator[Client]:
    connect = partial(PostgresWarehouse.from_uri, postgres_uri, RetryPolicy(0, 0.1, 1))
    with calling(lambda _: connect(), schema, tmp_path) as client:
        yield client


def refused_by(client: Client, database: Database, own: str) -> str:
    """The task for a batch with a marked value, after statements of the customer's."""
    table = common.Table(name="own", columns=[column("id", common.LONG, key=True), column("text")])
    assert client.create(table).success
    for statement in own.split(";;"):
        name = sql.Identifier(client.schema, "own").as_string()
        text = statement.replace("{0}_", f'"{client.schema}".own_').replace("{0}", name)
        database.connection.execute(text.encode())
    messages = []
    for rows in (1, 2, 3):
        batch: Sequence[Row] = [{"id": i, "text": f"{MARK} '"} for i in range(rows)]
        answer = client.write(table, replace=[batch])
        messages.append(answer.task.message)
    assert any(messages)
    return "".join(messages)


@pytest.mark.parametrize("kind", HAND_MADE)
def test_column_or_constraint_of_the_customer_shows_no_value(
    impatient: Client, database: Database, kind: str
) -> None:
    if kind in {"exclusion", "deferred"}:
        database.needs_local_tables("a constraint of another column cannot hold across workers")
    assert MARK not in refused_by(impatient, database, HAND_MADE[kind])


@pytest.mark.parametrize("state", RAISED)
@pytest.mark.parametrize("when", ["BEFORE INSERT", "DEFERRED"])
def test_trigger_that_raises_with_a_value_shows_none(
    impatient: Client, database: Database, state: str, when: str
) -> None:
    """Whatever SQLSTATE it gives, and also where it runs at the commit."""
    database.needs_local_tables("Citus has no triggers on them")
    deferred = "CREATE CONSTRAINT TRIGGER refuse AFTER INSERT ON {0} DEFERRABLE INITIALLY DEFERRED"
    trigger = deferred if when == "DEFERRED" else "CREATE TRIGGER refuse BEFORE INSERT ON {0}"
    trigger = f"{trigger} FOR EACH ROW EXECUTE FUNCTION {{0}}_refuse()"
    raising = RAISING.replace("ERRCODE = '%'", f"ERRCODE = '{state}'")
    assert MARK not in refused_by(impatient, database, f"{raising};;{trigger}")


def test_key_twice_followed_by_a_broken_row_shows_no_value(
    client: Client, database: Database
) -> None:
    """The driver logs the server's error, which quotes the key, when it cleans up after another."""
    table = common.Table(name="t", columns=[column("id", key=True), column("number", common.LONG)])
    assert client.create(table).success
    lines = [f"{MARK},1"] * 200_000 + [f"{MARK},{MARK}"]
    content = "\n".join(["id,number", *lines, ""]).encode()
    answer = client.send(table, replace_files=[client.files.write_bytes("broken.csv", content)])
    assert MARK not in answer.task.message
    assert answer.task.message
    assert database.rows("t") == []
