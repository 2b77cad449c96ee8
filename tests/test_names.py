"""Names: what is stored is found by its name alone, whatever becomes of comments."""

import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from destination.schema import DataType
from destination.sdk import common_pb2 as common
from destination.sdk import destination_sdk_pb2 as sdk
from destination.warehouse.naming import Alias
from destination.warehouse.postgres.session import TRAITS
from destination_tester.files import Row
from destination_tester.notation import UNMODIFIED
from destination_tester.stored import ACTIVE, DELETED, END, OPEN_END, START, SYNCED
from tests.support.fix_connector import Client, column
from tests.support.fix_postgres import Database, lose_comments
from tests.support.migrations import rename_column, rename_table
from tests.support.strategies import NASTY_NAMES

NAMING = TRAITS.naming
ID = column("id", common.INT, key=True)
LONG_NAME = "a name that PostgreSQL would cut, since it has more than 63 bytes"
SYSTEM_COLUMNS = ["ctid", "xmin", "xmax", "cmin", "cmax", "tableoid", "oid"]
OWN_NAMES = [*Alias, "fivetran_staging_1", "excluded", "t_0123456789ab_pkey"]
EARLIER_ALIASES = ["versions", "numbered", "chains", "traced"]
"""Of statements of version 0.1.0, which a table could have."""
names = st.sampled_from([*NASTY_NAMES, *SYSTEM_COLUMNS, *OWN_NAMES, LONG_NAME]) | st.text(
    st.characters(codec="utf-8", exclude_characters="\0"), min_size=1, max_size=80
)
words = names | st.just("")


def table(*columns: common.Column, name: str = "t") -> common.Table:
    return common.Table(name=name, columns=columns)


def comments(database: Database, name: str) -> dict[object, object]:
    found = database.execute(
        "SELECT attname::text, col_description(attrelid, attnum) FROM pg_attribute"
        " WHERE attrelid = '{schema}.{name}'::regclass AND attnum > 0 AND NOT attisdropped",
        name=name,
    )
    return dict(found)  # type: ignore[arg-type]


# The names themselves


@given(name=names, other=names)
def test_stored_names_fit_and_stay_apart(name: str, other: str) -> None:
    stored = NAMING.stored(name)
    assert len(stored.encode()) <= 63
    assert NAMING.stored(stored) == stored
    assert stored not in (*SYSTEM_COLUMNS[:-1], *OWN_NAMES[:-2], OWN_NAMES[-1])
    if name != other:
        assert stored != NAMING.stored(other) or stored in (name, other)


@given(name=names)
def test_keys_have_names_that_nothing_else_has(name: str) -> None:
    stored = NAMING.stored(name)
    key = NAMING.key(stored)
    assert len(key.encode()) <= 63
    assert key != NAMING.key(stored)
    assert NAMING.stored(key) != key


@given(
    before=words, name=names, other=names, told=st.none() | st.sampled_from(DataType), after=words
)
def test_comments_tell_names_and_types_and_keep_other_words(
    before: str, name: str, other: str, told: DataType | None, after: str
) -> None:
    stored = NAMING.stored(name)
    comment = NAMING.comment(before, name, told)
    assert NAMING.full(stored, comment) == name
    assert NAMING.noted_type(stored, comment) == told
    assert NAMING.words(stored, comment) == before
    assert NAMING.full(NAMING.stored(other), comment) in (other, NAMING.stored(other))
    if "\n" not in name:
        assert NAMING.full(stored, f"{comment or ''}\n{after}") == name


def test_name_with_blanks_is_found_above_words_of_the_customer() -> None:
    name = "two words " * 20
    assert NAMING.full(NAMING.stored(name), f"mine\nFivetran name: {name}\nmine, too") == name


# Tables


def test_comment_of_the_customer_on_a_long_name_changes_nothing(
    client: Client, database: Database
) -> None:
    wanted = table(ID, column(LONG_NAME), column("drop me"))
    assert client.create(wanted).success
    row: Row = {"id": 1, LONG_NAME: "kept", "drop me": ""}
    assert client.write(wanted, replace=[[row]]).success
    stored = NAMING.stored(LONG_NAME)
    database.execute("COMMENT ON COLUMN {schema}.t.{column} IS 'mine'", column=stored)
    narrow = table(ID, column(LONG_NAME))
    assert client.alter(narrow).success
    assert database.rows("t") == [(1, "kept", "")]
    assert client.alter(narrow, drop=True).success
    assert database.rows("t") == [(1, "kept")]
    assert client.write(narrow, update=[[{"id": 1, LONG_NAME: "later"}]]).success
    assert client.write(narrow, replace=[[{"id": 2, LONG_NAME: "new"}]]).success
    assert database.rows("t") == [(1, "later"), (2, "new")]
    assert comments(database, "t")[stored] == f"mine\nFivetran name: {LONG_NAME}"
    assert client.describe("t").table == narrow


@pytest.mark.parametrize("longer", ["", f" {LONG_NAME}"], ids=["short", "long"])
def test_schema_bears_its_name_where_it_is_stored_as_another(
    client: Client, database: Database, longer: str
) -> None:
    client.schema += longer
    database.schema = NAMING.stored(client.schema)
    assert client.create(table(ID)).success
    comment = database.execute("SELECT obj_description('{schema}'::regnamespace, 'pg_namespace')")
    database.execute("DROP SCHEMA {schema} CASCADE")
    assert comment == [(f"Fivetran name: {client.schema}" if longer else None,)]


def test_tables_without_their_comments_are_as_before(client: Client, database: Database) -> None:
    client.schema = database.schema = f"{database.schema} {LONG_NAME}"
    wanted = table(
        column(f"{LONG_NAME} key", common.INT, key=True),
        column(LONG_NAME),
        column("xmin", common.INT),
        name=LONG_NAME,
    )
    assert client.create(wanted).success
    rows: list[Row] = [{f"{LONG_NAME} key": 1, LONG_NAME: "a", "xmin": 7}]
    database.schema = NAMING.stored(client.schema)
    lose_comments(database.connection, database.schema)
    stored = NAMING.stored(LONG_NAME)
    for _ in range(2):
        assert client.write(wanted, replace=[rows]).success
    assert client.write(wanted, update=[[{**rows[0], LONG_NAME: UNMODIFIED, "xmin": 8}]]).success
    assert database.rows(stored) == [(1, "a", 8)]
    described = client.describe(LONG_NAME).table
    assert [c.name for c in described.columns] == [NAMING.stored(c.name) for c in wanted.columns]
    assert client.alter(wanted, drop=True).success
    assert client.describe(LONG_NAME).table == wanted
    assert client.write(wanted, delete=[rows]).success
    assert database.rows(stored) == []
    database.execute("DROP SCHEMA {schema} CASCADE")


def test_migrations_find_columns_that_lost_their_comments(
    client: Client, database: Database
) -> None:
    wanted = table(ID, column(LONG_NAME))
    assert client.create(wanted).success
    assert client.write(wanted, replace=[[{"id": 1, LONG_NAME: "a"}]]).success
    lose_comments(database.connection, database.schema)
    value = sdk.UpdateColumnValueOperation(column=LONG_NAME, value="b")
    assert client.migrate("t", update_column_value=value).success
    copied = sdk.CopyColumn(from_column=LONG_NAME, to_column="copied")
    assert client.migrate("t", copy=sdk.CopyOperation(copy_column=copied)).success
    assert client.migrate("t", **rename_column(LONG_NAME, "ctid")).success
    assert client.describe("t").table == table(ID, column("ctid"), column("copied"))
    assert database.rows("t") == [(1, "b", "b")]


def test_restore_without_comments_loses_nothing(
    client: Client, database: Database, postgres_uri: str, tmp_path: Path
) -> None:
    wanted = table(ID, column(LONG_NAME), column("ctid"), column("drop me"), name="t")
    assert client.create(wanted).success
    row: Row = {"id": 1, LONG_NAME: "a", "ctid": "b", "drop me": "c"}
    assert client.write(wanted, replace=[[row]]).success
    database.execute("ALTER TABLE {schema}.t ADD by_hand text DEFAULT 'mine'")
    [(programs,)] = database.execute("SELECT setting FROM pg_config WHERE name = 'BINDIR'")
    dump, restore = (Path(str(programs), program) for program in ("pg_dump", "pg_restore"))
    if not dump.exists():
        pytest.skip("the server's pg_dump is not on this machine")
    saved = tmp_path / "saved"
    schema = [f"--schema={database.schema}", "-d", postgres_uri]
    subprocess.run([dump, "-Fc", f"--file={saved}", *schema], check=True)
    database.execute("DROP SCHEMA {schema} CASCADE")
    database.execute("CREATE SCHEMA {schema}")
    subprocess.run([restore, "--no-comments", *schema, saved], check=True)
    assert set(comments(database, "t").values()) == {None}
    narrow = table(ID, column(LONG_NAME), column("ctid"))
    assert client.alter(narrow, drop=True).success
    assert client.write(narrow, replace=[[{"id": 2, LONG_NAME: "d", "ctid": "e"}]]).success
    assert database.rows("t") == [(1, "a", "b", "mine"), (2, "d", "e", "mine")]
    assert [c.name for c in client.describe("t").table.columns[:-1]] == ["id", LONG_NAME, "ctid"]


def test_xml_without_its_comment_is_text_until_a_request_says_xml(
    client: Client, database: Database
) -> None:
    wanted = table(ID, column("x", common.XML))
    assert client.create(wanted).success
    database.execute("COMMENT ON COLUMN {schema}.t.x IS 'mine'")
    assert client.describe("t").table == table(ID, column("x"))
    database.execute("CREATE VIEW {schema}.v AS SELECT x FROM {schema}.t")  # forbids a retype
    assert client.write(wanted, replace=[[{"id": 1, "x": "<a/>"}]]).success
    assert client.alter(wanted).success
    assert client.describe("t").table == wanted
    assert comments(database, "t")["x"] == "mine\nFivetran type: XML"
    assert client.alter(table(ID, column("x"))).success
    assert comments(database, "t")["x"] == "mine"
    assert database.rows("t") == [(1, "<a/>")]


def test_comments_of_the_customer_survive_every_change(client: Client, database: Database) -> None:
    wanted = table(ID, column("v", common.INT), column(SYNCED, common.UTC_DATETIME))
    assert client.create(wanted).success
    row: Row = {"id": 1, "v": 1, SYNCED: "2020-01-01T00:00:00Z"}
    assert client.write(wanted, replace=[[row]]).success
    database.execute("COMMENT ON COLUMN {schema}.t.v IS E'mine\\n'")
    database.execute("COMMENT ON TABLE {schema}.t IS 'my table'")
    for kind in (common.LONG, common.STRING, common.XML):
        assert client.alter(table(ID, column("v", kind), wanted.columns[2])).success
    assert comments(database, "t")["v"] == "mine\n\nFivetran type: XML"
    for target in (LONG_NAME, "xmax", "v"):
        source = {"xmax": LONG_NAME, "v": "xmax"}.get(target, "v")
        assert client.migrate("t", **rename_column(source, target)).success
        assert client.describe("t").table.columns[1] == column(target, common.XML)
    assert comments(database, "t")["v"] == "mine\n\nFivetran type: XML"
    mode = sdk.TableSyncModeMigrationOperation(type=sdk.SOFT_DELETE_TO_HISTORY)
    assert client.migrate("t", table_sync_mode_migration=mode).success
    assert client.migrate("t", **rename_table("t", LONG_NAME)).success
    assert client.migrate(LONG_NAME, **rename_table(LONG_NAME, "t")).success
    assert client.alter(table(ID, column("v"), wanted.columns[2])).success
    assert comments(database, "t")["v"] == "mine\n"
    assert database.execute("SELECT obj_description('{schema}.t'::regclass)") == [("my table",)]


def test_comment_of_the_customer_on_the_key_survives_another_key(
    client: Client, database: Database
) -> None:
    said = (
        "SELECT conname::text, obj_description(oid), obj_description(conindid)"
        " FROM pg_constraint WHERE contype = 'p' AND conrelid = '{schema}.t'::regclass"
    )
    assert client.create(table(ID)).success
    [(name, *_)] = database.execute(said)
    database.execute("COMMENT ON CONSTRAINT {name} ON {schema}.t IS 'it''s mine'", name=str(name))
    database.execute("COMMENT ON INDEX {schema}.{name} IS 'this too'", name=str(name))
    for wanted in (
        table(ID, column("other", common.INT, key=True)),
        table(ID, column("other", common.LONG, key=True), column("v")),
        table(ID, column("other", common.LONG), column("v")),
    ):
        assert client.alter(wanted).success
        assert [told for _, *told in database.execute(said)] == [["it's mine", "this too"]]


@pytest.mark.parametrize(
    "name", [*OWN_NAMES, *EARLIER_ALIASES, *(alias.rsplit("_", 1)[1] for alias in Alias)]
)
def test_tables_may_have_the_names_that_statements_use(
    client: Client, database: Database, name: str
) -> None:
    wanted = table(
        ID,
        column(name),
        column(START, common.UTC_DATETIME, key=True),
        column(END, common.UTC_DATETIME),
        column(ACTIVE, common.BOOLEAN),
        name=name,
    )

    def version(day: int, value: object = UNMODIFIED) -> Row:
        start, end = f"2020-01-{day:02}T00:00:00Z", OPEN_END
        return {"id": 1, name: value, START: start, END: end, ACTIVE: True}  # type: ignore[dict-item]

    assert client.create(wanted).success
    first = version(1, "a")
    twice = [version(3, "b"), version(3), version(5)]
    for _ in range(2):
        assert client.write_history(wanted, replace=[[first]]).success
        key = {each: first[each] for each in ("id", START)}
        assert client.write_history(wanted, earliest=[[{**key, START: twice[0][START]}]]).success
        assert client.write_history(wanted, update=[twice]).success
        ends: list[Row] = [{"id": 1, END: "2020-01-07T00:00:00Z"}] * 2
        assert client.write_history(wanted, delete=[ends]).success
    assert client.write(wanted, replace=[[first, first]], update=[[version(1, "c")] * 2]).success
    stored = NAMING.stored(name)
    assert database.rows(stored, NAMING.stored(name)) == [("b",), ("b",), ("c",)]
    mode = sdk.TableSyncModeMigrationOperation(
        type=sdk.HISTORY_TO_SOFT_DELETE, soft_deleted_column=DELETED
    )
    assert client.migrate(name, table_sync_mode_migration=mode).success
    assert database.rows(stored, NAMING.stored(name), DELETED) == [("b", True)]
    assert client.describe(name).table.columns[1] == column(name)


@pytest.mark.parametrize("name", SYSTEM_COLUMNS)
def test_columns_may_have_the_names_of_system_columns(
    client: Client, database: Database, name: str
) -> None:
    wanted = table(column(name, common.INT, key=True), column("v"))
    assert client.create(wanted).success
    for value in ("a", "b"):
        assert client.write(wanted, replace=[[{name: 1, "v": value}]]).success
    assert client.write(wanted, update=[[{name: 1, "v": "c"}]]).success
    assert client.describe("t").table == wanted
    assert client.migrate("t", **rename_column("v", f"{name}?")).success
    assert client.alter(table(wanted.columns[0], column(f"{name}?"), column("w"))).success
    assert database.rows("t") == [(1, "c", None)]


def test_table_may_have_the_name_of_another_ones_key(client: Client, database: Database) -> None:
    assert client.create(table(ID, name="orders")).success
    assert client.create(table(ID, name="orders_pkey")).success
    assert client.create(table(ID, name="_orders")).success
    [(key,)] = database.execute(
        "SELECT conname::text FROM pg_constraint WHERE conrelid = '{schema}.orders'::regclass"
        " AND contype = 'p'"
    )
    assert client.create(table(ID, name=str(key))).success
    assert client.describe(str(key)).table == table(ID, name=str(key))
    database.execute("ALTER TABLE {schema}.orders RENAME TO kept")
    assert client.create(table(ID, name="orders")).success
    changed = table(ID, column("other", common.INT, key=True), name="orders")
    assert client.alter(changed).success
    assert client.describe("orders").table == changed


@pytest.mark.parametrize(
    ("statement", "what"),
    [
        ("CREATE SEQUENCE {schema}.taken", "a sequence"),
        ("CREATE INDEX taken ON {schema}.other (id)", "an index"),
        ("CREATE VIEW {schema}.taken AS SELECT 1", "a view"),
        ("CREATE MATERIALIZED VIEW {schema}.taken AS SELECT 1", "a view"),
        ("CREATE TYPE {schema}.taken AS ENUM ('a')", "a type"),
        ("CREATE TYPE {schema}.taken AS (a int)", "a type"),
        ("CREATE DOMAIN {schema}.taken AS int", "a type"),
    ],
)
def test_name_that_something_of_the_customer_has_is_a_task(
    client: Client, database: Database, statement: str, what: str
) -> None:
    assert client.create(table(ID, name="other")).success
    database.execute(statement)
    for answer in (
        client.create(table(ID, name="taken")),
        client.migrate("other", **rename_table("other", "taken")),
        client.migrate(
            "other",
            copy=sdk.CopyOperation(copy_table=sdk.CopyTable(from_table="other", to_table="taken")),
        ),
    ):
        assert f'"taken" is {what}: rename or drop it' in answer.task.message, answer
    assert client.describe("other").table == table(ID, name="other")


def test_two_columns_that_would_be_stored_as_one_are_a_task(client: Client) -> None:
    wanted = table(ID, column(LONG_NAME), column(NAMING.stored(LONG_NAME)))
    assert "more than once" in client.create(wanted).task.message
    assert client.create(table(*wanted.columns[:2])).success
    row: Row = {"id": 1, LONG_NAME: "a", NAMING.stored(LONG_NAME): UNMODIFIED}
    for answer in (
        client.alter(wanted),
        client.write(wanted, update=[[row]]),
        client.write_history(wanted, update=[[row]]),
    ):
        assert "more than once" in answer.task.message


def test_migrations_onto_the_stored_name_of_another_column_lose_nothing(
    client: Client, database: Database
) -> None:
    stored = NAMING.stored(LONG_NAME)
    wanted = table(ID, column(LONG_NAME), column("v"))
    assert client.create(wanted).success
    assert client.write(wanted, replace=[[{"id": 1, LONG_NAME: "a", "v": "b"}]]).success
    copied = sdk.CopyColumn(from_column="v", to_column=stored)
    for answer in (
        client.migrate("t", **rename_column("v", stored)),
        client.migrate("t", copy=sdk.CopyOperation(copy_column=copied)),
    ):
        assert answer.task.message, answer
    assert client.describe("t").table == wanted
    assert database.rows("t") == [(1, "a", "b")]
