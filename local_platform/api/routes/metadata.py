"""`/v1/metadata`: the kinds of sources."""

from __future__ import annotations

from fastapi import APIRouter
from google.protobuf.json_format import MessageToDict

from local_platform.api.errors import InvalidInputError
from local_platform.api.models import Answer, ConnectorType, Items
from local_platform.api.routes.common import Cursor, Here, Limit
from local_platform.api.sources import ADDRESS, Kind

router = APIRouter(prefix="/metadata/connector-types", tags=["Metadata"])


@router.get("")
def list_connector_types(
    here: Here, cursor: Cursor = None, limit: Limit = 100
) -> Answer[Items[ConnectorType]]:
    """List all connector types."""
    kinds = sorted(here.sources.kinds(), key=lambda kind: kind.id)
    if cursor is not None:
        if cursor not in {kind.id for kind in kinds}:
            raise InvalidInputError("cursor: it leads nowhere")
        kinds = [kind for kind in kinds if kind.id > cursor]
    following = kinds[limit - 1].id if len(kinds) > limit else None
    return Answer(data=Items(items=[_data(kind) for kind in kinds[:limit]], next_cursor=following))


@router.get("/{service}")
def retrieve_connector_type(
    here: Here, service: str, address: str | None = None
) -> Answer[ConnectorType]:
    """Retrieve a connector type with its setup form, read from the source itself."""
    kind = here.sources.kind(service)
    data = _data(kind)
    if service != ADDRESS or address is not None:
        try:
            form = here.sources.form(service, address)
            data.config = MessageToDict(form, preserving_proto_field_name=True)
        except InvalidInputError as error:
            data.problem = str(error)
    return Answer(data=data)


def _data(kind: Kind) -> ConnectorType:
    return ConnectorType(id=kind.id, name=kind.name, description=kind.description)
