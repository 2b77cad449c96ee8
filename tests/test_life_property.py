"""A table's whole life, call after call, against a plain Python model."""

import shutil
import tempfile
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from itertools import groupby, pairwise
from pathlib import Path
from typing import Any
from uuid import uuid4

import psycopg
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)
from psycopg import sql

from destination.sdk import common_pb2 as common
from destination.sdk import destination_sdk_pb2 as sdk
from destination.sdk.destination_sdk_pb2_grpc import DestinationConnectorStub
from destination_tester.files import BatchFiles, Row
from destination_tester.model import (
    ACTIVE,
    DELETED,
    END,
    MILLISECOND,
    OPEN_END,
    START,
    SYNCED,
    TableModel,
    comparable,
)
from destination_tester.notation import UNMODIFIED, Cell
from tests.fix_connector import Client, column
from tests.strategies import texts

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
NULLABLE = [kind for kind in CONSTANTS if kind != common.JSON]


class Life(RuleBasedStateMachine):
    """Plays calls on one table and its copies; the model plays them too."""

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

    # Calls on tables that are not in history mode

    @rule(data=st.data())
    def write(self, data: st.DataObject) -> None:
        name = self.pick(data, history=False)
        if name is None:
            return
        model = self.tables[name]
        replace = self.filled(self.rows(data, model))
        update = self.filled(self.rows(data, model, UNMODIFIED))
        delete = self.filled([[self.row(data, model)] for _ in range(data.draw(st.integers(0, 1)))])
        for _ in range(data.draw(st.integers(1, 2))):
            answer = self.client.write(
                model.table(name), replace=replace, update=update, delete=delete
            )
            assert answer.success, answer
            for rows in replace:
                model.replace(rows)
            for rows in update:
                model.update(rows)
            for rows in delete:
                model.delete(rows)

    @rule(data=st.data(), soft=st.booleans())
    def truncate(self, data: st.DataObject, soft: bool) -> None:  # noqa: FBT001
        name = self.pick(data, history=False)
        if name is None:
            return
        before = BASE + timedelta(seconds=data.draw(st.integers(0, 20)))
        seconds = int(before.timestamp())
        answer = self.client.truncate(name, seconds, soft=DELETED if soft else "")
        assert answer.success, answer
        self.tables[name].truncate(SYNCED, before, DELETED if soft else None)

    @rule(data=st.data(), by_flag=st.booleans())
    def to_history(self, data: st.DataObject, by_flag: bool) -> None:  # noqa: FBT001
        name = self.pick(data, history=False)
        if name is None:
            return
        deleted = DELETED if by_flag else None
        self.migrate(
            name,
            table_sync_mode_migration=sdk.TableSyncModeMigrationOperation(
                type=sdk.SOFT_DELETE_TO_HISTORY, soft_deleted_column=deleted
            ),
        )
        self.tables[name].to_history(deleted)

    @precondition(lambda self: "copy" not in self.tables)
    @rule(data=st.data(), to_history=st.booleans())
    def copy(self, data: st.DataObject, to_history: bool) -> None:  # noqa: FBT001
        name = self.pick(data, history=False)
        if name is None:
            return
        copied = self.tables[name].copy()
        if to_history:
            operation = sdk.CopyTableToHistoryMode(
                from_table=name, to_table="copy", soft_deleted_column=DELETED
            )
            self.migrate(name, copy=sdk.CopyOperation(copy_table_to_history_mode=operation))
            copied.to_history(DELETED)
        else:
            table = sdk.CopyTable(from_table=name, to_table="copy")
            self.migrate(name, copy=sdk.CopyOperation(copy_table=table))
        self.tables["copy"] = copied

    @precondition(lambda self: "copy" in self.tables)
    @rule()
    def drop(self) -> None:
        self.migrate("copy", drop=sdk.DropOperation(drop_table=True))
        del self.tables["copy"]

    @rule(data=st.data())
    def rename(self, data: st.DataObject) -> None:
        source = data.draw(st.sampled_from(sorted(self.tables)))
        target = data.draw(st.sampled_from(["renamed", "長" * 30]))
        if target in self.tables:
            return
        table = sdk.RenameTable(from_table=source, to_table=target)
        self.migrate(source, rename=sdk.RenameOperation(rename_table=table))
        self.tables[target] = self.tables.pop(source)

    # Calls on tables of both kinds

    @rule(data=st.data(), kind=st.sampled_from(list(VALUES)))
    def alter_to_add_a_column(self, data: st.DataObject, kind: common.DataType) -> None:
        name = data.draw(st.sampled_from(sorted(self.tables)))
        model = self.tables[name]
        new = data.draw(st.sampled_from(COLUMNS))
        if new in model.columns:
            return
        model.add_column(column(new, kind))
        answer = self.client.alter(model.table(name))
        assert answer.success, answer

    @rule(data=st.data())
    def alter_to_drop_a_column(self, data: st.DataObject) -> None:
        name = data.draw(st.sampled_from(sorted(self.tables)))
        model = self.tables[name]
        names = self.user_columns(model)
        if not names:
            return
        model.drop_column(data.draw(st.sampled_from(names)))
        assert self.client.alter(model.table(name), drop=True).success

    @rule(data=st.data(), kind=st.sampled_from(list(CONSTANTS)))
    def add_column_with_default_value(self, data: st.DataObject, kind: common.DataType) -> None:
        name = data.draw(st.sampled_from(sorted(self.tables)))
        model = self.tables[name]
        new = data.draw(st.sampled_from(COLUMNS))
        if new in model.columns:
            return
        text = data.draw(st.sampled_from(list(CONSTANTS[kind])))
        operation = sdk.AddColumnWithDefaultValue(column=new, column_type=kind, default_value=text)
        self.migrate(name, add=sdk.AddOperation(add_column_with_default_value=operation))
        model.add_column(column(new, kind))
        model.set_column(new, CONSTANTS[kind][text])

    @rule(data=st.data())
    def update_column_value(self, data: st.DataObject) -> None:
        name = data.draw(st.sampled_from(sorted(self.tables)))
        model = self.tables[name]
        names = self.user_columns(model)
        if not names:
            return
        changed = data.draw(st.sampled_from(names))
        constants = CONSTANTS[model.columns[changed].type]
        text = data.draw(st.sampled_from(list(constants)))
        operation = sdk.UpdateColumnValueOperation(column=changed, value=text)
        self.migrate(name, update_column_value=operation)
        model.set_column(changed, constants[text])

    @rule(data=st.data())
    def copy_or_rename_a_column(self, data: st.DataObject) -> None:
        name = data.draw(st.sampled_from(sorted(self.tables)))
        model = self.tables[name]
        names = self.user_columns(model)
        target = data.draw(st.sampled_from(COLUMNS))
        if not names or target in model.columns:
            return
        source = data.draw(st.sampled_from(names))
        if data.draw(st.booleans()):
            copied = sdk.CopyColumn(from_column=source, to_column=target)
            self.migrate(name, copy=sdk.CopyOperation(copy_column=copied))
            model.copy_column(source, target)
        else:
            renamed = sdk.RenameColumn(from_column=source, to_column=target)
            self.migrate(name, rename=sdk.RenameOperation(rename_column=renamed))
            model.rename_column(source, target)

    # Calls on tables in history mode

    @rule(data=st.data())
    def write_history(self, data: st.DataObject) -> None:
        name = self.pick(data, history=True)
        if name is None:
            return
        model = self.tables[name]
        earliest, replace, update, delete = self.history_batch(data, model)
        for _ in range(2):
            answer = self.client.write_history(
                model.table(name),
                earliest=self.filled([earliest]),
                replace=self.filled([replace]),
                update=self.filled([update[::2], update[1::2]]),
                delete=self.filled([delete]),
            )
            assert answer.success, answer
        model.start_over(earliest)
        model.replace(replace)
        model.update_history(update)
        model.end_records(delete)

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

    @rule(data=st.data(), keep=st.booleans())
    def change_a_column_in_history(self, data: st.DataObject, keep: bool) -> None:  # noqa: FBT001
        name = self.pick(data, history=True)
        if name is None:
            return
        model = self.tables[name]
        starts = [row[START] for row in model.rows if row[ACTIVE]]
        instant = max([*starts, BASE]) + timedelta(seconds=data.draw(st.integers(0, 1)))
        if instant >= OPEN_END - timedelta(days=1):
            return
        text = instant.replace(tzinfo=None).isoformat() + "Z"
        if keep:
            new = data.draw(st.sampled_from(COLUMNS))
            kind = data.draw(st.sampled_from(NULLABLE))
            if new in model.columns:
                return
            default = data.draw(st.sampled_from(list(CONSTANTS[kind])))
            operation = sdk.AddColumnInHistoryMode(
                column=new, column_type=kind, default_value=default, operation_timestamp=text
            )
            self.migrate(name, add=sdk.AddOperation(add_column_in_history_mode=operation))
            model.add_column(column(new, kind))
            model.change_from(new, CONSTANTS[kind][default], instant, only_set=False)
        elif names := self.user_columns(model):
            dropped = data.draw(st.sampled_from(names))
            drop = sdk.DropColumnInHistoryMode(column=dropped, operation_timestamp=text)
            self.migrate(name, drop=sdk.DropOperation(drop_column_in_history_mode=drop))
            model.change_from(dropped, None, instant, only_set=True)

    @rule(data=st.data())
    def to_soft_delete(self, data: st.DataObject) -> None:
        name = self.pick(data, history=True)
        if name is None:
            return
        self.migrate(
            name,
            table_sync_mode_migration=sdk.TableSyncModeMigrationOperation(
                type=sdk.HISTORY_TO_SOFT_DELETE, soft_deleted_column=DELETED
            ),
        )
        self.tables[name].to_soft_delete(DELETED)

    # What holds after every call

    @invariant()
    def tables_hold_what_the_model_holds(self) -> None:
        for name, model in self.tables.items():
            described = self.client.describe(name).table
            assert {c.name: c for c in described.columns} == model.columns
            names = [c.name for c in described.columns]
            found = [dict(zip(names, row, strict=True)) for row in self.contents(name)]
            assert by_repr(found) == by_repr(model.rows)

    @invariant()
    def versions_do_not_overlap(self) -> None:
        for model in self.tables.values():
            if START not in model.key:
                continue

            def record_of(row: dict[str, Any], model: TableModel = model) -> str:
                return repr([row[name] for name in model.record])

            for _, group in groupby(sorted(model.rows, key=record_of), record_of):
                versions = sorted(group, key=lambda version: version[START])
                assert sum(bool(version[ACTIVE]) for version in versions) <= 1
                for before, after in pairwise(versions):
                    assert before[END] < after[START]

    def contents(self, name: str) -> list[tuple[Any, ...]]:
        stored = self.connection.execute(
            "SELECT c.relname FROM pg_class c WHERE c.relnamespace = %s::regnamespace"
            " AND c.relkind = 'r' AND (c.relname = %s OR obj_description(c.oid) LIKE '%%' || %s)",
            (self.schema, name, name),
        ).fetchone()
        assert stored is not None
        query = sql.SQL("SELECT * FROM {}").format(sql.Identifier(self.schema, stored[0]))
        cursor = self.connection.cursor()
        cursor.adapters.register_loader("json", psycopg.types.string.TextLoader)
        return cursor.execute(query).fetchall()


def by_repr(rows: Iterable[dict[str, Any]]) -> list[str]:
    return sorted(
        repr(sorted((name, comparable(value)) for name, value in row.items())) for row in rows
    )


def test_whole_lives(
    stub: DestinationConnectorStub, session_connection: psycopg.Connection
) -> None:
    machine = type("Life", (Life,), {"stub": stub, "connection": session_connection})
    run_state_machine_as_test(
        machine,
        settings=settings(max_examples=40, stateful_step_count=15, deadline=None),
    )
