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
            chosen = self._chosen(outer)
            entry = schemas.setdefault(
                outer,
                {
                    "name_in_destination": table.schema,
                    "enabled": chosen.get("enabled", True),
                    "tables": {},
                },
            )
            entry["tables"][name] = self._view(
                table, columns, chosen.get("tables", {}).get(name, {})
            )
        handling = self.choices.get("schema_change_handling", ALLOW_ALL)
        return {
            "enable_new_by_default": handling == ALLOW_ALL,
            "schema_change_handling": handling,
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
            self._set(mine, schema, "enabled")
            for name, table in schema.get("tables", {}).items():
                known = _named(there["tables"], name, "table", f"{outer}.")
                entry = mine["tables"].setdefault(name, {"columns": {}})
                self._set(entry, table, "enabled")
                if "sync_mode" in table:
                    entry["sync_mode"] = table["sync_mode"]
                for column, wanted in table.get("columns", {}).items():
                    found = _named(known["columns"], column, "column", f"{outer}.{name}.")
                    if found["is_primary_key"] and not wanted.get("enabled", True):
                        raise InvalidInputError(f"{outer}.{name}.{column}: {KEY_REASON}")
                    self._set(entry["columns"].setdefault(column, {}), wanted, "enabled")
        return choices

    def excluded(self) -> list[str]:
        """What is not synced, as `local_platform sync` names it."""
        found = []
        for outer, schema in self.choices.get("schemas", {}).items():
            inner = "" if outer == self.schema and not self._has_schemas else f"{outer}."
            for name, table in schema["tables"].items():
                if not table.get("enabled", True):
                    found.append(f"{inner}{name}")
                found += [
                    f"{inner}{name}.{column}"
                    for column, wanted in table["columns"].items()
                    if not wanted.get("enabled", True)
                ]
        for table, _ in self._tables():
            if not self._chosen(self._outer(table.place)).get("enabled", True):
                found.append(".".join(filter(None, table.place)))
        return found

    def history(self) -> list[str]:
        """The tables in history mode, as `local_platform sync` names them."""
        return [
            ".".join(filter(None, table.place))
            for table, _ in self._tables()
            if self._mode(table.place) == HISTORY
        ]

    @property
    def takes_new(self) -> bool:
        """Whether what the source does not declare yet is synced too."""
        return bool(self.choices.get("schema_change_handling", ALLOW_ALL) == ALLOW_ALL)

    @property
    def _message(self) -> sdk.SchemaResponse:
        return ParseDict(dict(self.declared), sdk.SchemaResponse(), ignore_unknown_fields=True)

    @property
    def _has_schemas(self) -> bool:
        return "with_schema" in self.declared

    @property
    def _selectable(self) -> bool:
        return not self.declared.get("selection_not_supported", False)

    def _tables(self) -> Iterator[tuple[Any, list[common.Column]]]:
        message = self._message
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

    def _mode(self, place: Place) -> str:
        table = self._chosen(self._outer(place)).get("tables", {}).get(place[1], {})
        return table.get("sync_mode", SOFT_DELETE)

    def _view(self, table: Any, columns: list[common.Column], chosen: Choice) -> dict[str, Any]:
        wanted = chosen.get("columns", {})
        return {
            "name_in_destination": table.name,
            "enabled": chosen.get("enabled", True),
            "sync_mode": chosen.get("sync_mode", SOFT_DELETE),
            "enabled_patch_settings": _settings(None if self._selectable else SELECTION_REASON),
            "columns": {
                column.name: {
                    "name_in_destination": table.names[column.name],
                    "enabled": wanted.get(column.name, {}).get("enabled", True),
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

    def _set(self, entry: Choice, wanted: Mapping[str, Any], name: str) -> None:
        if name not in wanted:
            return
        if not wanted[name] and not self._selectable:
            raise InvalidInputError(SELECTION_REASON)
        entry[name] = wanted[name]


def _settings(reason: str | None) -> dict[str, Any]:
    if reason is None:
        return {"allowed": True}
    return {"allowed": False, "reason_code": "SYSTEM_COLUMN", "reason": reason}


def _named(there: Mapping[str, Any], name: str, kind: str, inside: str) -> Any:
    if name not in there:
        raise InvalidInputError(f"{inside}{name}: the source declares no such {kind}")
    return there[name]
