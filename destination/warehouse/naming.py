"""Names as a warehouse stores them, and those that the project makes itself.

The stored name is a pure function of the full name, and tables and columns are found by it. Comments are
for people, and for the full names of what a request does not name; no data depends on them. A comment
that this project writes keeps its other text, and ends with up to two lines:

    Fivetran type: XML
    Fivetran name: a name that was too long for the warehouse
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from enum import StrEnum
from uuid import uuid4

from destination.errors import RequestError
from destination.schema import DataType

HASH_CHARACTERS = 12
TYPE = "Fivetran type: "
NAME = "Fivetran name: "
TYPE_REMARKS = {TYPE + kind.value: kind for kind in DataType}
NAME_REMARK = re.compile(rf"^{NAME}", re.MULTILINE)

KEY_SUFFIX = "_pkey"
STAGING_PREFIX = "fivetran_staging_"
COMMITS = "fivetran_commits"
OWN_NAMES = re.compile(
    rf"fivetran_alias_[a-z]+|{COMMITS}|{STAGING_PREFIX}\d+|.*_[0-9a-f]{{{HASH_CHARACTERS}}}{KEY_SUFFIX}",
    re.DOTALL,
)
"""Names of the project's own. No stored name matches: those with a hash end with the hash."""


class Alias(StrEnum):
    """The aliases in statements."""

    BASE = "fivetran_alias_base"
    CARRIED = "fivetran_alias_carried"
    EARLIEST = "fivetran_alias_earliest"
    ENDS = "fivetran_alias_ends"
    FOLDED = "fivetran_alias_folded"
    FOLLOWED = "fivetran_alias_followed"
    INCOMING = "fivetran_alias_incoming"
    LATER = "fivetran_alias_later"
    OWN = "fivetran_alias_own"
    OVERTAKEN = "fivetran_alias_overtaken"
    PRECEDING = "fivetran_alias_preceding"
    RECORDS = "fivetran_alias_records"
    ROWS = "fivetran_alias_rows"
    SENT = "fivetran_alias_sent"
    START = "fivetran_alias_start"
    TAKEN = "fivetran_alias_taken"
    TARGET = "fivetran_alias_target"
    VERSION = "fivetran_alias_version"


@dataclass(frozen=True, slots=True)
class Naming:
    """How a warehouse stores names of schemas, tables and columns.

    Args:
        limit: how many bytes of UTF-8 a name may have.
        reserved: names that the warehouse has for itself.
    """

    limit: int
    reserved: frozenset[str]

    def stored(self, name: str) -> str:
        """The name under which the warehouse stores what has a full name.

        Returns:
            The name itself if the warehouse can hold it, and neither it nor this project uses it for
            something else; otherwise as much of it as leaves room for a hash of the whole. A stored
            name is its own stored name.

        Raises:
            RequestError: if no warehouse could store it.
        """
        if not name:
            raise RequestError("a schema, table or column in the request has an empty name")
        if "\0" in name:
            raise RequestError("a schema, table or column name in the request holds U+0000")
        encoded = name.encode()
        taken = name in self.reserved or OWN_NAMES.fullmatch(name)
        if len(encoded) <= self.limit and not taken:
            return name
        return self._with_suffix(name, "_" + hashlib.sha256(encoded).hexdigest()[:HASH_CHARACTERS])

    def key(self, table: str) -> str:
        """A new name for a table's key and its index, different in each call.

        A table that was renamed by hand may keep its key's name when another takes its own.
        """
        return self._with_suffix(table, f"_{uuid4().hex[:HASH_CHARACTERS]}{KEY_SUFFIX}")

    def full(self, stored: str, comment: str | None) -> str:
        """The full name that a comment says; otherwise the stored name."""
        text = comment or ""
        for remark in NAME_REMARK.finditer(text):
            rest = text[remark.end() :]
            for name in (rest, rest.split("\n", 1)[0]):
                if name and self.stored(name) == stored:
                    return name
        return stored

    def noted_type(self, stored: str, comment: str | None) -> DataType | None:
        """The Fivetran type that a column's comment says, if any."""
        return next(
            (
                TYPE_REMARKS[line]
                for line in self._without_name(stored, comment).split("\n")
                if line in TYPE_REMARKS
            ),
            None,
        )

    def words(self, stored: str, comment: str | None) -> str:
        """What a comment says besides what this project wrote into it."""
        words = self._without_name(stored, comment)
        kind = self.noted_type(stored, comment)
        return words if kind is None else _without(words, TYPE + kind.value)

    def comment(self, words: str, name: str, noted_type: DataType | None = None) -> str | None:
        """A comment of these words, with the full name and type where the warehouse does not show
        them.
        """
        lines = [words] if words else []
        if noted_type is not None:
            lines.append(TYPE + noted_type.value)
        if name != self.stored(name):
            lines.append(NAME + name)
        return "\n".join(lines) or None

    def _without_name(self, stored: str, comment: str | None) -> str:
        name = self.full(stored, comment)
        return _without(comment or "", NAME + name) if name != stored else comment or ""

    def _with_suffix(self, name: str, suffix: str) -> str:
        return name.encode()[: self.limit - len(suffix)].decode(errors="ignore") + suffix


def _without(comment: str, lines: str) -> str:
    """A comment without these lines, if it has them."""
    before, found, after = f"\n{comment}\n".rpartition(f"\n{lines}\n")
    return "\n".join([*before.split("\n")[1:], *after.split("\n")[:-1]]) if found else comment
