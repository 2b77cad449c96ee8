"""The command: its errors and exit codes, what it shows, and what it never shows."""

import json
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from destination.sdk import common_pb2 as common
from destination.sdk import connector_sdk_pb2 as sdk
from local_platform.__main__ import main
from local_platform.sync import configure, source
from local_platform.sync.output import Secrets
from local_platform.sync.process import parse_line
from local_platform.sync.source import message_of
from local_platform.sync.state import locked
from tests.support.fix_secrets import MARK
from tests.sync.fix_sync import Outcome, Syncs
from tests.sync.messages import checkpoint, declaring, record, sending, table, upsert
from tests.sync.sources import Script, serving_source
from tests.test_server import free_port

ROOT = Path(__file__).parents[2]
ITEMS = declaring(table("items", id=(common.LONG, True), name=common.STRING))


def varint(field: int, content: bytes) -> bytes:
    """A field of a message that this protocol does not know."""
    return bytes([field << 3 | 2, len(content)]) + content


# Bad input


@pytest.mark.parametrize("schema", ["", "1st", "Upper", "a-b", "a.b"])
def test_schema_must_be_a_name(syncs: Syncs, schema: str) -> None:
    outcome = syncs.command("--source", "localhost:1", "--schema", schema)
    assert outcome.code == 1
    assert "--schema" in outcome.error


@pytest.mark.parametrize(
    "options", [(), ("--source", "a:1", "--source-command", "x {port}"), ("--nonsense",)]
)
def test_wrong_options_are_bad_input(tmp_path: Path, options: tuple[str, ...]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["sync", str(tmp_path), "--schema", "s", *options])
    assert ended.value.code == 1


@pytest.mark.parametrize(
    "options",
    [
        ("--source", "localhost"), ("--source-command", "no port"), ("--sdk-project", "/nowhere"),
        ("--source", "localhost:1", "--mode", "history", "--hard-delete"),
    ],
)  # fmt: skip
def test_options_that_make_no_sense_are_bad_input(syncs: Syncs, options: tuple[str, ...]) -> None:
    assert syncs.command(*options).code == 1


@pytest.mark.parametrize("name", ["source.json", "destination.json"])
@pytest.mark.parametrize("content", ['{"port": 5432}', "[]", "{", '{"port": null}'])
def test_configuration_that_is_no_map_of_strings_is_bad_input(
    syncs: Syncs, name: str, content: str
) -> None:
    (syncs.directory / name).write_text(content)
    outcome = syncs.send([])
    assert outcome.code == 1
    assert name in outcome.error
    assert "5432" not in outcome.error
    assert ('"port"' in outcome.error) == ("port" in content)


def test_configuration_is_asked_for_where_there_is_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    field = common.FormField(name="token", label="Token", required=True)
    form = common.ConfigurationFormResponse(fields=[field])
    with pytest.raises(
        Exception, match=r"source.json is missing: make it, a JSON map of strings with token"
    ):
        configure.configuration(tmp_path / "source.json", form)
    assert (
        configure.configuration(tmp_path / "source.json", common.ConfigurationFormResponse()) == {}
    )
    monkeypatch.setattr("sys.stdin.isatty", lambda: True, raising=False)
    monkeypatch.setattr(configure, "ask", lambda fields: {each.name: "given" for each in fields})
    monkeypatch.setattr(configure.Confirm, "ask", lambda *_: True)
    assert configure.configuration(tmp_path / "source.json", form) == {"token": "given"}
    assert (tmp_path / "source.json").stat().st_mode & 0o777 == 0o600
    assert configure.read(tmp_path / "source.json") == {"token": "given"}


def test_directory_in_use_is_told(syncs: Syncs) -> None:
    with locked(syncs.directory):
        outcome = syncs.send([])
    assert (outcome.code, outcome.error) == (1, f"{syncs.directory} is in use by another sync")


def test_table_that_is_gone_is_told(syncs: Syncs) -> None:
    syncs.send([upsert("items", {"id": 1}), checkpoint("{}")], schema=ITEMS)
    syncs.database.execute("DROP TABLE {schema}.items")
    outcome = syncs.send([upsert("items", {"id": 2}), checkpoint("{}")], schema=ITEMS)
    gone = f"{syncs.schema}.items was filled before and is gone: --resync"
    assert (outcome.code, outcome.error) == (1, gone)
    assert syncs.send([upsert("items", {"id": 2})], "--resync", schema=ITEMS).code == 0


@pytest.mark.parametrize("values", [{"userId": 1, "user_id": 2}, {"_fivetran_synced": 1}, {"!": 1}])
def test_names_that_cannot_be_are_told(syncs: Syncs, values: dict[str, Any]) -> None:
    assert syncs.send([upsert("log", values)]).code == 1


# The source


def test_failing_tests_end_the_sync(syncs: Syncs) -> None:
    form = common.ConfigurationFormResponse(
        tests=[
            common.ConfigurationTest(name="one", label="First"),
            common.ConfigurationTest(name="two"),
        ]
    )
    script = Script(
        lambda _: [upsert("items", {"id": 1})], form=form, failures={"two": "no access"}
    )
    outcome = syncs.run(script)
    assert (outcome.code, outcome.error) == (3, "the source's test two failed: no access")
    assert [(each["name"], each["failure"]) for each in outcome.of("test")] == [
        ("First", None),
        ("two", "no access"),
    ]
    assert script.requests == []


def test_tests_alone_are_run_if_asked_for(syncs: Syncs) -> None:
    script = Script(
        lambda _: [],
        form=common.ConfigurationFormResponse(tests=[common.ConfigurationTest(name="one")]),
    )
    outcome = syncs.run(script, "--test-only")
    assert outcome.code == 0
    assert [each["side"] for each in outcome.of("test")] == ["source"] + ["destination"] * 4
    assert script.requests == []
    assert not (syncs.directory / "state.json").exists()


@pytest.mark.parametrize(
    ("message", "field"),
    [
        (varint(8, b"\n\1t"), "UpdateResponse field 8"),
        (varint(7, b""), "UpdateResponse field 7"),
        (b"", "UpdateResponse no field that is known"),
        (sending().SerializeToString() + varint(9, b"x"), "UpdateResponse field 9"),
        (varint(6, varint(1, b"\x12\1t" + varint(5, b"")) + varint(3, b"")), "Records field 3"),
        (varint(6, varint(1, b"\x12\1t" + varint(5, b"abc"))), "Record field 5"),
        (varint(1, b"\x12\1t\x18\x04"), "RecordType 4"),
        (varint(1, b"\x12\1t" + varint(4, b"\n\1a\x12\0")), "ValueType no field that is known"),
    ],
)  # fmt: skip
def test_newer_protocol_stops_the_sync(syncs: Syncs, message: bytes, field: str) -> None:
    outcome = syncs.send([checkpoint('{"n": 1}'), message, checkpoint('{"n": 2}')])
    assert (outcome.code, outcome.error) == (3, f"the source speaks a newer protocol ({field})")
    assert not (syncs.directory / "state.json").exists()


def test_key_without_a_value_ends_the_sync_before_its_checkpoint(syncs: Syncs) -> None:
    outcome = syncs.send(
        [upsert("items", {"id": 1}), checkpoint('{"n": 1}'), upsert("items", {"name": MARK}), checkpoint('{"n": 2}')],
        "--flush-seconds", "0", schema=ITEMS,
    )  # fmt: skip
    assert outcome.code == 3
    assert f"{syncs.schema}.items" in outcome.error
    assert "key column id" in outcome.error
    assert syncs.state["state"] == '{"n": 1}'


def test_what_is_no_source_is_told(syncs: Syncs) -> None:
    outcome = syncs.command("--source", f"localhost:{syncs.port}")
    told = f"what listens on port {syncs.port} is no source connector"
    assert (outcome.code, outcome.error) == (3, told)


def test_source_that_does_not_answer_is_told(syncs: Syncs, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(source, "ANSWER_SECONDS", 1)
    silent = (
        f"{sys.executable} -c 'import time; print(\"line 1\", flush=True); time.sleep(60)' {{port}}"
    )
    outcome = syncs.command("--source-command", silent)
    assert outcome.code == 3
    assert "the source does not answer on port" in outcome.error
    assert outcome.error.endswith("\n  line 1")


def test_source_that_ends_is_told_with_its_last_lines(syncs: Syncs) -> None:
    outcome = syncs.command(
        "--source-command", f"{sys.executable} -c 'for n in range(30): print(n)' {{port}}"
    )
    assert outcome.code == 3
    assert "the source ended before it answered" in outcome.error
    assert outcome.error.splitlines()[1:] == [f"  {n}" for n in range(10, 30)]
    assert syncs.command("--source-command", "/no/such/program {port}").code == 3


def test_source_whose_port_another_took_first_is_started_again(
    syncs: Syncs, tmp_path: Path
) -> None:
    taken_once = tmp_path / "source.py"
    taken_once.write_text(
        "import os, pathlib, sys\n"
        "starts = pathlib.Path(__file__).with_name('starts')\n"
        "before = starts.read_text() if starts.exists() else ''\n"
        "starts.write_text(before + sys.argv[1] + ' ')\n"
        "if not before:\n"
        "    sys.exit('Failed to bind to address localhost:' + sys.argv[1])\n"
        "shop = [sys.executable, '-m', 'local_platform.demo.shop', sys.argv[1]]\n"
        "os.execv(shop[0], shop)\n"
    )
    (syncs.directory / "source.json").write_text('{"shop": "corner", "password": "tea"}')
    outcome = syncs.command("--source-command", f"{sys.executable} {taken_once} {{port}}")
    assert outcome.code == 0
    assert len(set((tmp_path / "starts").read_text().split())) == 2
    assert syncs.rows("orders")


def test_lines_of_a_source_are_logged() -> None:
    assert parse_line('{"level": "SEVERE", "message": "m", "message-origin": "sdk_connector"}') == (
        "SEVERE",
        "m",
    )
    assert parse_line('{"level": "warning", "message": "m", "message_origin": "x"}') == (
        "WARNING",
        "m",
    )
    assert parse_line('{"level": "INFO"}') == ("INFO", '{"level": "INFO"}')
    assert parse_line("plain") == ("INFO", "plain")
    assert message_of('{"message": "m", "trace": "t"}') == "m\nt"
    assert message_of("[1]") == "[1]"


# The destination


def test_task_of_the_destination_ends_the_sync_before_its_checkpoint(syncs: Syncs) -> None:
    syncs.send([upsert("items", {"id": 1}), checkpoint('{"n": 1}')], schema=ITEMS)
    syncs.database.execute("ALTER TABLE {schema}.items ADD CONSTRAINT small CHECK (id < 10)")
    outcome = syncs.send(
        [upsert("items", {"id": 50, "name": MARK}), checkpoint('{"n": 2}')], schema=ITEMS
    )
    assert outcome.code == 2
    assert outcome.error.startswith(f"WriteBatch {syncs.schema}.items: ")
    assert syncs.state["state"] == '{"n": 1}'


def test_destination_that_is_not_there_is_told(
    syncs: Syncs, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("local_platform.sync.destination.RETRY_SECONDS", (0.1, 0.2, 0.4))
    syncs.port = free_port()
    outcome = syncs.send([])
    assert outcome.code == 2
    assert "UNAVAILABLE" in outcome.error
    assert len(outcome.warnings) == 3


def test_failing_test_of_the_destination_ends_the_sync(syncs: Syncs) -> None:
    secret = f"{MARK}-password"
    content = {
        "host": "127.0.0.1",
        "port": str(free_port()),
        "database": "d",
        "user": "u",
        "password": secret,
    }
    (syncs.directory / "destination.json").write_text(json.dumps(content))
    outcome = syncs.send([])
    assert outcome.code == 2
    assert outcome.error.startswith("the destination's test ")


# What is shown


def test_configuration_values_are_never_shown(syncs: Syncs) -> None:
    secret = f"{MARK}-token\nsecond {MARK} line"
    (syncs.directory / "source.json").write_text(json.dumps({"token": secret, "on": "true"}))
    task = sdk.UpdateResponse(task=common.Task(message=f"token {secret} is true"))
    for end in (
        task,
        RuntimeError(f"no {secret}"),
        sdk.UpdateResponse(warning=common.Warning(message=secret)),
    ):
        outcome = syncs.send([end])
        shown = json.dumps(outcome.events)
        assert "******" in shown
    assert Secrets().hide("true") == "true"


def test_secrets_that_the_source_prints_are_hidden(syncs: Syncs) -> None:
    (syncs.directory / "source.json").write_text(json.dumps({"token": f"{MARK}-token"}))
    outcome = syncs.command(
        "--source-command", f"{sys.executable} -c 'print(\"{MARK}-token\")' {{port}}"
    )
    assert outcome.of("log")[0]["message"] == "******"
    assert outcome.error.endswith("******")


def test_output_for_people_has_lines_and_a_summary(
    syncs: Syncs, capsys: pytest.CaptureFixture[str]
) -> None:
    unfilled = declaring(
        table("items", id=(common.LONG, True)), table("open", id=(common.UNSPECIFIED, True))
    )
    script = Script(
        lambda _: [upsert("items", {"id": 1}), checkpoint("[1]"), upsert("items", {"id": 2})],
        unfilled,
    )
    with serving_source(script) as port:
        where = (
            "--port",
            str(syncs.port),
            "--source",
            f"localhost:{port}",
            "--schema",
            syncs.schema,
        )
        assert main(["sync", str(syncs.directory), *where]) == 0
    shown = capsys.readouterr().out
    assert f"{syncs.schema}.items: 2 records as 2 replace" in shown
    for text in (
        "Upserts",
        "Checkpoints",
        "state saved: [1]",
        "1 records came after",
        "open",
        "Sync SUCCEEDED",
    ):
        assert text in shown


# Ctrl-C


@pytest.fixture
def endless(syncs: Syncs) -> Iterator[tuple[subprocess.Popen[str], threading.Event]]:
    """A sync of a source that does not end, in a process of its own."""
    sent = threading.Event()
    over = threading.Event()

    def updates(_: sdk.UpdateRequest) -> Iterator[sdk.UpdateResponse]:
        for n in range(1000):
            yield upsert("items", {"id": n})
            yield checkpoint(f'{{"n": {n}}}')
        yield sending(record("items", {"id": 5000}))
        sent.set()
        over.wait(60)

    with serving_source(Script(updates, ITEMS)) as port:
        program = [
            sys.executable, "-m", "local_platform", "sync", str(syncs.directory), "--json", "--schema",
            syncs.schema, "--port", str(syncs.port), "--source", f"localhost:{port}",
        ]  # fmt: skip
        with subprocess.Popen(program, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
            yield process, sent
            over.set()
            process.kill()


def test_first_ctrl_c_loads_and_saves_what_came(
    syncs: Syncs, endless: tuple[subprocess.Popen[str], threading.Event]
) -> None:
    process, sent = endless
    assert sent.wait(60)
    process.send_signal(signal.SIGINT)
    told, _ = process.communicate(timeout=60)
    outcome = Outcome(process.returncode, [json.loads(line) for line in told.splitlines()])
    assert outcome.code == 130, told
    saved = json.loads(syncs.state["state"])[
        "n"
    ]  # how much of what was sent has come by then varies
    assert saved > 0
    assert len(syncs.rows("items")) >= saved
