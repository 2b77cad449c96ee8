"""How fast pages answer under load: 50 connections, eight syncs at once, 1,000 runs, 1,000,000 rows.

`python -m tests.platform.load`: a platform with a PostgreSQL of its own; prints each page's median and
slowest answer. The table is filled by a sync; eight large syncs run while pages are asked for.
"""

import re
import statistics
import sys
import tempfile
import time
from datetime import timedelta
from pathlib import Path

from local_platform.api.store import Run, Store, now
from tests.platform.fix_platform import wait
from tests.platform.test_killed import Running, running

CONNECTIONS, AT_ONCE, RUNS, ROWS = 50, 8, 1000, 1_000_000
LOOKS = 15


def fill(platform: Running, directory: Path) -> tuple[str, list[str]]:
    """The connection whose table has a million rows, and those that will be synced."""
    group = platform.send("GET", "/groups")["items"][0]["id"]

    def shop(number: int) -> str:
        config = {"schema": f"shop_{number}", "shop": "s", "password": "tea", "size": "large"}
        body = {"group_id": group, "service": "shop", "config": config, "paused": True}
        return str(platform.send("POST", "/connections", body)["id"])

    shops = [shop(number) for number in range(AT_ONCE + 1)]
    for number in range(CONNECTIONS - len(shops)):
        body = {
            "group_id": group, "service": "simulated", "config": {"schema": f"simulated_{number}"},
            "paused": True,
        }  # fmt: skip
        platform.send("POST", "/connections", body)
    store = Store(directory)
    with store.writing() as session:
        session.add_all(
            Run(
                connection_id=shops[0], status="succeeded", rows=number, ended_at=now(),
                started_at=now() - timedelta(minutes=RUNS - number),
            )
            for number in range(RUNS)
        )  # fmt: skip
    store.close()
    platform.send("POST", f"/connections/{shops[0]}/sync")
    wait(
        lambda: platform.send("GET", f"/connections/{shops[0]}"),
        lambda found: found["succeeded_at"],
        seconds=600,
    )
    return shops[0], shops[1:]


def measure(platform: Running, title: str, pages: dict[str, str]) -> None:
    print(f"\n{title}\n{'page':24}{'median':>10}{'slowest':>10}", flush=True)
    times: dict[str, list[float]] = {name: [] for name in pages}
    for _ in range(LOOKS):
        for name, path in pages.items():
            begun = time.perf_counter()
            assert platform.http.get(path).is_success, path
            times[name].append((time.perf_counter() - begun) * 1000)
        time.sleep(0.2)
    for name, each in times.items():
        print(f"{name:24}{statistics.median(each):>7.0f} ms{max(each):>7.0f} ms", flush=True)


def main() -> int:
    with tempfile.TemporaryDirectory(prefix="load-") as name:
        directory = Path(name) / "state"
        with running(directory) as platform:
            large, others = fill(platform, directory)
            base = f"/connections/{large}"
            table = f"{base}/tables/shop_0.orders"
            after = re.findall(r"\?after=([^\"]+)", platform.http.get(table).text)[0]
            pages = {
                "overview": "/", "runs": "/runs", "connection": base, "its runs": f"{base}/runs",
                "choose": f"{base}/schema", "tables": f"{base}/tables", "first rows": table,
                "next rows": f"{table}?after={after}", "last rows": f"{table}?before=%5B%2299999999%22%5D",
                "API: connections": "/v1/connections?limit=1000",
            }  # fmt: skip
            measure(platform, "at rest", pages)
            for each in others:
                platform.send("POST", f"/connections/{each}/sync")
            watched = {**pages, "a sync as it runs": f"/connections/{others[0]}"}
            measure(platform, f"while {AT_ONCE} syncs run", watched)
            states = [platform.send("GET", f"/connections/{each}")["status"] for each in others]
            busy = sum(each["sync_state"] == "syncing" for each in states)
            print(f"\n{busy} of {AT_ONCE} syncs still ran at the end of the second measurement")
    return 0


if __name__ == "__main__":
    sys.exit(main())
