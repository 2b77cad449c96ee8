"""Webhooks: signed, delivered, again where that fails, and never in a sync's way."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from local_platform.api.store import Webhook
from local_platform.client import verify
from tests.platform.fix_platform import Served, wait

SECRET = "marked-webhook-secret"


@dataclass
class Receiver:
    """What a webhook's server got."""

    url: str = ""
    status: int = 200
    answers: threading.Event = field(default_factory=threading.Event)
    got: list[tuple[str | None, bytes]] = field(default_factory=list)

    def events(self) -> list[dict[str, Any]]:
        return [json.loads(body) for _, body in self.got]


@contextmanager
def receiving() -> Iterator[Receiver]:
    found = Receiver()
    found.answers.set()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            found.got.append((self.headers.get("X-Fivetran-Signature-256"), body))
            found.answers.wait()
            self.send_response(found.status)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        found.url = f"http://127.0.0.1:{server.server_port}/hook"
        threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
        yield found
        found.answers.set()
        server.shutdown()


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with receiving() as found:
        yield found


def hook(served: Served, receiver: Receiver, *events: str) -> str:
    body = {"url": receiver.url, "events": list(events), "secret": SECRET}
    made = served.send("POST", "/webhooks/account", body, 201)
    assert made["secret"] == "******"
    receiver.got.clear()
    return str(made["id"])


def simulated(served: Served, schema: str, outcome: str = "succeed") -> str:
    config = {"schema": schema, "polls": 1, "outcome": outcome}
    body = {"group_id": served.group, "service": "simulated", "config": config, "paused": True}
    return str(served.send("POST", "/connections", body, 201)["id"])


def test_events_are_signed_and_in_order(served: Served, receiver: Receiver) -> None:
    identity = hook(served, receiver, "sync_start", "sync_end", "connection_failure")
    for outcome in ("succeed", "fail"):
        connection = simulated(served, f"hook_{outcome}", outcome)
        served.send("POST", f"/connections/{connection}/sync")
        served.send("GET", f"/connections/{connection}")
    wait(lambda: len(receiver.got), lambda count: count == 5)
    assert all(verify(body, signature, SECRET) for signature, body in receiver.got)
    assert not verify(receiver.got[0][1] + b" ", receiver.got[0][0], SECRET)
    told = [(each["event"], each["data"].get("status")) for each in receiver.events()]
    assert told == [
        ("sync_start", None), ("sync_end", "SUCCESSFUL"),
        ("sync_start", None), ("sync_end", "FAILURE"), ("connection_failure", None),
    ]  # fmt: skip
    assert receiver.events()[0]["connector_name"] == "hook_succeed"
    served.send("DELETE", f"/webhooks/{identity}")


def test_event_that_is_refused_is_sent_again(served: Served, receiver: Receiver) -> None:
    identity = hook(served, receiver, "sync_end")
    receiver.status = 500
    connection = simulated(served, "hook_again")
    served.send("POST", f"/connections/{connection}/sync")
    assert served.send("GET", f"/connections/{connection}")["succeeded_at"]
    wait(lambda: len(receiver.got), lambda count: count >= 2)
    receiver.status = 200
    seen = len(receiver.got)
    wait(lambda: len(receiver.got), lambda count: count > seen)
    assert len({body for _, body in receiver.got}) == 1
    served.send("DELETE", f"/webhooks/{identity}")


def test_webhook_must_answer_first_is_changed_tried_and_deleted(
    served: Served, receiver: Receiver
) -> None:
    receiver.status = 404
    body = {"url": receiver.url, "events": ["sync_end"]}
    assert served.refused("POST", "/webhooks/account", body) == (400, "InvalidInput")
    made = served.send("POST", f"/webhooks/group/{served.group}", {**body, "active": False}, 201)
    assert (made["type"], made["secret"]) == ("group", None)
    path = f"/webhooks/{made['id']}"
    assert served.refused("PATCH", path, {"active": True}) == (400, "InvalidInput")
    receiver.status = 200
    assert served.send("PATCH", path, {"active": True, "events": ["sync_start"]})["active"] is True
    assert served.send("POST", f"{path}/test", {"event": "sync_start"})["succeed"] is True
    served.send("DELETE", path)
    assert served.refused("GET", path) == (404, "NotFound_Webhook")


def test_webhook_that_nobody_answers_holds_up_no_sync(served: Served) -> None:
    body = {"url": "http://127.0.0.1:1/", "events": ["sync_start", "sync_end"], "active": False}
    made = served.send("POST", "/webhooks/account", body, 201)
    with served.platform.store.writing() as session:
        session.get_one(Webhook, made["id"]).active = True
    connection = simulated(served, "hook_nobody")
    served.send("POST", f"/connections/{connection}/sync")
    assert served.send("GET", f"/connections/{connection}")["succeeded_at"]
    served.send("DELETE", f"/webhooks/{made['id']}")


def test_webhook_that_does_not_answer_delays_no_other(served: Served, receiver: Receiver) -> None:
    with receiving() as silent:
        identities = [hook(served, each, "sync_end") for each in (silent, receiver)]
        silent.answers.clear()
        connection = simulated(served, "hook_silent")
        served.send("POST", f"/connections/{connection}/sync")
        assert served.send("GET", f"/connections/{connection}")["succeeded_at"]
        wait(lambda: (silent.got, receiver.got), all)
        assert not silent.answers.is_set()
        silent.answers.set()
        for identity in identities:
            served.send("DELETE", f"/webhooks/{identity}")
