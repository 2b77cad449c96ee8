"""`/v1/webhooks`."""

from __future__ import annotations

from fastapi import APIRouter

from local_platform.api.forms import MASK
from local_platform.api.models import (
    Answer,
    Items,
    NewWebhook,
    TriedOut,
    WebhookChange,
    WebhookData,
    WebhookTest,
)
from local_platform.api.routes.common import Cursor, Here, Limit, page
from local_platform.api.store import Webhook

router = APIRouter(prefix="/webhooks", tags=["Webhooks"])


@router.post("/account", status_code=201)
def create_account_webhook(here: Here, body: NewWebhook) -> Answer[WebhookData]:
    """Create a webhook for the events of all connections."""
    made = here.webhooks.create(None, body.url, body.events, body.secret, active=body.active)
    return Answer(code="Created", message="Account webhook has been created", data=_data(made))


@router.post("/group/{group_id}", status_code=201)
def create_group_webhook(here: Here, group_id: str, body: NewWebhook) -> Answer[WebhookData]:
    """Create a webhook for the events of a group's connections."""
    made = here.webhooks.create(group_id, body.url, body.events, body.secret, active=body.active)
    return Answer(code="Created", message="Group webhook has been created", data=_data(made))


@router.get("")
def list_webhooks(
    here: Here, cursor: Cursor = None, limit: Limit = 100
) -> Answer[Items[WebhookData]]:
    """List all webhooks."""
    return page(here, Webhook, cursor, limit, _data)


@router.get("/{webhook_id}")
def retrieve_a_webhook(here: Here, webhook_id: str) -> Answer[WebhookData]:
    """Retrieve a webhook."""
    return Answer(data=_data(here.store.row(Webhook, webhook_id)))


@router.patch("/{webhook_id}")
def update_a_webhook(here: Here, webhook_id: str, body: WebhookChange) -> Answer[WebhookData]:
    """Change a webhook; what is not given stays."""
    changed = here.webhooks.change(webhook_id, **body.given("url", "events", "active", "secret"))
    return Answer(message="Webhook has been updated", data=_data(changed))


@router.delete("/{webhook_id}")
def delete_a_webhook(here: Here, webhook_id: str) -> Answer[None]:
    """Delete a webhook."""
    here.webhooks.delete(webhook_id)
    return Answer(message=f"Webhook with id '{webhook_id}' has been deleted")


@router.post("/{webhook_id}/test")
def test_a_webhook(here: Here, webhook_id: str, body: WebhookTest) -> Answer[TriedOut]:
    """Send a webhook an event for a test."""
    taken = here.webhooks.try_out(webhook_id, body.event)
    message = "the webhook took the event" if taken else "the webhook did not take the event"
    return Answer(data=TriedOut(succeed=taken, message=message))


def _data(hook: Webhook) -> WebhookData:
    return WebhookData(
        id=hook.id, type="account" if hook.group_id is None else "group", group_id=hook.group_id,
        url=hook.url, events=hook.events, active=hook.active,
        secret=MASK if hook.secret else None, created_at=hook.created_at,
    )  # fmt: skip
