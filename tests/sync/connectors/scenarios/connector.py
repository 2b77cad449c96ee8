"""A Connector SDK source with a scenario for each rule, chosen by its configuration."""

import datetime as dt
import decimal

from fivetran_connector_sdk import Connector, Logging
from fivetran_connector_sdk import Operations as op

SCHEMAS = {
    "cursor": [
        {"table": "steps", "primary_key": ["id"], "columns": {"id": "LONG", "name": "STRING"}}
    ],
    "operations": [{"table": "three", "primary_key": ["id"]}],
    "truncation": [
        {
            "table": "products",
            "primary_key": ["id"],
            "columns": {"price": {"type": "DECIMAL", "precision": 10, "scale": 2}},
        }
    ],
    "types": [{"table": "unspecified", "primary_key": ["id"]}],
    "raises": [{"table": "t", "primary_key": ["id"]}],
}


def schema(configuration):
    return SCHEMAS.get(configuration["scenario"], [])


def update(configuration, state):
    SCENARIOS[configuration["scenario"]](state)


def cursor(state):
    step = state.get("step", 0) + 1
    op.upsert("steps", {"id": step, "name": f"step {step}"})
    op.checkpoint({"step": step})
    op.upsert("steps", {"id": step, "name": f"step {step} again"})
    op.checkpoint({"step": step})


def operations(state):
    for number in range(3):
        op.upsert("three", {"id": f"id {number}", "val1": "first", "val2": number})
    op.update("three", {"id": "id 1", "val1": "abc"})
    op.delete("three", {"id": "id 2"})
    op.checkpoint({})


def truncation(state):
    for number in (1, 2, 3):
        op.upsert("products", {"id": number, "name": f"old {number}", "price": "1.00"})
    op.checkpoint({})
    op.upsert("products", {"id": 5, "name": "old 5", "price": "5.00"})
    op.truncate("products")
    op.upsert("products", {"id": 1, "name": "Laptop Pro", "price": "1249.99"})
    op.upsert("products", {"id": 4, "name": "new", "price": "2.50"})
    op.checkpoint({})


def types(state):
    op.upsert(
        "unspecified",
        {
            "id": 1,
            "flag": True,
            "whole": 2**40,
            "real": 42.42,
            "huge": 2**70,
            "list": [1, 2],
            "map": {"a": 1},
            "bytes": b"\x00\xff",
            "day": dt.date(2024, 1, 2),
            "exact": decimal.Decimal("1.10"),
            "nothing": None,
            "nul": "a\x00b",
        },
    )
    op.checkpoint({})


def raises(state):
    Logging.warning("about to fail")
    op.upsert("t", {"id": 1})
    op.checkpoint({"n": 1})
    op.upsert("t", {"id": 2})
    raise RuntimeError("the API is gone")


SCENARIOS = {
    "cursor": cursor,
    "operations": operations,
    "truncation": truncation,
    "types": types,
    "raises": raises,
}

connector = Connector(update=update, schema=schema)
