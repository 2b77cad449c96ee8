"""WriteBatch into tables whose key PostgreSQL cannot merge by: implied, deferrable, or with rules."""

from typing import Any

import pytest

from destination.sdk import common_pb2 as common
from destination.sdk import destination_sdk_pb2 as sdk
from destination_tester.files import Row
from destination_tester.notation import UNMODIFIED
from tests.support.fix_connector import Client, column
from tests.support.fix_postgres import Database
from tests.support.migrations import HISTORY, add_history, twice, version

ID = "_fivetran_id"


def table(*, key: bool) -> common.Table:
    return common.Table(
        name="t", columns=[column(ID, key=key), column("a", common.INT), column("b", common.INT)]
    )


def keyed_by_id_alone(client: Client, _database: Database) -> common.Table:
    """No key in the request, none in the table."""
    assert client.create(table(key=False)).success
    return table(key=False)


def keyed(client: Client, _database: Database) -> common.Table:
    assert client.create(table(key=True)).success
    return table(key=True)


def deferrable(client: Client, database: Database) -> common.Table:
    assert client.create(table(key=True)).success
    ((name,),) = database.execute(
        "SELECT conname::text FROM pg_constraint WHERE contype = 'p' AND conrelid = '{schema}.t'::regclass"
    )
    database.execute(
        "ALTER TABLE {schema}.t DROP CONSTRAINT {name}",
        name=str(name),
    )
    database.execute(
        "ALTER TABLE {schema}.t ADD PRIMARY KEY (_fivetran_id) DEFERRABLE INITIALLY DEFERRED"
    )
    return table(key=True)


def with_a_rule(client: Client, database: Database) -> common.Table:
    if database.distributed:
        pytest.skip("Citus crashes at updates of a distributed table that has rules")
    assert client.create(table(key=True)).success
    database.execute("CREATE TABLE {schema}.log (id text)")
    database.execute(
        "CREATE RULE noted AS ON UPDATE TO {schema}.t DO ALSO INSERT INTO {schema}.log VALUES (NEW._fivetran_id)"
    )
    return table(key=True)


def rows(*cells: tuple[Any, ...]) -> list[Row]:
    return [dict(zip((ID, "a", "b"), row, strict=True)) for row in cells]


@pytest.mark.parametrize("make", [keyed_by_id_alone, deferrable, with_a_rule])
def test_rows_are_told_apart(client: Client, database: Database, make: Any) -> None:
    wanted = make(client, database)

    def write(**files: Any) -> None:
        for _ in range(2):
            answer = client.write(wanted, **files)
            assert answer.success, answer

    write(replace=[rows(("x", 1, 1), ("y", 1, 1), ("x", 2, 2))])
    assert database.rows("t") == [("x", 2, 2), ("y", 1, 1)]
    write(replace=[rows(("y", 3, 3), ("z", 3, 3), ("z", 4, 4)), [{ID: "x", "a": 5}]])
    assert database.rows("t") == [("x", 5, 2), ("y", 3, 3), ("z", 4, 4)]
    write(update=[rows(("x", UNMODIFIED, 6), ("x", 7, UNMODIFIED), ("nobody", 1, 1))])
    assert database.rows("t") == [("x", 7, 6), ("y", 3, 3), ("z", 4, 4)]
    write(delete=[rows(("x", None, None), ("y", None, None))])
    assert database.rows("t") == [("z", 4, 4)]


@pytest.mark.parametrize("make", [keyed_by_id_alone, keyed, deferrable])
@pytest.mark.parametrize("count", [20_000, 60_000])
def test_keys_that_repeat_in_a_first_load(
    client: Client, database: Database, make: Any, count: int
) -> None:
    wanted = make(client, database)
    half = count // 2
    many = rows(*((f"{i % half}", i, i) for i in range(count)))
    client.files.compression = sdk.OFF
    answer = client.write(wanted, replace=[many])
    assert answer.success, answer
    shown = "SELECT count(*), count(DISTINCT _fivetran_id), min(a) FROM {schema}.t"
    assert database.execute(shown) == [(half, half, half)]


def test_keys_that_are_there_in_a_large_second_load(client: Client, database: Database) -> None:
    wanted = keyed(client, database)
    client.files.compression = sdk.OFF
    for first in (0, 30_000):
        many = rows(*((f"{i:06}", first, i) for i in range(first, first + 60_000)))
        answer = client.write(wanted, replace=[many])
        assert answer.success, answer
    assert database.execute("SELECT count(*), max(a) FROM {schema}.t WHERE b < 60000") == [
        (60_000, 30_000)
    ]


def test_null_in_an_implied_key_is_a_task(client: Client, database: Database) -> None:
    wanted = keyed_by_id_alone(client, database)
    answer = client.write(wanted, replace=[rows((None, 1, 1))])
    assert f'"{ID}"' in answer.task.message


def test_history_of_a_table_with_a_deferrable_key(client: Client, database: Database) -> None:
    assert client.create(HISTORY).success
    ((name,),) = database.execute(
        "SELECT conname::text FROM pg_constraint WHERE contype = 'p' AND conrelid = '{schema}.t'::regclass"
    )
    database.execute(
        "ALTER TABLE {schema}.t DROP CONSTRAINT {name}",
        name=str(name),
    )
    database.execute("ALTER TABLE {schema}.t ADD PRIMARY KEY (id, _fivetran_start) DEFERRABLE")
    first, second = version(1, "2005-05-01T00:00:00Z"), version(1, "2005-05-02T00:00:00Z", "y")
    for _ in range(2):
        assert client.write_history(HISTORY, replace=[[first]], update=[[second]]).success
    twice(client, "t", **add_history("new", common.INT, "5"))
    assert database.rows("t", "id", "desc", "_fivetran_active", "new") == [
        (1, "x", False, None), (1, "y", False, None), (1, "y", True, 5)
    ]  # fmt: skip


def test_key_made_another_type_by_hand(client: Client, database: Database) -> None:
    """A large file of a request that says STRING for a key that is a bigint."""
    wanted = table(key=True)
    assert client.create(wanted).success
    with database.gathered("t"):
        database.execute("ALTER TABLE {schema}.t ALTER _fivetran_id TYPE bigint USING 0")
    client.files.compression, client.files.encryption = sdk.OFF, sdk.NONE
    for first in (0, 150_000):
        answer = client.write(
            wanted, replace=[rows(*((f"{first + i}", i, i) for i in range(75_000)))]
        )
        assert answer.success, answer
    assert database.execute("SELECT count(*) FROM {schema}.t") == [(150_000,)]
