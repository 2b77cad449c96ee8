"""The bodies of requests, and of answers, in Fivetran's shape. [D]"""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Generic, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field

T = TypeVar("T")
Name = Annotated[str, Field(min_length=1, max_length=255)]
Frequency = Literal[1, 5, 15, 30, 60, 120, 180, 360, 480, 720, 1440]


class Body(BaseModel):
    """A request's body: types must be exact, and what is not known here is passed over."""

    model_config = ConfigDict(strict=True, extra="ignore")

    def given(self, *names: str) -> dict[str, Any]:
        """Those of these fields that were given."""
        return self.model_dump(include={*names}, exclude_unset=True, exclude_none=True)


class NewGroup(Body):
    """A group to make."""

    name: Name


class NewDestination(Body):
    """A destination to make."""

    group_id: Name
    service: Name = Field(examples=["embedded", "postgresql", "address"])
    region: str = "LOCAL"
    time_zone_offset: str = "0"
    config: dict[str, Any] = {}
    address: str | None = Field(None, description="HOST:PORT of a destination server")
    run_setup_tests: bool = True


class DestinationChange(Body):
    """What changes of a destination."""

    region: str | None = None
    time_zone_offset: str | None = None
    config: dict[str, Any] = {}
    address: str | None = None
    run_setup_tests: bool = True


class NewConnection(Body):
    """A connection to make; `config.schema` says where its tables go."""

    group_id: Name
    service: Name
    config: dict[str, Any]
    address: str | None = Field(None, description="HOST:PORT of a source server")
    paused: bool = False
    sync_frequency: Frequency = 360
    schedule_type: Literal["auto", "manual"] = "auto"
    destination_schema_names: Literal["FIVETRAN_NAMING", "SOURCE_NAMING"] = "FIVETRAN_NAMING"
    run_setup_tests: bool = True


class ConnectionChange(Body):
    """What changes of a connection."""

    config: dict[str, Any] = {}
    address: str | None = None
    paused: bool | None = None
    sync_frequency: Frequency | None = None
    schedule_type: Literal["auto", "manual"] | None = None
    run_setup_tests: bool = True


class Resync(Body):
    """What to re-sync; a part of the tables is not supported."""

    scope: dict[str, list[str]] | None = None


class ColumnChoice(Body):
    """Whether a column is synced."""

    enabled: bool | None = None


class TableChoice(Body):
    """Whether a table is synced, and how."""

    enabled: bool | None = None
    sync_mode: Literal["SOFT_DELETE", "HISTORY"] | None = None
    columns: dict[str, ColumnChoice] = {}


class SchemaChoice(Body):
    """Whether a schema is synced."""

    enabled: bool | None = None
    tables: dict[str, TableChoice] = {}


class SchemasChange(Body):
    """What changes of what is synced."""

    schema_change_handling: Literal["ALLOW_ALL", "BLOCK_ALL"] | None = None
    schemas: dict[str, SchemaChoice] = {}


class NewWebhook(Body):
    """A webhook to make."""

    url: Name
    events: list[str]
    active: bool = True
    secret: str | None = None


class WebhookChange(Body):
    """What changes of a webhook."""

    url: Name | None = None
    events: list[str] | None = None
    active: bool | None = None
    secret: str | None = None


class WebhookTest(Body):
    """An event to send for a test."""

    event: str


class Answer(BaseModel, Generic[T]):
    """What every request is answered."""

    code: str = "Success"
    message: str = "Operation performed."
    data: T | None = None


class Items(BaseModel, Generic[T]):
    """A page of a list; `next_cursor` leads to the next."""

    items: list[T]
    next_cursor: str | None = None


class SetupTest(BaseModel):
    """How a setup test went."""

    title: str
    status: Literal["PASSED", "SKIPPED", "WARNING", "FAILED", "JOB_FAILED"]
    message: str


class GroupData(BaseModel):
    """A group."""

    id: str
    name: str
    created_at: datetime


class DestinationData(BaseModel):
    """A destination; secrets are masked."""

    id: str
    group_id: str
    service: str
    region: str
    time_zone_offset: str
    setup_status: str = Field(description="connected or incomplete")
    address: str | None
    config: dict[str, str]
    setup_tests: list[SetupTest]


class Notice(BaseModel):
    """Something that somebody must do or know."""

    code: str
    message: str


class Status(BaseModel):
    """How a connection is."""

    setup_state: str = Field(description="incomplete, connected or broken")
    sync_state: str = Field(description="scheduled, syncing or paused")
    update_state: str
    is_historical_sync: bool
    tasks: list[Notice]
    warnings: list[Notice]


class ConnectionData(BaseModel):
    """A connection; secrets are masked."""

    id: str
    service: str
    schema_: str = Field(serialization_alias="schema")
    group_id: str
    paused: bool
    sync_frequency: int
    schedule_type: str
    created_at: datetime
    succeeded_at: datetime | None
    failed_at: datetime | None
    address: str | None
    status: Status
    config: dict[str, str]
    setup_tests: list[SetupTest]


class ConnectorType(BaseModel):
    """A kind of source, with the fields of its form where they are requested."""

    id: str
    name: str
    description: str
    type: str = "Connector SDK"
    config: dict[str, Any] | None = None
    problem: str | None = Field(default=None, description="why the source does not tell its form")


class WebhookData(BaseModel):
    """A webhook; its secret is masked."""

    id: str
    type: Literal["account", "group"]
    group_id: str | None
    url: str
    events: list[str]
    active: bool
    secret: str | None
    created_at: datetime


class TriedOut(BaseModel):
    """How a test of a webhook went."""

    succeed: bool
    message: str
