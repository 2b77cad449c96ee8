"""A cluster's errors, as those of a single server would be.

A worker's error comes with its SQLSTATE, but out of COPY, where it is XX000 and its message is all that
tells it. Citus has its messages in English alone, a worker in its own language. They may hold values of
rows, so none is shown.
"""

from __future__ import annotations

import re

import psycopg
from sqlalchemy.exc import DBAPIError

from destination.warehouse.postgres.errors import REMEDIES, WORDING, sqlstate
from destination.warehouse.postgres.reworded import RewordedError

INTERNAL_ERROR = "XX000"
"""internal_error, as which whatever a worker says in COPY arrives."""
UNSUPPORTED = "0A000"
LOST = "08006"

LOST_NODE = re.compile(
    r"(?:remote node|COPY (?:data to|on)|shard .* on|essential:|to the node|on node) (?:\S*@)?(\S+:\d+)"
)
"""The messages about a node that cannot be reached, or hung up."""
UNPREPARED = re.compile(r"failed to prepare transaction .* on host (\S+:\d+)")
ROLLED_BACK = "40000"
LOST_LINE = re.compile(
    "server closed the connection|terminating connection|connection not open|no connection to the server"
    "|could not receive data from server|could not send data to server|SSL connection has been closed"
    "|the database system is (?:starting|shutting|not yet|in recovery)|any healthy placement"
)
"""The same of one that is not named."""
SIGNS = {
    "value too long for type": "22001",
    "deadlock": "40P01",
    "canceling statement due to lock timeout": "55P03",
    "canceling statement": "57014",
    "No space left": "53100",
    "could not extend file": "53100",
    "out of memory": "53200",
    "too many clients": "53300",
    "remaining connection slots": "53300",
    "permission denied": "42501",
}
"""Parts of messages that workers send in COPY, and what the SQLSTATE was."""


def as_of_one_server(error: DBAPIError) -> DBAPIError:
    """The error that a single server would have raised; the same if it would be that."""
    cause, state = error.orig, sqlstate(error)
    if not isinstance(cause, psycopg.Error) or isinstance(cause, RewordedError):
        return error
    message = "" if error.connection_invalidated else cause.diag.message_primary or ""
    about_node = _about_node(message, state)
    if about_node is not None:
        return reworded(error, *about_node)
    if state != INTERNAL_ERROR:
        return error
    meant = next((state for sign, state in SIGNS.items() if sign in message), None)
    return error if meant is None else _raised(error, psycopg.errors.lookup(meant)())


def violated(error: DBAPIError, state: str, kind: str, name: str) -> DBAPIError:
    """The error of a constraint, or a column, of that name."""
    return reworded(error, state, f'{WORDING[state]} ({kind} "{name}"): {REMEDIES[state]}')


def _about_node(message: str, state: str | None) -> tuple[str, str] | None:
    """The SQLSTATE and the words for a node that is in trouble; None if none is."""
    if found := UNPREPARED.search(message):
        words = f"the node {found[1]} of the cluster did not prepare to commit: its log says why"
        return ROLLED_BACK, words
    found = LOST_NODE.search(message)
    if found is None and not (state == INTERNAL_ERROR and LOST_LINE.search(message)):
        return None
    node = "a node" if found is None else f"the node {found[1]}"
    remedy = "see that it runs, and that the coordinator reaches it"
    return LOST, f"{node} of the cluster does not answer: {remedy}"


def reworded(error: DBAPIError, state: str, words: str) -> DBAPIError:
    """The same error in these words."""
    return _raised(error, RewordedError(state, words))


def _raised(error: DBAPIError, cause: psycopg.Error) -> DBAPIError:
    raised = DBAPIError(error.statement, None, cause)
    for note in getattr(error, "__notes__", []):
        raised.add_note(note)
    return raised
