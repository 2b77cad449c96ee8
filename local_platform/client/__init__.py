"""A client of Fivetran's REST API, and of the local platform's, which is like it."""

from local_platform.client.errors import (
    AnswerError,
    FivetranError,
    InputError,
    SyncFailedError,
    TimedOutError,
)
from local_platform.client.fivetran import Fivetran
from local_platform.client.results import Connection, Destination, Marks, SetupTest, Table
from local_platform.client.webhooks import verify

__all__ = [
    "AnswerError",
    "Connection",
    "Destination",
    "Fivetran",
    "FivetranError",
    "InputError",
    "Marks",
    "SetupTest",
    "SyncFailedError",
    "Table",
    "TimedOutError",
    "verify",
]
