"""How much and how often a client may send."""

from __future__ import annotations

import math
import threading
import time
from collections import OrderedDict

from local_platform.api.errors import TooManyError

MAX_BODY = 8 << 20
MAX_CLIENTS = 1000


class Rate:
    """Lets each client send so many requests a minute; unused ones add up to a minute's.

    Args:
        per_minute: how many.
    """

    def __init__(self, per_minute: int) -> None:
        self._most = per_minute
        self._left: OrderedDict[str, tuple[float, float]] = OrderedDict()
        self._lock = threading.Lock()

    def take(self, client: str) -> None:
        """Count a request.

        Raises:
            TooManyError: if there were more.
        """
        now = time.monotonic()
        with self._lock:
            left, then = self._left.pop(client, (float(self._most), now))
            left = min(self._most, left + (now - then) * self._most / 60)
            self._left[client] = (left - 1 if left >= 1 else left, now)
            if len(self._left) > MAX_CLIENTS:
                self._left.popitem(last=False)
        if left < 1:
            raise TooManyError(math.ceil((1 - left) * 60 / self._most))
