"""What can go wrong, and who can mend it.

    ConnectorError
    ├── CustomerError              the customer can mend it: answered as `task` (`Test`: `failure`)
    │   ├── ConfigurationError     a field of the setup form is missing or malformed
    │   ├── RequestError           the request contradicts itself or the table
    │   ├── BatchFileError         a batch file is missing, damaged or holds what its type cannot
    │   ├── CapacityError          the request needs more memory than the server may use
    │   └── WarehouseError         the warehouse refused; names the cause and the remedy
    │       ├── UnreachableError   the warehouse could not be reached within the retry limit
    │       │   └── TunnelLostError  nor the SSH server before it
    │       └── TunnelRefusedError  the SSH server is another one, or lets nobody in
    └── CancelledError             the client gave up, or the server is stopping

Anything else is a defect of the connector: gRPC INTERNAL. No message holds a value of a row, a
password or a key; messages name schema, table, column, file and row number instead.
"""

from __future__ import annotations


class ConnectorError(Exception):
    """The base of every error this project raises on purpose."""


class CustomerError(ConnectorError):
    """An error that the customer can resolve; its text is shown to them unchanged."""


class ConfigurationError(CustomerError):
    """A field of the setup form is missing or malformed."""


class RequestError(CustomerError):
    """A request that contradicts itself or the table it names."""


class CapacityError(CustomerError):
    """The request needs more memory than the server's budget allows."""


class BatchFileError(CustomerError):
    """A batch file that cannot be read.

    Args:
        reason: what is wrong, without any value from the file.
        file: the file's path as it stood in the request.
        row: the row's number, the first row after the header being 1.
        column: the column's name.
    """

    def __init__(
        self,
        reason: str,
        *,
        file: str | None = None,
        row: int | None = None,
        column: str | None = None,
    ) -> None:
        self.reason = reason
        self.file = file
        self.row = row
        self.column = column
        super().__init__(reason)

    def __str__(self) -> str:
        parts = {"batch file {}": self.file, "row {}": self.row, 'column "{}"': self.column}
        where = ", ".join(text.format(part) for text, part in parts.items() if part is not None)
        return f"{where}: {self.reason}" if where else self.reason


class WarehouseError(CustomerError):
    """The warehouse refused an operation."""


class UnreachableError(WarehouseError):
    """The warehouse could not be reached, or kept failing, until the retries ran out."""


class TunnelLostError(UnreachableError):
    """The SSH server before the warehouse could not be reached, or hung up, or does not pass on."""


class TunnelRefusedError(WarehouseError):
    """The SSH server before the warehouse is not the expected one, or does not accept our key."""


class CancelledError(ConnectorError):
    """The client gave up or the server is stopping; whatever was under way is rolled back."""
