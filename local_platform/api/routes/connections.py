"""`/v1/connections`."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter

from local_platform.api import forms, simulation
from local_platform.api.connections import NAMES
from local_platform.api.errors import InvalidInputError
from local_platform.api.models import (
    Answer,
    ConnectionChange,
    ConnectionData,
    Items,
    NewConnection,
    Notice,
    Resync,
    SchemasChange,
    SetupTest,
    Status,
)
from local_platform.api.platform import Platform
from local_platform.api.routes.common import Cursor, Here, Limit, page
from local_platform.api.runner import latest, latest_of_all
from local_platform.api.sources import SIMULATED
from local_platform.api.store import Connection, Destination, Run

router = APIRouter(tags=["Connections"])


@router.post("/connections", status_code=201)
def create_a_connection(here: Here, body: NewConnection) -> Answer[ConnectionData]:
    """Create a connection; by default, run its tests, and sync it when they pass."""
    config = dict(body.config)
    schema = config.pop("schema", None)
    if not isinstance(schema, str):
        raise InvalidInputError("config.schema: say where the tables go")
    made = here.connections.create(
        body.group_id,
        body.service,
        schema,
        config,
        address=body.address,
        test=body.run_setup_tests,
        naming=NAMES[body.destination_schema_names],
        **body.given("paused", "sync_frequency", "schedule_type"),
    )
    return Answer(code="Created", message="Connection has been created", data=_data(here, made))


@router.get("/connections")
def list_connections(
    here: Here, cursor: Cursor = None, limit: Limit = 100, group_id: str | None = None
) -> Answer[Items[ConnectionData]]:
    """List all connections, or those of a group."""
    conditions = [] if group_id is None else [Connection.group_id == group_id]
    with here.store.reading() as session:
        last = latest_of_all(session)
    return page(
        here, Connection, cursor, limit, lambda each: _shown(here, each, last.get(each.id)),
        *conditions,
    )  # fmt: skip


@router.get("/groups/{group_id}/connections")
def list_connections_of_a_group(
    here: Here, group_id: str, cursor: Cursor = None, limit: Limit = 100
) -> Answer[Items[ConnectionData]]:
    """List the connections of a group."""
    here.store.row(Destination, group_id)
    return list_connections(here, cursor, limit, group_id)


@router.get("/connections/{connection_id}")
def retrieve_a_connection(here: Here, connection_id: str) -> Answer[ConnectionData]:
    """Retrieve a connection."""
    found = here.store.row(Connection, connection_id)
    if found.service == SIMULATED:
        simulation.poll(here.store, found.id, here.vault.unlock(found.config)["outcome"])
        found = here.store.row(Connection, connection_id)
    return Answer(data=_data(here, found))


@router.patch("/connections/{connection_id}")
def update_a_connection(
    here: Here, connection_id: str, body: ConnectionChange
) -> Answer[ConnectionData]:
    """Change a connection; what is not given stays."""
    changed = here.connections.change(
        connection_id,
        body.config,
        address=body.address,
        test=body.run_setup_tests,
        **body.given("paused", "sync_frequency", "schedule_type"),
    )
    return Answer(message="Connection has been updated", data=_data(here, changed))


@router.delete("/connections/{connection_id}")
def delete_a_connection(here: Here, connection_id: str) -> Answer[None]:
    """Delete a connection; the warehouse keeps its tables."""
    here.connections.delete(connection_id)
    return Answer(message=f"Connection with id '{connection_id}' has been deleted")


@router.post("/connections/{connection_id}/test")
def run_connection_setup_tests(here: Here, connection_id: str) -> Answer[ConnectionData]:
    """Run a connection's setup tests."""
    tested = here.connections.run_tests(connection_id)
    return Answer(message="Setup tests have been completed", data=_data(here, tested))


@router.post("/connections/{connection_id}/sync")
def sync_connection_data(here: Here, connection_id: str) -> Answer[None]:
    """Start a sync."""
    here.connections.sync(connection_id)
    message = f"Sync has been successfully triggered for connection with id '{connection_id}'"
    return Answer(message=message)


@router.post("/connections/{connection_id}/resync")
def resync_connection_data(
    here: Here, connection_id: str, body: Resync | None = None
) -> Answer[None]:
    """Start a sync from the beginning."""
    if body is not None and body.scope:
        raise InvalidInputError("scope: only whole connections can be re-synced")
    here.connections.sync(connection_id, resync=True)
    return Answer(message="Re-sync has been triggered successfully")


@router.get("/connections/{connection_id}/schemas")
def retrieve_a_connection_schema_config(here: Here, connection_id: str) -> Answer[dict[str, Any]]:
    """Retrieve what is synced of a connection, and how its tables are named."""
    found = here.store.row(Connection, connection_id)
    return Answer(data=here.connections.schemas(found).view())


@router.patch("/connections/{connection_id}/schemas")
def update_a_connection_schema_config(
    here: Here, connection_id: str, body: SchemasChange
) -> Answer[dict[str, Any]]:
    """Choose what is synced of a connection; what is not given stays."""
    patch = body.model_dump(exclude_unset=True, exclude_none=True)
    changed = here.connections.choose(connection_id, patch)
    return Answer(
        message="Schema config has been updated", data=here.connections.schemas(changed).view()
    )


@router.post("/connections/{connection_id}/schemas/reload")
def reload_a_connection_schema_config(here: Here, connection_id: str) -> Answer[dict[str, Any]]:
    """Ask the source again for its tables."""
    tested = here.connections.run_tests(connection_id)
    return Answer(data=here.connections.schemas(tested).view())


def _data(here: Platform, row: Connection) -> ConnectionData:
    with here.store.reading() as session:
        last = latest(session, row.id)
        row = session.get(Connection, row.id) or row  # as it was when the run was so
    return _shown(here, row, last)


def _shown(here: Platform, row: Connection, last: Run | None) -> ConnectionData:
    return ConnectionData(
        id=row.id, service=row.service, schema_=row.schema, group_id=row.group_id,
        paused=row.paused, sync_frequency=row.sync_frequency, schedule_type=row.schedule_type,
        created_at=row.created_at, succeeded_at=row.succeeded_at, failed_at=row.failed_at,
        address=row.address, status=_status(row, last),
        config={"schema": row.schema}
        | forms.masked(here.vault.unlock(row.config), row.shown),
        setup_tests=[SetupTest(**each) for each in row.tests],
    )  # fmt: skip


def _status(row: Connection, last: Run | None) -> Status:
    tasks = [
        Notice(code="setup_test", message=f"{each['title']}: {each['message']}")
        for each in row.tests
        if each["status"] in ("FAILED", "JOB_FAILED")
    ]
    if last is not None and last.status == "failed":
        tasks.append(Notice(code="sync_failed", message=last.error or ""))
    state = "paused" if row.paused else "scheduled"
    return Status(
        setup_state=row.setup_state,
        sync_state="syncing" if last is not None and last.under_way else state,
        update_state="on_schedule",
        is_historical_sync=row.succeeded_at is None,
        tasks=tasks,
        warnings=[],
    )
