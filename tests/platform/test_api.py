"""The REST API: what it answers, and what is then in the warehouse."""

from typing import Any

import httpx
import pytest

from local_platform.api.runner import latest
from tests.platform.fix_platform import Served, wait

UNKNOWN = "0123456789abcdef"


def test_connection_is_tested_synced_and_resynced_and_its_tables_are_there(
    served: Served, schema: str
) -> None:
    made = served.shop(schema, config={"visits": True})
    assert made["status"]["setup_state"] == "connected"
    assert [(each["title"], each["status"]) for each in made["setup_tests"]] == [
        ("Reaching the shop", "PASSED"), ("Logging in", "PASSED"),
    ]  # fmt: skip
    assert made["status"]["sync_state"] == "paused"
    assert made["succeeded_at"] is None
    served.send("POST", f"/connections/{made['id']}/sync", {"force": True})
    found = served.ended(made["id"])
    assert found["succeeded_at"] is not None
    assert found["failed_at"] is None
    schemas = served.send("GET", f"/connections/{made['id']}/schemas")["schemas"]
    orders = schemas[schema]["tables"]["orders"]
    assert orders["columns"]["customerId"]["name_in_destination"] == "customer_id"
    name = f"{schemas[schema]['name_in_destination']}.{orders['name_in_destination']}"
    assert served.rows(f"SELECT count(*), max(id) FROM {name}") == [(5_000, 5_000)]
    assert served.rows(f"SELECT count(*) FROM {schema}.visits") == [(20,)]
    before = served.rows(f"SELECT max(_fivetran_synced) FROM {name}")
    served.send("POST", f"/connections/{made['id']}/resync", {})
    assert served.ended(made["id"])["failed_at"] is None
    after = served.rows(f"SELECT min(_fivetran_synced), count(*) FROM {name}")
    assert after[0][0] > before[0][0]
    assert after[0][1] == 5_000


def test_what_is_chosen_is_synced_and_stays_chosen(served: Served, schema: str) -> None:
    made = served.shop(schema)
    path = f"/connections/{made['id']}"
    tables = {
        "orders": {"enabled": False}, "customers": {"sync_mode": "HISTORY"},
        "products": {"columns": {"price": {"enabled": False}}},
    }  # fmt: skip
    changed = served.send("PATCH", f"{path}/schemas", {"schemas": {schema: {"tables": tables}}})
    assert changed["schemas"][schema]["tables"]["orders"]["enabled"] is False
    for _ in range(2):
        served.send("POST", f"{path}/sync")
        assert served.ended(made["id"])["failed_at"] is None
    names = served.rows(
        f"SELECT DISTINCT table_name FROM information_schema.tables WHERE table_schema = '{schema}'"
    )
    assert sorted(names) == [("customers",), ("products",)]
    columns = served.rows(
        "SELECT column_name FROM information_schema.columns"
        f" WHERE table_schema = '{schema}' AND table_name = 'products'"
    )
    assert ("price",) not in columns
    versions = served.rows(f"SELECT count(*) FROM {schema}.customers WHERE NOT _fivetran_active")
    assert versions[0][0] >= 1


def test_failing_test_says_what_to_do_and_sets_nothing_up(served: Served, schema: str) -> None:
    made = served.shop(schema, config={"password": "coffee"})
    assert made["status"]["setup_state"] == "incomplete"
    assert [each["status"] for each in made["setup_tests"]] == ["PASSED", "FAILED"]
    assert 'Enter "tea"' in made["setup_tests"][1]["message"]
    assert made["status"]["tasks"][0]["code"] == "setup_test"
    assert served.refused("POST", f"/connections/{made['id']}/sync") == (409, "Conflict")
    mended = served.send("PATCH", f"/connections/{made['id']}", {"config": {"password": "tea"}})
    assert mended["status"]["setup_state"] == "connected"


def test_setup_that_breaks_later_is_broken_and_its_sync_fails(served: Served, schema: str) -> None:
    made = served.shop(schema)
    path = f"/connections/{made['id']}"
    body = {"config": {"password": "coffee"}, "run_setup_tests": False}
    served.send("PATCH", path, body)
    served.send("POST", f"{path}/sync")
    found = served.ended(made["id"])
    assert found["failed_at"] is not None
    assert found["status"]["setup_state"] == "broken"
    assert "Logging in failed" in found["status"]["tasks"][-1]["message"]
    assert "coffee" not in str(found)


def test_missing_fields_leave_the_setup_incomplete(served: Served, schema: str) -> None:
    body = {"group_id": served.group, "service": "shop", "config": {"schema": schema}}
    made = served.send("POST", "/connections", body, 201)
    assert made["status"]["setup_state"] == "incomplete"
    assert made["setup_tests"][0]["message"] == "fill in: Shop, Password"


def test_second_sync_is_refused_while_one_runs_and_stops_when_deleted(
    served: Served, schema: str
) -> None:
    made = served.shop(schema, config={"size": "large"})
    path = f"/connections/{made['id']}"
    served.send("POST", f"{path}/sync")
    assert served.refused("POST", f"{path}/sync") == (409, "Conflict")
    assert served.send("GET", path)["status"]["sync_state"] == "syncing"
    served.send("DELETE", path)
    assert served.refused("GET", path) == (404, "NotFound_Connection")
    assert served.platform.runner.progress(made["id"]) is None


def test_sync_that_is_stopped_keeps_what_came(served: Served, schema: str) -> None:
    made = served.shop(schema, config={"size": "large"})
    connections, runner = served.platform.connections, served.platform.runner
    connections.sync(made["id"])
    wait(
        lambda: runner.progress(made["id"]),
        lambda found: found and found.report()["tables"].get(f"{schema}.orders"),
    )
    connections.stop(made["id"])
    assert served.ended(made["id"])["failed_at"] is None
    with served.platform.store.reading() as session:
        run = latest(session, made["id"])
    assert run is not None
    assert run.status == "stopped"
    assert served.rows(f"SELECT count(*) FROM {schema}.orders") == [(run.rows - 16,)]


def test_sync_that_cannot_be_watched_has_failed(served: Served, schema: str) -> None:
    made = served.shop(schema)
    directory = served.platform.connections.directory(made["id"])
    directory.parent.mkdir(parents=True, exist_ok=True)
    directory.write_text("a file, where the state of the sync would be")
    served.platform.connections.sync(made["id"])
    assert served.ended(made["id"])["failed_at"] is not None
    with served.platform.store.reading() as session:
        run = latest(session, made["id"])
    assert run is not None
    assert run.error == "the sync could not be watched: see the platform's log"


def test_unpaused_connection_is_synced_by_itself(served: Served, schema: str) -> None:
    made = served.shop(schema, paused=False)
    found = wait(
        lambda: served.send("GET", f"/connections/{made['id']}"), lambda one: one["succeeded_at"]
    )
    assert found["status"]["is_historical_sync"] is False


def test_lists_are_paged(served: Served) -> None:
    groups = [served.send("POST", "/groups", {"name": f"paged {n}"}, 201)["id"] for n in range(3)]
    seen, cursor = [], ""
    while True:
        further = f"&cursor={cursor}" if cursor else ""
        data = served.send("GET", f"/groups?limit=2{further}")
        assert len(data["items"]) <= 2
        seen += [each["id"] for each in data["items"]]
        cursor = data["next_cursor"]
        if cursor is None:
            break
    assert len(seen) == len(set(seen))
    assert set(groups) <= set(seen)


def test_connector_types_are_told_with_their_forms(served: Served) -> None:
    items = served.send("GET", "/metadata/connector-types")["items"]
    assert {"shop", "address", "simulated"} <= {each["id"] for each in items}
    form = served.send("GET", "/metadata/connector-types/shop")["config"]
    assert [each["name"] for each in form["fields"]][:2] == ["shop", "password"]


# Destinations


def test_destination_is_made_tested_changed_and_deleted(served: Served) -> None:
    group = served.send("POST", "/groups", {"name": "own"}, 201)["id"]
    config = {
        "host": "127.0.0.1", "port": 1, "database": "d", "user": "u", "password": "marked-pass",
    }  # fmt: skip
    body = {"group_id": group, "service": "postgresql", "config": config}
    made = served.send("POST", "/destinations", body, 201)
    assert made["setup_status"] == "incomplete"
    assert made["config"]["password"] == "******"
    assert made["config"]["port"] == "1"
    statuses = [each["status"] for each in made["setup_tests"]]
    assert statuses == ["PASSED", "FAILED", "SKIPPED", "SKIPPED"]
    assert served.refused("POST", "/destinations", body) == (409, "Conflict")
    changed = served.send("PATCH", f"/destinations/{group}", {"config": {"port": 2}})
    assert (changed["config"]["port"], changed["config"]["user"]) == ("2", "u")
    assert "marked-pass" not in str(changed)
    served.send("POST", f"/destinations/{group}/test", {})
    served.send("DELETE", f"/destinations/{group}")
    assert served.refused("GET", f"/destinations/{group}") == (404, "NotFound_Destination")


def test_built_in_destination_passes_its_tests(served: Served) -> None:
    tested = served.send("POST", f"/destinations/{served.group}/test", {})
    assert tested["setup_status"] == "connected"
    assert {each["status"] for each in tested["setup_tests"]} == {"PASSED"}


def test_destination_with_connections_is_not_deleted(served: Served, schema: str) -> None:
    served.shop(schema)
    assert served.refused("DELETE", f"/destinations/{served.group}") == (409, "Conflict")


# Bad input


@pytest.mark.parametrize(
    ("method", "path", "body", "refusal"),
    [
        ("GET", f"/connections/{UNKNOWN}", None, (404, "NotFound_Connection")),
        ("PATCH", f"/connections/{UNKNOWN}", {}, (404, "NotFound_Connection")),
        ("DELETE", f"/connections/{UNKNOWN}", None, (404, "NotFound_Connection")),
        ("POST", f"/connections/{UNKNOWN}/sync", None, (404, "NotFound_Connection")),
        ("GET", f"/connections/{UNKNOWN}/schemas", None, (404, "NotFound_Connection")),
        ("GET", f"/destinations/{UNKNOWN}", None, (404, "NotFound_Destination")),
        ("GET", f"/groups/{UNKNOWN}", None, (404, "NotFound_Group")),
        ("GET", f"/webhooks/{UNKNOWN}", None, (404, "NotFound_Webhook")),
        ("GET", "/metadata/connector-types/nothing", None, (404, "NotFound_ConnectorType")),
        ("GET", "/nothing", None, (404, "NotFound")),
        ("PUT", "/connections", {}, (405, "MethodNotAllowed")),
        ("POST", "/groups", {}, (400, "InvalidInput")),
        ("POST", "/groups", {"name": 1}, (400, "InvalidInput")),
        ("POST", "/groups", {"name": ""}, (400, "InvalidInput")),
        ("POST", "/groups", [], (400, "InvalidInput")),
        ("POST", "/groups", {"name": "Built-in"}, (409, "Conflict")),
        ("POST", "/connections", {"group_id": "g", "service": "shop"}, (400, "InvalidInput")),
        ("GET", "/groups?limit=0", None, (400, "InvalidInput")),
        ("GET", "/groups?limit=1001", None, (400, "InvalidInput")),
        ("GET", "/groups?limit=x", None, (400, "InvalidInput")),
        ("GET", "/groups?cursor=nowhere", None, (400, "InvalidInput")),
        ("POST", "/webhooks/account", {"url": "http://example.com", "events": ["sync_end"]},
         (400, "InvalidInput")),
        ("POST", "/webhooks/account", {"url": "https://127.0.0.1:1", "events": ["nothing"]},
         (400, "InvalidInput")),
        ("POST", "/webhooks/account", {"url": "https://127.0.0.1:1", "events": ["sync_end"]},
         (400, "InvalidInput")),
    ],
)  # fmt: skip
def test_bad_requests_have_the_right_code_and_change_nothing(
    served: Served, method: str, path: str, body: Any, refusal: tuple[int, str]
) -> None:
    before = state(served)
    assert served.refused(method, path, body) == refusal
    assert state(served) == before


@pytest.mark.parametrize(
    ("change", "refusal"),
    [
        ({"group_id": UNKNOWN}, (404, "NotFound_Destination")),
        ({"service": "nothing"}, (404, "NotFound_ConnectorType")),
        ({"service": "address"}, (400, "InvalidInput")),
        ({"config": {"shop": "s"}}, (400, "InvalidInput")),
        ({"config": {"schema": "Not A Name"}}, (400, "InvalidInput")),
        ({"config": {"schema": "s", "unknown": "x"}}, (400, "InvalidInput")),
        ({"config": {"schema": "s", "shop": ["x"]}}, (400, "InvalidInput")),
        ({"config": {"schema": 5}}, (400, "InvalidInput")),
        ({"paused": "yes"}, (400, "InvalidInput")),
        ({"sync_frequency": 7}, (400, "InvalidInput")),
        ({"schedule_type": "daily"}, (400, "InvalidInput")),
    ],
)
def test_connections_that_cannot_be_are_refused(
    served: Served, change: dict[str, Any], refusal: tuple[int, str]
) -> None:
    before = state(served)
    body = {"group_id": served.group, "service": "shop", "config": {"schema": "s"}, **change}
    assert served.refused("POST", "/connections", body) == refusal
    assert state(served) == before


def test_choices_that_cannot_be_are_refused(served: Served, schema: str) -> None:
    made = served.shop(schema)
    path = f"/connections/{made['id']}/schemas"
    before = served.send("GET", path)
    tables: list[dict[str, Any]] = [
        {"nothing": {"enabled": False}},
        {"orders": {"columns": {"nothing": {"enabled": False}}}},
        {"orders": {"columns": {"id": {"enabled": False}}}},
        {"orders": {"sync_mode": "LIVE"}},
        {"orders": {"enabled": "no"}},
    ]
    for each in tables:
        body = {"schemas": {schema: {"tables": each}}}
        assert served.refused("PATCH", path, body) == (400, "InvalidInput"), each
    assert served.refused("PATCH", path, {"schemas": {"other": {}}}) == (400, "InvalidInput")
    assert served.send("GET", path) == before


def test_two_connections_do_not_share_a_schema(served: Served, schema: str) -> None:
    served.shop(schema)
    body = {"group_id": served.group, "service": "shop", "config": {"schema": schema}}
    assert served.refused("POST", "/connections", body) == (409, "Conflict")


def test_body_that_is_no_json_is_refused(served: Served) -> None:
    answer = served.http.post(
        "/v1/groups", content=b"{", headers={"Content-Type": "application/json"}
    )
    assert (answer.status_code, answer.json()["code"]) == (400, "InvalidInput")
    answer = served.http.post("/v1/groups", data={"name": "form"})
    assert (answer.status_code, answer.json()["code"]) == (415, "UnsupportedMediaType")


def test_body_that_is_too_large_is_refused(served: Served) -> None:
    large = b'{"name": "' + b"x" * (8 << 20) + b'"}'
    header = {"Content-Type": "application/json"}
    answer = served.http.post("/v1/groups", content=large, headers=header)
    assert (answer.status_code, answer.json()["code"]) == (413, "PayloadTooLarge")
    before = state(served)
    try:  # without a length
        chunked = served.http.post("/v1/groups", content=iter([large]), headers=header)
        assert chunked.status_code >= 400
    except httpx.HTTPError:
        pass
    assert state(served) == before


def state(served: Served) -> list[Any]:
    """What a request may not change."""
    lists = ("groups", "destinations", "connections", "webhooks")
    return [served.send("GET", f"/{name}?limit=1000") for name in lists]
