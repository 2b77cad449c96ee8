"""The tests of the setup form, and what a transaction's settings are behind a lock."""

import psycopg
import pytest

from destination.errors import WarehouseError
from destination.warehouse.postgres import database
from destination.warehouse.postgres.database import PostgresWarehouse


@pytest.mark.parametrize("older", [0, 1], ids=["just new enough", "too old"])
def test_server_that_is_too_old_is_told(
    postgres_uri: str, monkeypatch: pytest.MonkeyPatch, older: int
) -> None:
    with psycopg.connect(postgres_uri) as connection:
        version = connection.info.server_version
    monkeypatch.setattr(database, "OLDEST_VERSION_NUMBER", version + older)
    warehouse = PostgresWarehouse.from_uri(postgres_uri)
    if older:
        with pytest.raises(
            WarehouseError, match=f"PostgreSQL {version // 10_000}, but .* needs 13"
        ):
            warehouse.check_version()
    else:
        warehouse.check_version()
    warehouse.close()
