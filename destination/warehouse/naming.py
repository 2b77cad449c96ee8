"""Names as a warehouse stores them: shortened to what it can hold, the full name kept in a comment.

A comment that this project writes has up to two parts, in this order:

    Fivetran type: XML
    Fivetran name: a name that was too long for the warehouse
"""

from __future__ import annotations

import hashlib

from destination.errors import RequestError
from destination.schema import DataType

HASH_CHARACTERS = 12
TYPE_REMARK = "Fivetran type: "
NAME_REMARK = "Fivetran name: "


def stored_name(name: str, limit: int) -> str:
    """The name under which a warehouse stores a schema, table or column.

    Args:
        name: the full name.
        limit: how many bytes of UTF-8 the warehouse's names may have.

    Returns:
        The name itself if it fits; else as much of it as leaves room for a hash of the whole.

    Raises:
        RequestError: if no warehouse could store it.
    """
    if not name:
        raise RequestError("a schema, table or column in the request has an empty name")
    if "\0" in name:
        raise RequestError("a schema, table or column name in the request holds U+0000")
    encoded = name.encode()
    if len(encoded) <= limit:
        return name
    suffix = "_" + hashlib.sha256(encoded).hexdigest()[:HASH_CHARACTERS]
    return encoded[: limit - len(suffix)].decode(errors="ignore") + suffix


def comment_for(name: str, stored: str, remarked_type: DataType | None = None) -> str | None:
    """The comment that keeps what the warehouse cannot: a full name, a type it has no word for."""
    remarks = []
    if remarked_type is not None:
        remarks.append(TYPE_REMARK + remarked_type.value)
    if name != stored:
        remarks.append(NAME_REMARK + name)
    return "\n".join(remarks) or None


def full_name(stored: str, comment: str | None, limit: int) -> str:
    """The name that a stored name stands for, given its comment."""
    _, found, name = (comment or "").partition(NAME_REMARK)
    return name if found and name and stored_name(name, limit) == stored else stored


def remarked_type(comment: str | None) -> DataType | None:
    """The Fivetran type that a column's comment names, if it does."""
    first = (comment or "").split("\n", 1)[0]
    value = first.removeprefix(TYPE_REMARK)
    known = {kind.value: kind for kind in DataType}
    return known.get(value) if value != first else None
