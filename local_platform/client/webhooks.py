"""Events that webhooks bring."""

from __future__ import annotations

import hashlib
import hmac


def verify(body: bytes, signature: str | None, secret: str) -> bool:
    """Whether an event is Fivetran's.

    Args:
        body: of the request, as it came.
        signature: its header `X-Fivetran-Signature-256`.
        secret: that the webhook was made with.
    """
    known = hmac.new(secret.encode(), body, hashlib.sha256).hexdigest().upper()
    return hmac.compare_digest(known.encode(), (signature or "").encode())
