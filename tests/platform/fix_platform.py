"""A platform over real HTTP, with the tests' own connector as its destination."""

import shutil
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import httpx
import psycopg
import pytest
import uvicorn

from local_platform.api import account, app
from local_platform.api.platform import SAMPLES, Platform, Settings
from local_platform.api.store import Destination
from local_platform.web import app as web

T = TypeVar("T")
PASSWORD = "tea"
LONG = 180.0


@dataclass(frozen=True)
class Listening:
    """The connector of the tests, as the platform knows the one that it starts."""

    address: str
    uri: str

    def close(self) -> None:
        """It is others' too."""


@dataclass(frozen=True)
class Served:
    """A platform that is served.

    Args:
        url: where.
        key, secret: of its API.
        platform: the platform itself.
        http: a client that brings the key.
        group: of its destination.
        directory: where its state is.
    """

    url: str
    key: str
    secret: str
    platform: Platform
    http: httpx.Client
    group: str
    directory: Path

    def stranger(self) -> httpx.Client:
        """A client without the key."""
        return httpx.Client(base_url=self.url, timeout=LONG)

    def send(self, method: str, path: str, body: Any = None, status: int = 200) -> Any:
        """The data of an answer that has this status."""
        answer = self.http.request(method, f"/v1{path}", json=body)
        assert answer.status_code == status, answer.text
        return answer.json().get("data")

    def refused(self, method: str, path: str, body: Any = None) -> tuple[int, str]:
        """The status and code of an answer that is none."""
        answer = self.http.request(method, f"/v1{path}", json=body)
        content = answer.json()
        assert set(content) == {"code", "message"}, content
        return answer.status_code, content["code"]

    def shop(self, schema: str, **further: Any) -> dict[str, Any]:
        """A connection of the sample shop, paused."""
        config = {
            "schema": schema, "shop": "corner", "password": PASSWORD, "size": "medium",
            **further.pop("config", {}),
        }  # fmt: skip
        body = {
            "group_id": self.group, "service": "shop", "config": config, "paused": True, **further,
        }  # fmt: skip
        made: dict[str, Any] = self.send("POST", "/connections", body, 201)
        return made

    def ended(self, connection: str) -> dict[str, Any]:
        """A connection once its sync has ended."""
        return wait(
            lambda: self.send("GET", f"/connections/{connection}"),
            lambda found: found["status"]["sync_state"] != "syncing",
        )

    def rows(self, statement: str) -> list[tuple[Any, ...]]:
        """What a query finds in the destination."""
        uri = self.platform.destinations.database(
            self.platform.destinations.wanted(self.platform.store.row(Destination, self.group))
        )
        assert uri is not None
        plain = uri.set(drivername="postgresql").render_as_string(hide_password=False)
        with psycopg.connect(plain) as connection:
            return connection.execute(statement.encode()).fetchall()


def wait(
    look: Callable[[], T], done: Callable[[T], Any], seconds: float = LONG, pause: float = 0.1
) -> T:
    """What is found once it is what is waited for."""
    until = time.monotonic() + seconds
    while not done(found := look()):
        assert time.monotonic() < until, found
        time.sleep(pause)
    return found


@contextmanager
def serving(
    directory: Path, connector: Listening, *, login: bool = False, per_minute: int = 60_000
) -> Iterator[Served]:
    """Serve a platform with its state in a directory."""
    settings = Settings(directory, sources=directory.parent / "sources", webhook_step=0.2)
    if not settings.sources.exists():
        shutil.copytree(SAMPLES, settings.sources)
    with Platform(settings, connector) as platform, closing(socket.socket()) as listener:
        platform.first_start()
        key, secret = account.create(platform.store)
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        application = app.create(platform, ["127.0.0.1", "localhost"], per_minute)
        web.add(application, platform, login=login)
        server = uvicorn.Server(uvicorn.Config(application, log_level="error", lifespan="off"))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
        thread.start()
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        with httpx.Client(base_url=url, auth=(key, secret), timeout=LONG) as http:
            group = http.get("/v1/groups").json()["data"]["items"][0]["id"]
            yield Served(url, key, secret, platform, http, group, directory)
        server.should_exit = True
        thread.join()
        application.state.warehouses.close()


@pytest.fixture(scope="session")
def connector(server_port: int, postgres_uri: str) -> Listening:
    return Listening(f"localhost:{server_port}", postgres_uri)


@pytest.fixture(scope="module")
def served(connector: Listening, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with serving(tmp_path_factory.mktemp("platform") / "state", connector) as found:
        yield found
