"""What of a source is synced: what it declares, what is chosen, and both as Fivetran's API shows it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from copy import deepcopy
from dataclasses import dataclass
from typing import Any

from google.protobuf.json_format import ParseDict

from destination.sdk import common_pb2 as common
from destination.sdk import connector_sdk_pb2 as sdk
from local_platform.api.errors import InvalidInputError
from local_platform.sync.catalog import Catalog, declared_tables
from local_platform.sync.errors import InputError
from local_platform.sync.selection import Place, Selection
from local_platform.sync.state import State
from local_platform.sync.types import Type

SOFT_DELETE, HISTORY = "SOFT_DELETE", "HISTORY"
ALLOW_ALL, BLOCK_ALL = "ALLOW_ALL", "BLOCK_ALL"
KEY_REASON = "Rows are identified by their key: it cannot be left out"
SELECTION_REASON = "The source supports no selection"
Choice = dict[str, Any]


@dataclass(frozen=True)
class Schemas:
    """The tables of a connection.

    Args:
        schema: where they go.
        naming: whose names they get.
        declared: what the source declares, as `SchemaResponse` in JSON.
        choices: what is chosen, in Fivetran's shape, where it differs from the default.
    """

    schema: str
    naming: str
    declared: Mapping[str, Any]
    choices: Mapping[str, Any]

    def view(self) -> dict[str, Any]:
        """The whole, in Fivetran's shape.

        Raises:
            InvalidInputError: if names meet, so that nothing could be synced.
        """
        schemas: dict[str, Any] = {}
        for table, columns in self._tables():
            outer, name = self._outer(table.place), table.place[1]
            entry = {
                "name_in_destination": table.schema,
                "enabled": _enabled(self._chosen(outer)),
                "tables": {},
            }
            schemas.setdefault(outer, entry)["tables"][name] = self._view(table, columns)
        return {
            "enable_new_by_default": self.takes_new,
            "schema_change_handling": self._handling,
            "schemas": schemas,
        }

    def changed(self, patch: Mapping[str, Any]) -> Choice:
        """The choices after a request to change some.

        Args:
            patch: in the shape of `view`, with what changes alone.

        Raises:
            InvalidInputError: if it names what is not there, or leaves out a key.
        """
        view = self.view()
        choices: Choice = deepcopy(dict(self.choices))
        if handling := patch.get("schema_change_handling"):
            choices["schema_change_handling"] = handling
        for outer, schema in patch.get("schemas", {}).items():
            there = _named(view["schemas"], outer, "schema", "")
            mine = choices.setdefault("schemas", {}).setdefault(outer, {"tables": {}})
            self._enable(mine, schema)
            for name, table in schema.get("tables", {}).items():
                known = _named(there["tables"], name, "table", f"{outer}.")
                entry = mine["tables"].setdefault(name, {"columns": {}})
                self._enable(entry, table)
                if "sync_mode" in table:
                    entry["sync_mode"] = table["sync_mode"]
                for column, wanted in table.get("columns", {}).items():
                    found = _named(known["columns"], column, "column", f"{outer}.{name}.")
                    if found["is_primary_key"] and not _enabled(wanted):
                        raise InvalidInputError(f"{outer}.{name}.{column}: {KEY_REASON}")
                    self._enable(entry["columns"].setdefault(column, {}), wanted)
        return choices

    def excluded(self) -> list[str]:
        """What is not synced, as `local_platform sync` names it."""
        found = []
        for outer, schema in self.choices.get("schemas", {}).items():
            inner = "" if outer == self.schema and not self._has_schemas else f"{outer}."
            for name, table in schema["tables"].items():
                if not _enabled(table):
                    found.append(f"{inner}{name}")
                found += [
                    f"{inner}{name}.{column}"
                    for column, wanted in table["columns"].items()
                    if not _enabled(wanted)
                ]
        return found + [
            _dotted(table.place)
            for table, _ in self._tables()
            if not _enabled(self._chosen(self._outer(table.place)))
        ]

    def history(self) -> list[str]:
        """The tables in history mode, as `local_platform sync` names them."""
        return [
            _dotted(table.place)
            for table, _ in self._tables()
            if self._choice(table.place).get("sync_mode") == HISTORY
        ]

    @property
    def takes_new(self) -> bool:
        """Whether what the source does not declare yet is synced too."""
        return self._handling == ALLOW_ALL

    @property
    def _handling(self) -> str:
        return self.choices.get("schema_change_handling", ALLOW_ALL)

    @property
    def _has_schemas(self) -> bool:
        return "with_schema" in self.declared

    @property
    def _selectable(self) -> bool:
        return not self.declared.get("selection_not_supported", False)

    def _tables(self) -> Iterator[tuple[Any, list[common.Column]]]:
        message = ParseDict(dict(self.declared), sdk.SchemaResponse(), ignore_unknown_fields=True)
        catalog = Catalog(
            self.schema, self.naming, Selection(), State(self.schema, "soft-delete", self.naming)
        )
        try:
            catalog.declare(message)
        except InputError as error:
            raise InvalidInputError(str(error)) from error
        declared = declared_tables(message)
        for table in catalog:
            yield table, declared[table.place]

    def _outer(self, place: Place) -> str:
        return place[0] or self.schema

    def _chosen(self, outer: str) -> Choice:
        return self.choices.get("schemas", {}).get(outer, {})

    def _choice(self, place: Place) -> Choice:
        return self._chosen(self._outer(place)).get("tables", {}).get(place[1], {})

    def _view(self, table: Any, columns: list[common.Column]) -> dict[str, Any]:
        chosen = self._choice(table.place)
        wanted = chosen.get("columns", {})
        return {
            "name_in_destination": table.name,
            "enabled": _enabled(chosen),
            "sync_mode": chosen.get("sync_mode", SOFT_DELETE),
            "enabled_patch_settings": _settings(None if self._selectable else SELECTION_REASON),
            "columns": {
                column.name: {
                    "name_in_destination": table.names[column.name],
                    "enabled": _enabled(wanted.get(column.name, {})),
                    "hashed": False,
                    "is_primary_key": column.primary_key,
                    "type": str(Type.of(column) or "from values"),
                    "enabled_patch_settings": _settings(self._reason(column)),
                }
                for column in columns
            },
        }

    def _reason(self, column: common.Column) -> str | None:
        if not self._selectable:
            return SELECTION_REASON
        return KEY_REASON if column.primary_key else None

    def _enable(self, entry: Choice, wanted: Mapping[str, Any]) -> None:
        if "enabled" not in wanted:
            return
        if not wanted["enabled"] and not self._selectable:
            raise InvalidInputError(SELECTION_REASON)
        entry["enabled"] = wanted["enabled"]


def _enabled(choice: Mapping[str, Any]) -> bool:
    return choice.get("enabled", True)


def _dotted(place: Place) -> str:
    return ".".join(filter(None, place))


def _settings(reason: str | None) -> dict[str, Any]:
    if reason is None:
        return {"allowed": True}
    return {"allowed": False, "reason_code": "SYSTEM_COLUMN", "reason": reason}


def _named(there: Mapping[str, Any], name: str, kind: str, inside: str) -> Any:
    if name not in there:
        raise InvalidInputError(f"{inside}{name}: the source declares no such {kind}")
    return there[name]
