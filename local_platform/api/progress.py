"""How a sync goes: what its lines tell, summed up for people who watch and for those who look later."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Mapping
from typing import Any

MAX_SAMPLES = 240
MAX_WARNINGS = 100
LAST_LINES = 200
LOADING = "loading"
"""The phase in which records arrive."""

Logged = tuple[str, str] | None
"""The level and message of a line for the log."""


class Progress:
    """Takes the events of one sync, from one thread, and is read by others."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._begun = time.monotonic()
        self._phases: list[tuple[str, float]] = []
        self._tables: dict[str, dict[str, int]] = {}
        self._bytes = 0
        self._samples: list[tuple[float, int, int]] = []
        self._warnings: list[str] = []
        self._changes: list[dict[str, Any]] = []
        self._tests: list[dict[str, Any]] = []
        self._summary: dict[str, Any] = {}
        self._saved = 0
        self.lines: deque[tuple[str, str]] = deque(maxlen=LAST_LINES)
        self.error: str | None = None
        self.failed_test = False

    @property
    def rows(self) -> int:
        """The records that the destination took."""
        with self._lock:
            return sum(each["sent"] for each in self._tables.values())

    def take(self, event: Mapping[str, Any]) -> Logged:
        """Take an event of `local_platform sync --json`.

        Returns:
            The level and message of a line for the log, if it is worth one.
        """
        with self._lock:
            line = self._take(event)
            if line is not None:
                self.lines.append(line)
        return line

    def _take(self, event: Mapping[str, Any]) -> Logged:
        takers: dict[str, Callable[[Mapping[str, Any]], Logged]] = {
            "phase": self._phase,
            "test": self._test,
            "log": lambda event: (event["level"], f"source: {event['message']}"),
            "warning": self._warning,
            "received": self._received,
            "changed": self._changed,
            "flush": self._flush,
            "saved": self._checkpoint,
            "error": self._error,
            "summary": self._end,
        }
        return takers[event["event"]](event)

    def report(self) -> dict[str, Any]:
        """All that is known, as JSON."""
        with self._lock:
            ends = [*(begin for _, begin in self._phases), self._seconds()][1:]
            return {
                "phases": [
                    {"name": name, "seconds": round(end - begin, 3)}
                    for (name, begin), end in zip(self._phases, ends, strict=True)
                ],
                "tables": {name: dict(each) for name, each in self._tables.items()},
                "bytes": self._bytes,
                "samples": list(self._samples),
                "warnings": list(self._warnings),
                "changes": list(self._changes),
                "tests": list(self._tests),
                "checkpoints": self._summary.get("counts", {}).get("Checkpoints", self._saved),
                "saved": self._saved,
                "counts": self._summary.get("counts", {}),
                "unfilled": self._summary.get("unfilled", []),
                "again": self._summary.get("again", 0),
                "seconds": round(self._seconds(), 3),
            }

    def _seconds(self) -> float:
        return time.monotonic() - self._begun

    def _phase(self, event: Mapping[str, Any]) -> Logged:
        self._phases.append((event["name"], self._seconds()))
        if event["name"] == LOADING:
            self._samples.append((round(self._seconds(), 3), 0, 0))
        return None

    def _test(self, event: Mapping[str, Any]) -> Logged:
        failure = event["failure"]
        self._tests.append({name: event[name] for name in ("side", "name", "failure")})
        self.failed_test |= failure is not None
        what = f"{event['side']} test {event['name']}"
        return ("SEVERE", f"{what} failed: {failure}") if failure else ("INFO", f"{what} passed")

    def _table(self, name: str) -> dict[str, int]:
        return self._tables.setdefault(name, {"received": 0, "sent": 0, "flushes": 0})

    def _warning(self, event: Mapping[str, Any]) -> Logged:
        self._warnings = [*self._warnings, event["message"]][:MAX_WARNINGS]
        return "WARNING", event["message"]

    def _received(self, event: Mapping[str, Any]) -> Logged:
        for name, count in event["tables"].items():
            self._table(name)["received"] = count
        self._bytes = event["bytes"]
        total = sum(event["tables"].values())
        self._samples.append((round(self._seconds(), 3), total, self._bytes))
        if len(self._samples) > MAX_SAMPLES:
            self._samples = self._samples[::2]
        return None

    def _changed(self, event: Mapping[str, Any]) -> Logged:
        self._changes.append({name: event[name] for name in ("table", "columns", "created")})
        return "INFO", _change(event)

    def _checkpoint(self, _: Mapping[str, Any]) -> Logged:
        self._saved += 1
        return "INFO", "checkpoint saved"

    def _error(self, event: Mapping[str, Any]) -> Logged:
        self.error = event["message"]
        return "SEVERE", event["message"]

    def _end(self, event: Mapping[str, Any]) -> Logged:
        self._summary = dict(event)
        return None

    def _flush(self, event: Mapping[str, Any]) -> Logged:
        table = self._table(event["table"])
        table["sent"] += event["records"]
        table["received"] = max(table["received"], table["sent"])
        table["flushes"] += 1
        kinds = ", ".join(f"{count:,} {kind}" for kind, count in event["rows"].items() if count)
        return "INFO", f"{event['table']}: {kinds or 'nothing'} in {event['seconds']:.2f} s"


def _change(event: Mapping[str, Any]) -> str:
    verb = "created with" if event["created"] else "changed:"
    names = ", ".join(f"{name} {kind}" for name, kind in event["columns"].items())
    return f"{event['table']} {verb} {names}"
