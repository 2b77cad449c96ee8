"""What people see of a sync while it runs, and what machines read."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass, field
from typing import Any, Protocol, Self

from rich.console import Console
from rich.live import Live
from rich.markup import escape
from rich.table import Table

COUNTS = ("Upserts", "Updates", "Deletes", "Truncates", "SchemaChanges", "Checkpoints")
"""What `fivetran debug` counts. [D]"""
COLOURS = {"WARNING": "yellow", "SEVERE": "red"}
SHORTEST_SECRET = 4
"""Shorter values would black out ordinary words."""
BLACKED_OUT = "******"
MIB = 1 << 20


@dataclass(frozen=True)
class Flush:
    """A window that the destination took.

    Args:
        table: `schema.table`.
        records: how many records it was made of.
        rows: how many rows were sent, by the kind of file.
        bytes: the memory that it took.
        seconds: how long it took.
    """

    table: str
    records: int
    rows: Mapping[str, int]
    bytes: int
    seconds: float


@dataclass(frozen=True)
class Summary:
    """The end of a sync.

    Args:
        succeeded: whether all went well.
        counts: by COUNTS.
        tables: how many rows were sent to each table.
        unfilled: tables that were declared, and for which no key's type was ever known.
        again: records after the last checkpoint: the next sync gets them again.
        seconds: how long it took.
        state: the source's state.
    """

    succeeded: bool
    counts: Mapping[str, int]
    tables: Mapping[str, int]
    unfilled: Sequence[str]
    again: int
    seconds: float
    state: str


class Secrets:
    """Blacks out the values of configurations in whatever is printed."""

    def __init__(self) -> None:
        self._values: list[str] = []

    def add(self, values: Iterable[str]) -> None:
        """Never print these values, nor their lines."""
        found = {
            part
            for value in values
            for part in (value, *value.splitlines(), json.dumps(value)[1:-1])
        }
        known = {each for each in found if len(each.strip()) >= SHORTEST_SECRET}
        self._values = sorted({*self._values, *known} - {"true", "false"}, key=len, reverse=True)

    def hide(self, text: str) -> str:
        """A text without them."""
        for value in self._values:
            text = text.replace(value, BLACKED_OUT)
        return text


class Output(AbstractContextManager["Output"], Protocol):
    """Where a sync tells what it does."""

    secrets: Secrets

    def test(self, side: str, label: str, failure: str | None) -> None:
        """A configuration test was run."""

    def log(self, level: str, message: str) -> None:
        """The source printed a line."""

    def warning(self, message: str) -> None:
        """Something that people should know, and that ends nothing."""

    def phase(self, name: str) -> None:
        """A part of the sync begins."""

    def received(self, tables: Mapping[str, int], size: int) -> None:
        """So many records of each table have arrived, and so many bytes of all."""

    def changed(self, table: str, columns: Mapping[str, str], *, created: bool) -> None:
        """A table was created, or columns of it were added or widened; types by their names."""

    def flush(self, flush: Flush) -> None:
        """A window was sent."""

    def saved(self, state: str) -> None:
        """A state was saved."""

    def error(self, message: str) -> None:
        """What the sync ends with."""

    def summary(self, summary: Summary) -> None:
        """The end."""


@dataclass
class _Progress:
    received: int = 0
    sent: int = 0
    flushes: int = 0
    seconds: float = 0.0


class RichOutput:
    """Output for people: a line a table that lives on a terminal, and lines above it."""

    def __init__(self) -> None:
        self.secrets = Secrets()
        self._console = Console(soft_wrap=True, emoji=False)
        self._progress: dict[str, _Progress] = {}
        self._live = Live(console=self._console, get_renderable=self._table, transient=True)

    def __enter__(self) -> Self:
        if self._console.is_terminal:
            self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._live.stop()

    def test(self, side: str, label: str, failure: str | None) -> None:
        outcome = f"[red]failed[/]: {self._safe(failure)}" if failure else "[green]passed[/]"
        self._print(f"{side} test {escape(label)} {outcome}")

    def log(self, level: str, message: str) -> None:
        colour = COLOURS.get(level, "dim")
        self._print(f"[{colour}]source {level.lower()}: {self._safe(message)}[/]")

    def warning(self, message: str) -> None:
        self._print(f"[yellow]warning: {self._safe(message)}[/]")

    def phase(self, name: str) -> None:
        """Lines say as much."""

    def received(self, tables: Mapping[str, int], size: int) -> None:
        del size
        for name, count in tables.items():
            self._progress.setdefault(name, _Progress()).received = count

    def changed(self, table: str, columns: Mapping[str, str], *, created: bool) -> None:
        verb = "created with" if created else "changed:"
        names = ", ".join(f"{name} {kind}" for name, kind in columns.items())
        self._print(f"[dim]{escape(f'{table} {verb} {names}')}[/]")

    def flush(self, flush: Flush) -> None:
        progress = self._progress.setdefault(flush.table, _Progress())
        progress.sent += flush.records
        progress.flushes += 1
        progress.seconds += flush.seconds
        kinds = ", ".join(f"{count:,} {kind}" for kind, count in flush.rows.items() if count)
        self._print(
            f"{escape(flush.table)}: {flush.records:,} records as {kinds or 'nothing'},"
            f" {flush.bytes / MIB:.1f} MiB in {flush.seconds:.2f} s"
        )

    def saved(self, state: str) -> None:
        self._print(f"[dim]state saved: {self._safe(state)}[/]")

    def error(self, message: str) -> None:
        self._print(f"[bold red]{self._safe(message)}[/]")

    def summary(self, summary: Summary) -> None:
        self._live.stop()
        self._console.print(self._table())
        counts = Table(show_header=False, box=None)
        for name, count in summary.counts.items():
            counts.add_row(name, f"{count:,}")
        counts.add_row("tables", f"{len(summary.tables):,}")
        counts.add_row("rows", f"{sum(summary.tables.values()):,}")
        counts.add_row("seconds", f"{summary.seconds:.1f}")
        counts.add_row("state", self._safe(summary.state))
        self._console.print(counts)
        if summary.unfilled:
            names = ", ".join(summary.unfilled)
            self._print(
                f"[yellow]declared, and not there since no key's type is known: {escape(names)}[/]"
            )
        if summary.again:
            self._print(
                f"[yellow]{summary.again:,} records came after the last checkpoint: they are loaded, and"
                " will come again[/]"
            )
        outcome = "[bold green]Sync SUCCEEDED" if summary.succeeded else "[bold red]Sync FAILED"
        self._print(outcome)

    def _table(self) -> Table:
        table = Table()
        table.add_column("table")
        for heading in ("records", "sent", "flushes", "records/s"):
            table.add_column(heading, justify="right")
        for name, each in list(self._progress.items()):
            speed = f"{each.sent / each.seconds:,.0f}" if each.seconds else ""
            table.add_row(
                escape(name), f"{each.received:,}", f"{each.sent:,}", f"{each.flushes:,}", speed
            )
        return table

    def _safe(self, text: str | None) -> str:
        return escape(self.secrets.hide(text or ""))

    def _print(self, text: str) -> None:
        self._console.print(text, highlight=False)


@dataclass
class JsonOutput:
    """Output for machines: one JSON object a line."""

    secrets: Secrets = field(default_factory=Secrets)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        return

    def test(self, side: str, label: str, failure: str | None) -> None:
        self._print(event="test", side=side, name=label, failure=failure)

    def log(self, level: str, message: str) -> None:
        self._print(event="log", level=level, message=message)

    def warning(self, message: str) -> None:
        self._print(event="warning", message=message)

    def phase(self, name: str) -> None:
        self._print(event="phase", name=name)

    def received(self, tables: Mapping[str, int], size: int) -> None:
        self._print(event="received", tables=dict(tables), bytes=size)

    def changed(self, table: str, columns: Mapping[str, str], *, created: bool) -> None:
        self._print(event="changed", table=table, columns=dict(columns), created=created)

    def flush(self, flush: Flush) -> None:
        self._print(event="flush", **asdict(flush))

    def saved(self, state: str) -> None:
        self._print(event="saved", state=state)

    def error(self, message: str) -> None:
        self._print(event="error", message=message)

    def summary(self, summary: Summary) -> None:
        outcome = "Sync SUCCEEDED" if summary.succeeded else "Sync FAILED"
        self._print(event="summary", outcome=outcome, **asdict(summary))

    def _print(self, **content: Any) -> None:
        line = self.secrets.hide(json.dumps(content)) + "\n"  # in one piece: threads write at once
        sys.stdout.write(line)
        sys.stdout.flush()
