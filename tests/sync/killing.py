"""A source that goes on from its state, and what its tables must be: for syncs that are killed."""

import json
import random
from collections.abc import Iterator
from functools import cache
from typing import Any

from destination.sdk import common_pb2 as common
from destination.sdk import connector_sdk_pb2 as sdk
from tests.sync.messages import checkpoint, declaring, delete, record, sending, table, truncate

STEPS = 60
KEYS = 200
SCHEMA = declaring(
    table("orders", id=(common.LONG, True)),
    table("lines", id=(common.LONG, True), part=(common.STRING, True)),
)


def step(number: int) -> Iterator[sdk.UpdateResponse]:
    """What the source sends between two checkpoints: the same whenever it is asked."""
    chance = random.Random(number)
    yield sending(
        *(
            record("orders", {"id": chance.randrange(KEYS), "at": number, f"extra_{number % 5}": n})
            for n in range(50)
        ),
        *(
            record("lines", {"id": n, "part": f"{number % 7}", "at": number, "text": "t" * 500})
            for n in range(40)
        ),
    )
    yield sending(
        *(
            record("orders", {"id": chance.randrange(KEYS), "seen": n}, common.UPDATE)
            for n in range(20)
        )
    )
    yield delete("orders", {"id": chance.randrange(KEYS)})
    if number % 20 == 10:
        yield truncate("orders")


def updates(request: sdk.UpdateRequest) -> Iterator[sdk.UpdateResponse]:
    first: dict[str, Any] = json.loads(request.state_json)
    for number in range(first.get("next", 0), STEPS):
        yield from step(number)
        yield checkpoint(json.dumps({"next": number + 1}))


@cache
def keys_of_lines(steps: int) -> frozenset[tuple[int, str]]:
    """The keys of `lines` after so many steps; none of them is ever deleted."""
    return frozenset((n, f"{number % 7}") for number in range(steps) for n in range(40))
