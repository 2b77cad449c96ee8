"""Destinations: their forms, tests and configurations, and what calls them."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import grpc
import sqlalchemy as sa
from sqlalchemy.orm import Session

from destination.sdk import common_pb2 as common
from destination.sdk.destination_sdk_pb2_grpc import DestinationConnectorStub
from destination_tester.client import open_channel
from local_platform.api.connector import Listening
from local_platform.api.errors import ConflictError, InvalidInputError, NotFoundError
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
        with self._calling(service, address) as stub:
            try:
                return stub.ConfigurationForm(
                    common.ConfigurationFormRequest(), timeout=ANSWER_SECONDS
                )
            except grpc.RpcError as error:
                raise InvalidInputError(
                    f"the destination does not answer: {_said(error)}"
                ) from error

    def test(self, wanted: Wanted) -> list[dict[str, Any]]:
        """Run the tests; those after one that failed are skipped.

        Returns:
            Of each the title, the status, the message and the seconds that it took.
        """
        try:
            with self._calling(wanted.service, wanted.address) as stub:
                form = stub.ConfigurationForm(
                    common.ConfigurationFormRequest(), timeout=ANSWER_SECONDS
                )
                return list(_tests(stub, form.tests, wanted.config))
        except grpc.RpcError as error:
            return [_outcome("Reaching the destination", JOB_FAILED, _said(error))]

    def get(self, destination_id: str) -> Destination:
        """A destination.

        Raises:
            NotFoundError: if there is none.
        """
        with self._store.reading() as session:
            found = session.get(Destination, destination_id)
        if found is None:
            raise NotFoundError("Destination", destination_id)
        return found

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
        with self._adding(f"there is a group named '{name}' already") as session:
            session.add(made)
        return made

    def create(self, group_id: str, wanted: Wanted, *, test: bool, **further: str) -> Destination:
        """Make the destination of a group.

        Raises:
            NotFoundError: if there is no such group.
            ConflictError: if it has one.
            InvalidInputError: if the service or the address is none.
        """
        with self._store.reading() as session:
            if session.get(Group, group_id) is None:
                raise NotFoundError("Group", group_id)
            if session.get(Destination, group_id) is not None:
                raise ConflictError(f"group {group_id} has a destination already")
        made = self._made(wanted, test=test)
        made.id = group_id
        for name, value in further.items():
            setattr(made, name, value)
        with self._adding(f"group {group_id} has a destination already") as session:
            session.add(made)
        return made

    def create_named(self, name: str, wanted: Wanted) -> Destination:
        """Make a destination with a group of its own, and test it.

        Raises:
            ConflictError: if there is a group of that name.
            InvalidInputError: if the service or the address is none.
        """
        made = self._made(wanted, test=True)
        made.id = identity()
        with self._adding(f"there is a destination named '{name}' already") as session:
            session.add(Group(id=made.id, name=name))
            session.flush()
            session.add(made)
        return made

    @contextmanager
    def _adding(self, taken: str) -> Iterator[Session]:
        """A session to add to; a ConflictError says what is taken."""
        try:
            with self._store.writing() as session:
                yield session
        except sa.exc.IntegrityError as error:
            raise ConflictError(taken) from error

    def _made(self, wanted: Wanted, *, test: bool) -> Destination:
        self._check(wanted)
        form = self.form(wanted.service, wanted.address)
        config = completed(form, strings(wanted.config, form))
        wanted = Wanted(wanted.service, wanted.address, config)
        tests = self.test(wanted) if test else []
        return Destination(
            service=wanted.service, address=wanted.address, shown=shown(form),
            config=self._vault.lock(config), tests=tests, setup_status=status_of(tests),
        )  # fmt: skip

    def change(
        self, destination_id: str, wanted: Wanted, *, test: bool, **further: str
    ) -> Destination:
        """Change a destination; configuration that is not given stays.

        Raises:
            NotFoundError: if there is none.
        """
        before = self.get(destination_id)
        address = wanted.address or before.address
        self._check(Wanted(before.service, address, wanted.config))
        form = self.form(before.service, address)
        kept = self._vault.unlock(before.config)
        config = completed(form, {**kept, **strings(wanted.config, form)})
        wanted = Wanted(before.service, address, config)
        tests = self.test(wanted) if test else before.tests
        with self._store.writing() as session:
            found = session.get_one(Destination, destination_id)
            found.address = wanted.address
            found.config = self._vault.lock(config)
            found.shown = shown(form)
            found.tests = tests
            found.setup_status = status_of(tests)
            for name, value in further.items():
                setattr(found, name, value)
        return found

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
        self.get(destination_id)
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
    def _calling(self, service: str, address: str | None) -> Iterator[DestinationConnectorStub]:
        self._check(Wanted(service, address, {}))
        with open_channel(*self.where(Wanted(service, address, {}))) as channel:
            yield DestinationConnectorStub(channel)


PLAIN_MODES = ("disable", "allow", "prefer", "require")
"""Modes of TLS that need no files."""


def status_of(tests: list[dict[str, Any]]) -> str:
    """What tests say of the setup."""
    if not tests:
        return "incomplete"
    return "connected" if all(each["status"] == PASSED for each in tests) else "incomplete"


def _tests(
    stub: DestinationConnectorStub, tests: Any, config: Mapping[str, str]
) -> Iterator[dict[str, Any]]:
    failed = False
    for test in tests:
        title = test.label or test.name
        if failed:
            yield _outcome(title, SKIPPED, "a test before it failed")
            continue
        started = time.monotonic()
        answer = stub.Test(
            common.TestRequest(name=test.name, configuration=config), timeout=ANSWER_SECONDS
        )
        failed = not answer.success
        message = answer.failure or "the test failed" if failed else ""
        status = FAILED if failed else PASSED
        yield _outcome(title, status, message, time.monotonic() - started)


def _outcome(title: str, status: str, message: str, seconds: float = 0.0) -> dict[str, Any]:
    return {"title": title, "status": status, "message": message, "seconds": round(seconds, 3)}


def _said(error: grpc.RpcError) -> str:
    return f"{error.code().name} {error.details()}"
