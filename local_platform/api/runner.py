"""Syncs as processes of their own: started, watched, stopped, remembered."""

from __future__ import annotations

import json
import logging
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Session

from local_platform.api.errors import ConflictError
from local_platform.api.hooks import announce
from local_platform.api.progress import Progress
from local_platform.api.store import Connection, Line, Run, Store, now
from local_platform.sync.errors import INTERRUPTED, SUCCEEDED

logger = logging.getLogger(__name__)

MOST_AT_ONCE = 8
NICENESS = 5
"""Syncs leave the processor to the pages, yet go on where other programs keep it busy."""
SAVE_SECONDS = 2
STOP_SECONDS = 5
"""After so long a sync that somebody waits for is killed: its connection is deleted."""
FLUSH_SECONDS = 5
"""How often a sync sends what it has, at a checkpoint: often, since people watch."""
STATUSES = {SUCCEEDED: "succeeded", INTERRUPTED: "stopped", -signal.SIGINT: "stopped"}
ERRORS = "errors.log"
ROOT = Path(__file__).parents[2]
"""Where the package is: its commands run there."""


@dataclass(frozen=True)
class Order:
    """What is to be synced.

    Args:
        directory: where the connection's sync state is.
        options: of `local_platform sync`.
        request: its line on STDIN: configurations, which are neither options nor files.
    """

    directory: Path
    options: Sequence[str]
    request: Mapping[str, Any]


@dataclass
class Active:
    """A run that is queued or under way."""

    run_id: str
    progress: Progress
    process: subprocess.Popen[str] | None = None
    stopping: bool = False


class Runner:
    """Runs syncs, a few at once; further ones wait.

    Args:
        store: remembers them.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self._pool = ThreadPoolExecutor(MOST_AT_ONCE, thread_name_prefix="run")
        self._active: dict[str, Active] = {}
        self._lock = threading.Lock()

    def start(self, connection_id: str, order: Order, *, resync: bool = False) -> str:
        """Start a sync.

        Returns:
            The run's id.

        Raises:
            ConflictError: if one is under way.
        """
        with self._lock:
            if connection_id in self._active:
                raise ConflictError("a sync is already in progress")
            with self._store.writing() as session:
                connection = session.get_one(Connection, connection_id)
                run = begin(session, connection, resync=resync)
            active = self._active[connection_id] = Active(run.id, Progress())
        self._pool.submit(self._run, connection_id, active, order)
        return run.id

    def stop(self, connection_id: str, *, wait: bool = False) -> None:
        """End a sync such that what came is loaded and saved; nothing if none is under way."""
        with self._lock:
            active = self._active.get(connection_id)
            if active is None:
                return
            active.stopping = True
            if active.process is not None:
                active.process.send_signal(signal.SIGINT)
        until = time.monotonic() + STOP_SECONDS
        while wait and self.progress(connection_id):
            if time.monotonic() > until and active.process is not None:
                active.process.kill()
            time.sleep(0.05)

    def progress(self, connection_id: str) -> Progress | None:
        """How a connection's sync goes; None if none is under way."""
        active = self._active.get(connection_id)
        return active.progress if active else None

    def close(self) -> None:
        """Stop all syncs and wait for them."""
        for connection_id in list(self._active):
            self.stop(connection_id)
        self._pool.shutdown()

    def _run(self, connection_id: str, active: Active, order: Order) -> None:
        try:
            self._end(connection_id, active, self._code(active, order))
        except Exception:
            logger.exception("the end of a run could not be written down")
            raise
        finally:
            with self._lock:
                del self._active[connection_id]

    def _code(self, active: Active, order: Order) -> int | None:
        """The exit code of a run's process; None if it could not be watched."""
        if active.stopping:
            return INTERRUPTED
        try:
            return self._sync(active, order)
        except (OSError, ValueError, LookupError, sa.exc.SQLAlchemyError):
            logger.exception("a run could not be watched")
            return None

    def _sync(self, active: Active, order: Order) -> int:
        """Run the process to its end.

        Returns:
            Its exit code.
        """
        with self._store.writing() as session:
            session.execute(sa.update(Run).where(Run.id == active.run_id).values(status="running"))
        order.directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        command = [sys.executable, "-m", "local_platform", "sync", str(order.directory.resolve())]
        options = ["--json", "--stdin", "--flush-seconds", str(FLUSH_SECONDS), *order.options]
        with (
            (order.directory / ERRORS).open("w") as errors,
            subprocess.Popen(  # noqa: S603
                [*command, *options], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=errors,
                text=True, start_new_session=True, cwd=ROOT,
            ) as process,
        ):  # fmt: skip
            os.setpriority(os.PRIO_PROCESS, process.pid, os.nice(0) + NICENESS)
            with self._lock:
                active.process = process
                if active.stopping:
                    process.send_signal(signal.SIGINT)
            _tell(process, order.request)
            self._watch(active, process)
            return process.wait()

    def _watch(self, active: Active, process: subprocess.Popen[str]) -> None:
        saved = time.monotonic()
        lines: list[tuple[str, str]] = []
        for text in process.stdout or ():
            if not text.startswith("{"):
                continue
            line = active.progress.take(json.loads(text))
            if line is not None:
                lines.append(line)
            if time.monotonic() - saved > SAVE_SECONDS:
                self._save(active, lines)
                lines, saved = [], time.monotonic()
        self._save(active, lines)

    def _save(self, active: Active, lines: Sequence[tuple[str, str]]) -> None:
        with self._store.writing() as session:
            run = session.get_one(Run, active.run_id)
            run.report = active.progress.report()
            run.rows = active.progress.rows
            session.add_all(
                Line(run_id=active.run_id, level=level, message=message) for level, message in lines
            )

    def _end(self, connection_id: str, active: Active, code: int | None) -> None:
        progress = active.progress
        how = "could not be watched" if code is None else f"ended unexpectedly (exit code {code})"
        with self._store.writing() as session:
            run = session.get_one(Run, active.run_id)
            run.status = "failed" if code is None else STATUSES.get(code, "failed")
            run.ended_at = now()
            run.rows = progress.rows
            run.report = progress.report()
            if run.status == "failed":
                run.error = progress.error or f"the sync {how}: see the platform's log"
            conclude(session, session.get_one(Connection, connection_id), run, progress.failed_test)


def begin(session: Session, connection: Connection, **columns: Any) -> Run:
    """Write down that a sync starts, and announce it."""
    run = Run(connection_id=connection.id, **columns)
    session.add(run)
    session.flush()
    announce(session, "sync_start", connection, run)
    return run


def conclude(session: Session, connection: Connection, run: Run, broken: bool) -> None:  # noqa: FBT001
    """Write down how a sync ended, and announce it."""
    if run.status == "succeeded":
        connection.succeeded_at = run.ended_at
        connection.setup_state = "connected"
        announce(session, "sync_end", connection, run, status="SUCCESSFUL")
        return
    if run.status == "stopped":
        announce(session, "sync_end", connection, run, status="CANCELED")
        return
    connection.failed_at = run.ended_at
    if broken:
        connection.setup_state = "broken"
    announce(session, "sync_end", connection, run, status="FAILURE", reason=run.error)
    announce(session, "connection_failure", connection, run, reason=run.error)


def latest(session: Session, connection_id: str) -> Run | None:
    """The last run of a connection."""
    return session.scalars(
        sa.select(Run)
        .where(Run.connection_id == connection_id)
        .order_by(Run.started_at.desc())
        .limit(1)
    ).first()


def latest_of_all(session: Session) -> dict[str, Run]:
    """The last run of each connection that has one, by the connection's id."""
    last = (
        sa.select(Run.connection_id, sa.func.max(Run.started_at).label("at"))
        .group_by(Run.connection_id)
        .subquery()
    )
    same = sa.and_(Run.connection_id == last.c.connection_id, Run.started_at == last.c.at)
    return {run.connection_id: run for run in session.scalars(sa.select(Run).join(last, same))}


def _tell(process: subprocess.Popen[str], request: Mapping[str, Any]) -> None:
    """Hand over the request; STDIN stays open, as the sign that the platform lives."""
    if process.stdin is None:
        return
    try:
        process.stdin.write(json.dumps(request) + "\n")
        process.stdin.flush()
    except BrokenPipeError:
        logger.warning("a sync ended before it started")
