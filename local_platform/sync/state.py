"""What a sync remembers in its directory: how far the source is, and what was loaded.

`state.json` is replaced whole, so that it is the old one or the new one whenever the process is killed.
A table's entry is written before the table is, its count of rows after them: an entry that counts rows
is a table that was filled.
"""

from __future__ import annotations

import fcntl
import json
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from local_platform.sync.errors import InputError

FORMAT = 1
STATE, LOCK = "state.json", "lock"
START_STATE = "{}"
"""The first state: sources of the Connector SDK fail without one. [O]"""
UNREADABLE = (OSError, ValueError, KeyError, TypeError, AttributeError)
"""What reading a file raises that is no state."""


@dataclass
class TableState:
    """A table that was loaded.

    Args:
        key: its key columns.
        rows: how many rows were sent.
        columns: all that were ever sent; others in the table are somebody else's.
    """

    key: list[str]
    rows: int = 0
    columns: list[str] = field(default_factory=list)


@dataclass
class State:
    """The content of `state.json`.

    Args:
        schema, mode, naming: what it was made with.
        state: the source's own state, byte for byte.
        clock: the last `_fivetran_synced`, in milliseconds since 1970.
        tables: what was loaded, by `schema.table`.
        resync: when a resync began that has not ended yet, in milliseconds since 1970.
    """

    schema: str
    mode: str
    naming: str
    state: str = START_STATE
    clock: int = 0
    tables: dict[str, TableState] = field(default_factory=dict)
    resync: int | None = None

    def save(self, directory: Path) -> None:
        """Replace the file, such that it is durable on return."""
        content = {"format": FORMAT, **asdict(self), "clock": instant(self.clock)}
        if self.resync is None:
            del content["resync"]
        else:
            content["resync"] = instant(self.resync)
        beside = directory / f"{STATE}.new"
        with open(os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:  # noqa: PTH123
            json.dump(content, file, indent=1)
            file.flush()
            os.fsync(file.fileno())
        beside.replace(directory / STATE)
        handle = os.open(directory, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def load(directory: Path, schema: str, mode: str, naming: str, *, resync: bool) -> State:
    """The state in a directory; a new one if there is none, or to start over.

    Raises:
        InputError: if it cannot be read, or was made with something else.
    """
    path = directory / STATE
    new = State(schema, mode, naming)
    if not path.exists():
        return new
    try:
        found = _parse(path.read_bytes())
    except UNREADABLE as error:
        if resync:
            return new
        raise _unusable(f"cannot be read ({type(error).__name__})") from error
    if resync:
        tables = found.tables if found.schema == schema and found.naming == naming else {}
        return State(schema, mode, naming, clock=found.clock, tables=tables)
    for what in ("schema", "mode", "naming"):
        there, given = getattr(found, what), getattr(new, what)
        if there != given:
            raise _unusable(f"is of the {what} {there}, not {given}")
    return found


def reached(directory: Path) -> State | None:
    """What the syncs of a directory have reached; None if nothing yet, or if it cannot be read."""
    try:
        return _parse((directory / STATE).read_bytes())
    except UNREADABLE:
        return None


def _parse(content: bytes) -> State:
    read = json.loads(content)
    if read["format"] != FORMAT:
        raise ValueError("another format")
    texts = {name: read[name] for name in ("schema", "mode", "naming", "state")}
    if not all(isinstance(each, str) for each in texts.values()):
        raise TypeError("not a string")
    tables = {
        name: TableState(list(each["key"]), int(each["rows"]), list(each.get("columns", [])))
        for name, each in read["tables"].items()
    }
    resync = milliseconds(read["resync"]) if "resync" in read else None
    return State(**texts, clock=milliseconds(read["clock"]), resync=resync, tables=tables)


def _unusable(why: str) -> InputError:
    return InputError(f"{STATE} {why}: restore it, or --resync")


@contextmanager
def locked(directory: Path) -> Iterator[None]:
    """Hold a directory against other syncs, until this one or its process ends.

    Raises:
        InputError: if another sync holds it.
    """
    with (directory / LOCK).open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise InputError(f"{directory} is in use by another sync") from None
        yield


def now() -> int:
    """Milliseconds since 1970."""
    return time.time_ns() // 1_000_000


def instant(clock: int) -> str:
    """A clock's time as text."""
    moment = datetime.fromtimestamp(clock // 1000, UTC)
    return f"{moment:%Y-%m-%dT%H:%M:%S}.{clock % 1000:03}Z"


def milliseconds(text: str) -> int:
    """The clock's time that `instant` wrote."""
    moment = datetime.fromisoformat(text)
    return int(moment.replace(microsecond=0).timestamp()) * 1000 + moment.microsecond // 1000
