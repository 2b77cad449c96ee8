"""Errors of a variant of PostgreSQL, reworded for its users."""

from __future__ import annotations

import psycopg


class RewordedError(psycopg.Error):
    """An error of a variant of PostgreSQL, in words of this project, remedy included.

    Args:
        state: the SQLSTATE that decides whether it is retried.
        words: what happened.
    """

    def __init__(self, state: str, words: str) -> None:
        super().__init__(words)
        self.sqlstate = state
