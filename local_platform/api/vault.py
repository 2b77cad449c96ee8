"""Keeps secrets: encrypted with a key that lies in a file of its owner alone."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path

from cryptography.fernet import Fernet, InvalidToken

KEY_FILE = "key"


class VaultError(Exception):
    """The key does not open what is stored."""


class Vault:
    """Encrypts maps of strings.

    Args:
        directory: where the key is, made if there is none.

    Raises:
        VaultError: if the key's file holds no key.
    """

    def __init__(self, directory: Path) -> None:
        path = directory / KEY_FILE
        if not path.exists():
            _write(path, Fernet.generate_key())
        try:
            self._fernet = Fernet(path.read_bytes())
        except ValueError as error:
            raise VaultError(f"{path} holds no key: restore it") from error

    def lock(self, content: Mapping[str, str]) -> bytes:
        """A map, encrypted."""
        return self._fernet.encrypt(json.dumps(dict(content)).encode())

    def unlock(self, locked: bytes) -> dict[str, str]:
        """The map that was encrypted.

        Raises:
            VaultError: if it was by another key.
        """
        try:
            content: dict[str, str] = json.loads(self._fernet.decrypt(locked))
        except InvalidToken as error:
            raise VaultError(
                f"{KEY_FILE} is not what configurations were encrypted with: restore it"
            ) from error
        return content


def _write(path: Path, content: bytes) -> None:
    """Make a file whole or not at all, for its owner alone."""
    beside = path.with_suffix(".new")
    with open(os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:  # noqa: PTH123
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    beside.replace(path)
