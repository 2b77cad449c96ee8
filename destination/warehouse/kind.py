"""A kind of warehouse: its setup form, how that is read, and how its warehouses are reached."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass
from operator import methodcaller
from typing import Generic, TypeVar

from destination.form import ConditionalFields, Field
from destination.warehouse.base import Capabilities, Warehouse

Configuration = TypeVar("Configuration", bound=Hashable)


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
        capabilities: what its warehouses have in common.
    """

    form: tuple[Field | ConditionalFields, ...]
    version_label: str
    parse: Callable[[Mapping[str, str]], Configuration]
    connect: Callable[[Configuration], Warehouse]
    capabilities: Capabilities

    @property
    def tests(self) -> tuple[ConfigurationTest, ...]:
        """The tests of a configuration, in their order."""
        return (
            ConfigurationTest("tunnel", "Reaching the SSH server"),
            ConfigurationTest("connection", "Reaching the database and logging in"),
            ConfigurationTest("permissions", "Creating a schema and a table"),
            ConfigurationTest("version", self.version_label),
        )
