"""A Citus cluster of the soak's own: each of its nodes may crash."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager

from tests.support.fix_server import SYSTEM_BINARIES, OwnServer, own_server

ZONES = ("UTC", "America/New_York", "Asia/Tokyo")
"""The coordinator's time zone, and those of the workers."""
SETTINGS = {
    "shared_preload_libraries": "citus",
    "citus.node_conninfo": "sslmode=prefer",
    "citus.recover_2pc_interval": "1s",
    "citus.enable_statistics_collection": "off",
    "max_connections": "300",
    "max_prepared_transactions": "600",
}
TRUSTED = ("local all all trust", "host all all 127.0.0.1/32 trust")
"""Nodes log in to each other without a password."""


@contextmanager
def own_cluster(**settings: str) -> Iterator[Sequence[OwnServer]]:
    """Start a cluster of the PostgreSQL that is installed; yields its nodes, the coordinator first."""
    if not SYSTEM_BINARIES:
        raise SystemExit("no PostgreSQL is installed that could have the extension citus")
    with ExitStack() as stack:
        nodes = [stack.enter_context(own_server(SYSTEM_BINARIES[-1])) for _ in ZONES]
        for node, zone in zip(nodes, ZONES, strict=True):
            node.allow(*TRUSTED)
            node.start(**SETTINGS, TimeZone=zone, **settings)
            with node.connect() as connection:
                connection.execute("CREATE EXTENSION citus")
        coordinator, *workers = nodes
        with coordinator.connect() as connection:
            query = "SELECT citus_set_coordinator_host('127.0.0.1', %s)"
            connection.execute(query, [coordinator.port])
            for worker in workers:
                connection.execute("SELECT citus_add_node('127.0.0.1', %s)", [worker.port])
        yield nodes
