"""The session contract: whatever a role or a database sets, the same bytes arrive."""

import re
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg import sql

from destination.cancellation import Cancellation
from destination.sdk import common_pb2 as common
from destination.warehouse.base import Session
from destination.warehouse.citus.contract import SETTINGS as CLUSTERED
from destination.warehouse.postgres.contract import CONTRACT, Setting
from destination.warehouse.postgres.database import PostgresWarehouse
from destination_tester.files import Row
from tests.support.cluster import is_cluster
from tests.support.fix_connector import column
from tests.support.fix_poison import known, poisoned
from tests.support.fix_roles import Role, plays_samples

POISON = {
    "search_path": "public, pg_catalog",
    "client_encoding": "LATIN1",
    "standard_conforming_strings": "off",
    "row_security": "on",
    "TimeZone": "Asia/Kathmandu",
    "DateStyle": "SQL, DMY",
    "IntervalStyle": "sql_standard",
    "extra_float_digits": "-15",
    "bytea_output": "escape",
    "xmloption": "document",
    "lc_monetary": "POSIX",
    "lc_numeric": "POSIX",
    "lc_time": "POSIX",
    "array_nulls": "off",
    "transform_null_equals": "on",
    "quote_all_identifiers": "on",
    "exit_on_error": "on",
    "client_min_messages": "debug5",
    "statement_timeout": "1s",
    "transaction_timeout": "1s",
    "idle_in_transaction_session_timeout": "1s",
    "lock_timeout": "1ms",
    "restrict_nonsystem_relation_kind": "view, foreign-table",
    "jit": "on",
    "work_mem": "64kB",
    "random_page_cost": "1000",
}
"""Another value for each setting of the contract."""
FURTHER = {
    "default_transaction_isolation": "serializable",
    "default_transaction_read_only": "on",
    "default_transaction_deferrable": "on",
    "synchronous_commit": "off",
    "plan_cache_mode": "force_generic_plan",
    "enable_seqscan": "off",
    "enable_hashjoin": "off",
    "enable_mergejoin": "off",
    "enable_sort": "off",
    "escape_string_warning": "off",
    "backslash_quote": "off",
    "default_statistics_target": "1",
    "constraint_exclusion": "on",
    "default_toast_compression": "pglz",
    "debug_parallel_query": "regress",
    "from_collapse_limit": "1",
    "session_replication_role": "replica",
    "default_tablespace": "pg_default",
    "temp_tablespaces": "pg_default",
}
"""Settings that a transaction's first command decides, and some that are respected."""


def test_every_setting_is_poisoned() -> None:
    assert set(POISON) == {setting.name for setting in CONTRACT}


@pytest.mark.parametrize(
    ("name", "without", "with_it"),
    [
        ("search_path", [], [130000, 180001]),
        ("transaction_timeout", [130023, 160999], [170000, 180000]),
        (
            "restrict_nonsystem_relation_kind",
            [120022, 130015, 140012, 150007, 160003],
            [130016, 130023, 140013, 150008, 160004, 170000, 180001],
        ),
    ],
)
def test_setting_is_made_on_versions_that_have_it(
    name: str, without: list[int], with_it: list[int]
) -> None:
    (setting,) = (each for each in CONTRACT if each.name == name)
    assert [version for version in without + with_it if setting.known_to(version)] == with_it


@pytest.mark.parametrize("level", ["ROLE", "DATABASE"])
@pytest.mark.parametrize("setting", CONTRACT, ids=lambda setting: setting.name)
def test_setting_is_what_the_contract_says(own_role: Role, setting: Setting, level: str) -> None:
    if not known(own_role.connection, {setting.name: ""}):
        pytest.skip(f"this server has no {setting.name}")
    with poisoned(own_role, level, {setting.name: POISON[setting.name]}):
        parameters = {**own_role.parameters, "options": ""}
        with psycopg.connect(**parameters, autocommit=True) as connection:
            handed = shown(connection, setting.name)
            connection.execute("BEGIN")
            connection.execute(last_said(connection, setting).command)
            promised = shown(connection, setting.name)
        if setting.name != "client_encoding":  # the driver says it when it connects
            assert handed != promised
        warehouse = PostgresWarehouse(parameters)
        for run in (warehouse.read, warehouse.transact):
            found = run(
                "settings",
                lambda session: session.connection.exec_driver_sql(f"SHOW {setting.name}").scalar(),
                Cancellation(),
            )
            assert found == promised
        warehouse.close()


def last_said(connection: psycopg.Connection, setting: Setting) -> Setting:
    """A setting as a variant of PostgreSQL has it, if it does."""
    further = CLUSTERED if is_cluster(connection) else ()
    return next((each for each in further if each.name == setting.name), setting)


def shown(connection: psycopg.Connection, name: str) -> object:
    row = connection.execute(sql.SQL("SHOW {}").format(sql.Identifier(name))).fetchone()
    assert row is not None
    return row[0]


@pytest.mark.parametrize("level", ["ROLE", "DATABASE"])
@pytest.mark.parametrize("file_type", ["CSV", "PARQUET"])
def test_samples_arrive_whatever_is_set(
    own_role: Role, own_uri: str, tmp_path: Path, level: str, file_type: str
) -> None:
    with poisoned(own_role, level, POISON | FURTHER):
        assert plays_samples(own_role.port, own_uri, tmp_path, file_type)


def test_text_outside_of_latin1_arrives_where_the_role_speaks_latin1(own_role: Role) -> None:
    table = common.Table(name="t", columns=[column("id", common.INT, key=True), column("text")])
    with poisoned(own_role, "ROLE", {"client_encoding": "LATIN1"}):
        assert own_role.client.create(table).success
        assert own_role.client.write(table, replace=[[{"id": 1, "text": "é 日本 😀"}]]).success
    query = sql.SQL("SELECT text FROM {}").format(sql.Identifier(own_role.client.schema, "t"))
    assert own_role.connection.execute(query).fetchall() == [("é 日本 😀",)]


@pytest.mark.parametrize("level", ["repeatable read", "serializable"])
def test_batches_of_one_table_at_once_apply_one_after_the_other(own_role: Role, level: str) -> None:
    table = common.Table(
        name="t", columns=[column("id", common.INT, key=True), column("a"), column("b")]
    )
    row: Row = {"id": 1, "a": "", "b": ""}
    with poisoned(own_role, "ROLE", {"default_transaction_isolation": level}):
        assert own_role.client.create(table).success
        assert own_role.client.write(table, replace=[[row]]).success
        unmodified = own_role.client.files.params.unmodified_string
        for round_ in map(str, range(10)):
            updates: tuple[Row, Row] = (
                {"id": 1, "a": round_, "b": unmodified},
                {"id": 1, "a": unmodified, "b": round_},
            )
            with ThreadPoolExecutor(2) as calls:
                answers = calls.map(
                    lambda row: own_role.client.write(table, update=[[row]]), updates
                )
                assert all(answer.success for answer in answers)
            query = sql.SQL("SELECT a, b FROM {}").format(
                sql.Identifier(own_role.client.schema, "t")
            )
            assert own_role.connection.execute(query).fetchall() == [(round_, round_)]


def asking(query: str) -> Callable[[Session], Any]:
    """Work that asks for one value."""
    return lambda session: session.connection.exec_driver_sql(query).scalar()


@pytest.mark.parametrize("at", ["ROLE", "DATABASE"])
def test_every_transaction_reads_what_was_committed_before_each_statement(
    own_role: Role, at: str
) -> None:
    with poisoned(own_role, at, {"default_transaction_isolation": "serializable"}):
        warehouse = PostgresWarehouse(own_role.parameters)
        for run in (warehouse.read, warehouse.transact):
            query = "SELECT pg_catalog.current_setting('transaction_isolation')"
            assert run("isolation", asking(query), Cancellation()) == "read committed"
        warehouse.close()


@pytest.mark.parametrize(
    "name", ["statement_timeout", "transaction_timeout", "idle_in_transaction_session_timeout"]
)
def test_work_takes_longer_than_a_timeout_of_the_role(own_role: Role, name: str) -> None:
    if not known(own_role.connection, {name: ""}):
        pytest.skip(f"this server has no {name}")
    with poisoned(own_role, "ROLE", {name: "200ms"}):
        warehouse = PostgresWarehouse(own_role.parameters)
        sleep = asking("SELECT pg_catalog.pg_sleep(0.5)::text")
        assert warehouse.transact("sleep", sleep, Cancellation()) == ""
        warehouse.transact("pause", lambda _: Cancellation().sleep(0.5), Cancellation())
        warehouse.close()


def test_lock_is_waited_for_longer_than_the_role_would(own_role: Role, own_uri: str) -> None:
    other = psycopg.connect(own_uri)
    other.execute("SELECT pg_advisory_xact_lock(16)")

    attempts = []

    def wait(session: Session) -> object:
        attempts.append(session)
        ended = threading.Timer(0.5, other.close)
        ended.start()
        asked = "SELECT pg_catalog.pg_advisory_xact_lock(16)::text"
        found = session.connection.exec_driver_sql(asked).scalar()
        ended.join()
        return found

    with poisoned(own_role, "ROLE", {"lock_timeout": "100ms"}):
        warehouse = PostgresWarehouse(own_role.parameters)
        assert warehouse.transact("wait", wait, Cancellation()) == ""
        assert len(attempts) == 1
        warehouse.close()


@pytest.mark.parametrize(("handed", "kept"), [("off", "local"), ("local", "local"), ("on", "on")])
def test_commit_that_is_answered_survives_a_crash(own_role: Role, handed: str, kept: str) -> None:
    with poisoned(own_role, "ROLE", {"synchronous_commit": handed}):
        warehouse = PostgresWarehouse(own_role.parameters)
        found = warehouse.transact(
            "settings",
            lambda session: session.connection.exec_driver_sql("SHOW synchronous_commit").scalar(),
            Cancellation(),
        )
        assert found == kept
        warehouse.close()


@pytest.mark.parametrize("policy", ["", "CREATE POLICY hiding ON {} USING (false)"])
def test_rows_hidden_by_a_policy_are_not_passed_over(own_role: Role, policy: str) -> None:
    table = common.Table(
        name="t",
        columns=[
            column("id", common.INT, key=True),
            column("_fivetran_synced", common.UTC_DATETIME),
        ],
    )
    client, name = own_role.client, sql.Identifier(own_role.client.schema, "t")
    row: Row = {"id": 1, "_fivetran_synced": "2020-01-01T00:00:00Z"}
    assert client.create(table).success
    assert client.write(table, replace=[[row]]).success
    own_role.connection.execute(
        sql.SQL("ALTER TABLE {0} ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY").format(name)
    )
    if policy:
        own_role.connection.execute(sql.SQL(policy).format(name))
    answers = (
        client.write(table, update=[[row]]),
        client.write(table, delete=[[row]]),
        client.write(table, replace=[[row]]),
        client.truncate("t", 2_000_000_000),
    )
    for answer in answers:
        assert "NO FORCE ROW LEVEL SECURITY" in answer.task.message
        assert ("hiding" in answer.task.message) == bool(policy)
    assert client.describe("t").HasField("table")
    assert own_role.connection.execute(
        sql.SQL("SELECT count(*) FROM {}").format(name)
    ).fetchall() == [(1,)]
    own_role.connection.execute(sql.SQL("ALTER TABLE {} NO FORCE ROW LEVEL SECURITY").format(name))
    assert client.write(table, delete=[[row]]).success


def test_documentation_lists_the_contract() -> None:
    operations = (Path(__file__).parents[2] / "docs" / "operations.md").read_text()
    rows = re.findall(r"^\| `(\w+)` \| `(.*?)` \| (.*?) \|$", operations, re.MULTILINE)
    listed = {name: (value, reason) for name, value, reason in reversed(rows)}
    for setting in CONTRACT:
        value = setting.value if isinstance(setting.value, str) else ", ".join(setting.value)
        assert listed[setting.name] == (value or " ", setting.reason)
