"""What an administrator does for a new database of a Citus cluster, where the tests run on one."""

from dataclasses import dataclass
from urllib.parse import urlsplit

import psycopg
from psycopg import sql

WORKERS = "SELECT nodename, nodeport FROM pg_dist_node WHERE groupid <> 0 ORDER BY nodeid"
COORDINATOR = "SELECT nodename, nodeport FROM pg_dist_node WHERE groupid = 0"
TAKE_TURNS = "SELECT pg_advisory_lock(hashtext('nodes of a database'))"
"""Adding a node alters the roles there, which two sessions cannot do at once."""
EXTENSION = "SELECT EXISTS (SELECT FROM pg_extension WHERE extname = 'citus')"


def is_cluster(connection: psycopg.Connection) -> bool:
    """Whether a database is that of a cluster's coordinator."""
    return connection.execute(EXTENSION).fetchone() == (True,)


@dataclass(frozen=True)
class Cluster:
    """The nodes of a cluster, by the database in which it was set up first.

    Args:
        server: the URI of the coordinator, with a database that knows the workers.
        coordinator: its host and port, as the workers know it.
        workers: theirs.
    """

    server: str
    coordinator: tuple[str, int]
    workers: tuple[tuple[str, int], ...]

    @classmethod
    def of(cls, server: str) -> "Cluster | None":
        """The cluster whose coordinator a URI names; None if it is none."""
        with psycopg.connect(server, autocommit=True) as connection:
            if not is_cluster(connection):
                return None
            workers = tuple(connection.execute(WORKERS).fetchall())
            found = connection.execute(COORDINATOR).fetchone()
        return cls(server, found, workers) if found and workers else None

    def uri(self, node: tuple[str, int], database: str) -> str:
        """The URI of a database on a node."""
        parts = urlsplit(self.server)
        user, at, _ = parts.netloc.rpartition("@")
        return parts._replace(netloc=f"{user}{at}{node[0]}:{node[1]}", path=f"/{database}").geturl()

    def prepare(self, database: str) -> None:
        """Make a database of the coordinator one of the cluster."""
        create = sql.SQL("CREATE DATABASE {}").format(sql.Identifier(database))
        for worker in self.workers:
            maintained = urlsplit(self.server).path.removeprefix("/")
            with psycopg.connect(self.uri(worker, maintained), autocommit=True) as connection:
                connection.execute(create)
            with psycopg.connect(self.uri(worker, database), autocommit=True) as connection:
                connection.execute("CREATE EXTENSION citus")
        coordinator = urlsplit(self.server)._replace(path=f"/{database}").geturl()
        with (
            psycopg.connect(self.server, autocommit=True) as turn,
            psycopg.connect(coordinator, autocommit=True) as connection,
        ):
            turn.execute(TAKE_TURNS)
            connection.execute("CREATE EXTENSION citus")
            connection.execute("SELECT citus_set_coordinator_host(%s, %s)", self.coordinator)
            for worker in self.workers:
                connection.execute("SELECT citus_add_node(%s, %s)", worker)

    def drop(self, database: str) -> None:
        """Drop a database on the workers."""
        for worker in self.workers:
            maintained = urlsplit(self.server).path.removeprefix("/")
            with psycopg.connect(self.uri(worker, maintained), autocommit=True) as connection:
                connection.execute(
                    sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(database))
                )
