"""Waiting for what another thread, process or server does."""

import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial

import pytest

from destination.warehouse.postgres import contract, database, session

SECONDS = 30


def wait_until(condition: Callable[[], bool]) -> None:
    """Wait until a condition holds; fail if it does not within half a minute."""
    until = time.monotonic() + SECONDS
    while not condition():
        assert time.monotonic() < until, "waited in vain"
        time.sleep(0.05)


def wait_for_locks_only(monkeypatch: pytest.MonkeyPatch, wait: str) -> None:
    """Have the connector's statements wait so long for a lock of somebody else."""
    settings = [
        replace(setting, value=wait) if setting.name == "lock_timeout" else setting
        for setting in contract.CONTRACT
    ]
    monkeypatch.setattr(contract, "CONTRACT", settings)
    monkeypatch.setattr(contract, "_opening", contract._opening.__wrapped__)  # noqa: SLF001
    monkeypatch.setattr(session, "LOCK_TIMEOUT", wait)


def retry_for_only(monkeypatch: pytest.MonkeyPatch, seconds: float) -> None:
    """Have warehouses that are connected from now on give up so long after the first failure."""
    monkeypatch.setattr(database, "RetryPolicy", partial(database.RetryPolicy, seconds))
