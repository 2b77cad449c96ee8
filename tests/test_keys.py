"""Keys and values of types made by hand: they compare, fold and are refused as the table does it."""

from collections.abc import Iterator
from dataclasses import dataclass
from uuid import uuid4

import psycopg
import pytest
from psycopg import sql

from destination.sdk import common_pb2 as common
from destination.warehouse import merging
from destination.warehouse.postgres.kind import connector
from destination_tester.files import Row
from destination_tester.notation import UNMODIFIED, Cell
from destination_tester.stored import ACTIVE, END, OPEN_END, START
from tests.support.fix_connector import Client, calling, column
from tests.support.fix_postgres import Database
from tests.support.fix_server import PASSWORD, SYSTEM_BINARIES, own_server

PREPARATION = """
CREATE SCHEMA {schema};
CREATE EXTENSION citext SCHEMA {schema};
CREATE COLLATION {schema}.ci (provider = icu, locale = 'und-u-ks-level2', deterministic = false);
CREATE COLLATION {schema}.ai (provider = icu, locale = 'und-u-ks-level1', deterministic = false);
CREATE COLLATION {schema}.reverse (provider = icu, locale = 'und-u-kf-upper');
CREATE DOMAIN {schema}.name AS text COLLATE {schema}.ci;
CREATE DOMAIN {schema}.address AS {schema}.citext CHECK (VALUE <> '');
CREATE TYPE {schema}.mood AS ENUM ('a', 'b');
"""


@dataclass(frozen=True)
class Kind:
    """A type made by hand.

    Args:
        name: the type.
        same: notations of one value.
        other: a value that differs from it.
        requested: the type that requests say.
    """

    name: str
    same: tuple[Cell, Cell]
    other: Cell
    requested: common.DataType = common.STRING


KEYS = (
    Kind("text COLLATE {schema}.ci", ("A", "a"), "b"),
    Kind("text COLLATE {schema}.ai", ("É", "e"), "b"),
    Kind("text COLLATE {schema}.reverse", ("A", "A"), "a"),
    Kind("varchar(5) COLLATE {schema}.ci", ("A", "a"), "b"),
    Kind("varchar(5)", ("A", "A"), "a"),
    Kind("char(5)", ("a", "a  "), "A"),
    Kind("{schema}.citext", ("A", "a"), "b"),
    Kind("{schema}.name", ("A", "a"), "b"),
    Kind("{schema}.address", ("A", "a"), "b"),
    Kind("{schema}.mood", ("a", "a"), "b"),
    Kind("numeric(10,2)", ("1.001", "1.004"), "1.01", common.DECIMAL),
    Kind("numeric", ("1.0", "1.00"), "1.01", common.DECIMAL),
    Kind("bigint", ("1", "01"), "2"),
    Kind(
        "uuid",
        ("A0EEBC99-9C0B-4EF8-BB6D-6BB9BD380A11", "a0eebc999c0b4ef8bb6d6bb9bd380a11"),
        "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a12",
    ),
    Kind("int[]", ("{1, 2}", "{1,2}"), "{1,3}"),
    Kind("text[] COLLATE {schema}.ci", ("{A}", "{a}"), "{b}"),
    Kind("inet", ("10.0.0.1", "10.0.0.1/32"), "10.0.0.1/31"),
    Kind("int4range", ("[1,3)", "[1,2]"), "[1,4)"),
    Kind("bit(3)", ("101", "101"), "100"),
    Kind("interval", ("1 day", "24:00:00"), "25:00:00"),
)
COLLATED = [kind for kind in KEYS if kind.name.startswith("text COLLATE")]
"""Texts are copied straight into these, before there is a key."""
VALUES = (
    *KEYS,
    Kind("tsvector", ("'a' 'b'", "'b' 'a'"), "'c'"),
    Kind("jsonb", ('{"a":1}', '{"a": 1}'), "2", common.JSON),
    Kind("point", ("(1,2)", "1,2"), "(1,3)"),
    Kind("int[][]", ("{{1,2},{3,4}}", "{{1,2},{3,4}}"), "{}"),
)


@pytest.fixture(scope="module")
def extended_uri(postgres_uri: str) -> Iterator[str]:
    """A PostgreSQL with ICU and citext: the session's, or an installed one."""
    with psycopg.connect(postgres_uri) as connection:
        found = connection.execute(
            "SELECT FROM pg_available_extensions WHERE name = 'citext'"
            " AND (SELECT count(*) > 1 FROM pg_collation WHERE collprovider = 'i')"
        ).fetchone()
    if found is not None:
        yield postgres_uri
        return
    if not SYSTEM_BINARIES:
        pytest.skip("no PostgreSQL with ICU and citext is on this machine")
    with own_server(SYSTEM_BINARIES[-1]) as server:
        server.start()
        yield f"postgresql://postgres:{PASSWORD}@127.0.0.1:{server.port}/postgres"


@pytest.fixture(scope="module")
def extended(extended_uri: str) -> Iterator[Database]:
    """A schema that holds the types."""
    with psycopg.connect(extended_uri, autocommit=True) as connection:
        database = Database(connection, f"keys_{uuid4().hex[:12]}", extended_uri)
        for statement in filter(str.strip, PREPARATION.split(";")):
            database.execute(statement)
        yield database
        made = "SELECT tablename FROM pg_tables WHERE schemaname = %s"
        for (name,) in connection.execute(made, [database.schema]).fetchall():
            database.execute("DROP TABLE {schema}.{table}", table=name)  # Citus: before its types
        database.execute("DROP SCHEMA {schema} CASCADE")


@pytest.fixture(scope="module")
def typed(
    extended: Database, extended_uri: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Client]:
    directory = tmp_path_factory.mktemp("typed")
    with calling(connector(extended_uri), extended.schema, directory) as client:
        yield client


def make(
    client: Client, database: Database, kind: Kind, name: str, *more: common.Column
) -> common.Table:
    """A table with a column of a type made by hand."""
    wanted = common.Table(
        name=f"t_{uuid4().hex}",
        columns=[column(name, kind.requested, key=name == "k"), *more],
    )
    assert client.create(wanted).success
    with database.gathered(wanted.name):
        database.execute(
            f"ALTER TABLE {{schema}}.{{table}} ALTER {{column}} TYPE {kind.name} USING NULL",
            table=wanted.name, column=name,
        )  # fmt: skip
    return wanted


def rows(*cells: tuple[Cell, Cell]) -> list[Row]:
    return [{"k": key, "v": value} for key, value in cells]


@pytest.mark.parametrize(
    ("kind", "few"),
    [
        *(pytest.param(kind, 0, id=f"{kind.name} upserted") for kind in KEYS),
        *(
            pytest.param(kind, merging.TABLE_SHARE, id=f"{kind.name} replaced")
            for kind in KEYS[::5]
        ),
    ],
)
def test_keys_are_the_same_where_the_table_says_so(
    typed: Client, extended: Database, kind: Kind, few: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whether rows are upserted, or deleted and inserted anew."""
    monkeypatch.setattr(merging, "TABLE_SHARE", few)
    one, same = kind.same
    wanted = make(typed, extended, kind, "k", column("v"), column("w"))

    def values() -> list[tuple[object, ...]]:
        return extended.rows(wanted.name, "v", "w")

    first = rows((one, "a"), (same, "b"), (kind.other, "c"))
    for files in ([first], [rows((same, "d")), rows((one, "e"))], [rows((same, "f"))]):
        answer = typed.write(wanted, replace=files)
        assert answer.success, answer
    assert values() == [("c", None), ("f", None)]
    updates: list[Row] = [
        {"k": same, "v": "g", "w": UNMODIFIED},
        {"k": one, "v": UNMODIFIED, "w": "h"},
        {"k": same, "v": "i", "w": UNMODIFIED},
    ]
    answer = typed.write(wanted, update=[updates[:2], updates[2:]])
    assert answer.success, answer
    assert values() == [("c", None), ("i", "h")]
    for key in kind.same:
        answer = typed.write(wanted, update=[[{"k": key, "v": str(key), "w": UNMODIFIED}]])
        assert answer.success, answer
        assert set(values()) == {(str(key), "h"), ("c", None)}
    answer = typed.write(wanted, delete=[[{"k": one}]])
    assert answer.success, answer
    assert values() == [("c", None)]


@pytest.mark.parametrize("repeats", [True, False], ids=["key repeats", "keys once"])
@pytest.mark.parametrize("kind", COLLATED, ids=lambda kind: kind.name)
def test_keys_of_a_large_first_load_are_the_same_where_the_table_says_so(
    typed: Client, extended: Database, kind: Kind, monkeypatch: pytest.MonkeyPatch, *, repeats: bool
) -> None:
    """The index of the key is built last, and only from keys that differ."""
    extended.needs_local_tables("their key is there before their rows")
    monkeypatch.setattr(merging, "FAST_WAY_BYTES", 0)
    one, same = kind.same
    wanted = make(typed, extended, kind, "k", column("v"))
    name = sql.Identifier(extended.schema, wanted.name).as_string()
    key = f"SELECT oid FROM pg_constraint WHERE conrelid = '{name}'::regclass AND contype = 'p'"
    before = extended.execute(key)
    cells = [(one, "a"), (kind.other, "b"), *([(same, "c")] if repeats else [])]
    answer = typed.write(wanted, replace=[rows(*cells)])
    assert answer.success, answer
    assert extended.rows(wanted.name, "v") == [("b",), ("c",)] if repeats else [("a",), ("b",)]
    assert (extended.execute(key) == before) == repeats
    answer = typed.write(wanted, replace=[rows((same, "d"))])
    assert answer.success, answer
    assert extended.rows(wanted.name, "v") == [("b",), ("d",)]


@pytest.mark.parametrize("kind", KEYS, ids=lambda kind: kind.name)
def test_records_are_the_same_where_the_table_says_so(
    typed: Client, extended: Database, kind: Kind
) -> None:
    one, same = kind.same
    wanted = make(
        typed, extended, kind, "k", column("v"), column("w"),
        column(START, common.UTC_DATETIME, key=True), column(END, common.UTC_DATETIME),
        column(ACTIVE, common.BOOLEAN),
    )  # fmt: skip

    def version(key: Cell, day: int, **cells: Cell) -> Row:
        start = f"2020-01-{day:02}T00:00:00Z"
        return {
            "k": key,
            "v": UNMODIFIED,
            "w": UNMODIFIED,
            **cells,
            START: start,
            END: OPEN_END,
            ACTIVE: True,
        }

    def ended(day: int) -> Row:
        return {END: f"2020-01-{day:02}T00:00:00Z", ACTIVE: False}

    def starts(*keys: tuple[Cell, int]) -> list[Row]:
        return [{"k": key, START: f"2020-01-{day:02}T00:00:00Z"} for key, day in keys]

    first = [version(one, 1, v="a", w="a"), version(kind.other, 1, v="z", w="z")]
    answer = typed.write_history(wanted, replace=[first])
    assert answer.success, answer
    updates = [
        {**version(same, 3, v="b"), **ended(5)},
        version(one, 5, w="c"),
        version(same, 5, v="d"),
    ]
    for _ in range(2):
        answer = typed.write_history(
            wanted, earliest=[starts((same, 5), (one, 3))], update=[updates]
        )
        assert answer.success, answer
    ends: list[Row] = [{"k": key, END: "2020-01-07T00:00:00Z"} for key in (same, one)]
    answer = typed.write_history(wanted, delete=[ends])
    assert answer.success, answer
    found = extended.rows(wanted.name, "v", "w", START, END, ACTIVE)
    assert [(v, w, start.day, end.day, active) for v, w, start, end, active in found] == [
        ("a", "a", 1, 2, False),
        ("b", "a", 3, 5, False),
        ("d", "c", 5, 7, False),
        ("z", "z", 1, 31, True),
    ]


@pytest.mark.parametrize("kind", VALUES, ids=lambda kind: kind.name)
def test_values_of_any_type_are_updated_and_folded(
    typed: Client, extended: Database, kind: Kind
) -> None:
    id_ = column("id", common.INT, key=True)
    wanted = make(typed, extended, kind, "v", id_, column("w"))
    first: Row = {"id": 1, "v": kind.other, "w": ""}
    for _ in range(2):
        answer = typed.write(wanted, replace=[[first, {**first, "id": 2}]])
        assert answer.success, answer
    updates: list[Row] = [
        {"id": 1, "v": kind.same[0], "w": "a"},
        {"id": 1, "v": UNMODIFIED, "w": "b"},
        {"id": 2, "v": kind.same[1], "w": "b"},
        {"id": 2, "v": UNMODIFIED, "w": UNMODIFIED},
    ]
    answer = typed.write(wanted, update=[updates])
    assert answer.success, answer
    plain = kind.name.split(" COLLATE")[0].format(schema=f'"{extended.schema}"')
    expected = [
        extended.connection.execute(f"SELECT CAST(CAST(%s AS {plain}) AS text)", [each]).fetchone()
        for each in kind.same
    ]
    found = extended.execute(  # not in one query: a cluster's workers cannot read a varchar as text
        "WITH read AS MATERIALIZED (SELECT id, v, w FROM {schema}.{table})"
        " SELECT v::text, w FROM read ORDER BY id", table=wanted.name
    )  # fmt: skip
    assert found == [(*each, "b") for each in expected if each]


REFUSED = (
    Kind("uuid", ("", ""), "no uuid"),
    Kind("{schema}.mood", ("", ""), "neither"),
    Kind("{schema}.address", ("", ""), ""),
    Kind("varchar(3)", ("", ""), "abcd"),
    Kind("char(3)", ("", ""), "abcd"),
    Kind("int[]", ("", ""), "{1"),
    Kind("smallint", ("", ""), "32768"),
    Kind("numeric(4,2)", ("", ""), "100", common.DECIMAL),
    Kind("jsonb", ("", ""), '"\\u0000"', common.JSON),
    Kind("date", ("", ""), "2020-02-30"),
    Kind("bit(3)", ("", ""), "1010"),
    Kind("tsvector", ("", ""), "'"),
    Kind("tsquery", ("", ""), "a &"),
    Kind("jsonpath", ("", ""), "$.["),
    Kind("regclass", ("", ""), "no.table"),
    Kind("regtype", ("", ""), "no_type"),
    Kind("regconfig", ("", ""), "no_configuration"),
    Kind("regproc", ("", ""), "no_function"),
    Kind("regoperator", ("", ""), "+(no_type,no_type)"),
    Kind("regrole", ("", ""), "nobody_of_this_name"),
    Kind("regnamespace", ("", ""), "nowhere_of_this_name"),
)


@pytest.mark.parametrize("kind", REFUSED, ids=lambda kind: kind.name)
def test_value_that_a_type_refuses_is_told_with_its_place(
    typed: Client, extended: Database, kind: Kind
) -> None:
    wanted = make(typed, extended, kind, "v", column("id", common.INT, key=True), column("w"))
    held: Row = {"id": 0, "v": None, "w": ""}
    assert typed.write(wanted, replace=[[held]]).success
    good, bad = ([{**held, "id": i} for i in range(10 * n, 10 * n + 7)] for n in (0, 1))
    bad[4] = {**bad[4], "v": kind.other}
    for files in ("replace", "update"):
        told = typed.write(wanted, **{files: [good, bad]}).task.message
        _, place, reason = told.partition(', row 5, column "v": ')
        assert place, told
        assert told.count("batch file") == 1
        assert str(kind.other) not in reason or not kind.other
    assert extended.rows(wanted.name, "id") == [(0,)]


@pytest.mark.parametrize("files", ["replace", "update", "delete"])
def test_key_that_a_type_refuses_is_told_with_its_place(
    typed: Client, extended: Database, files: str
) -> None:
    wanted = make(typed, extended, Kind("uuid", ("", ""), ""), "k", column("v"))
    keys = ["A0EEBC99-9C0B-4EF8-BB6D-6BB9BD380A11", "a key like none", "neither"]
    told = typed.write(wanted, **{files: [rows(*((key, "") for key in keys))]}).task.message
    assert ', row 2, column "k": ' in told, told
    assert "a key like none" not in told


def test_large_file_for_a_key_of_another_type_is_loaded(
    typed: Client, extended: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(merging, "FAST_WAY_BYTES", 0)
    wanted = make(typed, extended, Kind("bigint", ("", ""), ""), "k", column("v"))
    for first in (0, 5):
        keys = [str(key) for key in range(first, first + 10)]
        answer = typed.write(wanted, replace=[rows(*((key, str(first)) for key in keys))])
        assert answer.success, answer
    assert extended.rows(wanted.name) == sorted(
        [*((key, "0") for key in range(5)), *((key, "5") for key in range(5, 15))], key=repr
    )
