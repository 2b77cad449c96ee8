"""Names of the source as Fivetran names them in a destination. [D]

createdAt -> created_at      HTTPServer -> httpserver    address1 -> address_1
userID2x  -> user_id_2_x     user.data  -> user_data     1st      -> _1_st
Größe     -> grosse          _private   -> private (table), _private (column)
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field

from anyascii import anyascii

from destination_tester.stored import DELETED, HISTORY_COLUMNS, SYNCED
from local_platform.sync.errors import InputError

ID = "_fivetran_id"
SYSTEM_COLUMNS = frozenset({SYNCED, DELETED, ID, *HISTORY_COLUMNS})
SCHEMA_NAME = re.compile(r"[_a-z][_a-z0-9]*")

BORDERS = re.compile(
    r"(?<=[a-z])(?=[A-Z])"  # camelCase
    r"|(?<=[A-Za-z])(?=[0-9])|(?<=[0-9])(?=[A-Za-z])"
)
Rule = Callable[[str], str]


def column_name(name: str) -> str:
    """A column's name by Fivetran's rules."""
    split = BORDERS.sub("_", re.sub(r"\W", "_", anyascii(name), flags=re.ASCII))
    lowered = re.sub(r"_+", "_", split).lower()
    return f"_{lowered}" if lowered[:1].isdigit() else lowered


def table_name(name: str) -> str:
    """A table's name by Fivetran's rules."""
    return re.sub(r"^_(?=[a-z])", "", column_name(name))


def schema_name(name: str) -> str:
    """A schema's name: no border within it is split, as `schema1` shows."""
    return re.sub(r"_+", "_", re.sub(r"\W", "_", anyascii(name), flags=re.ASCII)).lower()


RULES: dict[str, tuple[Rule, Rule, Rule]] = {
    "fivetran": (schema_name, table_name, column_name),
    "source": (str, str, str),
}
"""Of each naming, the rules for schemas, tables and columns."""
NAMINGS = tuple(RULES)


@dataclass
class Names:
    """Names of one kind in one place: the destination's for each of the source's.

    Args:
        what: what they name, for errors: "tables of sales".
        rule: the destination's name for one of the source's.
        reserved: the destination's names that none may get.
    """

    what: str
    rule: Rule
    reserved: frozenset[str] = frozenset()
    _targets: dict[str, str] = field(default_factory=dict)
    _sources: dict[str, str] = field(default_factory=dict)

    def __getitem__(self, name: str) -> str:
        """The destination's name.

        Raises:
            InputError: if it is empty, a system column's, or another name's too.
        """
        return self.known(name) or self._add(name)

    def known(self, name: str) -> str | None:
        """The destination's name, if it is known already."""
        return self._targets.get(name)

    def _add(self, name: str) -> str:
        target = self.rule(name)
        if target in ("", "_"):
            raise InputError(
                f'{self.what}: the name "{name}" would become "{target}", which is none'
            )
        if target in self.reserved:
            raise InputError(f'{self.what}: "{name}" would become "{target}", a system column')
        other = self._sources.setdefault(target, name)
        if other != name:
            raise InputError(f'{self.what}: "{other}" and "{name}" would both become "{target}"')
        self._targets[name] = target
        return target
