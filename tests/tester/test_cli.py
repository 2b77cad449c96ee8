"""The tester as its users run it, against the real connector."""

import json
import shutil
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType, ModuleType
from typing import Any

import pytest
from rich.prompt import Confirm, Prompt

import destination_tester
from destination.sdk import common_pb2 as common
from destination.sdk import destination_sdk_pb2 as sdk
from destination.sdk.destination_sdk_pb2_grpc import DestinationConnectorStub
from destination_tester import configure, demo
from destination_tester.__main__ import CALL_FAILED, DIFFERENT, main
from destination_tester.conversions import TYPES
from destination_tester.model import TableModel
from destination_tester.stored import RefusedError
from tests.support.fix_files import SHARED
from tests.support.fix_postgres import Database

SAMPLE = demo.SAMPLE
Run = Callable[..., int]
Tracing = Callable[[FrameType, str, Any], Any]


@pytest.fixture
def inputs(tmp_path: Path) -> Path:
    directory = tmp_path / "inputs"
    shutil.copytree(SAMPLE, directory)
    (directory / "configuration.json").write_text("{}")
    return directory


@pytest.fixture
def run(inputs: Path, server_port: int, postgres_uri: str, schema: str) -> Run:
    def tester(*arguments: str, verify: bool = True, directory: Path = inputs) -> int:
        verification = ("--verify", postgres_uri) if verify else ()
        where = ("--port", str(server_port), "--schema-name", schema)
        return main(
            [str(directory), *where, "--disable-operation-delay", *verification, *arguments]
        )

    return tester


def events(capsys: pytest.CaptureFixture[str]) -> Iterator[dict[str, object]]:
    for line in capsys.readouterr().out.splitlines():
        yield json.loads(line)


@pytest.mark.parametrize("file_type", ["CSV", "parquet"])
@pytest.mark.parametrize("layers", [(), ("--plain-text",)], ids=["encrypted", "plain"])
def test_sample_inputs_are_verified(
    run: Run, capsys: pytest.CaptureFixture[str], file_type: str, layers: tuple[str, ...]
) -> None:
    assert run("--json", "--batch-file-type", file_type, *layers) == 0
    told = list(events(capsys))
    operations = [event for event in told if event["event"] == "operation"]
    assert {event["outcome"] for event in operations} == {"success"}
    assert told[-1] == {
        "event": "summary", "inputs": 4, "success": len(operations), "differences": 0,
    }  # fmt: skip


@pytest.mark.parametrize("file_type", ["CSV", "PARQUET"])
@pytest.mark.parametrize("layers", [(), ("--plain-text",)], ids=["encrypted", "plain"])
@pytest.mark.parametrize("name", ["", "operations_on_nonexistent_records"])
def test_inputs_of_the_sdk_are_verified(
    run: Run,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    file_type: str,
    layers: tuple[str, ...],
    name: str,
) -> None:
    source = SHARED / "sdk-inputs" / name
    if not source.is_dir():
        pytest.skip("the SDK's inputs are not on this machine")
    directory = tmp_path / "sdk"
    shutil.copytree(source, directory)
    (directory / "configuration.json").write_text("{}")
    assert run("--json", "--batch-file-type", file_type, *layers, directory=directory) == 0
    outcomes = {event.get("outcome") for event in events(capsys)}
    assert outcomes <= {"success", None}


def test_difference_is_shown_and_ends_with_its_code(
    run: Run, database: Database, capsys: pytest.CaptureFixture[str]
) -> None:
    database.needs_local_tables("Citus has no triggers on them")
    assert run("--input-file", "1_load.json") == 0
    database.execute(
        "CREATE FUNCTION {schema}.spoil() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN"
        " IF NEW.id = 1 THEN NEW.string := 'spoiled'; END IF; RETURN NEW; END $$"
    )
    database.execute(
        "CREATE TRIGGER spoil BEFORE INSERT OR UPDATE ON {schema}.{table}"
        " FOR EACH ROW EXECUTE FUNCTION {schema}.spoil()",
        table="every type",
    )
    capsys.readouterr()
    assert run("--input-file", "1_load.json", "--json") == DIFFERENT
    (verified,) = [event for event in events(capsys) if event["event"] == "verified"]
    assert verified["differences"] == [
        {
            "table": "every type",
            "key": "1",
            "column": "string",
            "expected": repr('quoted "text", with a comma'),
            "found": repr("spoiled"),
        }
    ]
    assert run("--input-file", "1_load.json") == DIFFERENT
    assert "differences" in capsys.readouterr().out


def test_connector_that_is_not_there_ends_with_its_code(inputs: Path) -> None:
    assert main([str(inputs), "--port", "1"]) == CALL_FAILED == 2


def test_directory_without_inputs_is_told(tmp_path: Path, server_port: int) -> None:
    (tmp_path / "configuration.json").write_text("{}")
    assert main([str(tmp_path), "--port", str(server_port)]) == DIFFERENT


def test_input_that_is_none_is_told(
    run: Run, inputs: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (inputs / "0_bad.json").write_text('{"ops": [{"no_such_operation": {}}]}')
    assert run() == DIFFERENT
    assert "no_such_operation" in capsys.readouterr().out


def test_batch_files_are_kept_if_asked_for(run: Run, inputs: Path) -> None:
    assert run("--keep-files", "--input-file", "1_load.json", verify=False) == 0
    names = {path.name for path in (inputs / "files").iterdir()}
    assert any(name.startswith("every type_1_load_upsert.csv.zstd") for name in names)


def test_configuration_is_asked_for_field_by_field(
    stub: DestinationConnectorStub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    certificate = tmp_path / "ca.pem"
    certificate.write_bytes(b"-----BEGIN")
    asked: dict[str, dict[str, object]] = {}

    def answer(label: str, **options: object) -> str:
        name = label.split(" (", maxsplit=1)[0]
        asked[name] = options
        answers = {
            "Host": "h",
            "Database": "d",
            "User": "u",
            "Password": "p",
            "TLS mode": "verify-ca",
        }
        if name == "CA certificate":
            return str(certificate)
        return answers.get(name, str(options.get("default") or ""))

    monkeypatch.setattr(Prompt, "ask", answer)
    monkeypatch.setattr(Confirm, "ask", lambda *_, **__: True)
    form = stub.ConfigurationForm(common.ConfigurationFormRequest())
    answers = configure.configuration(tmp_path, form)
    assert answers == {
        "connection_type": "Directly",
        "host": "h", "port": "5432", "database": "d", "user": "u", "password": "p",
        "sslmode": "verify-ca", "sslrootcert": "LS0tLS1CRUdJTg==",
    }  # fmt: skip
    assert asked["Password"]["password"] is True
    assert "verify-full" in str(asked["TLS mode"]["choices"])
    saved = tmp_path / "configuration.json"
    assert json.loads(saved.read_text()) == answers
    assert saved.stat().st_mode & 0o077 == 0
    assert configure.configuration(tmp_path, form) == answers


def test_fields_that_are_not_visible_are_not_asked_for() -> None:
    condition = common.VisibilityCondition(condition_field="mode", string_value="full")
    assert not configure.visible(condition, {"mode": "other"})
    assert configure.visible(condition, {"mode": "full"})
    toggled = common.VisibilityCondition(condition_field="on", bool_value=True)
    assert configure.visible(toggled, {"on": "true"})
    assert not configure.visible(toggled, {})


def test_unsupported_migrations_are_shown_as_such(
    run: Run, inputs: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    migration = {"migrate_live_to_history": [{"table": "t"}]}
    (inputs / "5_live.json").write_text(json.dumps({"schema_migration": [migration]}))
    assert run("--json", "--input-file", "5_live.json") == 0
    outcomes = [e["outcome"] for e in events(capsys) if e["event"] == "operation"]
    assert outcomes[-1] == "unsupported"


@pytest.mark.slow
def test_demo_uses_the_capabilities_of_its_own(capsys: pytest.CaptureFixture[str]) -> None:
    assert demo.main() == 0
    out = capsys.readouterr().out
    assert out.count("verified") == 8
    assert "CSV" in out
    assert "PARQUET" in out
    assert sdk.BatchFileFormat.Name(sdk.PARQUET) in out


def write_input(directory: Path, **content: object) -> None:
    shutil.rmtree(directory)
    directory.mkdir()
    (directory / "configuration.json").write_text("{}")
    (directory / "input.json").write_text(json.dumps(content))


def test_task_where_a_call_should_succeed_ends_with_the_code_of_a_failed_call(
    run: Run, inputs: Path, database: Database, capsys: pytest.CaptureFixture[str]
) -> None:
    write_input(inputs, create_table={"t": {"columns": {"id": "INT"}, "primary_key": ["id"]}})
    assert run() == 0
    database.execute("CREATE VIEW {schema}.in_the_way AS SELECT id FROM {schema}.t")
    change = {"table": "t", "column": "id", "data_type": "LONG"}
    write_input(inputs, schema_migration=[{"change_column_data_type": [change]}])
    assert run() == CALL_FAILED
    assert "1 calls that should succeed" in capsys.readouterr().out
    assert run("--allow-task") == 0


def test_task_that_must_be_is_no_failure(run: Run, inputs: Path) -> None:
    write_input(
        inputs,
        create_table={"t": {"columns": {"id": "INT", "v": "INT"}, "primary_key": ["id"]}},
        ops=[{"upsert": {"t": [{"id": None, "v": 1}]}}, {"truncate_before": ["t"]}, {"upsert": {"t": [{"id": 1, "v": "x"}]}}],
        schema_migration=[{"drop_column_in_history_mode": [{"table": "t", "column": "v", "operation_timestamp": "2024-01-01T00:00:00Z"}]}],
    )  # fmt: skip
    assert run() == 0


def test_task_that_must_be_and_is_not_is_a_difference(
    run: Run, inputs: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    write_input(
        inputs,
        create_table={"t": {"columns": {"id": "INT"}, "primary_key": ["id"]}},
        ops=[{"upsert": {"t": [{"id": 1}]}}],
    )
    monkeypatch.setattr(TableModel, "replace", refuse)
    assert run("--json") == DIFFERENT
    (verified,) = [event for event in events(capsys) if event["event"] == "verified"]
    assert verified["differences"] == [
        {"table": "t", "key": "", "column": "(call)", "expected": "a task, since it must be", "found": "success"}
    ]  # fmt: skip


def refuse(*_: object) -> None:
    raise RefusedError("it must be")


@pytest.mark.parametrize("file_type", ["CSV", "PARQUET"])
def test_texts_arrive_as_they_are_whatever_their_notation(
    run: Run, inputs: Path, database: Database, file_type: str
) -> None:
    """Years that Python lacks, digits that Parquet's decimals lack, what is no base64 nor a number."""
    columns = {
        "id": "INT",
        "year": "NAIVE_DATE",
        "at": "UTC_DATETIME",
        "large": {"type": "DECIMAL", "precision": 50, "scale": 2},
        "any": "DECIMAL",
        "bytes": "BINARY",
        "at once": "NAIVE_TIME",
    }
    row = {"id": 1, "year": "0000-01-01", "at": "+10000-01-01T00:00:00Z", "large": "9" * 48 + ".99", "any": "1E+40", "bytes": "[B@1", "at once": "23:59:59.999999999"}  # fmt: skip
    write_input(
        inputs,
        create_table={"t": {"columns": columns, "primary_key": ["id"]}},
        ops=[{"upsert": {"t": [row]}}],
    )
    assert run("--batch-file-type", file_type) == 0
    (found,) = database.execute(
        'SELECT year::text, large::text, "any"::text, bytes, "at once"::text FROM {schema}.t'
    )
    assert found == ("0001-01-01 BC", "9" * 48 + ".99", "1" + "0" * 40, b"[B@1", "23:59:59.999999")
    write_input(inputs, ops=[{"upsert": {"t": [{**row, "year": "soon"}]}}])
    assert run("--batch-file-type", file_type) == 0, "the task that must be"


REFUSED = {
    "BOOLEAN": "TRUE", "SHORT": "32768", "INT": "1.0", "LONG": "0x10", "DECIMAL": "1,5", "FLOAT": "1_000",
    "DOUBLE": "one", "NAIVE_DATE": "2007-02-30", "NAIVE_TIME": "24:00", "NAIVE_DATETIME": "today",
    "UTC_DATETIME": "2007-13-01T00:00Z", "JSON": "{",
}  # fmt: skip
"""A text that is not in the notation of its type, which a connector must refuse."""
TAKEN = {"STRING": "a\n", "XML": "<a", "BINARY": "[B@1"}


@pytest.mark.parametrize("file_type", ["CSV", "PARQUET"])
def test_text_in_no_notation_is_written_for_a_column_of_any_type(
    run: Run, inputs: Path, database: Database, file_type: str
) -> None:
    texts = REFUSED | TAKEN
    assert set(texts) == {common.DataType.Name(kind) for kind in TYPES}
    tables = {kind: {"columns": {"id": "INT", "v": kind}, "primary_key": ["id"]} for kind in texts}
    rows = {kind: [{"id": 1, "v": None}, {"id": 2, "v": text}] for kind, text in texts.items()}
    write_input(inputs, create_table=tables, ops=[{"upsert": rows}])
    assert run("--batch-file-type", file_type) == 0
    for kind in texts:
        assert len(database.rows(kind)) == (0 if kind in REFUSED else 2)


@pytest.mark.parametrize("file_type", ["CSV", "PARQUET"])
def test_names_that_no_file_or_warehouse_can_have_are_played(
    run: Run, inputs: Path, file_type: str, capsys: pytest.CaptureFixture[str]
) -> None:
    names = ["a/../b", "長" * 90, ".hidden"]
    table = {"columns": {"id": "INT", "é" * 50: "STRING"}, "primary_key": ["id"]}
    write_input(
        inputs,
        create_table=dict.fromkeys(names, table),
        ops=[{"upsert": {name: [{"id": 1, "é" * 50: "x"}] for name in names}}],
    )
    assert run("--json", "--batch-file-type", file_type) == 0
    told = list(events(capsys))
    assert [event["outcome"] for event in told if "WriteBatch" in str(event.get("what"))] == ["success"] * 3  # fmt: skip
    assert "skipped" in {event.get("outcome") for event in told}


@pytest.mark.parametrize("history", [False, True], ids=["rows", "versions"])
def test_work_grows_as_the_rows_do(
    run: Run, inputs: Path, database: Database, *, history: bool
) -> None:
    """Counted by the lines of the tester's code that run, which do not depend on the machine."""

    def lines(count: int) -> int:
        rows = [{"id": n, "v": str(n)} for n in range(count)]
        table = {"columns": {"id": "INT", "v": "STRING"}, "primary_key": ["id"]}
        steps = [{"upsert": {"t": rows}}, {"update": {"t": rows}}, {"delete": {"t": rows[::2]}}]
        write_input(inputs, create_table={"t": {**table, "history_mode": history}}, ops=steps)
        with counted_lines(destination_tester) as counted:
            assert run() == 0
        database.execute("DROP SCHEMA {schema} CASCADE")
        return counted[0]

    assert lines(600) < 2.2 * lines(300)


@contextmanager
def counted_lines(package: ModuleType) -> Iterator[list[int]]:
    """Count the lines of a package's code that this thread runs."""
    (directory,), counted, before = package.__path__, [0], sys.gettrace()

    def count(_frame: FrameType, event: str, _argument: object) -> Tracing:
        counted[0] += event == "line"
        return count

    def enter(frame: FrameType, _event: str, _argument: object) -> Tracing | None:
        return count if frame.f_code.co_filename.startswith(directory) else None

    sys.settrace(enter)
    try:
        yield counted
    finally:
        sys.settrace(before)


def test_database_that_cannot_be_read_is_told(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    for url in ("nonsense", "postgresql://localhost:1/none", "mysql://h/d"):
        assert run("--verify", url, verify=False) == DIFFERENT
        assert "--verify" in capsys.readouterr().out
