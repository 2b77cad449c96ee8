"""What a client's calls end with when they are not carried out.

FivetranError
├── InputError       nothing was sent: a key is missing, an address is not https
├── AnswerError      the API refused, or could not be reached
├── SyncFailedError  the sync that was waited for failed
└── TimedOutError    it did not end in time
"""

from __future__ import annotations


class FivetranError(Exception):
    """A call was not carried out. Its text never holds the key or the secret."""


class InputError(FivetranError):
    """What was given cannot be used."""


class AnswerError(FivetranError):
    """The API refused a request.

    Args:
        status: of the answer; None if there was none.
        code: Fivetran's.
        message: what it says.
    """

    def __init__(self, status: int | None, code: str, message: str) -> None:
        super().__init__(f"{code}: {message}" if status is None else f"{status} {code}: {message}")
        self.status = status
        self.code = code


class SyncFailedError(FivetranError):
    """A sync failed."""


class TimedOutError(FivetranError):
    """A sync did not end in time."""
