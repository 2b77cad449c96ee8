"""How the platform reaches the database of a destination, to show its rows."""

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from local_platform.api.destinations import POSTGRESQL, Destinations, Wanted
from local_platform.api.store import Store
from local_platform.api.vault import Vault

CONFIG = {"host": "db", "database": "warehouse", "user": "fivetran", "password": "p@ss"}


@pytest.fixture
def destinations(tmp_path: Path) -> Iterator[Destinations]:
    def connector() -> Any:
        pytest.fail("only the built-in PostgreSQL needs the platform's own connector")

    with closing(Store(tmp_path)) as store:
        yield Destinations(store, Vault(tmp_path), connector)


@pytest.mark.parametrize("mode", ["disable", "allow", "prefer", "require"])
def test_database_is_looked_at_as_the_connector_reaches_it(
    destinations: Destinations, mode: str
) -> None:
    url = destinations.database(Wanted(POSTGRESQL, None, {**CONFIG, "sslmode": mode}))
    assert url is not None
    assert url.query == {"sslmode": mode}
    assert (url.host, url.port, url.password) == ("db", 5432, "p@ss")


def test_without_a_mode_it_is_encrypted(destinations: Destinations) -> None:
    url = destinations.database(Wanted(POSTGRESQL, None, CONFIG))
    assert url is not None
    assert url.query == {"sslmode": "require"}


@pytest.mark.parametrize(
    "further",
    [{"sslmode": "verify-ca"}, {"sslmode": "verify-full"}, {"tunnel_host": "bastion"}],
    ids=str,
)
def test_database_is_never_reached_with_less_care(
    destinations: Destinations, further: dict[str, str]
) -> None:
    assert destinations.database(Wanted(POSTGRESQL, None, CONFIG | further)) is None
