"""Webhooks: made, changed, tried."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from urllib.parse import urlsplit

import sqlalchemy as sa

from local_platform.api.errors import InvalidInputError
from local_platform.api.hooks import EVENTS, Deliverer, payload
from local_platform.api.store import Connection, Group, Store, Webhook
from local_platform.api.vault import Vault

LOOPBACK = ("localhost", "127.0.0.1", "::1")
EXAMPLE = Connection(
    id="_connector_1", service="_connector_1", schema="_connector_1", group_id="_group_1"
)
"""What events that are sent for a test are about."""


class Webhooks:
    """All webhooks.

    Args:
        store: remembers them.
        vault: keeps their secrets.
        deliverer: sends events.
    """

    def __init__(self, store: Store, vault: Vault, deliverer: Deliverer) -> None:
        self._store = store
        self._vault = vault
        self._deliverer = deliverer

    def create(
        self,
        group_id: str | None,
        url: str,
        events: Sequence[str],
        secret: str | None,
        *,
        active: bool,
    ) -> Webhook:
        """Make a webhook; an active one must answer a first event. [D]

        Raises:
            NotFoundError: if there is no such group.
            InvalidInputError: if the URL or an event is none, or it does not answer.
        """
        if group_id is not None:
            self._store.row(Group, group_id)
        _check(url, events)
        if active:
            self._must_answer(url, secret)
        made = Webhook(
            group_id=group_id, url=url, events=list(events), active=active,
            secret=self._locked(secret),
        )  # fmt: skip
        with self._store.writing() as session:
            session.add(made)
        return made

    def change(self, identity: str, **changes: Any) -> Webhook:
        """Change a webhook: its url, events, secret, or whether it is active.

        Raises:
            NotFoundError: if there is none.
            InvalidInputError: if the URL or an event is none, or it does not answer.
        """
        before = self._store.row(Webhook, identity)
        url = changes.get("url", before.url)
        _check(url, changes.get("events", before.events))
        secret = changes["secret"] if "secret" in changes else self._secret(before)
        if changes.get("active", before.active):
            self._must_answer(url, secret)
        changes["secret"] = self._locked(secret)
        return self._store.change(Webhook, identity, **changes)

    def delete(self, identity: str) -> None:
        """Forget a webhook, and what was to be sent to it.

        Raises:
            NotFoundError: if there is none.
        """
        self._store.row(Webhook, identity)
        with self._store.writing() as session:
            session.execute(sa.delete(Webhook).where(Webhook.id == identity))

    def try_out(self, identity: str, event: str) -> bool:
        """Send an event for a test.

        Returns:
            Whether it was taken.

        Raises:
            NotFoundError: if there is no such webhook.
            InvalidInputError: if there is no such event.
        """
        hook = self._store.row(Webhook, identity)
        _check(hook.url, [event])
        return self._send(hook.url, self._secret(hook), event)

    def _must_answer(self, url: str, secret: str | None) -> None:
        if not self._send(url, secret, "sync_end"):
            raise InvalidInputError("url: it must answer a test event with a status of success")

    def _send(self, url: str, secret: str | None, event: str) -> bool:
        body = payload(event, EXAMPLE, None, status="SUCCESSFUL")
        return self._deliverer.send(url, secret, body.encode())

    def _locked(self, secret: str | None) -> bytes | None:
        return self._vault.lock({"secret": secret}) if secret else None

    def _secret(self, hook: Webhook) -> str | None:
        return self._vault.unlock(hook.secret)["secret"] if hook.secret else None


def _check(url: str, events: Sequence[str]) -> None:
    parts = urlsplit(url)
    if parts.scheme != "https" and (parts.scheme != "http" or parts.hostname not in LOOPBACK):
        raise InvalidInputError("url: it must be https, or http on this machine")
    if not parts.hostname:
        raise InvalidInputError("url: it names no host")
    if not events:
        raise InvalidInputError("events: name one at least")
    for event in events:
        if event not in EVENTS:
            raise InvalidInputError(f"events: '{event}' is none of {', '.join(EVENTS)}")
