"""Syncs without data, to test clients: each ends after some polls, with a given outcome."""

from __future__ import annotations

from collections.abc import Mapping

from local_platform.api.errors import ConflictError, InvalidInputError, TooManyError
from local_platform.api.runner import begin, conclude, latest
from local_platform.api.store import Connection, Store, now

OUTCOMES = ("succeed", "fail", "throttle")
RETRY_SECONDS = 1
ERROR = "a simulated failure"


def check(config: Mapping[str, str]) -> None:
    """Refuse a configuration that cannot be played.

    Raises:
        InvalidInputError: if it cannot.
    """
    if not config["polls"].isdigit():
        raise InvalidInputError("config.polls: it must be a whole number")
    if config["outcome"] not in OUTCOMES:
        raise InvalidInputError(f"config.outcome: it must be one of {', '.join(OUTCOMES)}")


def start(store: Store, connection: Connection, config: Mapping[str, str]) -> str:
    """Start a sync.

    Returns:
        The run's id.

    Raises:
        ConflictError: if one is under way.
    """
    with store.writing() as session:
        last = latest(session, connection.id)
        if last is not None and last.under_way:
            raise ConflictError("a sync is already in progress")
        report = {"polls": int(config["polls"])}
        return begin(session, connection, status="running", report=report).id


def poll(store: Store, connection_id: str, outcome: str) -> None:
    """A client read the connection: its sync is one poll nearer to its end.

    Raises:
        TooManyError: if this poll is to be throttled.
    """
    with store.writing() as session:
        run = latest(session, connection_id)
        if run is None or not run.under_way:
            return
        throttled = outcome == "throttle" and not run.report.get("throttled", False)
        left = run.report["polls"] - (0 if throttled else 1)
        run.report = {"polls": left, "throttled": throttled}
        if left <= 0 and not throttled:
            run.status = "failed" if outcome == "fail" else "succeeded"
            run.error = ERROR if outcome == "fail" else None
            run.ended_at = now()
            conclude(session, session.get_one(Connection, connection_id), run, outcome == "fail")
    if throttled:
        raise TooManyError(RETRY_SECONDS)
