"""Destinations: their forms, tests and configurations, and what calls them."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import grpc
import sqlalchemy as sa

from destination.sdk import common_pb2 as common
from destination.sdk.destination_sdk_pb2_grpc import DestinationConnectorStub
from destination_tester.client import open_channel
from local_platform.api.connector import Listening
from local_platform.api.errors import ConflictError, InvalidInputError
from local_platform.api.forms import completed, shown, strings
from local_platform.api.store import Connection, Destination, Group, Store, identity
from local_platform.api.vault import Vault
from local_platform.sync.errors import InputError
from local_platform.sync.reaching import address as parse

EMBEDDED, POSTGRESQL, ADDRESS = "embedded", "postgresql", "address"
SERVICES = {
    EMBEDDED: (
        "Built-in PostgreSQL",
        "Runs with the platform, in its directory. Nothing to fill in.",
    ),
    POSTGRESQL: ("PostgreSQL", "A server of yours, by this project's connector."),
    ADDRESS: ("Destination server", "A destination connector that listens at an address."),
}
"""The services of destinations: title and description."""
ANSWER_SECONDS = 60
PASSED, FAILED, SKIPPED, JOB_FAILED = "PASSED", "FAILED", "SKIPPED", "JOB_FAILED"


@dataclass(frozen=True)
class Wanted:
    """What a destination is to be.

    Args:
        service: one of SERVICES.
        address: of a destination server.
        config: the configuration.
    """

    service: str
    address: str | None
    config: Mapping[str, Any]


class Destinations:
    """All destinations.

    Args:
        store: remembers them.
        vault: keeps their configurations.
        connector: the one that the platform started.
    """

    def __init__(self, store: Store, vault: Vault, connector: Callable[[], Listening]) -> None:
        self._store = store
        self._vault = vault
        self._connector = connector

    def form(self, service: str, address: str | None) -> common.ConfigurationFormResponse:
        """The setup form of a service.

        Raises:
            InvalidInputError: if there is no such service, or nothing answers.
        """
        if service == EMBEDDED:
            return common.ConfigurationFormResponse()
        try:
            with self._calling(Wanted(service, address, {})) as stub:
                return _form(stub)
        except grpc.RpcError as error:
            raise InvalidInputError(f"the destination does not answer: {_said(error)}") from error

    def test(self, wanted: Wanted) -> list[dict[str, Any]]:
        """Run the tests; those after one that failed are skipped.

        Returns:
            Of each the title, the status, the message and the seconds that it took.
        """
        try:
            with self._calling(wanted) as stub:
                return list(_tests(stub, wanted.config))
        except grpc.RpcError as error:
            return [outcome("Reaching the destination", JOB_FAILED, _said(error))]

    def wanted(self, destination: Destination) -> Wanted:
        """What a destination is, with its secrets."""
        config = self._vault.unlock(destination.config)
        return Wanted(destination.service, destination.address, config)

    def create_group(self, name: str) -> Group:
        """Make a group, which a destination can be made in.

        Raises:
            ConflictError: if there is one of that name.
        """
        made = Group(name=name)
        with self._store.adding(f"there is a group named '{name}' already") as session:
            session.add(made)
        return made

    def create(self, group_id: str, wanted: Wanted, *, test: bool, **further: str) -> Destination:
        """Make the destination of a group.

        Raises:
            NotFoundError: if there is no such group.
            ConflictError: if it has one.
            InvalidInputError: if the service or the address is none.
        """
        self._store.row(Group, group_id)
        taken = f"group {group_id} has a destination already"
        with self._store.reading() as session:
            if session.get(Destination, group_id) is not None:
                raise ConflictError(taken)
        columns = self._columns(wanted, {}, None if test else [])
        made = Destination(id=group_id, **columns, **further)
        with self._store.adding(taken) as session:
            session.add(made)
        return made

    def create_named(self, name: str, wanted: Wanted) -> Destination:
        """Make a destination with a group of its own, and test it.

        Raises:
            ConflictError: if there is a group of that name.
            InvalidInputError: if the service or the address is none.
        """
        made = Destination(id=identity(), **self._columns(wanted, {}, None))
        with self._store.adding(f"there is a destination named '{name}' already") as session:
            session.add(Group(id=made.id, name=name))
            session.flush()
            session.add(made)
        return made

    def change(
        self, destination_id: str, wanted: Wanted, *, test: bool, **further: str
    ) -> Destination:
        """Change a destination; configuration that is not given stays.

        Raises:
            NotFoundError: if there is none.
        """
        before = self._store.row(Destination, destination_id)
        whole = Wanted(before.service, wanted.address or before.address, wanted.config)
        kept = self._vault.unlock(before.config)
        columns = self._columns(whole, kept, None if test else before.tests)
        return self._store.change(Destination, destination_id, **columns, **further)

    def run_tests(self, destination_id: str) -> Destination:
        """Run a destination's tests and remember how they went.

        Raises:
            NotFoundError: if there is none.
        """
        return self.change(destination_id, Wanted("", None, {}), test=True)

    def delete(self, destination_id: str) -> None:
        """Forget a destination; what is in the warehouse stays.

        Raises:
            NotFoundError: if there is none.
            ConflictError: if connections use it.
        """
        self._store.row(Destination, destination_id)
        with self._store.writing() as session:
            used = session.scalar(
                sa.select(Connection.id).where(Connection.group_id == destination_id)
            )
            if used is not None:
                raise ConflictError(
                    f"destination {destination_id} has connections: delete them first"
                )
            session.execute(sa.delete(Destination).where(Destination.id == destination_id))

    def where(self, wanted: Wanted) -> tuple[str, int]:
        """The host and port of what loads into a destination."""
        listens = wanted.address if wanted.service == ADDRESS else self._connector().address
        return parse(listens or "")

    def database(self, wanted: Wanted) -> sa.URL | None:
        """The PostgreSQL that a destination loads into, to look at.

        None if it is not known, or reached by a tunnel or with certificates: it is never reached with
        less care than by the connector.
        """
        if wanted.service == EMBEDDED:
            return sa.make_url(self._connector().uri).set(drivername="postgresql+psycopg")
        config = wanted.config
        mode = config.get("sslmode") or PLAIN_MODES[-1]
        if not {"host", "database", "user"} <= config.keys() or config.get("tunnel_host"):
            return None
        if mode not in PLAIN_MODES:
            return None
        return sa.URL.create(
            "postgresql+psycopg", config["user"], config.get("password") or None, config["host"],
            int(config.get("port") or 5432), config["database"], {"sslmode": mode},
        )  # fmt: skip

    def _columns(
        self, wanted: Wanted, kept: Mapping[str, str], tests: list[dict[str, Any]] | None
    ) -> dict[str, Any]:
        """The columns of a destination.

        Args:
            wanted: what it is to be.
            kept: the configuration that stays where nothing else is given.
            tests: how they went before; None to run them.
        """
        self._check(wanted)
        form = self.form(wanted.service, wanted.address)
        config = completed(form, {**kept, **strings(wanted.config, form)})
        if tests is None:
            tests = self.test(replace(wanted, config=config))
        passed = tests and all(each["status"] == PASSED for each in tests)
        return {
            "service": wanted.service, "address": wanted.address, "shown": shown(form),
            "config": self._vault.lock(config), "tests": tests,
            "setup_status": "connected" if passed else "incomplete",
        }  # fmt: skip

    def _check(self, wanted: Wanted) -> None:
        if wanted.service not in SERVICES:
            known = ", ".join(SERVICES)
            raise InvalidInputError(f"service: '{wanted.service}' is none of {known}")
        if wanted.service == EMBEDDED and wanted.config:
            raise InvalidInputError("config: the built-in PostgreSQL has nothing to configure")
        if wanted.service == ADDRESS:
            try:
                parse(wanted.address or "")
            except InputError as error:
                raise InvalidInputError("address: say where it listens, as HOST:PORT") from error

    @contextmanager
    def _calling(self, wanted: Wanted) -> Iterator[DestinationConnectorStub]:
        self._check(wanted)
        with open_channel(*self.where(wanted)) as channel:
            yield DestinationConnectorStub(channel)


PLAIN_MODES = ("disable", "allow", "prefer", "require")
"""Modes of TLS that need no files."""


def _form(stub: DestinationConnectorStub) -> common.ConfigurationFormResponse:
    return stub.ConfigurationForm(common.ConfigurationFormRequest(), timeout=ANSWER_SECONDS)


def _tests(stub: DestinationConnectorStub, config: Mapping[str, str]) -> Iterator[dict[str, Any]]:
    failed = False
    for test in _form(stub).tests:
        title = test.label or test.name
        if failed:
            yield outcome(title, SKIPPED, "a test before it failed")
            continue
        started = time.monotonic()
        answer = stub.Test(
            common.TestRequest(name=test.name, configuration=config), timeout=ANSWER_SECONDS
        )
        failed = not answer.success
        message = answer.failure or "the test failed" if failed else ""
        status = FAILED if failed else PASSED
        yield outcome(title, status, message, time.monotonic() - started)


def outcome(title: str, status: str, message: str, seconds: float = 0.0) -> dict[str, Any]:
    """How a test went, as it is remembered."""
    return {"title": title, "status": status, "message": message, "seconds": round(seconds, 3)}


def _said(error: grpc.RpcError) -> str:
    return f"{error.code().name} {error.details()}"
