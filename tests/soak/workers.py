"""Workers that send calls about a table each, and have the model play them too."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import grpc

from destination.sdk import common_pb2 as common
from destination.sdk import destination_sdk_pb2 as sdk
from destination.sdk.destination_sdk_pb2_grpc import DestinationConnectorStub
from destination_tester.files import BatchFiles, Row
from destination_tester.model import TableModel
from destination_tester.notation import UNMODIFIED, Cell
from destination_tester.stored import ACTIVE, END, MILLISECOND, OPEN_END, START
from tests.soak.tally import SCHEMA, SEED, Tally
from tests.support.fix_connector import column

BASE = datetime(2024, 1, 1, tzinfo=UTC)
IDS = 300
BULK_ROWS = 40_000
PATIENCE_SECONDS = 180

KEYED_COLUMNS = [
    column("id", common.LONG, key=True),
    column("text"),
    column("amount", common.DECIMAL, decimal=(12, 3)),
    column("at", common.UTC_DATETIME),
    column("data", common.BINARY),
    column("flag", common.BOOLEAN),
]
HISTORY_COLUMNS = [
    column("id", common.LONG, key=True),
    column("text"),
    column("amount", common.DECIMAL, decimal=(12, 3)),
    column(START, common.UTC_DATETIME, key=True),
    column(END, common.UTC_DATETIME),
    column(ACTIVE, common.BOOLEAN),
]
PLAIN_COLUMNS = [column("id", common.LONG), column("text")]
BULK_COLUMNS = [column("id", common.LONG, key=True), column("text"), column("batch", common.INT)]


class Worker:
    """Sends calls about one table, one after the other, and has the model play them too."""

    columns: Sequence[common.Column] = KEYED_COLUMNS
    may_give_up = True

    def __init__(
        self, number: int, stub: DestinationConnectorStub, configuration: dict[str, str],
        directory: Path, tally: Tally,
    ) -> None:  # fmt: skip
        self.name = f"{type(self).__name__.lower()}_{number}"
        self.random = random.Random(SEED + number)
        self.stub = stub
        self.configuration = configuration
        self.files = BatchFiles(directory)
        self.tally = tally
        self.table = common.Table(name=self.name, columns=self.columns)
        self.model = TableModel.of(self.table)

    @property
    def where(self) -> dict[str, Any]:
        return {"configuration": self.configuration, "schema_name": SCHEMA, "table": self.table}

    def create(self) -> None:
        answer = self.stub.CreateTable(sdk.CreateTableRequest(**self.where))
        assert answer.success, answer

    def step(self) -> None:
        """Send one call, and have the model play it."""
        raise NotImplementedError

    def work(self, over: threading.Event) -> None:
        try:
            while not over.is_set():
                self.step()
        except Exception as error:
            self.tally.defects.append(f"{self.name}: {error!r}")
            raise

    def write(self, history: bool = False, **files: Sequence[Row]) -> None:  # noqa: FBT001, FBT002
        """Write a file for each kind of rows, and send them until that succeeds."""
        self.files.format = self.random.choice([sdk.CSV, sdk.PARQUET])
        self.files.keys.clear()
        paths: dict[str, Any] = {
            f"{kind}_files": [
                self.files.write(f"{self.name}_{kind}", self.model_columns(rows), rows)
            ]
            for kind, rows in files.items()
            if rows
        }
        kind = sdk.WriteHistoryBatchRequest if history else sdk.WriteBatchRequest
        call = self.stub.WriteHistoryBatch if history else self.stub.WriteBatch
        request = kind(keys=self.files.keys, file_params=self.files.params, **self.where, **paths)
        self.send(call, request)
        self.tally.rows += sum(map(len, files.values()))
        for path in self.files.keys:
            Path(path).unlink()

    def model_columns(self, rows: Sequence[Row]) -> list[common.Column]:
        return [each for each in self.table.columns if each.name in rows[0]]

    def send(self, call: Callable[..., Any], request: Any) -> None:
        """Send a request until it succeeds; now and then give up on it before that."""
        method = type(request).__name__.removesuffix("Request")
        for _ in range(1000):
            hurried = self.may_give_up and self.random.random() < 0.1
            timeout = self.random.uniform(0.01, 0.5) if hurried else PATIENCE_SECONDS
            try:
                answer = call(request, timeout=timeout)
            except grpc.RpcError as error:
                code = error.code()
                self.tally.calls[f"{method}: {code.name}"] += 1
                if code != grpc.StatusCode.DEADLINE_EXCEEDED or not hurried:
                    self.tally.defects.append(f"{method}: {code.name} {error.details()}")
                continue
            self.tally.calls[f"{method}: {answer.WhichOneof('response')}"] += 1
            if answer.WhichOneof("response") == "success":
                return
            time.sleep(0.1)
        raise AssertionError(answer)


class Keyed(Worker):
    """Replaces, updates and deletes rows, changes the schema, describes the table."""

    def step(self) -> None:
        action = self.random.random()
        if action < 0.05 and len(self.model.columns) < 12:
            self.model.add_column(column(f"more_{len(self.model.columns)}"))
            self.table = self.model.table(self.name)
            self.send(self.stub.AlterTable, sdk.AlterTableRequest(**self.where))
        elif action < 0.1:
            value = f"set {self.random.random()}"
            operation = sdk.UpdateColumnValueOperation(column="text", value=value)
            details = sdk.MigrationDetails(
                schema=SCHEMA, table=self.name, update_column_value=operation
            )
            request = sdk.MigrateRequest(configuration=self.configuration, details=details)
            self.send(self.stub.Migrate, request)
            self.model.set_column("text", value)
        else:
            replace, update, delete = self.rows(), self.rows(UNMODIFIED), self.rows()[:20]
            self.write(replace=replace, update=update, delete=delete)
            self.model.replace(replace)
            self.model.update(update)
            self.model.delete(delete)

    def rows(self, *others: Cell) -> list[Row]:
        return [self.row(*others) for _ in range(self.random.randrange(1, 100))]

    def row(self, *others: Cell) -> Row:
        made: dict[str, Cell] = {
            "text": "x" * self.random.randrange(200),
            "amount": Decimal(self.random.randrange(10**9)) / 1000,
            "at": BASE + timedelta(seconds=self.random.randrange(10**6)),
            "data": self.random.randbytes(8),
            "flag": self.random.random() < 0.5,
        }
        values = {name: made.get(name, f"{name} é") for name in self.model.columns}
        chosen = {
            name: self.random.choice([None, *others]) if self.random.random() < 0.2 else value
            for name, value in values.items()
        }
        return {**chosen, "id": self.random.randrange(IDS)}


class History(Worker):
    """Writes versions of records, as time goes by."""

    columns = HISTORY_COLUMNS

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.clock = BASE

    def step(self) -> None:
        earliest: list[Row] = []
        replace: list[Row] = []
        update: list[Row] = []
        delete: list[Row] = []
        for id_ in self.random.sample(range(40), 10):
            self.clock += timedelta(seconds=10)
            starts = [
                self.clock + timedelta(seconds=second) for second in range(self.random.randrange(3))
            ]
            for start, following in zip(starts, [*starts[1:], None], strict=False):
                partial = self.random.random() < 0.4
                version: dict[str, Cell] = {
                    "id": id_,
                    "text": UNMODIFIED if partial else f"text {self.random.random()}",
                    "amount": Decimal(self.random.randrange(10**6)) / 1000,
                    START: start,
                    END: following - MILLISECOND if following else OPEN_END,
                    ACTIVE: following is None,
                }
                (update if partial else replace).append(version)
            if starts:
                earliest.append({"id": id_, START: starts[0]})
            elif self.random.random() < 0.5:
                delete.append({"id": id_, END: self.clock})
        if not earliest and not delete:
            return
        self.write(
            history=True, earliest_start=earliest, replace=replace, update=update, delete=delete
        )
        self.model.start_over(earliest)
        self.model.replace(replace)
        self.model.update_history(update)
        self.model.end_records(delete)


class Plain(Worker):
    """Appends rows to a table that has no key, so that a batch applied twice shows."""

    columns = PLAIN_COLUMNS
    may_give_up = False

    def step(self) -> None:
        first = len(self.model.rows)
        rows: list[Row] = [
            {"id": id_, "text": f"row {id_}"}
            for id_ in range(first, first + self.random.choice([1, 10, 200]))
        ]
        self.write(replace=rows)
        self.model.replace(rows)
        time.sleep(0.05)


class Bulk(Worker):
    """Replaces all rows of a larger table, again and again."""

    columns = BULK_COLUMNS

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.batch = 0

    def step(self) -> None:
        self.batch += 1
        self.write(replace=self.rows())

    def rows(self) -> list[Row]:
        return [{"id": i, "text": "x" * 100, "batch": self.batch} for i in range(BULK_ROWS)]


WIDE_KINDS = (common.STRING, common.INT, common.UTC_DATETIME, common.BOOLEAN)
WIDE_IDS = 12


class Wide(Worker):
    """Replaces, updates and deletes a few rows of a table that may have hundreds of columns."""

    def __init__(self, number: int, width: int, *arguments: Any) -> None:
        values = [column(f"c{i}", WIDE_KINDS[i % len(WIDE_KINDS)]) for i in range(width - 1)]
        self.columns = [column("id", common.LONG, key=True), *values]
        super().__init__(number, *arguments)

    def step(self) -> None:
        replace, update, delete = self.rows(), self.rows(UNMODIFIED), self.rows()[:1]
        self.write(replace=replace, update=update, delete=delete)
        self.model.replace(replace)
        self.model.update(update)
        self.model.delete(delete)

    def rows(self, *others: Cell) -> list[Row]:
        return [self.row(*others) for _ in range(self.random.randrange(4))]

    def row(self, *others: Cell) -> Row:
        number = self.random.randrange(10**6)
        values: tuple[Cell, ...] = (
            f"text {number}", number, BASE + timedelta(seconds=number), number % 2 == 0,
        )  # fmt: skip
        names = [each.name for each in self.columns[1:]]
        cells = {name: values[i % len(values)] for i, name in enumerate(names)}
        left = self.random.sample(names, len(names) // 2) if others else []
        chosen = self.random.choice([None, *others])
        return {**cells, **dict.fromkeys(left, chosen), "id": self.random.randrange(WIDE_IDS)}


class Several(Worker):
    """Has other workers send calls, one after the other in random order."""

    def __init__(self, workers: Sequence[Worker]) -> None:
        self.name = f"{len(workers)} tables"
        self.random = random.Random(SEED)
        self.tally = workers[0].tally
        self.workers = workers

    def step(self) -> None:
        self.random.choice(self.workers).step()
