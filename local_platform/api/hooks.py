"""Events sent to webhooks: signed, again where it fails, never one webhook waiting for another."""

from __future__ import annotations

import hashlib
import hmac
import json
import logging
import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from itertools import groupby
from typing import Any

import httpx
import sqlalchemy as sa
from sqlalchemy.orm import Session

from local_platform.api.store import Connection, Delivery, Run, Store, Webhook, now
from local_platform.api.vault import Vault

logger = logging.getLogger(__name__)

SIGNATURE = "X-Fivetran-Signature-256"
EVENTS = (
    "sync_start", "sync_end", "connection_successful", "connection_failure", "create_connector",
    "edit_connector", "pause_connector", "resume_connector", "delete_connector",
)  # fmt: skip
ANSWER_SECONDS = 10
GIVE_UP = timedelta(hours=24)
"""After so long without an answer a webhook is switched off. [D]"""
LOOK_SECONDS = 0.5
MAX_DUE = 20
MOST_AT_ONCE = 8


def signature(secret: str, body: bytes) -> str:
    """The signature of a body: its HMAC-SHA256 in uppercase hexadecimal. [D]"""
    return hmac.new(secret.encode(), body, hashlib.sha256).hexdigest().upper()


def payload(event: str, connection: Connection, run: Run | None, **data: Any) -> str:
    """The body of an event. [D]"""
    return json.dumps(
        {
            "event": event,
            "created": now().isoformat(timespec="milliseconds").replace("+00:00", "Z"),
            "connector_type": connection.service,
            "connector_id": connection.id,
            "connector_name": connection.schema,
            "sync_id": run.id if run else None,
            "destination_group_id": connection.group_id,
            "data": data,
        }
    )


def announce(
    session: Session, event: str, connection: Connection, run: Run | None = None, **data: Any
) -> None:
    """Have an event sent, once the transaction is durable."""
    wanted = sa.or_(Webhook.group_id.is_(None), Webhook.group_id == connection.group_id)
    for hook in session.scalars(sa.select(Webhook).where(Webhook.active, wanted)):
        if event in hook.events:
            session.add(Delivery(webhook_id=hook.id, body=payload(event, connection, run, **data)))


class Deliverer:
    """Sends what is due.

    Args:
        store: where deliveries wait, also those of before the process was killed.
        vault: opens the secrets.
        step: seconds that each wait is longer than the one before.
    """

    def __init__(self, store: Store, vault: Vault, step: float) -> None:
        self._store = store
        self._vault = vault
        self._step = step
        self._stopping = threading.Event()
        self._client = httpx.Client(timeout=ANSWER_SECONDS)
        self._pool = ThreadPoolExecutor(MOST_AT_ONCE, thread_name_prefix="webhook")
        self._busy: set[str] = set()
        self._thread = threading.Thread(target=self._run, name="webhooks", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Stop; what waits is sent when the platform runs again."""
        self._stopping.set()
        self._thread.join()
        self._pool.shutdown(cancel_futures=True)
        self._client.close()

    def send(self, url: str, secret: str | None, body: bytes) -> bool:
        """Send a body once.

        Returns:
            Whether it was taken.
        """
        headers = {"Content-Type": "application/json"}
        if secret:
            headers[SIGNATURE] = signature(secret, body)
        try:
            answer = self._client.post(url, content=body, headers=headers)
        except httpx.HTTPError as error:
            logger.info("a webhook is not reached: %s", type(error).__name__)
            return False
        return answer.is_success

    def _run(self) -> None:
        while not self._stopping.wait(LOOK_SECONDS):
            for hook, due in groupby(self._due(), key=lambda pair: pair[1]):
                self._busy.add(hook.id)
                self._pool.submit(self._deliver, hook, [delivery for delivery, _ in due])

    def _deliver(self, hook: Webhook, due: Sequence[Delivery]) -> None:
        """Send what is due to one webhook, in order."""
        try:
            secret = self._vault.unlock(hook.secret)["secret"] if hook.secret else None
            for delivery in due:
                if self._stopping.is_set():
                    return
                taken = self.send(hook.url, secret, delivery.body.encode())
                self._done(delivery.id) if taken else self._again(delivery.id)
        finally:
            self._busy.discard(hook.id)

    def _due(self) -> list[tuple[Delivery, Webhook]]:
        """What is due to webhooks that nothing is being sent to, those of one webhook together."""
        with self._store.reading() as session:
            found = session.execute(
                sa.select(Delivery, Webhook)
                .join(Webhook, Webhook.id == Delivery.webhook_id)
                .where(Delivery.due_at <= now(), Webhook.active, Webhook.id.not_in(self._busy))
                .order_by(Webhook.id, Delivery.id)
                .limit(MAX_DUE)
            )
            return [(delivery, hook) for delivery, hook in found]

    def _done(self, identity: int) -> None:
        with self._store.writing() as session:
            session.execute(sa.delete(Delivery).where(Delivery.id == identity))

    def _again(self, identity: int) -> None:
        with self._store.writing() as session:
            delivery = session.get(Delivery, identity)
            if delivery is None:
                return
            delivery.attempts += 1
            delivery.due_at = now() + timedelta(seconds=self._step * delivery.attempts)
            if now() - delivery.created_at > GIVE_UP:
                hook = session.get_one(Webhook, delivery.webhook_id)
                hook.active = False
