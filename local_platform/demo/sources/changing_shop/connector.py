"""The demonstration's source: a small shop, which changes between its first sync and its second."""

from fivetran_connector_sdk import Connector
from fivetran_connector_sdk import Operations as op


def schema(configuration):
    return [
        {"table": "products", "primary_key": ["id"], "columns": {"id": "LONG", "name": "STRING"}},
        {"table": "visits"},
    ]


def update(configuration, state):
    if "cursor" not in state:
        first()
    else:
        second()
    op.checkpoint({"cursor": state.get("cursor", 0) + 1})


def first():
    op.upsert("products", {"id": 1, "name": "Tea", "price": 3})
    op.upsert("products", {"id": 2, "name": "Coffee", "price": 4})
    op.upsert("products", {"id": 3, "name": "Cocoa", "price": 5})
    op.upsert("visits", {"visitorName": "Ada", "page": "/tea"})


def second():
    """An update, a delete, an insert, and a schema change: prices have cents, products an origin."""
    op.update("products", {"id": 1, "price": 3.25})
    op.delete("products", {"id": 2})
    op.upsert("products", {"id": 4, "name": "Mate", "price": 6.5, "countryOfOrigin": "Argentina"})
    op.upsert("visits", {"visitorName": "Grace", "page": "/mate"})


connector = Connector(update=update, schema=schema)
