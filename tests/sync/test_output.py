"""What a sync tells machines."""

import json
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from local_platform.sync.output import JsonOutput

THREADS, LINES = 4, 2_000


@pytest.fixture
def threads_take_turns() -> Iterator[None]:
    """Threads that leave the interpreter to each other as often as they can."""
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(interval)


@pytest.mark.usefixtures("threads_take_turns")
def test_each_line_is_whole_whoever_writes_at_once(capfd: pytest.CaptureFixture[str]) -> None:
    output = JsonOutput()

    def tell(name: str) -> None:
        for _ in range(LINES):
            output.phase(name)

    with ThreadPoolExecutor(THREADS) as threads:
        list(threads.map(tell, map(str, range(THREADS))))
    lines = capfd.readouterr().out.splitlines()
    assert [json.loads(line)["event"] for line in lines] == ["phase"] * (THREADS * LINES)
