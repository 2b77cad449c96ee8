"""The client of Fivetran's API, against the platform's."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest

from local_platform.__main__ import main
from local_platform.client import (
    AnswerError,
    Fivetran,
    InputError,
    SyncFailedError,
    TimedOutError,
    http,
)
from tests.platform.fix_platform import LONG, Served


@pytest.fixture
def fivetran(served: Served) -> Iterator[Fivetran]:
    with Fivetran(served.key, served.secret, served.url) as client:
        yield client


def simulated(fivetran: Fivetran, served: Served, schema: str, outcome: str) -> str:
    config = {"polls": 3, "outcome": outcome}
    return fivetran.create_connection(served.group, "simulated", schema, config, paused=True).id


def test_destination_and_connection_are_made_and_synced_and_their_tables_listed(
    fivetran: Fivetran, served: Served, schema: str
) -> None:
    group = fivetran.create_group("of the client")
    destination = fivetran.create_destination(group, "embedded", {}, region="LOCAL")
    assert destination.setup_status == "connected"
    assert all(each.passed for each in fivetran.test_destination(destination.id))
    config = {"shop": "corner", "password": "tea", "size": "medium"}
    made = fivetran.create_connection(group, "shop", schema, config, paused=True)
    fivetran.choose(made.id, {schema: {"tables": {"products": {"enabled": False}}}})
    marks = fivetran.sync(made.id)
    ended = fivetran.wait(made.id, marks, LONG, poll=0.2)
    assert ended.succeeded_at is not None
    tables = fivetran.tables(made.id)
    assert [(each.name, each.enabled) for each in tables] == [
        ("customers", True), ("products", False), ("orders", True),
    ]  # fmt: skip
    assert "customer_id" in tables[2].columns
    assert served.rows(f"SELECT count(*) FROM {tables[2].schema_}.{tables[2].name}") == [(5000,)]


def test_simulated_syncs_end_as_they_are_told(fivetran: Fivetran, served: Served) -> None:
    good = simulated(fivetran, served, "sim_good", "succeed")
    for _ in range(2):
        marks = fivetran.sync(good)
        assert fivetran.wait(good, marks, 10, poll=0).succeeded_at is not None
    bad = simulated(fivetran, served, "sim_bad", "fail")
    with pytest.raises(SyncFailedError, match="a simulated failure"):
        fivetran.wait(bad, fivetran.sync(bad), 10, poll=0)
    with served.stranger() as http:
        for connection in (good, bad):
            assert "Checkpoints" in http.get(f"/connections/{connection}").text
            for path in ("runs", "tables"):
                assert http.get(f"/connections/{connection}/{path}").status_code == 200
        runs = re.findall(r'href="(/runs/\w+)"', http.get(f"/connections/{bad}/runs").text)
        assert len(set(runs)) == 1
        assert "a simulated failure" in http.get(runs[0]).text
    slow = simulated(fivetran, served, "sim_slow", "succeed")
    with pytest.raises(TimedOutError):
        fivetran.wait(slow, fivetran.sync(slow), 0.05, poll=0.1)


def test_throttled_client_waits_as_it_is_told(
    fivetran: Fivetran, served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    waits: list[float] = []
    monkeypatch.setattr(http, "time", SimpleNamespace(sleep=waits.append))
    throttled = simulated(fivetran, served, "sim_throttled", "throttle")
    marks = fivetran.sync(throttled)
    assert fivetran.wait(throttled, marks, 10, poll=0).succeeded_at is not None
    assert waits == [1.0, 1.0, 1.0]


def test_connector_types_are_downloaded_whole(fivetran: Fivetran, tmp_path: Path) -> None:
    paths = fivetran.download_connector_types(tmp_path / "types")
    assert {"shop.json", "address.json"} <= {path.name for path in paths}
    text = (tmp_path / "types" / "simulated.json").read_text()
    content = json.loads(text)
    assert text == json.dumps(content, indent=2, sort_keys=True) + "\n"
    assert not list((tmp_path / "types").glob("*.new"))


def test_refusals_are_errors_that_tell_no_secret(served: Served, fivetran: Fivetran) -> None:
    with pytest.raises(AnswerError, match="404 NotFound_Connection"):
        fivetran.connection("nothing")
    with Fivetran(served.key, "marked-wrong", served.url) as wrong:
        with pytest.raises(AnswerError, match="401 AuthFailed") as refused:
            wrong.create_group("x")
        assert "marked-wrong" not in str(refused.value)


@pytest.mark.parametrize("url", ["http://api.fivetran.com", "ftp://x", "http://10.0.0.1:8080"])
def test_secret_leaves_this_machine_only_by_https(url: str) -> None:
    with pytest.raises(InputError, match="only https"):
        Fivetran("key", "secret", url)


def test_command_reads_the_environment(
    served: Served,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
) -> None:
    monkeypatch.delenv("FIVETRAN_API_KEY", raising=False)
    assert main(["fivetran", "tables", "x"]) == 1
    assert "FIVETRAN_API_KEY is not set" in capsys.readouterr().err
    monkeypatch.setenv("FIVETRAN_API_KEY", served.key)
    monkeypatch.setenv("FIVETRAN_API_SECRET", served.secret)
    monkeypatch.setenv("FIVETRAN_API_URL", served.url)
    assert main(["fivetran", "tables", "x"]) == 2
    assert "NotFound_Connection" in capsys.readouterr().err
    config = tmp_path / "config.json"
    config.write_text('{"polls": "2"}')
    where = ("--group-id", served.group, "--service", "simulated", "--schema", "sim_command")
    assert main(["fivetran", "create-connection", *where, "--config", str(config), "--paused"]) == 0
    made = json.loads(capsys.readouterr().out)
    assert main(["fivetran", "sync", made["id"], "--wait", "--poll", "0"]) == 0
    assert json.loads(capsys.readouterr().out)["succeeded_at"]
    config.write_text("[]")
    assert main(["fivetran", "create-connection", *where, "--config", str(config)]) == 1
