"""A table's life: what its calls are drawn from, and where it is kept."""

import shutil
import tempfile
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any
from uuid import uuid4

import psycopg
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
)
from psycopg import sql

from destination.sdk import common_pb2 as common
from destination.sdk import destination_sdk_pb2 as sdk
from destination.sdk.destination_sdk_pb2_grpc import DestinationConnectorStub
from destination.warehouse.postgres.session import TRAITS
from destination_tester.files import BatchFiles, Row
from destination_tester.model import TableModel
from destination_tester.notation import UNMODIFIED, Cell
from destination_tester.stored import (
    ACTIVE,
    DELETED,
    END,
    MILLISECOND,
    OPEN_END,
    START,
    SYNCED,
    comparable,
)
from tests.support.fix_connector import Client, column
from tests.support.strategies import texts

BASE = datetime(2020, 1, 1, tzinfo=UTC)
VALUES: dict[common.DataType, st.SearchStrategy[Cell]] = {
    common.INT: st.integers(0, 3),
    common.STRING: texts,
    common.DECIMAL: st.integers(-999_999, 999_999).map(lambda digits: Decimal(digits) / 1000),
    common.UTC_DATETIME: st.integers(0, 20).map(lambda n: BASE + timedelta(minutes=n)),
    common.BINARY: st.binary(max_size=8),
    common.JSON: st.sampled_from(['{"a": 1}', "null"]),
    common.BOOLEAN: st.booleans(),
}
COLUMNS = ("plain", "Mixed Case", 'quo"te', "x" * 70)
CONSTANTS: dict[common.DataType, dict[str, Cell]] = {
    common.STRING: {'it\'s "quoted" %s :x \\': 'it\'s "quoted" %s :x \\', "NULL": None, "": None},
    common.INT: {"42": 42, "NULL": None},
    common.DECIMAL: {"1.5": Decimal("1.5"), "NULL": None},
    common.UTC_DATETIME: {
        "2024-01-15T10:30:00.123Z": datetime(2024, 1, 15, 10, 30, 0, 123000, UTC)
    },
    common.BINARY: {"AP8=": b"\0\xff", "NULL": None},
    common.JSON: {'{"a": "b"}': '{"a": "b"}'},
    common.BOOLEAN: {"true": True, "false": False},
}
DEFAULTS = {
    kind: {text: text if kind == common.STRING else value for text, value in constants.items()}
    for kind, constants in CONSTANTS.items()
}
"""The same as values of new columns: texts stand for themselves."""
NULLABLE = [kind for kind in CONSTANTS if kind != common.JSON]


class Lifetime(RuleBasedStateMachine):
    """A connector's table with its copies, and the models of them."""

    stub: DestinationConnectorStub
    connection: psycopg.Connection

    def __init__(self) -> None:
        super().__init__()
        self.directory = Path(tempfile.mkdtemp())
        self.schema = f"life_{uuid4().hex[:12]}"
        self.client = Client(self.stub, self.schema, BatchFiles(self.directory))
        self.tables: dict[str, TableModel] = {}
        self.clock = BASE

    def teardown(self) -> None:
        shutil.rmtree(self.directory)
        self.connection.execute(
            sql.SQL("DROP SCHEMA IF EXISTS {} CASCADE").format(sql.Identifier(self.schema))
        )

    @initialize(data=st.data())
    def create(self, data: st.DataObject) -> None:
        self.client.files.format = data.draw(st.sampled_from([sdk.CSV, sdk.PARQUET]))
        kinds = data.draw(st.lists(st.sampled_from(list(VALUES)), min_size=1, max_size=3))
        composite = data.draw(st.booleans())
        table = common.Table(
            name="t",
            columns=[
                column("id", common.INT, key=True),
                column("part", common.STRING, key=composite),
                *(column(name, kind) for name, kind in zip(COLUMNS, kinds, strict=False)),
                column(SYNCED, common.UTC_DATETIME),
                column(DELETED, common.BOOLEAN),
            ],
        )
        assert self.client.create(table).success
        self.tables["t"] = TableModel.of(table)

    # Helpers

    def pick(self, data: st.DataObject, *, history: bool) -> str | None:
        names = [name for name, model in self.tables.items() if (START in model.key) == history]
        return data.draw(st.sampled_from(sorted(names))) if names else None

    def user_columns(self, model: TableModel) -> list[str]:
        system = {START, END, ACTIVE, DELETED, SYNCED, *model.key}
        return [name for name in model.columns if name not in system]

    def cell(self, data: st.DataObject, model: TableModel, name: str, *others: Cell) -> Cell:
        kind = model.columns[name].type
        values = st.none() | VALUES[kind]
        return data.draw(st.sampled_from(others) | values if others else values)

    def record(self, data: st.DataObject, model: TableModel) -> Row:
        id_ = data.draw(st.integers(1, 3))
        return {"id": id_, "part": data.draw(st.sampled_from(["a", "b"])) if "part" in model.record else None}  # fmt: skip

    def row(self, data: st.DataObject, model: TableModel, *others: Cell) -> dict[str, Cell]:
        self.clock += timedelta(seconds=1)
        row: dict[str, Cell] = {**self.record(data, model), SYNCED: self.clock}
        if "part" not in model.columns:
            row.pop("part")
        for name in self.user_columns(model):
            row[name] = self.cell(data, model, name, *others)
        return row

    def rows(self, data: st.DataObject, model: TableModel, *others: Cell) -> list[list[Row]]:
        counts = data.draw(st.lists(st.integers(0, 4), max_size=2))
        return [[self.soft(data, self.row(data, model, *others)) for _ in range(n)] for n in counts]

    def soft(self, data: st.DataObject, row: dict[str, Cell]) -> Row:
        return {**row, DELETED: data.draw(st.booleans())}

    def filled(self, files: Sequence[Sequence[Row]]) -> list[Sequence[Row]]:
        return [rows for rows in files if rows]

    def migrate(self, name: str, **operation: Any) -> None:
        for _ in range(2):
            answer = self.client.migrate(name, **operation)
            assert answer.success, answer

    def history_batch(
        self, data: st.DataObject, model: TableModel
    ) -> tuple[list[Row], list[Row], list[Row], list[Row]]:
        """A batch as Fivetran makes it: of each record, versions one after the other."""
        earliest: list[Row] = []
        replace: list[Row] = []
        update: list[Row] = []
        delete: list[Row] = []
        records: dict[str, dict[str, Cell]] = {}
        for _ in range(data.draw(st.integers(1, 3))):
            row = self.row(data, model)
            records[repr([row[name] for name in model.record])] = {
                name: row[name] for name in model.record
            }
        for record in records.values():
            minutes = sorted(data.draw(st.sets(st.integers(0, 30), max_size=4)))
            starts = [BASE + timedelta(minutes=minute) for minute in minutes]
            for start, following in zip(starts, [*starts[1:], None], strict=False):
                partial = data.draw(st.booleans())
                version: dict[str, Cell] = {
                    **self.row(data, model, *([UNMODIFIED] if partial else [])),
                    **record,
                    START: start,
                    END: following - MILLISECOND if following else OPEN_END,
                    ACTIVE: following is None,
                }
                (update if partial else replace).append(version)
            if starts:
                earliest.append({**record, START: starts[0]})
            if data.draw(st.booleans()):
                end = (starts[-1] if starts else BASE + timedelta(hours=1)) + timedelta(seconds=30)
                delete.append({**record, END: end})
        return (
            earliest,
            data.draw(st.permutations(replace)),
            data.draw(st.permutations(update)),
            delete,
        )

    def contents(self, name: str) -> list[tuple[Any, ...]]:
        stored = TRAITS.naming.stored(name)
        query = sql.SQL("SELECT * FROM {}").format(sql.Identifier(self.schema, stored))
        cursor = self.connection.cursor()
        cursor.adapters.register_loader("json", psycopg.types.string.TextLoader)
        return cursor.execute(query).fetchall()


def by_repr(rows: Iterable[dict[str, Any]]) -> list[str]:
    return sorted(
        repr(sorted((name, comparable(value)) for name, value in row.items())) for row in rows
    )
