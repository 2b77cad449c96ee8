"""A database on a Citus cluster: the one of the session, where the server of TEST_POSTGRES_URL is a coordinator."""

import pytest

from tests.support.fix_postgres import Database


@pytest.fixture
def clustered(database: Database) -> Database:
    """A look into the test's schema, on a cluster."""
    if not database.distributed:
        pytest.skip("TEST_POSTGRES_URL names no coordinator of a Citus cluster")
    return database
