"""PostgreSQL as a kind of warehouse."""

from __future__ import annotations

from collections.abc import Callable

from destination.errors import ConfigurationError
from destination.warehouse.kind import Kind, Warehouse
from destination.warehouse.postgres.configuration import EMBEDDED, Configuration
from destination.warehouse.postgres.database import PostgresWarehouse
from destination.warehouse.postgres.form import FORM
from destination.warehouse.postgres.session import TRAITS


def postgres(connect: Callable[[Configuration], Warehouse]) -> Kind[Configuration]:
    """PostgreSQL, with a way to make the warehouse of a configuration."""
    label = "Checking PostgreSQL's version"
    return Kind(FORM, label, Configuration.parse, connect, TRAITS)


def connector(embedded_uri: str | None) -> Callable[[Configuration], Warehouse]:
    """A function that makes the warehouse of a configuration.

    Args:
        embedded_uri: of the embedded PostgreSQL; None if there is none.
    """

    def connect(configuration: Configuration) -> Warehouse:
        if configuration != EMBEDDED:
            return PostgresWarehouse.from_configuration(configuration)
        if embedded_uri is None:
            raise ConfigurationError("host: fill in this field of the setup form")
        return PostgresWarehouse.from_uri(embedded_uri)

    return connect
