"""Tables to migrate: one of the mode soft delete, one in history mode."""

import pytest

from tests.support.fix_connector import Client
from tests.support.migrations import HISTORY, SOFT, T, soft_row, version


@pytest.fixture
def soft(client: Client) -> Client:
    assert client.create(SOFT).success
    rows = [soft_row(1), soft_row(2, None), soft_row(3, deleted=True)]
    assert client.write(SOFT, replace=[rows]).success
    return client


@pytest.fixture
def history(client: Client) -> Client:
    assert client.create(HISTORY).success
    rows = [version(1, "2005-05-01T00:00:00Z"), version(2, T, None)]
    assert client.write_history(HISTORY, replace=[rows]).success
    return client
