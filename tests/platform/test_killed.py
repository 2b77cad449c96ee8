"""A platform that is killed at any moment comes up whole."""

import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.platform.fix_platform import LONG, wait

ROOT = Path(__file__).parents[2]


@dataclass
class Running:
    """A platform of its own, with a PostgreSQL of its own."""

    process: subprocess.Popen[str]
    http: httpx.Client
    printed: str

    def send(self, method: str, path: str, body: Any = None) -> Any:
        answer = self.http.request(method, f"/v1{path}", json=body)
        assert answer.is_success, answer.text
        return answer.json().get("data")

    def ended(self, path: str) -> Any:
        return wait(
            lambda: self.send("GET", path),
            lambda found: found["status"]["sync_state"] != "syncing",
        )


def _served(process: subprocess.Popen[str], auth: tuple[str, str] | None) -> Iterator[Running]:
    printed = ""
    for line in process.stdout or ():
        printed += line
        if line.startswith("for developing"):
            break
    url = re.search(r"pages\s+(\S+)", printed)
    assert url, printed
    if auth is None:
        found = re.search(r"key\s+(\S+)\nsecret\s+(\S+)", printed)
        assert found
        auth = found[1], found[2]
    with httpx.Client(base_url=url[1].rstrip("/"), auth=auth, timeout=LONG) as http:
        yield Running(process, http, printed)


@contextmanager
def running(directory: Path, auth: tuple[str, str] | None = None) -> Iterator[Running]:
    command = [sys.executable, "-m", "local_platform", "serve", str(directory), "--port", "0"]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        try:
            yield from _served(process, auth)
        finally:
            process.terminate()


@pytest.mark.slow
def test_killed_during_a_sync_it_comes_up_whole_and_goes_on(tmp_path: Path) -> None:
    directory = tmp_path / "state"
    with running(directory) as platform:
        auth = re.search(r"key\s+(\S+)\nsecret\s+(\S+)", platform.printed)
        assert auth
        group = platform.send("GET", "/groups")["items"][0]["id"]
        config = {"schema": "shop", "shop": "s", "password": "tea", "size": "small"}
        body = {"group_id": group, "service": "shop", "config": config, "paused": True}
        path = f"/connections/{platform.send('POST', '/connections', body)['id']}"
        before = platform.send("GET", path)
        platform.send("POST", f"{path}/sync")
        wait(lambda: list(directory.glob("connections/*/lock")), bool, pause=0.001)
        os.kill(platform.process.pid, signal.SIGKILL)
        platform.process.wait()
    with running(directory, (auth[1], auth[2])) as platform:
        assert "secret" not in platform.printed
        found = platform.send("GET", path)
        assert found == before
        runs = platform.http.get("/runs").text
        assert "interrupted" in runs
        pages = [path, *re.findall(r'href="(/runs/\w+)"', runs)]
        assert len(set(pages)) == 2
        assert all("the platform was stopped" in platform.http.get(page).text for page in pages)
        platform.send("POST", f"{path}/sync")
        assert platform.ended(path)["failed_at"] is None
        tables = platform.http.get(f"{path}/tables/shop.orders").text
        assert "400 rows" in tables
