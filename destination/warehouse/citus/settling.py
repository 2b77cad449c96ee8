"""Waits for what a worker has prepared to commit, and has not committed yet.

A commit ends when the coordinator has committed; then each worker commits what it prepared. One that
does not hear of it is told later, by Citus's recovery, once a minute. No statement sees those rows until
then, so that an update or a deletion would pass over them without an error.
"""

from __future__ import annotations

from typing import LiteralString
from weakref import WeakKeyDictionary

import sqlalchemy as sa
from sqlalchemy.exc import DBAPIError

from destination.cancellation import Cancellation
from destination.warehouse.citus.errors import LOST
from destination.warehouse.postgres.driver import driver_of, execute
from destination.warehouse.postgres.reworded import RewordedError

SETTLED = "citus.settled"
"""In a connection's `info`: how many warnings there had been when nothing was prepared any more."""
PREPARED: LiteralString = """
    SELECT nodename || ':' || nodeport, success, result, current_user FROM run_command_on_workers($$
        SELECT coalesce(string_agg(gid, ' '), '') FROM pg_catalog.pg_prepared_xacts
        WHERE database = pg_catalog.current_database() AND gid LIKE 'citus\\_%'$$)"""
"""What each worker has prepared, whoever wrote it."""
_warnings: WeakKeyDictionary[sa.Engine, int] = WeakKeyDictionary()
"""How many each server has sent."""
LOOKS, PAUSE_SECONDS = 20, 0.1
UNSETTLED = (
    "the node {} of the cluster has prepared an earlier batch and not committed it yet: Citus has it do"
    " so within citus.recover_2pc_interval, or at once by SELECT recover_prepared_transactions()"
)
SILENT = (
    "the node {} of the cluster does not say what it has prepared: see that it runs, and that the role"
    ' "{}" may log in there'
)


def settle(connection: sa.Connection, cancellation: Cancellation) -> None:
    """Wait until workers have committed what came before, where that may not be so.

    It may not on a new connection, which may follow a crash, and after a warning, as which Citus tells
    that a worker missed a commit.

    Args:
        connection: in a transaction that has read no rows yet.
        cancellation: ends the wait.

    Raises:
        DBAPIError: transient, if a worker does not do so within seconds.
    """
    engine, info = connection.engine, connection.info
    if SETTLED not in info:
        driver_of(connection).add_notice_handler(lambda _: _warn(engine))
        info[SETTLED] = None
    warned = _warnings.get(engine, 0)
    if info[SETTLED] == warned:
        return
    waited_for = _prepared(connection)
    for _ in range(LOOKS):
        if not waited_for:
            break
        cancellation.sleep(PAUSE_SECONDS)
        waited_for = {gid: node for gid, node in _prepared(connection).items() if gid in waited_for}
    if waited_for:
        raise _lost(UNSETTLED.format(min(waited_for.values())))
    info[SETTLED] = warned


def _warn(engine: sa.Engine) -> None:
    _warnings[engine] = _warnings.get(engine, 0) + 1


def _prepared(connection: sa.Connection) -> dict[str, str]:
    """What is prepared, each with its node."""
    answers = execute(connection, PREPARED).fetchall()
    for node, success, _, role in answers:
        if not success:
            raise _lost(SILENT.format(node, role))
    return {gid: node for node, _, gids, _ in answers for gid in gids.split()}


def _lost(words: str) -> DBAPIError:
    return DBAPIError(None, None, RewordedError(LOST, words))
