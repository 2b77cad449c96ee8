"""Uploaded certificates as files in memory, since libpq reads files."""

from __future__ import annotations

import os
import tempfile
from contextlib import ExitStack

from destination.warehouse.postgres.configuration import Configuration

PRIVATE = 0o600
"""libpq refuses a key that others may read."""


def as_files(configuration: Configuration, files: ExitStack) -> dict[str, str]:
    """Paths of the uploaded certificates, by libpq's parameter.

    Args:
        configuration: holds the certificates.
        files: closes them.
    """
    uploads = {
        "sslrootcert": configuration.sslrootcert,
        "sslcert": configuration.sslcert,
        "sslkey": configuration.sslkey,
    }
    return {
        name: _as_file(name, content, files)
        for name, content in uploads.items()
        if content is not None
    }


def _as_file(name: str, content: bytes, files: ExitStack) -> str:
    """A path to the content: of a file in memory where the system has such, else of one for us alone."""
    if not hasattr(os, "memfd_create"):
        temporary = files.enter_context(tempfile.NamedTemporaryFile())  # noqa: SIM115
        temporary.write(content)
        temporary.flush()
        return temporary.name
    descriptor = os.memfd_create(name)
    files.callback(os.close, descriptor)
    os.fchmod(descriptor, PRIVATE)
    os.write(descriptor, content)
    return f"/proc/self/fd/{descriptor}"
