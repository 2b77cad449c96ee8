"""A Connector SDK source of many records of 1 kB; ROWS of them, checkpointed every CHECKPOINT_ROWS."""

import os

from fivetran_connector_sdk import Connector
from fivetran_connector_sdk import Operations as op

ROWS = int(os.environ.get("ROWS", "1000000"))
CHECKPOINT_ROWS = 100_000
TEXT = "amber basil cedar delta ember fjord gable hazel " * 18


def schema(configuration):
    return [{"table": "events", "primary_key": ["id"], "columns": {"id": "LONG"}}]


def update(configuration, state):
    for row in range(ROWS):
        op.upsert(
            "events",
            {
                "id": row,
                "name": f"name of the record {row}",
                "amount": row / 7,
                "active": row % 3 == 0,
                "count": row * 31,
                "description": TEXT,
            },
        )
        if row % CHECKPOINT_ROWS == CHECKPOINT_ROWS - 1:
            op.checkpoint({"row": row})
    op.checkpoint({"row": ROWS})


connector = Connector(update=update, schema=schema)
