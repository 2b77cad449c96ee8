"""The documentation says what every message means, and names files that are there."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from destination import errors
from destination.batch.decryption import DAMAGED
from destination.batch.temporal import TOO_EARLY, TOO_LATE_A_DAY, TOO_LATE_AN_INSTANT
from destination.batch.values import NOT_BASE64
from destination.warehouse.postgres.errors import CONNECTION_REMEDIES, NO_OBJECT, WORDING

FURTHER = [
    DAMAGED,
    NOT_BASE64,
    "held U+0000, which was removed",
    "is not a valid",
    "is NULL, but part of the primary key",
    NO_OBJECT,
    TOO_EARLY,
    TOO_LATE_A_DAY,
    TOO_LATE_AN_INSTANT,
]
"""Messages that are put together elsewhere."""
ROOT = Path(__file__).parents[1]
OPERATIONS = " ".join((ROOT / "docs" / "operations.md").read_text().split())
KINDS = {name for name in vars(errors) if name.endswith("Error")} | {"RefusedError"}


def messages() -> Iterator[str]:
    """The longest fixed part of the message of each error that the code makes."""
    for path in sorted((ROOT / "destination").rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            named = isinstance(node, ast.Call) and isinstance(node.func, ast.Name)
            if (
                named
                and node.func.id in KINDS
                and node.args
                and (parts := fixed_parts(node.args[0]))
            ):
                yield max(parts, key=len)


def fixed_parts(message: ast.expr) -> list[str]:
    pieces = message.values if isinstance(message, ast.JoinedStr) else [message]
    texts = [str(p.value) for p in pieces if isinstance(p, ast.Constant)]
    return [text.strip(" :;,.\"'()") for text in texts]


@pytest.mark.parametrize(
    "message", sorted({*messages(), *FURTHER, *WORDING.values(), *CONNECTION_REMEDIES})
)
def test_message_is_explained(message: str) -> None:
    assert message in OPERATIONS


def test_messages_are_found() -> None:
    assert len(set(messages())) > 40


def test_modules_that_the_recipes_name_are_there() -> None:
    named = set(re.findall(r"`([\w/]+\.py)`", (ROOT / "CONTRIBUTING.md").read_text()))
    places = [ROOT, ROOT / "destination", ROOT / "destination_tester", ROOT / "tests"]
    places += [ROOT / "destination" / "warehouse", ROOT / "tests" / "batch"]
    assert len(named) > 20
    assert {
        name for name in named if not any((place / name).is_file() for place in places)
    } == set()
