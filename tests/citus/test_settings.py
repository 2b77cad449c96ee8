"""The settings that a cluster's transactions make besides the contract's."""

import re
from pathlib import Path

import psycopg
import pytest
from psycopg import sql

from destination.cancellation import Cancellation
from destination.warehouse.citus.contract import SETTINGS
from destination.warehouse.postgres.database import PostgresWarehouse
from tests.support.fix_postgres import Database

OTHERS = {
    "client_min_messages": "error",
    "plan_cache_mode": "force_generic_plan",
    "citus.enable_ddl_propagation": "off",
    "citus.multi_shard_modify_mode": "sequential",
    "citus.select_opens_transaction_block": "off",
    "citus.local_table_join_policy": "never",
    "citus.max_intermediate_result_size": "1",
    "citus.propagate_set_commands": "none",
    "citus.limit_clause_row_fetch_count": "1",
}
"""Another value for each."""


def test_documentation_lists_them() -> None:
    operations = (Path(__file__).parents[2] / "docs" / "operations.md").read_text()
    *_, section = operations.split("\n### A Citus cluster\n")
    rows = re.findall(r"^\| `([\w.]+)` \| `(.*?)` \| (.*?) \|$", section, re.MULTILINE)
    assert rows == [(each.name, each.value, each.reason) for each in SETTINGS]


@pytest.mark.parametrize("setting", SETTINGS, ids=lambda setting: setting.name)
def test_they_are_set_whatever_the_role_is_handed(
    clustered: Database, postgres_uri: str, setting: object
) -> None:
    name = str(getattr(setting, "name", ""))
    handed = sql.SQL("-c {}={}").format(sql.SQL(name), sql.SQL(OTHERS[name])).as_string()
    parameters = psycopg.conninfo.conninfo_to_dict(postgres_uri)
    warehouse = PostgresWarehouse({**parameters, "options": handed})
    shown = [
        run(
            "settings",
            lambda session: session.connection.exec_driver_sql(f"SHOW {name}").scalar(),
            Cancellation(),
        )
        for run in (warehouse.read, warehouse.transact)
    ]
    warehouse.close()
    assert clustered.distributed
    assert shown == [getattr(setting, "value", "")] * 2


def test_workers_see_the_contract(clustered: Database, postgres_uri: str) -> None:
    """Each is of another time zone than the coordinator, whose session is in UTC."""
    clustered.execute("CREATE SCHEMA {schema}")
    clustered.execute("CREATE TABLE {schema}.t (id int)")
    clustered.execute(f"SELECT create_distributed_table('{clustered.schema}.t', 'id')")
    clustered.execute("INSERT INTO {schema}.t SELECT generate_series(1, 100)")
    query = f"SELECT DISTINCT current_setting('TimeZone') || id * 0 FROM {clustered.schema}.t"
    warehouse = PostgresWarehouse.from_uri(postgres_uri)
    found = warehouse.read(
        "zones",
        lambda session: session.connection.exec_driver_sql(query).scalars().all(),
        Cancellation(),
    )
    warehouse.close()
    assert found == ["UTC0"]
