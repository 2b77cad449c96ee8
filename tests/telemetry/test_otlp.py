"""What a collector receives of the connector's calls, and what never reaches it."""

import logging
import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import grpc
import pytest

from destination import __version__, telemetry
from destination.sdk import common_pb2 as common
from destination.sdk import destination_sdk_pb2 as sdk
from destination.server import SERVICE
from destination.telemetry import otlp
from destination.telemetry.metrics import Metric
from destination.warehouse.postgres.database import PostgresWarehouse, RetryPolicy
from destination.warehouse.postgres.kind import connector
from destination_tester.files import Row
from tests.support.fix_collector import Collector
from tests.support.fix_connector import Client, calling, column
from tests.support.fix_postgres import Database
from tests.support.fix_proxy import Proxy
from tests.support.fix_secrets import MARK, forms
from tests.support.waiting import wait_until
from tests.test_server import start

HANGS_SECONDS = 3
PATIENCE_SECONDS = 30
TABLE = common.Table(name="told", columns=[column("id", common.LONG, key=True), column("text")])
HISTORY = common.Table(
    name="told",
    columns=[
        column("id", common.LONG, key=True),
        column("_fivetran_start", common.UTC_DATETIME, key=True),
        column("_fivetran_end", common.UTC_DATETIME),
        column("_fivetran_active", common.BOOLEAN),
    ],
)
ROWS: list[Row] = [{"id": i, "text": f"{MARK} {i}" * 20} for i in range(20_000)]


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_TIMEOUT", "1")
    monkeypatch.setenv("FIVETRAN_ACCOUNT_NAME", "an account")
    monkeypatch.setenv("FIVETRAN_GROUP_NAME", "a group")


@pytest.fixture
def serve(postgres_uri: str, schema: str, tmp_path: Path) -> Any:
    """Serves with telemetry that goes to an endpoint; its end sends what is left."""

    @contextmanager
    def serving(endpoint: str) -> Iterator[Client]:
        with (
            otlp.exporting(endpoint),
            calling(connector(postgres_uri), schema, tmp_path) as client,
        ):
            yield client

    return serving


def attributes(told: Any) -> dict[str, Any]:
    return {a.key: getattr(a.value, a.value.WhichOneof("value")) for a in told.attributes}


def span_of(collector: Collector, method: str) -> Any:
    (span,) = [span for span in collector.spans if span.name == f"{SERVICE}/{method}"]
    return span


def below(collector: Collector, call: Any) -> dict[str, Any]:
    """The spans below a call, by name."""
    return {span.name: span for span in collector.spans if span.parent_span_id == call.span_id}


def values(collector: Collector, metric: Metric, attribute: str) -> dict[str, float]:
    points = collector.metric(metric.label)
    return {attributes(p)[attribute]: amount(p) for p in points}


def amount(point: Any) -> float:
    """The sum of a point; of a histogram, how many amounts it holds."""
    is_histogram = hasattr(point, "bucket_counts")
    return point.count if is_histogram else point.as_int or point.as_double


def test_call_is_a_span_with_what_took_the_time_below_it(
    serve: Any, collector: Collector, schema: str, database: Database
) -> None:
    database.needs_local_tables("their key is there before their rows, so no phase is its index")
    with serve(collector.endpoint) as client:
        assert client.create(TABLE).success
        client.files.compression = sdk.OFF
        assert client.write(TABLE, replace=[ROWS]).success
        assert client.write(TABLE, replace=[ROWS[:9000]], delete=[ROWS[9000:9500]]).success
    first, again = [span for span in collector.spans if span.name.endswith("/WriteBatch")]
    told = attributes(first)
    assert told["rpc.system.name"] == "grpc"
    assert told["rpc.method"] == f"{SERVICE}/WriteBatch"
    assert (told["db.namespace"], told["db.collection.name"]) == (schema, "told")
    assert told["fivetran.replace_files"] == 1
    assert told["fivetran.outcome"] == "success"
    assert told["fivetran.destination.rows.replaced"] == len(ROWS)
    inflated = told["fivetran.destination.files.inflated"]
    assert told["fivetran.destination.files.stored"] > inflated > len(ROWS) * len(MARK) * 20
    assert {"decode", "copy", "index"} <= set(below(collector, first))
    assert {"decode", "copy", "merge"} <= set(below(collector, again))
    for span in below(collector, first).values():
        assert first.start_time_unix_nano <= span.start_time_unix_nano
        assert span.end_time_unix_nano <= first.end_time_unix_nano + 1e6


def test_metrics_count_calls_rows_and_bytes(serve: Any, collector: Collector) -> None:
    with serve(collector.endpoint) as client:
        assert client.create(TABLE).success
        assert client.create(TABLE).HasField("task")
        assert client.write(
            TABLE, replace=[ROWS[:50]], update=[[ROWS[0]]], delete=[ROWS[:7]]
        ).success
        assert client.describe("missing").not_found
    calls = {
        (attributes(p)["rpc.method"].rsplit("/")[-1], attributes(p)["fivetran.outcome"]): p.count
        for p in collector.metric(Metric.CALL_SECONDS.label)
    }
    assert calls == {
        ("CreateTable", "success"): 1,
        ("CreateTable", "task"): 1,
        ("WriteBatch", "success"): 1,
        ("DescribeTable", "not_found"): 1,
    }
    rows = values(collector, Metric.ROWS, "fivetran.row.kind")
    assert rows == {"replaced": 50, "updated": 1, "deleted": 7}
    (stored,) = collector.metric(Metric.STORED_BYTES.label)
    (inflated,) = collector.metric(Metric.INFLATED_BYTES.label)
    assert 0 < amount(stored) < amount(inflated)


def test_levels_are_back_at_nothing_when_calls_are_over(serve: Any, collector: Collector) -> None:
    with serve(collector.endpoint) as client:
        assert client.create(TABLE).success
        assert client.write(TABLE, replace=[ROWS]).success
    for metric in (Metric.MEMORY_USED, Metric.CONNECTIONS_USED, Metric.LIVE_TABLES):
        (point,) = collector.metric(metric.label)
        assert amount(point) == 0, metric


def test_levels_are_told_while_a_call_waits(
    serve: Any, collector: Collector, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OTEL_METRIC_EXPORT_INTERVAL", "100")
    with serve(collector.endpoint) as client:
        assert client.create(TABLE).success
        path = client.files.write("batch", TABLE.columns, ROWS[:5])
        with database.locked("told"):
            call = client.stub.WriteBatch.future(client.request(TABLE, replace_files=[path]))
            wait_until(lambda: level(collector, Metric.CONNECTIONS_USED) == 1)
            wait_until(lambda: level(collector, Metric.LIVE_TABLES) == 1)
        assert call.result().success


def test_waits_are_told_and_counted(serve: Any, collector: Collector, database: Database) -> None:
    with serve(collector.endpoint) as client:
        assert client.create(TABLE).success
        paths = [client.files.write("batch", TABLE.columns, ROWS[:5]) for _ in range(2)]
        with database.locked("told"):
            calls = [
                client.stub.WriteBatch.future(client.request(TABLE, replace_files=[path]))
                for path in paths
            ]
            wait_until(lambda: len(waiting_sessions(database)) == 2)
            time.sleep(0.2)
        assert all(call.result().success for call in calls)
    waits = values(collector, Metric.WAIT_SECONDS, "fivetran.wait.subject")
    assert waits["lock"] >= 1
    writes = [span for span in collector.spans if span.name.endswith("/WriteBatch")]
    waited = [below(collector, call).get("wait for lock") for call in writes]
    assert any(
        span and span.end_time_unix_nano - span.start_time_unix_nano > 1e8 for span in waited
    )


def waiting_sessions(database: Database) -> list[tuple[object, ...]]:
    return database.execute(
        "SELECT pid FROM pg_stat_activity WHERE wait_event_type = 'Lock'"
        " AND datname = current_database() AND application_name LIKE 'fivetran%'"
    )


def level(collector: Collector, metric: Metric) -> float:
    return sum(amount(point) for point in collector.metric(metric.label))


def test_lines_of_the_log_come_with_the_trace_of_their_call(
    serve: Any, collector: Collector, schema: str
) -> None:
    with serve(collector.endpoint) as client:
        assert client.create(TABLE).success
    call = span_of(collector, "CreateTable")
    told = f'table "{schema}"."told": created, 2 columns'
    (line,) = [line for line in collector.lines if told in line.body.string_value]
    assert (line.trace_id, line.span_id) == (call.trace_id, call.span_id)
    assert line.severity_text == "INFO"


def test_resource_says_who_tells(serve: Any, collector: Collector) -> None:
    with serve(collector.endpoint) as client:
        assert client.create(TABLE).success
    resources = [
        attributes(told.resource)
        for request in collector.received
        for kind in ("resource_spans", "resource_metrics", "resource_logs")
        for told in getattr(request, kind, ())
    ]
    for resource in resources:
        assert resource["service.name"] == "fivetran-destination"
        assert resource["service.version"] == __version__
        assert resource["fivetran.account.name"] == "an account"
        assert resource["fivetran.group.name"] == "a group"
    assert len(resources) >= 3


def test_history_and_migrations_are_told(serve: Any, collector: Collector) -> None:
    start_of = {"_fivetran_start": "2024-01-01T00:00:00Z", "_fivetran_active": True}
    row = {"id": 1, **start_of, "_fivetran_end": "9999-12-31T23:59:59.999Z"}
    with serve(collector.endpoint) as client:
        assert client.create(HISTORY).success
        assert client.write_history(HISTORY, replace=[[row]]).success
        rename = {"rename_table": {"from_table": "told", "to_table": "renamed"}}
        assert client.migrate("told", rename=rename).success
    told = attributes(span_of(collector, "WriteHistoryBatch"))
    assert told["fivetran.destination.rows.replaced"] == 1
    assert attributes(span_of(collector, "Migrate"))["db.collection.name"] == "told"


def test_tests_of_the_form_are_told(serve: Any, collector: Collector) -> None:
    with serve(collector.endpoint) as client:
        request = common.TestRequest(name="no such test", configuration=client.configuration)
        assert client.stub.Test(request).failure
        client.stub.ConfigurationForm(common.ConfigurationFormRequest())
    assert attributes(span_of(collector, "Test"))["fivetran.outcome"] == "failure"
    assert attributes(span_of(collector, "ConfigurationForm"))["fivetran.outcome"] == "success"


def test_no_value_key_or_password_is_told(
    serve: Any, collector: Collector, database: Database
) -> None:
    odd = common.Table(name="odd", columns=[column("id", common.LONG, key=True), column("n")])
    numbers = common.Table(name="odd", columns=[odd.columns[0], column("n", common.INT)])
    with serve(collector.endpoint) as client:
        client.configuration = {"password": MARK, "unknown": MARK}
        assert client.create(TABLE).success
        assert client.write(TABLE, replace=[ROWS[:10]], update=[ROWS[:5]]).success
        database.execute("ALTER TABLE {schema}.told ADD CHECK (length(text) < 1)  NOT VALID")
        assert client.write(TABLE, replace=[ROWS[10:20]]).HasField("task")
        assert client.create(odd).success
        assert client.write(odd, replace=[[{"id": 1, "n": MARK}]]).success
        assert client.alter(numbers).HasField("task")
        path = client.files.write("batch", numbers.columns, [{"id": 1, "n": 2}])
        broken = client.request(TABLE, replace_files=[path])
        broken.keys[path] = b"k" * 32
        assert client.stub.WriteBatch(broken).HasField("task")
        keys = [form for key in client.files.keys.values() for form in forms(key)]
    assert len(collector.spans) >= 8
    for secret in (MARK, *keys):
        assert secret not in collector.text


def test_defect_is_told_by_its_status(
    collector: Collector, serve: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def defect(*_: object) -> None:
        raise KeyError(MARK)

    monkeypatch.setattr("destination.warehouse.tables.describe", defect)
    with serve(collector.endpoint) as client, pytest.raises(grpc.RpcError):
        client.describe("told")
    assert attributes(span_of(collector, "DescribeTable"))["fivetran.outcome"] == "INTERNAL"
    assert MARK not in collector.text


def test_retries_are_counted_by_their_sqlstate(
    collector: Collector, proxy: Proxy, schema: str, tmp_path: Path
) -> None:
    connect = partial(PostgresWarehouse.from_uri, proxy.conninfo, RetryPolicy(5, 0.5))
    with (
        otlp.exporting(collector.endpoint),
        calling(lambda _: connect(), schema, tmp_path) as client,
    ):
        proxy.cut_once(b"CREATE TABLE")
        assert client.create(TABLE).success
    assert values(collector, Metric.RETRIES, "db.response.status_code") == {"none": 1}
    assert attributes(span_of(collector, "CreateTable"))["fivetran.destination.retries.none"] == 1


@pytest.mark.parametrize("trouble", ["nobody", "refuses", "hangs"])
def test_a_collector_in_trouble_is_told_once_and_slows_nothing(
    trouble: str, serve: Any, collector: Collector, caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.setenv("OTEL_BSP_SCHEDULE_DELAY", "20")
    monkeypatch.setenv("OTEL_BLRP_SCHEDULE_DELAY", "20")
    monkeypatch.setattr(otlp, "SHUTDOWN_SECONDS", 2)
    match trouble:
        case "nobody":
            collector.stop()
        case "refuses":
            collector.answer = lambda context: context.abort(grpc.StatusCode.PERMISSION_DENIED, "")
        case "hangs":
            collector.answer = lambda _: time.sleep(HANGS_SECONDS)
    with caplog.at_level(logging.INFO), serve(collector.endpoint) as client:
        begun = time.monotonic()
        assert client.create(TABLE).success
        for _ in range(20):
            assert client.describe("told").HasField("table")
        assert time.monotonic() - begun < 20 * HANGS_SECONDS / 2
        until = time.monotonic() + PATIENCE_SECONDS
        while not told_about_collector(caplog):
            assert time.monotonic() < until
            client.describe("told")
            time.sleep(0.1)
        for _ in range(5):
            client.describe("told")
            time.sleep(0.05)
        ending = time.monotonic()
    assert time.monotonic() - ending < PATIENCE_SECONDS
    assert told_about_collector(caplog) == 1


def told_about_collector(caplog: pytest.LogCaptureFixture) -> int:
    return sum("telemetry collector" in record.getMessage() for record in caplog.records)


def test_nothing_is_recorded_unless_switched_on(
    monkeypatch: pytest.MonkeyPatch, postgres_uri: str, schema: str, tmp_path: Path
) -> None:
    for name in ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_SDK_DISABLED"):
        monkeypatch.delenv(name, raising=False)
    assert telemetry.endpoint_of(None) is None
    with calling(connector(postgres_uri), schema, tmp_path) as client:
        assert client.create(TABLE).success
        assert not telemetry.is_on()
        assert telemetry.phase("x") is telemetry.waiting("y") is telemetry.held(Metric.ROWS)


@pytest.mark.slow
def test_process_with_a_collector_that_hangs_stops_in_time(collector: Collector) -> None:
    collector.answer = lambda _: time.sleep(2 * PATIENCE_SECONDS)
    server = start("--otlp-endpoint", collector.endpoint)
    begun = time.monotonic()
    assert server.stop() == 0
    assert time.monotonic() - begun < PATIENCE_SECONDS
    assert collector.asked.is_set()


def test_option_comes_before_the_variable_and_the_standard_switch_before_both(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://variable:4317")
    assert telemetry.endpoint_of(None) == "http://variable:4317"
    assert telemetry.endpoint_of("http://option:4317") == "http://option:4317"
    monkeypatch.setenv("OTEL_SDK_DISABLED", "true")
    assert telemetry.endpoint_of("http://option:4317") is None


def test_every_metric_is_in_the_documentation() -> None:
    page = (Path(__file__).parents[2] / "docs" / "operations.md").read_text()
    told = set(re.findall(r"^\| `((?:fivetran|rpc)[a-z._]+)` \|", page, re.MULTILINE))
    assert told == {metric.label for metric in Metric}
