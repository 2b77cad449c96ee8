"""Small batches: their rows travel in the statements, as exactly as through a staging table."""

from collections.abc import Callable, Sequence
from typing import Any

import psycopg
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from destination.batch.decoding import Decoder
from destination.sdk import common_pb2 as common
from destination.sdk import destination_sdk_pb2 as sdk
from destination.sdk.destination_sdk_pb2_grpc import DestinationConnectorStub
from destination.warehouse import carried
from destination.warehouse.postgres import carrying
from destination.warehouse.postgres.session import PostgresSession
from destination_tester.files import Row
from destination_tester.notation import UNMODIFIED
from destination_tester.stored import END, START
from tests.support.examples import examples
from tests.support.fix_connector import Client, column
from tests.support.fix_postgres import Database
from tests.support.migrations import HISTORY, version
from tests.test_batches_property import require_equal_to_model

TABLE = common.Table(
    name="t",
    columns=[column("id", common.LONG, key=True), column("text"), column("document", common.JSON)],
)
ROWS: list[Row] = [{"id": i, "text": f"text {i}", "document": "{}"} for i in range(5)]

KEYS = [".", ".other", ".[0]", "[0]", "ordinal", "0"]
"""Names that Arrow may take for a path, and those of our own statements."""


class Watch:
    """Counts the staging tables that are created, in all sessions."""

    def __init__(self) -> None:
        self.staged = 0


@pytest.fixture
def watch(monkeypatch: pytest.MonkeyPatch) -> Watch:
    watch, create = Watch(), PostgresSession.create_staging

    def counted(session: PostgresSession, columns: Sequence[object]) -> object:
        watch.staged += 1
        return create(session, columns)  # type: ignore[arg-type]

    monkeypatch.setattr(PostgresSession, "create_staging", counted)
    return watch


@pytest.fixture
def staging(monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """Has every batch go through staging tables from then on."""
    return lambda: monkeypatch.setattr(carried, "FILE_BYTES", -1)


@pytest.mark.parametrize("file_format", [sdk.CSV, sdk.PARQUET])
def test_large_rows_of_a_small_file_are_decoded_once(
    client: Client,
    database: Database,
    monkeypatch: pytest.MonkeyPatch,
    file_format: sdk.BatchFileFormat,
) -> None:
    decoded, decode = [], Decoder.decode

    def counted(decoder: Decoder, *arguments: Any) -> pa.RecordBatch:
        batch = decode(decoder, *arguments)
        decoded.append(batch.num_rows)
        return batch

    monkeypatch.setattr(Decoder, "decode", counted)
    client.files.format = file_format
    assert client.create(TABLE).success
    assert client.write(TABLE, replace=[ROWS]).success
    decoded.clear()
    large: Row = {"id": 1, "text": "x" * (5 << 20), "document": "{}"}
    for files in ("replace", "update"):
        answer = client.write(TABLE, **{files: [[large]]})
        assert answer.success, answer
    assert decoded == [1, 1]
    assert database.execute("SELECT length(text) FROM {schema}.t WHERE id = 1") == [(5 << 20,)]


def test_small_batches_need_no_staging_table(
    client: Client, database: Database, watch: Watch
) -> None:
    assert client.create(TABLE).success
    for _ in range(2):
        assert client.write(TABLE, replace=[ROWS]).success
    changed: Row = {"id": 1, "text": "changed", "document": UNMODIFIED}
    assert client.write(TABLE, update=[[changed]], delete=[ROWS[3:]]).success
    assert watch.staged == 0
    assert database.rows("t", "id", "text") == [(0, "text 0"), (1, "changed"), (2, "text 2")]


@pytest.mark.parametrize("name", ["anon_1", "unnest", "excluded", "ordinal"])
def test_table_may_have_any_name(client: Client, database: Database, name: str) -> None:
    table = common.Table(name=name, columns=TABLE.columns)
    assert client.create(table).success
    assert client.write(table, replace=[ROWS]).success
    changed: Row = {"id": 1, "text": "changed", "document": UNMODIFIED}
    answer = client.write(table, update=[[changed]], delete=[ROWS[2:]])
    assert answer.success, answer
    assert database.rows(name, "id", "text") == [(0, "text 0"), (1, "changed")]


def test_rows_without_a_key_need_none(client: Client, database: Database, watch: Watch) -> None:
    table = common.Table(name="t", columns=[column("a", common.INT), column("b")])
    rows: list[Row] = [{"a": 1, "b": "x"}, {"a": 1, "b": "x"}]
    assert client.create(table).success
    assert client.write(table, replace=[rows]).success
    assert watch.staged == 0
    assert database.rows("t") == [(1, "x"), (1, "x")]


def test_rows_of_nulls_alone_are_rows(client: Client, database: Database, watch: Watch) -> None:
    table = common.Table(name="t", columns=[column("a", common.INT), column("b")])
    assert client.create(table).success
    assert client.write(table, replace=[[{"a": None, "b": None}] * 3]).success
    assert watch.staged == 0
    assert database.rows("t") == [(None, None)] * 3


def test_versions_need_none(client: Client, database: Database, watch: Watch) -> None:
    assert client.create(HISTORY).success
    starts = [f"2020-01-0{day}T00:00:00Z" for day in range(1, 5)]
    assert client.write_history(HISTORY, replace=[[version(1, starts[0])]]).success
    updates = [{**version(1, start), "desc": UNMODIFIED} for start in reversed(starts[1:])]
    earliest: list[Row] = [{"id": 1, "_fivetran_start": starts[1]}]
    assert client.write_history(HISTORY, earliest=[earliest], update=[updates]).success
    ends: list[Row] = [{"id": 1, "_fivetran_end": "2020-02-01T00:00:00Z"}]
    assert client.write_history(HISTORY, delete=[ends]).success
    assert watch.staged == 0
    assert database.execute('SELECT count(*), count(DISTINCT "desc") FROM {schema}.t') == [(4, 1)]


@pytest.mark.parametrize("key", KEYS)
def test_key_may_have_a_name_that_means_something_to_arrow(
    client: Client, database: Database, watch: Watch, key: str
) -> None:
    columns = [column(key, common.INT, key=True), column("other", common.INT)]
    table = common.Table(name="t", columns=columns)
    assert client.create(table).success
    rows: list[Row] = [{key: i, "other": 0} for i in range(3)]
    assert client.write(table, replace=[rows], update=[[{key: 1, "other": 5}]]).success
    assert watch.staged == 0
    assert database.rows("t", key, "other") == [(0, 0), (1, 5), (2, 0)]


@pytest.mark.parametrize("key", KEYS)
def test_versions_of_a_key_with_such_a_name_follow_each_other(
    client: Client, database: Database, watch: Watch, key: str
) -> None:
    columns = [column(key, common.INT, key=True), column("other"), *HISTORY.columns[2:]]
    table = common.Table(name="t", columns=columns)
    assert client.create(table).success
    fivetran = version(1, "2020-01-01T00:00:00Z")
    fivetran = {name: fivetran[name] for name in fivetran if name.startswith("_fivetran")}
    first: list[Row] = [{**fivetran, key: i, "other": "kept"} for i in range(2)]
    assert client.write_history(table, replace=[first]).success
    later: list[Row] = [
        {**fivetran, key: i, "other": UNMODIFIED, START: f"2020-01-0{day}T00:00:00Z"}
        for day in (3, 2)
        for i in range(2)
    ]
    assert client.write_history(table, update=[later]).success
    assert watch.staged == 0
    assert database.rows("t", key, "other") == [(0, "kept")] * 3 + [(1, "kept")] * 3


@pytest.mark.parametrize("way", ["carried", "staged"])
def test_rows_of_each_kind_are_counted_in_the_log(
    client: Client, staging: Callable[[], None], caplog: pytest.LogCaptureFixture, way: str
) -> None:
    if way == "staged":
        staging()
    versioned = common.Table(name="versions", columns=HISTORY.columns)
    assert client.create(TABLE).success
    assert client.create(versioned).success
    changed: list[Row] = [{"id": i, "text": "x", "document": UNMODIFIED} for i in range(3)]
    files: dict[str, list[list[Row]]] = {
        "replace": [ROWS[:2], ROWS[2:]], "update": [changed[:1], changed[1:]], "delete": [[{"id": 1}], [{"id": 2}]]
    }  # fmt: skip
    assert client.write(TABLE, **files).success
    assert "5 rows replaced, 3 updated, 2 deleted" in caplog.text
    start, later, end = (f"2020-01-0{day}T00:00:00Z" for day in (1, 2, 3))
    assert client.write_history(
        versioned,
        earliest=[[{"id": i, START: start} for i in range(each)] for each in (1, 3)],
        replace=[[version(i, start) for i in range(each)] for each in (2, 3)],
        update=[[{**version(i, later), "desc": UNMODIFIED} for i in range(each)] for each in (1, 2)],
        delete=[[{"id": i, END: end} for i in range(each)] for each in (1, 1)],
    ).success  # fmt: skip
    told = "4 records from their earliest start, 5 versions replaced, 3 updated, 2 records deleted"
    assert told in caplog.text


@pytest.mark.parametrize("kind", ["replace", "update"])
def test_larger_batches_are_staged(client: Client, watch: Watch, kind: str) -> None:
    rows: list[Row] = [{**ROWS[0], "id": i, "text": "x" * 1000} for i in range(2000)]
    assert client.create(TABLE).success
    assert client.write(TABLE, replace=[ROWS]).success
    assert client.write(TABLE, **{kind: [rows]}).success
    assert watch.staged == 1


@pytest.mark.parametrize("kind", ["replace", "update"])
def test_refused_value_is_named_with_its_row_and_column(
    client: Client, database: Database, watch: Watch, kind: str
) -> None:
    assert client.create(TABLE).success
    assert client.write(TABLE, replace=[ROWS]).success
    rows: list[Row] = [*ROWS[:2], {**ROWS[2], "document": '{"a": }'}, ROWS[3]]
    answer = client.write(TABLE, **{kind: [rows]})
    assert 'row 3, column "document"' in answer.task.message
    assert "correct the values at the source" in answer.task.message
    assert watch.staged == 1
    assert client.write(TABLE, **{kind: [ROWS]}).success
    assert database.rows("t", "id", "text") == [(i, f"text {i}") for i in range(5)]


@pytest.mark.parametrize(
    "kind",
    ["varchar(4)", "varchar(20)", "jsonb", 'text COLLATE "C"', "char(8)", "bytea"],
)
def test_columns_of_types_made_by_hand_are_staged(
    client: Client, database: Database, watch: Watch, kind: str
) -> None:
    assert client.create(TABLE).success
    assert client.write(TABLE, replace=[ROWS]).success
    using = "'1'" if kind == "jsonb" else "text::bytea" if kind == "bytea" else "left(text, 4)"
    database.execute(f"ALTER TABLE {{schema}}.t ALTER text TYPE {kind} USING {using}")
    rows: list[Row] = [{"id": 1, "text": "12", "document": "{}"}]
    assert client.write(TABLE, replace=[rows]).success
    assert watch.staged
    assert len(database.rows("t", "id")) == 5


def test_value_longer_than_a_column_made_by_hand_is_refused(
    client: Client, database: Database
) -> None:
    assert client.create(TABLE).success
    assert client.write(TABLE, replace=[ROWS[:1]]).success
    database.execute("ALTER TABLE {schema}.t ALTER text TYPE varchar(8)")
    answer = client.write(TABLE, replace=[[ROWS[1], {**ROWS[2], "text": "123456789"}]])
    assert 'row 2, column "text"' in answer.task.message
    assert database.rows("t", "id") == [(0,)]


def test_what_another_session_alters_is_seen_at_once(client: Client, database: Database) -> None:
    """Each call reads the catalog, and what it remembers is of the same content."""
    assert client.create(TABLE).success
    for statement, found in [
        ("SELECT 1", "text 0"),
        ("ALTER TABLE {schema}.t ALTER text TYPE varchar(6)", "text 0"),
        ("ALTER TABLE {schema}.t ALTER text TYPE text", "text 0"),
        ("ALTER TABLE {schema}.t RENAME text TO old", None),
        ("ALTER TABLE {schema}.t ADD text text", "text 0"),
        ("ALTER TABLE {schema}.t DROP old", "text 0"),
        ("ALTER TABLE {schema}.t ADD first int DEFAULT 7", "text 0"),
        ("ALTER TABLE {schema}.t ADD CONSTRAINT few CHECK (id < 9)", "text 0"),
        ("ALTER TABLE {schema}.t DROP first", "text 0"),
    ]:
        database.execute(statement)
        for _ in range(2 if found is not None else 0):
            assert client.write(TABLE, replace=[ROWS]).success
        if found is not None:
            assert database.execute("SELECT text FROM {schema}.t WHERE id = 0") == [(found,)]
    database.execute("ALTER TABLE {schema}.t DROP text")
    assert '"text"' in client.write(TABLE, replace=[ROWS]).task.message
    database.execute("DROP TABLE {schema}.t")
    assert "does not exist" in client.write(TABLE, replace=[ROWS]).task.message


def test_key_that_another_session_alters_is_seen_at_once(
    client: Client, database: Database
) -> None:
    assert client.create(TABLE).success
    assert client.write(TABLE, replace=[ROWS]).success
    [(key,)] = database.execute(
        "SELECT conname FROM pg_constraint WHERE conrelid = '{schema}.t'::regclass AND contype = 'p'"
    )
    database.execute("ALTER TABLE {schema}.t DROP CONSTRAINT {key}", key=str(key))
    assert "primary key" in client.write(TABLE, replace=[ROWS]).task.message
    database.execute("ALTER TABLE {schema}.t ADD PRIMARY KEY (id)")
    assert client.write(TABLE, replace=[ROWS]).success
    assert len(database.rows("t")) == 5


def test_what_is_remembered_is_bounded(
    client: Client, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    remembered = carrying.Remembered[carrying._Text](20_000, lambda text: text.size)  # noqa: SLF001
    monkeypatch.setattr(carrying, "_TEXTS", remembered)
    for number in range(30):
        table = common.Table(name=f"t{number}", columns=TABLE.columns)
        assert client.create(table).success
        for _ in range(2):
            assert client.write(table, replace=[ROWS], delete=[ROWS[:1]]).success
        assert remembered.size <= 20_000
        assert len(database.rows(table.name)) == 4
    assert remembered.size > 10_000


@pytest.fixture(params=["carried", "staged"])
def way(request: pytest.FixtureRequest, staging: Callable[[], None]) -> str:
    if request.param == "staged":
        staging()
    return str(request.param)


@pytest.mark.usefixtures("way")
@examples(15)
@given(data=st.data())
def test_either_way_matches_the_model(
    stub: DestinationConnectorStub, session_connection: psycopg.Connection, data: st.DataObject
) -> None:
    require_equal_to_model(stub, session_connection, data, sdk.CSV)
