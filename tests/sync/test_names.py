"""Names of the destination for those of the source."""

import pytest

from local_platform.sync.errors import InputError
from local_platform.sync.names import (
    RULES,
    SYSTEM_COLUMNS,
    Names,
    column_name,
    schema_name,
    table_name,
)


@pytest.mark.parametrize(
    ("name", "table", "column"),
    [
        ("createdAt", "created_at", "created_at"), ("userID2x", "user_id_2_x", "user_id_2_x"),
        ("address1", "address_1", "address_1"), ("HTTPServer", "httpserver", "httpserver"),
        ("user.data", "user_data", "user_data"), ("1st", "_1_st", "_1_st"), ("Größe", "grosse", "grosse"),
        ("_private", "private", "_private"), ("__a  b__", "a_b_", "_a_b_"), ("北京", "bei_jing", "bei_jing"),
        ("_1", "_1", "_1"),
    ],
)  # fmt: skip
def test_names_follow_fivetrans_rules(name: str, table: str, column: str) -> None:
    assert (table_name(name), column_name(name)) == (table, column)


def test_names_of_schemas_are_not_split() -> None:
    assert schema_name("schema1") == "schema1"
    assert schema_name("Größe 2") == "grosse_2"


def test_names_that_meet_are_an_error_that_names_both() -> None:
    names = Names("columns of s.t", column_name)
    assert names["userId"] == names["userId"] == "user_id"
    with pytest.raises(
        InputError, match=r'columns of s\.t: "userId" and "user id" would both become "user_id"'
    ):
        names["user id"]


@pytest.mark.parametrize(
    "name", ["_fivetran_synced", "_fivetran Deleted", "_fivetran_id", "_FIVETRAN_START"]
)
def test_system_columns_are_not_for_sources(name: str) -> None:
    with pytest.raises(InputError, match=rf'"{name}" would become "_fivetran_.*a system column'):
        Names("columns", column_name, SYSTEM_COLUMNS)[name]


@pytest.mark.parametrize("name", ["", "!!!", "_"])
def test_names_that_become_empty_are_an_error(name: str) -> None:
    with pytest.raises(InputError, match="which is none"):
        Names("tables of s", table_name)[name]


def test_names_of_the_source_stay_as_they_are() -> None:
    assert [rule("My Name1") for rule in RULES["source"]] == ["My Name1"] * 3
