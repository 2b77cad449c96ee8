"""Faults of lines, sessions and the server, one after the other."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress

import psycopg

from destination.warehouse.postgres.database import APPLICATION_NAME
from tests.soak.tally import SCHEMA, SEED, Tally
from tests.support.fix_proxy import COMMIT, Proxy, Trap
from tests.support.fix_server import OwnServer


class Faults:
    """Gets in the way, in every way it knows, one after the other.

    Args:
        servers: the one that is loaded, and the others of its cluster; any may crash.
        proxy: the line to it.
        tally: counts them.
    """

    def __init__(self, servers: Sequence[OwnServer], proxy: Proxy, tally: Tally) -> None:
        self.server = servers[0]
        self.servers = servers
        self.proxy = proxy
        self.tally = tally
        self.random = random.Random(SEED)
        self.kinds: dict[str, tuple[int, Callable[[], None]]] = {
            "every line cut": (3, proxy.cut),
            "line cut at a byte that the client sends": (8, lambda: self.cut_at_byte(Trap(after=self.any(10**6)))),
            "line cut at a byte that the server sends": (8, lambda: self.cut_at_byte(Trap("server", after=self.any(3000)))),
            "commit lost": (6, lambda: proxy.cut_once(COMMIT)),
            "answer to a commit lost": (6, lambda: proxy.cut_once(COMMIT, delivers=True)),
            "line stalled": (3, self.stall),
            "line slowed": (2, self.slow),
            "connections refused": (2, self.refuse),
            "sessions ended": (4, lambda: self.signal("pg_terminate_backend")),
            "statements cancelled": (4, lambda: self.signal("pg_cancel_backend")),
            "table locked by a report": (3, self.lock),
            "server crashed": (2, self.crash),
            "server crashed at a commit": (2, self.crash_at_commit),
        }  # fmt: skip

    def work(self, over: threading.Event) -> None:
        names, weights = list(self.kinds), [weight for weight, _ in self.kinds.values()]
        while not over.wait(self.random.uniform(0.2, 1.5)):
            (name,) = self.random.choices(names, weights)
            with suppress(psycopg.OperationalError):
                self.kinds[name][1]()
                self.tally.faults[name] += 1

    def any(self, number: int) -> int:
        return self.random.randrange(number)

    def cut_at_byte(self, trap: Trap) -> None:
        self.proxy.set_trap(trap)

    def stall(self) -> None:
        self.proxy.stall()
        time.sleep(self.random.uniform(0.5, 3))
        self.proxy.resume()

    def slow(self) -> None:
        self.proxy.bytes_per_second = 500_000
        time.sleep(3)
        self.proxy.bytes_per_second = None

    def refuse(self) -> None:
        self.proxy.refuse()
        time.sleep(self.random.uniform(0.5, 4))
        self.proxy.accept()

    def signal(self, function: str) -> None:
        with self.server.connect() as connection:
            connection.execute(
                f"SELECT {function}(pid) FROM pg_stat_activity WHERE application_name = %s",
                (APPLICATION_NAME,),
            )

    def lock(self) -> None:
        with self.server.connect() as connection:
            connection.autocommit = False
            connection.execute(f"LOCK TABLE {SCHEMA}.keyed_0, {SCHEMA}.history_2 IN SHARE MODE")
            time.sleep(self.random.uniform(0.5, 3))

    def crash(self) -> None:
        server = self.random.choice(self.servers)
        server.stop("immediate")
        server.start()

    def crash_at_commit(self) -> None:
        crashed = threading.Event()

        def crash() -> None:
            self.crash()
            crashed.set()

        self.proxy.set_trap(Trap(at=COMMIT, delivers=self.random.random() < 0.5, then=crash))
        crashed.wait(10)
