"""What pure functions answered, remembered by the content of what they were asked, in bounded memory."""

from __future__ import annotations

import threading
from collections.abc import Callable, Hashable
from contextlib import suppress
from typing import Generic, TypeVar

from cachetools import LRUCache

Value = TypeVar("Value")


class Remembered(Generic[Value]):
    """Answers, of which those that were not asked for lately are forgotten.

    Whoever asks gives all that the answer depends on as the key, so what is remembered always holds.

    Args:
        maximum: how many bytes all answers may take together.
        size: tells about how many an answer and its key take.
    """

    def __init__(self, maximum: int, size: Callable[[Value], int]) -> None:
        self._answers: LRUCache[Hashable, Value] = LRUCache(maximum, size)
        self._lock = threading.Lock()

    def get(self, key: Hashable, make: Callable[[], Value]) -> Value:
        """The answer to what the key asks; made where it is not remembered."""
        with self._lock, suppress(KeyError):
            return self._answers[key]
        answer = make()
        with self._lock, suppress(ValueError):  # larger than all may be together
            self._answers[key] = answer
        return answer

    @property
    def size(self) -> float:
        """About how many bytes all answers take now."""
        return self._answers.currsize
