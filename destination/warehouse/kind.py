"""A warehouse as the server sees it, and a kind of warehouses: its setup form, how one is reached."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass
from operator import methodcaller
from typing import Generic, TypeVar

from destination.cancellation import Cancellation
from destination.form import ConditionalFields, Field
from destination.warehouse.base import Landed, Result, Session, Traits
from destination.warehouse.stored import TableName

Configuration = TypeVar("Configuration", bound=Hashable)


class Warehouse(ABC):
    """A warehouse that a configuration leads to."""

    @abstractmethod
    def transact_once(
        self,
        subject: str,
        work: Callable[[Session], tuple[Result, Landed | None]],
        cancellation: Cancellation,
        table: TableName | None = None,
    ) -> Result:
        """Run work in one transaction, as often as it takes to apply it exactly once.

        Args:
            subject: what the work is about, for error messages.
            work: what to do; it may run several times, each from the beginning. With its result it
                returns how to find out whether it was committed; None where it may be repeated.
            cancellation: gives the work up.
            table: what the work locks first, if it does; the warehouse may begin with that.

        Raises:
            WarehouseError: if the warehouse refuses.
            UnreachableError: if it could not be reached or kept failing.
            CancelledError: if the work was given up; then nothing of it is applied.
        """

    def transact(
        self, subject: str, work: Callable[[Session], Result], cancellation: Cancellation
    ) -> Result:
        """As `transact_once`, for work that may be repeated."""
        return self.transact_once(subject, lambda session: (work(session), None), cancellation)

    @abstractmethod
    def read(
        self, subject: str, work: Callable[[Session], Result], cancellation: Cancellation
    ) -> Result:
        """As `transact`, for work that changes nothing."""

    def check_tunnel(self) -> None:
        """Reach the SSH server through which the warehouse is reached, if there is one, and log in.

        Raises:
            WarehouseError: saying what does not work and the remedy.
        """
        return

    @abstractmethod
    def check_connection(self) -> None:
        """Reach the warehouse and log in.

        Raises:
            WarehouseError: saying what does not work and the remedy.
        """

    @abstractmethod
    def check_permissions(self) -> None:
        """Create a schema, a table and a staging table, for real, and roll them back.

        Raises:
            WarehouseError: naming the missing privilege.
        """

    @abstractmethod
    def check_version(self) -> None:
        """Check that the warehouse's version is supported.

        Raises:
            WarehouseError: if it is not.
        """

    @abstractmethod
    def close(self) -> None:
        """Close its connections."""


@dataclass(frozen=True, slots=True)
class ConfigurationTest:
    """A test of what a customer filled in.

    Args:
        name: its name on the wire, and that of its method: `Warehouse.check_…`.
        label: what the customer reads.
    """

    name: str
    label: str

    def run(self, warehouse: Warehouse) -> None:
        """Raises a `CustomerError` where the test fails."""
        methodcaller(f"check_{self.name}")(warehouse)


@dataclass(frozen=True, slots=True)
class Kind(Generic[Configuration]):
    """What a package of `warehouse/` offers to the server.

    Args:
        form: the fields of the setup form, in their order.
        version_label: what the customer reads of the test of the warehouse's version.
        parse: reads the map that a request carries; raises `ConfigurationError`.
        connect: makes the warehouse of a configuration.
        traits: what its warehouses have in common.
    """

    form: tuple[Field | ConditionalFields, ...]
    version_label: str
    parse: Callable[[Mapping[str, str]], Configuration]
    connect: Callable[[Configuration], Warehouse]
    traits: Traits

    @property
    def tests(self) -> tuple[ConfigurationTest, ...]:
        """The tests of a configuration, in their order."""
        return (
            ConfigurationTest("tunnel", "Reaching the SSH server"),
            ConfigurationTest("connection", "Reaching the database and logging in"),
            ConfigurationTest("permissions", "Creating a schema and a table"),
            ConfigurationTest("version", self.version_label),
        )
