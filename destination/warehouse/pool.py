"""The warehouses in use, one for each configuration, each with its own pool of connections."""

from __future__ import annotations

import threading
import time
from collections.abc import Hashable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from destination.warehouse.kind import Kind, Warehouse

IDLE_SECONDS = 300


class WarehousePool:
    """Opens a warehouse when it is first used, and closes it when it was not for a while.

    Args:
        kind: what the warehouses are.
    """

    def __init__(self, kind: Kind[Any]) -> None:
        self.kind = kind
        self._entries: dict[Hashable, _Entry] = {}
        self._lock = threading.Lock()

    @contextmanager
    def use(self, fields: Mapping[str, str]) -> Iterator[Warehouse]:
        """The warehouse of a filled-in setup form, kept open for as long as it is used.

        Raises:
            ConfigurationError: naming the field that is missing or malformed.
        """
        configuration = self.kind.parse(fields)
        with self._lock:
            entry = self._entries.get(configuration)
            if entry is None:
                entry = self._entries[configuration] = _Entry(self.kind.connect(configuration))
            entry.users += 1
        try:
            yield entry.warehouse
        finally:
            with self._lock:
                entry.users -= 1
                entry.last_used = time.monotonic()

    @property
    def users(self) -> int:
        """How many use a warehouse now."""
        with self._lock:
            return sum(entry.users for entry in self._entries.values())

    def close_idle(self, seconds: float = IDLE_SECONDS) -> None:
        """Close the warehouses that nobody used for so many seconds."""
        oldest = time.monotonic() - seconds
        with self._lock:
            idle = [
                configuration
                for configuration, entry in self._entries.items()
                if not entry.users and entry.last_used <= oldest
            ]
            entries = [self._entries.pop(configuration) for configuration in idle]
        for entry in entries:
            entry.warehouse.close()


class _Entry:
    def __init__(self, warehouse: Warehouse) -> None:
        self.warehouse = warehouse
        self.users = 0
        self.last_used = time.monotonic()
