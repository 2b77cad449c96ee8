"""What people see while the tester runs, and what machines read."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Protocol

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from destination.sdk import common_pb2 as common
from destination_tester.stored import Stored

COLOURS = {"success": "green", "warning": "yellow", "task": "red", "unsupported": "yellow"}
SHOWN_ROWS = 6
"""A row is shown as a column, since tables have more columns than fit side by side."""


@dataclass(frozen=True)
class Difference:
    """Something that is not as it must be.

    Args:
        table: where.
        key: the row's key; empty where it is about the table itself.
        column: the column's name; `(call)` where it is about a call's answer.
        expected: what must be there.
        found: what is there.
    """

    table: str
    key: str
    column: str
    expected: str
    found: str


class Output(Protocol):
    """Where the tester reports."""

    def input(self, name: str) -> None:
        """An input begins."""

    def operation(self, what: str, rows: int, seconds: float, outcome: str, message: str) -> None:
        """A call was answered."""

    def table(self, name: str, described: common.Table | None, rows: Sequence[Stored]) -> None:
        """A table at the end of an input."""

    def differences(self, differences: Sequence[Difference]) -> None:
        """What was verified and found different."""

    def summary(self, counts: dict[str, Any]) -> None:
        """The end."""

    def error(self, message: str) -> None:
        """The end, before all was done."""


class RichOutput:
    """Output for people."""

    def __init__(self) -> None:
        self._console = Console(emoji=False)

    def input(self, name: str) -> None:
        self._console.rule(f"[bold]{escape(name)}")

    def operation(self, what: str, rows: int, seconds: float, outcome: str, message: str) -> None:
        colour = COLOURS.get(outcome, "green")
        counted = f"{rows} rows" if rows else ""
        self._console.print(
            f"[{colour}]{outcome:<12}[/]{escape(what):<46}{counted:>11}{seconds * 1000:6.0f} ms"
        )
        if message:
            self._console.print(f"    [{colour}]{escape(message)}[/]")

    def table(self, name: str, described: common.Table | None, rows: Sequence[Stored]) -> None:
        if described is None:
            self._console.print(f"[bold]{escape(name)}[/]: no such table")
            return
        table = Table(title=escape(name), title_justify="left", show_header=False)
        for column in described.columns:
            kind = type_name(column)
            cells = (escape(_shown(row.get(column.name))) for row in rows[:SHOWN_ROWS])
            key = ", key" if column.primary_key else ""
            table.add_row(escape(column.name), f"[dim]{kind}{key}", *cells)
        self._console.print(table)
        if len(rows) > SHOWN_ROWS:
            self._console.print(f"    and {len(rows) - SHOWN_ROWS} further rows")

    def differences(self, differences: Sequence[Difference]) -> None:
        if not differences:
            self._console.print("[green]verified[/]")
            return
        table = Table(title="[red]differences", title_justify="left")
        for heading in ("table", "key", "column", "expected", "found"):
            table.add_column(heading)
        for each in differences:
            table.add_row(*(escape(str(value)) for value in asdict(each).values()))
        self._console.print(table)

    def summary(self, counts: dict[str, Any]) -> None:
        shown = ", ".join(f"{count} {what}" for what, count in counts.items())
        colour = "red" if counts.get("differences") else "green"
        self._console.print(f"[bold {colour}]{escape(shown)}")

    def error(self, message: str) -> None:
        self._console.print(f"[bold red]{escape(message)}")


class JsonOutput:
    """Output for machines: one JSON object a line."""

    def input(self, name: str) -> None:
        self._print(event="input", name=name)

    def operation(self, what: str, rows: int, seconds: float, outcome: str, message: str) -> None:
        self._print(
            event="operation", what=what, rows=rows, seconds=round(seconds, 6), outcome=outcome,
            message=message,
        )  # fmt: skip

    def table(self, name: str, described: common.Table | None, rows: Sequence[Stored]) -> None:
        columns = None
        if described is not None:
            columns = {c.name: type_name(c) for c in described.columns}
        shown = [
            {column: None if value is None else str(value) for column, value in row.items()}
            for row in rows
        ]
        self._print(event="table", name=name, columns=columns, rows=shown)

    def differences(self, differences: Sequence[Difference]) -> None:
        self._print(event="verified", differences=[asdict(each) for each in differences])

    def summary(self, counts: dict[str, Any]) -> None:
        self._print(event="summary", **counts)

    def error(self, message: str) -> None:
        self._print(event="error", message=message)

    def _print(self, **content: Any) -> None:
        print(json.dumps(content), flush=True)


def type_name(column: common.Column) -> str:
    """The name of a column's type, whatever number a connector gives for it."""
    known = column.type in common.DataType.values()
    return common.DataType.Name(column.type) if known else f"type {column.type}"


def _shown(value: Any) -> str:
    return "NULL" if value is None else str(value)
