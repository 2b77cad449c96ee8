"""Appends to a distributed table are found after a crash of the coordinator, or found missing."""

import pytest

from destination.cancellation import Cancellation
from destination.sdk import common_pb2 as common
from destination.warehouse.base import Landed, Session
from destination.warehouse.postgres.database import PostgresWarehouse
from destination.warehouse.stored import TableName
from tests.support.fix_connector import Client, column
from tests.support.fix_postgres import Database


@pytest.mark.parametrize("by_hand", [False, True], ids=["local", "distributed"])
def test_commit_is_found(
    client: Client, clustered: Database, postgres_uri: str, *, by_hand: bool
) -> None:
    table = common.Table(name="t", columns=[column("id", common.LONG), column("text")])
    assert client.create(table).success
    if by_hand:
        clustered.execute(f"SELECT create_distributed_table('{clustered.schema}.t', 'id')")
    warehouse, name = PostgresWarehouse.from_uri(postgres_uri), TableName(client.schema, "t")

    def append(session: Session) -> Landed:
        target = session.lock_table(name)
        landed = session.has_written(target.clause)
        session.execute(target.clause.insert().values(id=1, text="a"))
        if rolled_back:
            session.connection.rollback()
            session.connection.begin()
        return landed

    for rolled_back in (True, False):
        landed = warehouse.transact("append", append, Cancellation())
        assert warehouse.read("look", landed, Cancellation()) is not rolled_back
    warehouse.close()
    assert client.describe("fivetran_commits").not_found


def test_commits_are_remembered_for_a_day(client: Client, clustered: Database) -> None:
    table = common.Table(name="t", columns=[column("id", common.LONG), column("text")])
    assert client.create(table).success
    clustered.execute(f"SELECT create_distributed_table('{clustered.schema}.t', 'id')")
    assert client.write(table, replace=[[{"id": 1, "text": "a"}]]).success
    clustered.execute(
        "INSERT INTO {schema}.fivetran_commits VALUES"
        " ('older', now() - interval '25 hours'), ('younger', now() - interval '23 hours')"
    )
    assert client.write(table, replace=[[{"id": 2, "text": "b"}]]).success
    kept = [str(id_) for (id_,) in clustered.rows("fivetran_commits", "id")]
    assert len(kept) == 3
    assert "younger" in kept
    assert "older" not in kept
