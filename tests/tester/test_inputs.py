"""Whatever an input holds is played, or refused in a sentence: never a traceback."""

import json
import re
from pathlib import Path
from typing import Any
from uuid import uuid4

import psycopg
import pytest
from hypothesis import given
from hypothesis import strategies as st
from psycopg import sql

from destination.sdk import common_pb2 as common
from destination_tester import inputs
from destination_tester.__main__ import CALL_FAILED, DIFFERENT, main
from destination_tester.conversions import TYPES
from destination_tester.documents import InputError
from destination_tester.inputs import (
    MIGRATIONS,
    ROW_OPERATIONS,
    TRUNCATIONS,
    Change,
    Migrate,
    Truncate,
)
from destination_tester.migrations import PLANS
from tests.support.examples import examples

ODD = (
    None, True, False, "", "NULL", "null", "a", "1", "0000-01-01", "0000-01-01T00:00:00Z", "+12345-01-01",
    "2023-10-27T15:00:00.123456789Z", "10:15", "23:59:59.9999999", "[B@1", "AP8=", "{", '{"a": 1}', "a\0b",
    "NaN", "1e400", "9" * 60, "-1E-60", "😀", "x" * 300, "a/../b", "\\N",
)  # fmt: skip
NAMES = ("id", "v", "t", "T", "", "_fivetran_synced", "_fivetran_start", "_fivetran_id", "_fivetran_deleted", "op_time", "x" * 70, "a/b", "../c", "n\0l", "ctid", "é" * 120)  # fmt: skip

anything = st.recursive(
    st.sampled_from(ODD) | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)  # fmt: skip
names = st.sampled_from(NAMES[:4]) | st.sampled_from(NAMES)
kinds = st.sampled_from([common.DataType.Name(kind) for kind in TYPES]) | st.fixed_dictionaries(
    {"type": st.just("DECIMAL"), "precision": st.sampled_from([0, 1, 10, 38, 50])},
    optional={"scale": st.sampled_from([0, 2, 37, 60])},
)


def rarely(strategy: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    """The strategy's values, and sometimes anything at all."""
    return st.integers(0, 79).flatmap(lambda n: strategy if n else anything)


cells = st.sampled_from(ODD) | st.integers(-3, 3)
rows = st.dictionaries(names, rarely(cells), max_size=4) | st.fixed_dictionaries(
    {"id": st.integers(0, 2)},
    optional={"v": cells, "op_time": st.sampled_from(["2005-05-23T20:57:00Z", "2006-05-23T20:57:00Z", "0001-01-01T00:00:00Z", "x"])},
)  # fmt: skip
tables = st.fixed_dictionaries(
    {"columns": rarely(st.dictionaries(names, rarely(kinds), min_size=1, max_size=4) | st.fixed_dictionaries({"id": kinds, "v": kinds}))},
    optional={"primary_key": rarely(st.lists(st.sampled_from(["id", "id", "v"]), max_size=2)), "history_mode": rarely(st.booleans())},
)  # fmt: skip
arguments = st.fixed_dictionaries(
    {},
    optional={
        **dict.fromkeys(("table", "from_table", "to_table", "column", "from_column", "to_column", "deleted_column"), rarely(names)),
        "data_type": rarely(kinds),
        "value": cells,
        "default_value": cells,
        "operation_timestamp": rarely(st.just("2030-05-28T20:57:00Z")),
    },
)  # fmt: skip
operations = st.dictionaries(st.sampled_from(ROW_OPERATIONS), rarely(st.dictionaries(names, rarely(st.lists(rarely(rows), max_size=4)), max_size=2)), max_size=2)  # fmt: skip
truncations = st.dictionaries(st.sampled_from(list(TRUNCATIONS)), rarely(st.lists(rarely(names), max_size=2)), max_size=1)  # fmt: skip
documents = st.fixed_dictionaries(
    {},
    optional={
        "create_table": rarely(st.dictionaries(names, rarely(tables), max_size=3)),
        "alter_table": rarely(st.dictionaries(names, rarely(tables), max_size=2)),
        "ops": rarely(st.lists(rarely(operations | truncations), max_size=4)),
        "schema_migration": rarely(st.lists(rarely(st.dictionaries(st.sampled_from(list(MIGRATIONS)), rarely(st.lists(rarely(arguments), max_size=2)), max_size=3)), max_size=2)),
        "describe_table": rarely(st.lists(rarely(names), max_size=2)),
    },
)  # fmt: skip


table_names = st.sampled_from(["t", "T"])
column_names = st.sampled_from(["id", "v", "new", "_fivetran_deleted"])
plausible_tables = st.fixed_dictionaries(
    {"columns": st.fixed_dictionaries({"id": st.sampled_from(["INT", "STRING", "NAIVE_DATE"]), "v": kinds}), "primary_key": st.sampled_from([["id"], ["id"], ["id", "v"], []]), "history_mode": st.booleans()}
)  # fmt: skip
plausible_rows = st.fixed_dictionaries(
    {"id": st.sampled_from([1, 2, "2020-01-01"])},
    optional={"v": cells, "op_time": st.sampled_from(["2005-05-23T20:57:00Z", "2006-05-23T20:57:00Z", "0001-01-01T00:00:00Z"])},
)  # fmt: skip
plausible_operations = st.dictionaries(st.sampled_from(ROW_OPERATIONS), st.dictionaries(table_names, st.lists(plausible_rows, min_size=1, max_size=4), min_size=1), min_size=1, max_size=2)  # fmt: skip
plausible_arguments = st.fixed_dictionaries(
    {
        **dict.fromkeys(("table", "from_table", "to_table"), table_names),
        **dict.fromkeys(("column", "from_column", "to_column"), column_names),
        "data_type": kinds, "value": cells, "default_value": cells,
        "operation_timestamp": st.sampled_from(["2005-06-23T20:57:00Z", "2030-05-28T20:57:00Z"]),
    },
    optional={"deleted_column": st.sampled_from(["_fivetran_deleted", "v", "missing"])},
)  # fmt: skip
plausible = st.fixed_dictionaries(
    {
        "create_table": st.dictionaries(table_names, plausible_tables, min_size=1),
        "ops": st.lists(plausible_operations | st.dictionaries(st.sampled_from(list(TRUNCATIONS)), st.lists(table_names, min_size=1), min_size=1), min_size=1, max_size=4),
        "schema_migration": st.lists(st.dictionaries(st.sampled_from(list(MIGRATIONS)), st.lists(plausible_arguments, min_size=1, max_size=2), min_size=1, max_size=3), max_size=2),
    },
    optional={"alter_table": st.dictionaries(table_names, plausible_tables)},
)  # fmt: skip


@examples(200)
@given(content=anything | documents)
def test_any_json_is_steps_or_a_clear_error(
    tmp_path_factory: pytest.TempPathFactory, content: Any
) -> None:
    path = tmp_path_factory.getbasetemp() / "any.json"
    path.write_text(json.dumps(content))
    try:
        played = inputs.read(path)
    except InputError as refused:
        message = str(refused)
    else:
        message = f"{played.name}.json"
    assert message.startswith("any.json")


@examples(12)
@given(content=plausible | documents, file_type=st.sampled_from(["CSV", "PARQUET"]))
def test_any_input_is_played_to_the_end_without_a_traceback(
    tmp_path_factory: pytest.TempPathFactory,
    server_port: int,
    postgres_uri: str,
    session_connection: psycopg.Connection,
    content: Any,
    file_type: str,
) -> None:
    directory = tmp_path_factory.mktemp("any")
    (directory / "configuration.json").write_text("{}")
    (directory / "any.json").write_text(json.dumps(content))
    schema = f"any_{uuid4().hex[:12]}"
    where = ("--port", str(server_port), "--schema-name", schema, "--verify", postgres_uri)
    try:
        code = main(
            [str(directory), *where, "--disable-operation-delay", "--batch-file-type", file_type]
        )
    finally:
        session_connection.execute(
            sql.SQL("DROP SCHEMA IF EXISTS {} CASCADE").format(sql.Identifier(schema))
        )
    assert code in (0, DIFFERENT, CALL_FAILED)


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ("[]", "the input is no object: array"),
        ("{", "is not JSON"),
        ("\ufeff{", "is not JSON"),
        ('{"ops": {}}', "ops is no array: object"),
        ('{"ops": [{"upsert_all": {}}]}', 'no such operation: "upsert_all"'),
        ('{"ops": [{"undelete": {"t": [{"id": 1}]}}]}', 'no such operation: "undelete"'),
        ('{"ops": [{"upsert": {"t": {}}}]}', "t is no array: object"),
        ('{"ops": [{"upsert": {"t": [1]}}]}', "what is in t is no object: number"),
        ('{"ops": [{"upsert": {"t": [{"id": "\\ud800"}]}}]}', "is not JSON"),
        ('{"ops": [{"upsert": {"t": [{"op_time": "soon"}]}}]}', "op_time in upsert t is no instant"),
        ('{"ops": [{"upsert": {"t": [{"op_time": "+12345-01-01T00:00:00Z"}]}}]}', "from year 1 to 9999"),
        ('{"ops": [{"truncate_before": [1]}]}', "what is in truncate_before is no text: number"),
        ('{"create_table": {"t": {"columns": {"a": "TEXT"}}}}', 'no such type: "TEXT"'),
        ('{"create_table": {"t": {"columns": {"a": "UNSPECIFIED"}}}}', "no such type"),
        ('{"create_table": {"t": {"columns": {"a": {"type": "DECIMAL", "precision": -1}}}}}', "no number of digits"),
        ('{"create_table": {"t": {"columns": {"a": "INT"}, "primary_key": ["b"]}}}', 'no column "b" for its key'),
        ('{"create_table": {"t": {"columns": {"a": "INT"}, "history_mode": "yes"}}}', "neither true nor false"),
        ('{"schema_migration": [{"rename": [{}]}]}', 'no such migration: "rename"'),
        ('{"schema_migration": [{"drop_column": [{"table": "t"}]}]}', "drop_column says no column"),
        ('{"schema_migration": [{"drop_column": [{"table": "t", "column": 1}]}]}', "is no text: number"),
        ("[" * 100_000, "nested too deeply"),
    ],
)  # fmt: skip
def test_what_is_wrong_with_an_input_is_told(tmp_path: Path, content: str, told: str) -> None:
    path = tmp_path / "wrong.json"
    path.write_text(content)
    with pytest.raises(InputError, match=re.escape(told)) as refused:
        inputs.read(path)
    assert str(refused.value).startswith("wrong.json")


def steps(tmp_path: Path, content: object) -> list[Any]:
    path = tmp_path / "input.json"
    path.write_text(json.dumps(content))
    return list(inputs.read(path).steps)


def test_numbers_keep_the_text_they_have(tmp_path: Path) -> None:
    path = tmp_path / "input.json"
    path.write_text(
        '{"ops": [{"upsert": {"t": [{"a": 1.50, "b": 1E+2, "c": {"d": [1.0, null, true]}}]}}]}'
    )
    (change,) = inputs.read(path).steps
    assert isinstance(change, Change)
    assert change.rows == [{"a": "1.50", "b": "1E+2", "c": '{"d": [1.0, null, true]}'}]


@pytest.mark.parametrize(
    ("given", "value", "default"),
    [(True, "true", "true"), (2.50, "2.5", "2.5"), ("x", "x", "x"), (None, "NULL", "")],
)
def test_values_of_migrations_may_be_of_any_json_type(
    tmp_path: Path, given: object, value: str, default: str
) -> None:
    arguments = {"table": "t", "column": "c", "data_type": "STRING"}
    update, add = steps(
        tmp_path,
        {
            "schema_migration": [
                {"update_column_value": [{**arguments, "value": given}]},
                {"add_column_with_default_value": [{**arguments, "default_value": given}]},
            ]
        },
    )
    assert isinstance(update, Migrate)
    assert isinstance(add, Migrate)
    assert update.arguments["value"] == value
    assert add.arguments["default_value"] == default


def test_truncate_is_known_by_its_old_name_too(tmp_path: Path) -> None:
    ops = [{"truncate": ["a"]}, {"truncate_before": ["b"]}, {"soft_truncate_before": ["c"]}]
    assert steps(tmp_path, {"ops": ops}) == [
        Truncate("a", soft=False), Truncate("b", soft=False), Truncate("c", soft=True),
    ]  # fmt: skip


def test_each_migration_that_inputs_may_name_is_planned() -> None:
    assert set(MIGRATIONS) == set(PLANS)
