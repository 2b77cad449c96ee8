"""What the API answers, as far as a client needs it."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from pydantic import BaseModel, Field


class SetupTest(BaseModel):
    """How a setup test went."""

    title: str
    status: str
    message: str | None = None

    @property
    def passed(self) -> bool:
        """Whether nothing stands against it."""
        return self.status in ("PASSED", "SKIPPED", "WARNING")


class Destination(BaseModel):
    """A destination."""

    id: str
    group_id: str
    service: str
    setup_status: str
    setup_tests: list[SetupTest] = []


class Status(BaseModel):
    """How a connection is."""

    setup_state: str
    sync_state: str
    tasks: list[dict[str, Any]] = []


class Connection(BaseModel):
    """A connection."""

    id: str
    group_id: str
    service: str
    schema_: str = Field(alias="schema")
    paused: bool = False
    succeeded_at: datetime | None = None
    failed_at: datetime | None = None
    status: Status
    setup_tests: list[SetupTest] = []


class Marks(BaseModel):
    """When a connection last succeeded and failed, read before a sync: its end passes one of them."""

    succeeded_at: datetime | None
    failed_at: datetime | None


class Table(BaseModel):
    """A table of a destination."""

    schema_: str
    name: str
    enabled: bool
    sync_mode: str | None
    columns: list[str]
