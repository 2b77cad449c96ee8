"""The key and secret that requests must bring."""

from __future__ import annotations

import hashlib
import hmac
import secrets

from local_platform.api.store import Store

KEY, DIGEST = "api_key", "api_secret_sha256"


def create(store: Store) -> tuple[str, str]:
    """Make a new key and secret; those before are worth nothing from then on."""
    key, secret = secrets.token_urlsafe(12), secrets.token_urlsafe(24)
    store.set(KEY, key)
    store.set(DIGEST, _digest(secret))
    return key, secret


def exists(store: Store) -> bool:
    """Whether there is a key."""
    return store.setting(KEY) is not None


def matches(store: Store, key: str, secret: str) -> bool:
    """Whether a key and secret are the account's.

    The secret is random and long, so a plain hash cannot be guessed back.
    """
    known_key, known_digest = store.setting(KEY) or "", store.setting(DIGEST) or ""
    same_key = hmac.compare_digest(known_key.encode(), key.encode())
    same_secret = hmac.compare_digest(known_digest, _digest(secret))
    return same_key and same_secret


def _digest(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()
