"""Settings that a session inherits: those of the contract change nothing, others what the documents say."""

from concurrent.futures import ThreadPoolExecutor

import psycopg
import pytest
from psycopg import sql

from destination.sdk import common_pb2 as common
from destination.warehouse.postgres import contract
from destination.warehouse.postgres.contract import Setting
from tests.support.cluster import is_cluster
from tests.support.fix_connector import column
from tests.support.fix_poison import poisoned
from tests.support.fix_roles import Role
from tests.support.migrations import HISTORY, version
from tests.support.waiting import wait_until

LEVELS = ("ROLE", "DATABASE")
KEY = column("id", common.INT, key=True)
NOTATIONS = {
    "BOOLEAN": "true",
    "LONG": "-9223372036854775808",
    "DECIMAL": "123456.7890",
    "FLOAT": "0.1",
    "DOUBLE": "9.999999999999998E+13",
    "NAIVE_DATE": "2007-03-02",
    "NAIVE_TIME": "10:15:30.500",
    "NAIVE_DATETIME": "2007-03-02T10:15",
    "UTC_DATETIME": "2007-03-02T10:15:30Z",
    "BINARY": "AFxh/w==",
    "JSON": '{"a":  1.0}',
    "XML": "a<b/>",
}
"""A value of each type, as Fivetran writes it."""
HAND_MADE = {
    "interval": "1 year -00:00:01.5",
    "money": "$1,234.50",
    "xml": "a<b/>",
    "bytea[]": r'{"\\x5c61ff"}',
    "double precision[]": "{99999999999999.98,0.1}",
    "date[]": "{2007-03-02}",
    "timestamptz[]": '{"2007-03-02 10:15:30+00"}',
    "text[]": "{NULL}",
}
"""A value of types that only a customer gives a column, as PostgreSQL writes it under the contract."""
NOTATION = {
    "DateStyle": "SQL, DMY",
    "IntervalStyle": "sql_standard",
    "TimeZone": "Asia/Kathmandu",
    "extra_float_digits": "-15",
    "bytea_output": "escape",
    "quote_all_identifiers": "on",
    "xmloption": "document",
    "lc_monetary": "de_DE.UTF-8",
    "lc_numeric": "de_DE.UTF-8",
    "lc_time": "de_DE.UTF-8",
    "array_nulls": "off",
}
"""Settings that say how values are written and read."""


def rows(role: Role, columns: str, table: str = "t") -> list[tuple[object, ...]]:
    """What a table holds."""
    query = sql.SQL("SELECT {} FROM {} ORDER BY 1").format(
        sql.SQL(columns), sql.Identifier(role.client.schema, table)
    )
    return role.connection.execute(query).fetchall()


@pytest.mark.parametrize("level", LEVELS)
def test_values_become_texts_in_fivetrans_notation(own_role: Role, level: str) -> None:
    typed = [column(name, getattr(common, name)) for name in NOTATIONS]
    texts = [column(name, common.STRING) for name in NOTATIONS]
    with poisoned(own_role, level, NOTATION):
        assert own_role.client.create(common.Table(name="t", columns=[KEY, *typed])).success
        table = common.Table(name="t", columns=[KEY, *typed])
        assert own_role.client.write(table, replace=[[{"id": 1, **NOTATIONS}]]).success
        answer = own_role.client.alter(common.Table(name="t", columns=[KEY, *texts]))
        assert answer.success, answer
    assert rows(own_role, "*") == [(1, *NOTATIONS.values())]


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("kind", HAND_MADE)
def test_values_of_hand_made_types_become_the_same_texts_everywhere(
    own_role: Role, level: str, kind: str
) -> None:
    client, value = own_role.client, HAND_MADE[kind]
    described = column("v", common.XML if kind == "xml" else common.STRING)
    other = column("v", common.STRING if kind == "xml" else common.XML)
    with poisoned(own_role, level, NOTATION):
        table = common.Table(name="t", columns=[KEY, described])
        assert client.create(table).success
        retype = f"ALTER TABLE {{}} ALTER v TYPE {kind} USING NULL"
        own_role.connection.execute(sql.SQL(retype).format(sql.Identifier(client.schema, "t")))
        written = client.write(table, replace=[[{"id": 1, "v": value}]])
        if kind == "xml" and "0A000" in written.task.message:
            pytest.skip("this server has no xml")
        assert written.success, written
        altered = client.alter(common.Table(name="t", columns=[KEY, other]))
        assert altered.success, altered
    assert rows(own_role, "v") == [(value,)]


@pytest.mark.parametrize("level", ["repeatable read", "serializable"])
def test_versions_at_once_leave_one_active(own_role: Role, own_uri: str, level: str) -> None:
    """Both wait as long as another session has the table locked."""
    client, table = own_role.client, sql.Identifier(own_role.client.schema, "t")
    versions = [version(1, f"2020-01-0{day}T00:00:00Z") for day in (1, 2)]
    waiting = (
        "SELECT count(*) FROM pg_locks WHERE NOT granted AND database ="
        " (SELECT oid FROM pg_database WHERE datname = current_database())"
    )
    with (
        poisoned(own_role, "ROLE", {"default_transaction_isolation": level}),
        ThreadPoolExecutor(2) as calls,
    ):
        assert client.create(HISTORY).success
        with psycopg.connect(own_uri) as other:
            other.execute(sql.SQL("LOCK TABLE {} IN ACCESS EXCLUSIVE MODE").format(table))
            writing = [
                calls.submit(client.write_history, HISTORY, replace=[[each]]) for each in versions
            ]
            wait_until(lambda: own_role.connection.execute(waiting).fetchone() == (2,))
        for each in writing:
            assert each.result().success, each.result()
    assert rows(own_role, "_fivetran_start::date::text, _fivetran_active") == [
        ("2020-01-01", False),
        ("2020-01-02", True),
    ]


@pytest.mark.parametrize("name", ["session_replication_role", "no_setting_of_postgresql"])
def test_setting_that_the_server_refuses_is_named(
    own_role: Role, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """As a server that keeps it to its superusers, and one that calls itself PostgreSQL, refuse one."""
    refused = Setting(name, "origin", "of the test alone")
    monkeypatch.setattr(contract, "CONTRACT", (*contract.CONTRACT, refused))
    monkeypatch.setattr(contract, "_opening", contract._opening.__wrapped__)  # noqa: SLF001
    answer = own_role.client.create(common.Table(name="t", columns=[KEY]))
    assert "the server refuses a setting" in answer.task.message
    assert f'"{name}"' in answer.task.message
    assert "let the user set it" in answer.task.message


@pytest.mark.parametrize("level", LEVELS)
def test_tables_belong_to_the_role_that_is_set(own_role: Role, level: str) -> None:
    client, owner = own_role.client, f"{own_role.name}_owner"
    named = own_role.connection.info.dbname, own_role.name
    if level == "DATABASE" and is_cluster(own_role.connection):
        pytest.skip("Citus's own sessions would have it too")
    place = sql.SQL(f"{level} {{}}").format(sql.Identifier(named[level == "ROLE"]))
    role = sql.Identifier(owner)
    # Citus logs in to workers as the role that is set.
    own_role.connection.execute(sql.SQL("CREATE ROLE {} LOGIN").format(role))
    own_role.grant("GRANT {} TO {}", owner)
    own_role.connection.execute(
        sql.SQL("GRANT CREATE, TEMPORARY ON DATABASE {} TO {}").format(
            sql.Identifier(named[0]), role
        )
    )
    own_role.connection.execute(sql.SQL("ALTER {} SET role TO {}").format(place, role))
    try:
        table = common.Table(name="t", columns=[KEY, column("v")])
        assert client.create(table).success
        for text in ("a", "b"):
            assert client.write(table, replace=[[{"id": 1, "v": text}]]).success
        wider = common.Table(name="t", columns=[*table.columns, column("w")])
        assert client.alter(wider).success
        owned = "SELECT tableowner FROM pg_tables WHERE schemaname = %s"
        found = own_role.connection.execute(owned, [client.schema]).fetchall()
        assert found == [(owner,)]
        assert rows(own_role, "*") == [(1, "b", None)]
    finally:
        own_role.connection.execute(sql.SQL("ALTER {} RESET role").format(place))
        own_role.connection.execute(sql.SQL("DROP OWNED BY {} CASCADE").format(role))
        own_role.connection.execute(sql.SQL("DROP ROLE {}").format(role))


@pytest.mark.parametrize("level", LEVELS)
def test_rows_are_stored_by_the_access_method_that_is_set(own_role: Role, level: str) -> None:
    if is_cluster(own_role.connection):
        pytest.skip("workers lack the access method")
    client, connection = own_role.client, own_role.connection
    connection.execute("CREATE ACCESS METHOD own TYPE TABLE HANDLER heap_tableam_handler")
    table = common.Table(name="t", columns=[KEY, column("v")])
    try:
        with poisoned(own_role, level, {"default_table_access_method": "own"}):
            assert client.create(table).success
            for text in ("a", "b"):
                assert client.write(table, replace=[[{"id": 1, "v": text}]]).success
        stored = (
            "SELECT amname FROM pg_class c JOIN pg_am m ON m.oid = c.relam"
            " WHERE c.oid = to_regclass(%s)"
        )
        name = sql.Identifier(client.schema, "t").as_string()
        assert connection.execute(stored, [name]).fetchall() == [("own",)]
        assert rows(own_role, "*") == [(1, "b")]
    finally:
        connection.execute("DROP ACCESS METHOD own CASCADE")
