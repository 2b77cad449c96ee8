"""`/v1/groups` and `/v1/destinations`."""

from __future__ import annotations

from fastapi import APIRouter

from local_platform.api import forms
from local_platform.api.destinations import Wanted
from local_platform.api.models import (
    Answer,
    DestinationChange,
    DestinationData,
    GroupData,
    Items,
    NewDestination,
    NewGroup,
    SetupTest,
)
from local_platform.api.platform import Platform
from local_platform.api.routes.common import Cursor, Here, Limit, page
from local_platform.api.store import Destination, Group

router = APIRouter()


@router.post("/groups", status_code=201, tags=["Groups"])
def create_a_group(here: Here, body: NewGroup) -> Answer[GroupData]:
    """Create a group."""
    made = here.destinations.create_group(body.name)
    return Answer(code="Created", message="Group has been created", data=_group(made))


@router.get("/groups", tags=["Groups"])
def list_groups(here: Here, cursor: Cursor = None, limit: Limit = 100) -> Answer[Items[GroupData]]:
    """List all groups."""
    return page(here, Group, cursor, limit, _group)


@router.get("/groups/{group_id}", tags=["Groups"])
def retrieve_a_group(here: Here, group_id: str) -> Answer[GroupData]:
    """Retrieve a group."""
    return Answer(data=_group(here.store.row(Group, group_id)))


@router.post("/destinations", status_code=201, tags=["Destinations"])
def create_a_destination(here: Here, body: NewDestination) -> Answer[DestinationData]:
    """Create a destination in a group; by default, run its tests."""
    made = here.destinations.create(
        body.group_id,
        Wanted(body.service, body.address, body.config),
        test=body.run_setup_tests,
        region=body.region,
        time_zone_offset=body.time_zone_offset,
    )
    return Answer(
        code="Created", message="Destination has been created", data=_destination(here, made)
    )


@router.get("/destinations", tags=["Destinations"])
def list_destinations(
    here: Here, cursor: Cursor = None, limit: Limit = 100
) -> Answer[Items[DestinationData]]:
    """List all destinations."""
    return page(here, Destination, cursor, limit, lambda each: _destination(here, each))


@router.get("/destinations/{destination_id}", tags=["Destinations"])
def retrieve_a_destination(here: Here, destination_id: str) -> Answer[DestinationData]:
    """Retrieve a destination."""
    return Answer(data=_destination(here, here.store.row(Destination, destination_id)))


@router.patch("/destinations/{destination_id}", tags=["Destinations"])
def update_a_destination(
    here: Here, destination_id: str, body: DestinationChange
) -> Answer[DestinationData]:
    """Change a destination; what is not given stays."""
    changed = here.destinations.change(
        destination_id,
        Wanted("", body.address, body.config),
        test=body.run_setup_tests,
        **body.given("region", "time_zone_offset"),
    )
    return Answer(message="Destination has been updated", data=_destination(here, changed))


@router.post("/destinations/{destination_id}/test", tags=["Destinations"])
def run_destination_setup_tests(here: Here, destination_id: str) -> Answer[DestinationData]:
    """Run a destination's setup tests."""
    tested = here.destinations.run_tests(destination_id)
    return Answer(message="Setup tests have been completed", data=_destination(here, tested))


@router.delete("/destinations/{destination_id}", tags=["Destinations"])
def delete_a_destination(here: Here, destination_id: str) -> Answer[None]:
    """Delete a destination that no connection uses; the warehouse keeps what it has."""
    here.destinations.delete(destination_id)
    return Answer(message=f"Destination with id '{destination_id}' has been deleted")


def _group(group: Group) -> GroupData:
    return GroupData(id=group.id, name=group.name, created_at=group.created_at)


def _destination(here: Platform, row: Destination) -> DestinationData:
    return DestinationData(
        id=row.id, group_id=row.id, service=row.service, region=row.region,
        time_zone_offset=row.time_zone_offset, setup_status=row.setup_status, address=row.address,
        config=forms.masked(here.vault.unlock(row.config), row.shown),
        setup_tests=[SetupTest(**each) for each in row.tests],
    )  # fmt: skip
