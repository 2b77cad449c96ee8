"""Who may ask, from where, and what is never told."""

import base64
import stat
from pathlib import Path
from typing import Any

import pytest

from local_platform.api.store import DATABASE
from local_platform.api.vault import Vault, VaultError
from tests.platform.fix_platform import Listening, Served, serving


def test_api_needs_the_key(served: Served) -> None:
    for auth in (
        None,
        (served.key, "wrong"),
        ("wrong", served.secret),
        (served.secret, served.key),
    ):
        answer = served.http.get("/v1/connections", auth=auth)
        assert (answer.status_code, answer.json()["code"]) == (401, "AuthFailed")
    with served.stranger() as http:
        for authorization in ("Basic %%%", "Bearer x"):
            answer = http.get("/v1/groups", headers={"Authorization": authorization})
            assert answer.status_code == 401


@pytest.mark.parametrize("path", ["/", "/v1/groups", "/connections/new", "/static/app.js"])
@pytest.mark.parametrize("host", ["evil.example", "127.0.0.1.evil.example", "", "evil@"])
def test_host_of_another_name_is_refused(served: Served, path: str, host: str) -> None:
    assert served.http.get(path, headers={"Host": host}).status_code == 403


@pytest.mark.parametrize(
    "origin", ["http://evil.example", "null", "http://127.0.0.1:1", "https://127.0.0.1"]
)
def test_request_of_another_site_is_refused(served: Served, origin: str) -> None:
    made = served.http.post("/v1/groups", json={"name": "cross"}, headers={"Origin": origin})
    assert made.status_code == 403
    fetched = served.http.post(
        "/v1/groups", json={"name": "x"}, headers={"Sec-Fetch-Site": "cross-site"}
    )
    assert fetched.status_code == 403
    assert "cross" not in str(served.send("GET", "/groups?limit=1000"))


def test_form_without_the_token_starts_nothing(served: Served, schema: str) -> None:
    made = served.shop(schema)
    path = f"/connections/{made['id']}"
    with served.stranger() as browser:
        browser.get(path)
        for body in ({}, {"token": ""}, {"token": "guessed"}):
            for action in ("sync", "resync", "delete", "stop", "schedule", "schema", "setup"):
                assert browser.post(f"{path}/{action}", data=body).status_code == 400, action
    found = served.send("GET", path)
    assert found["status"]["sync_state"] == "paused"
    assert found["succeeded_at"] is None


def test_pages_say_that_nothing_foreign_may_run(served: Served) -> None:
    with served.stranger() as http:
        answer = http.get("/")
        texts = [http.get(path).text for path in ("/", "/docs", "/connections/new")]
    assert "script-src 'self'" in answer.headers["content-security-policy"]
    assert answer.headers["x-frame-options"] == "DENY"
    cookie = answer.headers["set-cookie"].lower()
    assert "samesite=strict" in cookie
    assert "httponly" in cookie
    for text in texts:
        assert 'src="http' not in text
        assert "<script>" not in text


def test_secrets_are_encrypted_and_never_sent_back(served: Served, schema: str) -> None:
    secret = "marked-shop-password"
    upload = base64.b64encode(b"marked upload").decode()
    made = served.shop(schema, config={"password": secret, "price_list": upload})
    assert made["config"]["password"] == made["config"]["price_list"] == "******"
    with served.stranger() as http:
        page = http.get(f"/connections/{made['id']}/setup").text
    told: list[Any] = [made, served.send("GET", "/connections"), page]
    assert secret not in str(told)
    assert upload not in str(told)
    for path in served.directory.rglob("*"):
        if path.is_file():
            content = path.read_bytes()
            assert secret.encode() not in content, path
            assert served.secret.encode() not in content, path
    assert stat.S_IMODE((served.directory / "key").stat().st_mode) == 0o600
    assert stat.S_IMODE(served.directory.stat().st_mode) == 0o700
    assert (served.directory / DATABASE).exists()


def test_key_that_is_another_opens_nothing(tmp_path: Path) -> None:
    locked = Vault(tmp_path).lock({"password": "x"})
    (tmp_path / "other").mkdir()
    with pytest.raises(VaultError, match="restore it"):
        Vault(tmp_path / "other").unlock(locked)
    (tmp_path / "key").write_text("no key")
    with pytest.raises(VaultError, match="holds no key"):
        Vault(tmp_path)


def test_elsewhere_pages_need_the_key_too(connector: Listening, tmp_path: Path) -> None:
    with serving(tmp_path / "state", connector, login=True, per_minute=20) as served:
        with served.stranger() as browser:
            for path in ("/", "/runs", "/docs", "/connections/new"):
                assert browser.get(path).headers["location"] == "/sign-in"
            page = browser.get("/sign-in").text
            token = page.split('name="token" value="')[1].split('"')[0]
            wrong = {"token": token, "key": served.key, "secret": "wrong"}
            assert browser.post("/sign-in", data=wrong).status_code == 401
            right = {**wrong, "secret": served.secret}
            assert browser.post("/sign-in", data=right).status_code == 303
            assert browser.get("/").status_code == 200
        answers = [served.http.get("/v1/groups") for _ in range(40)]
        refused = [each for each in answers if each.status_code == 429]
        assert refused
        assert refused[0].json()["code"] == "TooManyRequests"
        assert int(refused[0].headers["retry-after"]) >= 1
