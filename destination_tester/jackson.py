"""CSV as Jackson's `CsvSchema` writes it for Fivetran."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

LONGEST_CHECKED = 24
"""Jackson quotes longer texts without looking whether they need it."""
FIRST_SAFE = "-"
"""Texts that hold a character below this one are quoted; the comma is the last of those."""


def encode(header: Sequence[str], rows: Iterable[Sequence[str]], null_string: str) -> bytes:
    """A file of a header line and rows; null strings are written as they are, never quoted."""
    lines = [",".join(_cell(name) for name in header)]
    lines += [
        ",".join(text if text == null_string else _cell(text) for text in row) for row in rows
    ]
    return "".join(f"{line}\n" for line in lines).encode()


def _cell(text: str) -> str:
    if len(text) <= LONGEST_CHECKED and all(character >= FIRST_SAFE for character in text):
        return text
    doubled = text.replace('"', '""')
    return f'"{doubled}"'
