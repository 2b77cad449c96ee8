"""The metrics: their names, kinds, units, and what they count."""

from __future__ import annotations

from enum import Enum, auto


class Kind(Enum):
    """How a metric's amounts become one number."""

    COUNTER = auto()
    HISTOGRAM = auto()
    LEVEL = auto()


class Metric(Enum):
    """Each metric, by the semantic conventions where they have a name for it."""

    CALL_SECONDS = (
        "rpc.server.call.duration",
        Kind.HISTOGRAM,
        "s",
        "Duration of calls, by rpc.method and fivetran.outcome",
    )
    ROWS = (
        "fivetran.destination.rows",
        Kind.COUNTER,
        "{row}",
        "Rows of committed batches, by fivetran.row.kind: replaced, updated, deleted, started",
    )
    STORED_BYTES = (
        "fivetran.destination.files.stored",
        Kind.COUNTER,
        "By",
        "Bytes of batch files read, as stored",
    )
    INFLATED_BYTES = (
        "fivetran.destination.files.inflated",
        Kind.COUNTER,
        "By",
        "Bytes of batch files read, decrypted and decompressed",
    )
    RETRIES = (
        "fivetran.destination.retries",
        Kind.COUNTER,
        "{retry}",
        "Attempts repeated after transient trouble, by db.response.status_code (the SQLSTATE)",
    )
    WAIT_SECONDS = (
        "fivetran.destination.wait.duration",
        Kind.HISTOGRAM,
        "s",
        "Waits of a millisecond or more, by fivetran.wait.subject: connection, lock, memory",
    )
    MEMORY_USED = (
        "fivetran.destination.memory.used",
        Kind.LEVEL,
        "By",
        "Memory budget that open batch files hold",
    )
    MEMORY_BUDGET = (
        "fivetran.destination.memory.budget",
        Kind.LEVEL,
        "By",
        "Memory budget of the server",
    )
    CONNECTIONS_USED = (
        "fivetran.destination.connections.used",
        Kind.LEVEL,
        "{connection}",
        "Connections to warehouses that calls hold",
    )
    LIVE_TABLES = (
        "fivetran.destination.tables.live",
        Kind.LEVEL,
        "{table}",
        "Tables that calls under way are about",
    )

    def __init__(self, label: str, kind: Kind, unit: str, description: str) -> None:
        self.instrument = (label, unit, description)
        self.label = label
        self.kind = kind
