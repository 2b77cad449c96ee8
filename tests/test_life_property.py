"""A table's whole life, call after call, against a plain Python model."""

from datetime import timedelta
from itertools import groupby, pairwise
from typing import Any

import psycopg
from hypothesis import strategies as st
from hypothesis.stateful import (
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from destination.sdk import common_pb2 as common
from destination.sdk import destination_sdk_pb2 as sdk
from destination.sdk.destination_sdk_pb2_grpc import DestinationConnectorStub
from destination_tester.model import TableModel
from destination_tester.notation import UNMODIFIED
from destination_tester.stored import ACTIVE, DELETED, END, OPEN_END, START, SYNCED
from tests.support.examples import examples
from tests.support.fix_connector import column
from tests.support.life import (
    BASE,
    COLUMNS,
    CONSTANTS,
    DEFAULTS,
    NULLABLE,
    VALUES,
    Lifetime,
    by_repr,
)


class Life(Lifetime):
    """Plays calls on one table and its copies; the model plays them too."""

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
        text = data.draw(st.sampled_from(list(DEFAULTS[kind])))
        operation = sdk.AddColumnWithDefaultValue(column=new, column_type=kind, default_value=text)
        self.migrate(name, add=sdk.AddOperation(add_column_with_default_value=operation))
        model.add_column(column(new, kind))
        model.set_column(new, DEFAULTS[kind][text])

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
            default = data.draw(st.sampled_from(list(DEFAULTS[kind])))
            operation = sdk.AddColumnInHistoryMode(
                column=new, column_type=kind, default_value=default, operation_timestamp=text
            )
            self.migrate(name, add=sdk.AddOperation(add_column_in_history_mode=operation))
            model.add_column(column(new, kind))
            model.change_from(new, DEFAULTS[kind][default], instant, only_set=False)
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


def test_any_sequence_of_calls_does_what_the_model_does(
    stub: DestinationConnectorStub, session_connection: psycopg.Connection
) -> None:
    machine = type("Life", (Life,), {"stub": stub, "connection": session_connection})
    run_state_machine_as_test(
        machine,
        settings=examples(20, steps=15),
    )
