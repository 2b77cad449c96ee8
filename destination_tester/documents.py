"""JSON files as people write them, and clear errors where they hold something else.

Numbers keep the text they have in the file, since that is what goes into a CSV batch file.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

ESCAPE = "\\u"
Expected = TypeVar("Expected", dict[str, Any], list[Any])


class InputError(Exception):
    """An input that cannot be read."""


class Number(str):
    """A number of a JSON file, as it stands there."""

    __slots__ = ()


KINDS: dict[type, str] = {
    Number: "number",
    str: "string",
    bool: "true or false",
    list: "array",
    dict: "object",
}


def read(path: Path) -> Any:
    """What a JSON file holds.

    Raises:
        InputError: if it cannot be read, or is not JSON of Unicode texts.
    """
    try:
        written = path.read_bytes().decode("utf-8-sig")
        content = json.loads(written, parse_int=Number, parse_float=Number, parse_constant=Number)
        if ESCAPE in written:
            dump(content).encode()  # what holds half a surrogate pair can be sent to nobody
    except OSError as error:
        raise InputError(f"{path.name} cannot be read: {error.strerror}") from error
    except ValueError as error:
        raise InputError(f"{path.name} is not JSON: {error}") from error
    except RecursionError as error:
        raise InputError(f"{path.name} is nested too deeply") from error
    return content


def mapping(value: Any, what: str) -> dict[str, Any]:
    """A JSON object.

    Raises:
        InputError: if it is none.
    """
    if not isinstance(value, dict):
        raise InputError(f"{what} is no object: {_kind(value)}")
    return value


def member(content: Mapping[str, Any], name: str, default: Expected) -> Expected:
    """An object's member of the kind of its default, which stands for one that is missing or null.

    Raises:
        InputError: if it is of another kind.
    """
    value = content.get(name)
    if value is None:
        return default
    if not isinstance(value, type(default)):
        raise InputError(f"{name} is no {_kind(default)}: {_kind(value)}")
    return value


def flag(content: Mapping[str, Any], name: str) -> bool:
    """A member that is true or false; false if it is missing or null.

    Raises:
        InputError: if it is neither.
    """
    value = content.get(name)
    if value is None or isinstance(value, bool):
        return bool(value)
    raise InputError(f"{name} is neither true nor false: {_kind(value)}")


def name(value: Any, what: str) -> str:
    """A JSON string.

    Raises:
        InputError: if it is none.
    """
    if not isinstance(value, str) or isinstance(value, Number):
        raise InputError(f"{what} is no text: {_kind(value)}")
    return value


def text(value: Any) -> str | None:
    """A value of any kind as it stands in a CSV batch file; None is NULL."""
    if value is None:
        return None
    return str(value) if isinstance(value, str) else dump(value)


def dump(value: Any) -> str:
    """A value as JSON, numbers as they were read."""
    match value:
        case Number():
            return str(value)
        case list():
            return f"[{', '.join(map(dump, value))}]"
        case dict():
            members = (f"{dump(name)}: {dump(member)}" for name, member in value.items())
            return f"{{{', '.join(members)}}}"
    return json.dumps(value, ensure_ascii=False)


def _kind(value: Any) -> str:
    """What JSON calls a value of that kind."""
    return KINDS.get(type(value), "null")
