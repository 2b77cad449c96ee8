"""What ends a sync before it is done, and with which exit code.

SyncError
├── InputError        1  bad input or state
├── DestinationError  2  the destination refused or was unreachable
└── SourceError       3  the source failed, or its test or task
"""

from __future__ import annotations

SUCCEEDED, INTERRUPTED = 0, 130


class SyncError(Exception):
    """Ends the sync. Its text is for people, and never holds a configuration value or a row's."""

    code = 1


class InputError(SyncError):
    """What the user gave cannot be used: a file, an option, a state, names that meet."""


class DestinationError(SyncError):
    """A call of the destination was not carried out."""

    code = 2


class SourceError(SyncError):
    """The source did not do its part."""

    code = 3
