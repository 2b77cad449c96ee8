"""Runs the soak, prints what happened and writes it down."""

from __future__ import annotations

import argparse
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import IO, Any

import grpc
import psycopg
from psycopg import sql

from destination.sdk.destination_sdk_pb2_grpc import DestinationConnectorStub
from destination.warehouse.postgres.database import APPLICATION_NAME
from destination.warehouse.postgres.embedded import embedded_postgres, psql_path
from destination_tester.stored import comparable
from tests import soak as package
from tests.soak.cluster import own_cluster
from tests.soak.faults import Faults
from tests.soak.tally import SCHEMA, Tally, judged, report
from tests.soak.workers import PATIENCE_SECONDS, Bulk, History, Keyed, Plain, Several, Wide, Worker
from tests.support.fix_proxy import Proxy
from tests.support.fix_server import OwnServer, own_server

ROOT = Path(__file__).parents[2]
RESULTS = ROOT / "benchmarks" / "results" / "soak.md"
SECONDS = 300
TABLES, NARROWEST, WIDEST = 200, 5, 600
WIDE_CLIENTS = 2


@contextmanager
def connector(tally: Tally) -> Iterator[tuple[int, subprocess.Popen[str]]]:
    """The connector's process, and its port; its log is read for defects."""
    command = [sys.executable, "main.py", "--port", "0"]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        port = int(process.stdout.readline().split("port ")[1].split()[0])
        reading = threading.Thread(target=note_defects, args=(process.stdout, tally))
        reading.start()
        yield port, process
        process.terminate()
        reading.join()
    assert process.returncode == 0, process.returncode


def note_defects(log: IO[str], tally: Tally) -> None:
    tally.defects += [line for line in log if '"SEVERE"' in line]


def look(process: subprocess.Popen[str], server: OwnServer, tally: Tally) -> None:
    """Note the connector's memory, threads and connections."""
    status = Path(f"/proc/{process.pid}/status").read_text()
    values = dict(line.split(":\t", 1) for line in status.splitlines() if ":\t" in line)
    tally.megabytes.append(int(values["VmRSS"].split()[0]) / 1024)
    tally.threads.append(int(values["Threads"]))
    with suppress(psycopg.OperationalError), server.connect() as connection:
        tally.connections.append(sessions(connection))


def sessions(connection: psycopg.Connection) -> int:
    query = "SELECT count(*) FROM pg_stat_activity WHERE application_name = %s"
    ((count,),) = connection.execute(query, (APPLICATION_NAME,))
    return int(count)


def differences(workers: Sequence[Worker], connection: psycopg.Connection) -> list[str]:
    """The tables that do not hold what the model holds."""
    connection.execute("SET TimeZone TO 'UTC'")
    return [
        worker.name for worker in workers if contents(connection, worker.name) != expected(worker)
    ]


def contents(connection: psycopg.Connection, name: str) -> list[str]:
    query = sql.SQL("SELECT * FROM {}").format(sql.Identifier(SCHEMA, name))
    cursor = connection.execute(query)
    assert cursor.description is not None
    names = [each.name for each in cursor.description]
    return by_repr(dict(zip(names, row, strict=True)) for row in cursor)


def expected(worker: Worker) -> list[str]:
    return by_repr(worker.rows() if isinstance(worker, Bulk) else worker.model.rows)


def by_repr(rows: Any) -> list[str]:
    return sorted(repr(sorted((k, comparable(v)) for k, v in row.items())) for row in rows)


def width_of(number: int, tables: int) -> int:
    """How many columns a table has among so many whose widths differ."""
    return NARROWEST + (WIDEST - NARROWEST) * number // max(1, tables - 1)


def soak(
    seconds: float, tables: int, servers: Sequence[OwnServer], directory: Path
) -> tuple[Tally, list[str]]:
    """Run it; returns what happened, and the tables that are wrong in the end."""
    tally = Tally()
    server = servers[0]
    parameters = server.configuration
    proxy = Proxy({**parameters, "dbname": "postgres"})
    configuration = {**parameters, "port": str(proxy.port)}
    over, calm = threading.Event(), threading.Event()
    with connector(tally) as (port, process), grpc.insecure_channel(f"localhost:{port}") as channel:
        stub = DestinationConnectorStub(channel)
        kinds = (Keyed, Keyed, History, Plain, Bulk)
        given = (stub, configuration, directory, tally)
        wide = [Wide(i, width_of(i, tables), *given) for i in range(tables)]
        single = [kind(i, *given) for i, kind in enumerate(kinds)]
        workers: list[Worker] = [*single, *wide]
        for worker in workers:
            worker.create()
        for each in wide:  # what is remembered of tables takes its room before the first look
            each.step()
        shares = [wide[i::WIDE_CLIENTS] for i in range(WIDE_CLIENTS)]
        senders = [*single, *(Several(share) for share in shares if share)]
        working = [threading.Thread(target=worker.work, args=(over,)) for worker in senders]
        disturbing = threading.Thread(target=Faults(servers, proxy, tally).work, args=(calm,))
        for thread in (*working, disturbing):
            thread.start()
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            look(process, server, tally)
            time.sleep(0.5)
        calm.set()
        disturbing.join()
        over.set()
        for thread in working:
            thread.join(PATIENCE_SECONDS)
        with server.connect() as connection:
            wrong = differences(workers, connection)
    with server.connect() as connection:
        if left := sessions(connection):
            wrong.append(f"{left} connections left over")
    proxy.close()
    return tally, wrong


@contextmanager
def single(**settings: str) -> Iterator[Sequence[OwnServer]]:
    """Start the embedded PostgreSQL."""
    with own_server(psql_path().parent) as server:
        server.start(**settings)
        yield [server]


def main() -> int:
    """Run it, print what happened, write it down; 1 if something is wrong."""
    arguments = argparse.ArgumentParser(description=package.__doc__)
    arguments.add_argument("--seconds", type=float, default=SECONDS)
    arguments.add_argument("--tables", type=int, default=TABLES, help="of 5 to 600 columns")
    arguments.add_argument("--citus", action="store_true", help="load a cluster of three nodes")
    options = arguments.parse_args()
    seconds = options.seconds
    settings = {"log_min_messages": "fatal", "fsync": "on"}
    with TemporaryDirectory(prefix="soak-") as name:
        directory = Path(name)
        with embedded_postgres(directory / "user"):  # makes the user that the server runs as
            pass
        with own_cluster(**settings) if options.citus else single(**settings) as servers:
            tally, wrong = soak(seconds, options.tables, servers, directory)
    wrong = judged(tally, wrong)
    text = report(seconds, tally, wrong)
    print(text)
    for each in wrong:
        print(f"wrong: {each}")
    if seconds >= SECONDS and not wrong and not options.citus:
        RESULTS.write_text(text)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
