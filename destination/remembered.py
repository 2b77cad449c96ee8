"""A cache of pure functions' results, in bounded memory."""

from __future__ import annotations

import threading
from collections.abc import Callable, Hashable
from contextlib import suppress
from typing import Generic, TypeVar

from cachetools import LRUCache

Value = TypeVar("Value")


class Remembered(Generic[Value]):
    """Results by key; the least recently used are dropped.

    A key holds all that its result depends on, so a remembered result is always right.

    Args:
        maximum: how many bytes all results may take together.
        size: about how many bytes a result and its key take.
    """

    def __init__(self, maximum: int, size: Callable[[Value], int]) -> None:
        self._results: LRUCache[Hashable, Value] = LRUCache(maximum, size)
        self._lock = threading.Lock()

    def get(self, key: Hashable, make: Callable[[], Value]) -> Value:
        """The result of a key; made if it is not remembered."""
        with self._lock, suppress(KeyError):
            return self._results[key]
        result = make()
        with self._lock, suppress(ValueError):  # larger than the cache
            self._results[key] = result
        return result

    @property
    def size(self) -> float:
        """About how many bytes all results take now."""
        return self._results.currsize
