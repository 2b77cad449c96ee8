"""The tester as its users run it, against the real connector."""

import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from rich.prompt import Confirm, Prompt

from destination.sdk import common_pb2 as common
from destination.sdk import destination_sdk_pb2 as sdk
from destination.sdk.destination_sdk_pb2_grpc import DestinationConnectorStub
from destination_tester import configure, demo
from destination_tester.__main__ import CALL_FAILED, DIFFERENT, main
from tests.fix_files import SHARED
from tests.fix_postgres import Database

SAMPLE = demo.SAMPLE
Run = Callable[..., int]


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
    assert main([str(inputs), "--port", "1"]) == CALL_FAILED


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


def test_demo_uses_the_capabilities_of_its_own(capsys: pytest.CaptureFixture[str]) -> None:
    assert demo.main() == 0
    out = capsys.readouterr().out
    assert out.count("verified") == 8
    assert "CSV" in out
    assert "PARQUET" in out
    assert sdk.BatchFileFormat.Name(sdk.PARQUET) in out
