"""The README's commands, run."""

import importlib.util
import os
import re
import shlex
import shutil
import signal
import subprocess
import threading
from collections.abc import Iterator
from itertools import takewhile
from pathlib import Path

import pytest

from destination_tester.demo import SAMPLE
from tests.sync import sdk
from tests.test_server import free_port

ROOT = Path(__file__).parents[1]
LONG = 180
"""Seconds, on a busy machine."""
PAGES = ("README.md", "BUILD.md", "benchmarks/README.md")
BY_CI = set(re.findall(r"^ *make PYTHON=\S+ (\w+)$", (ROOT / ".ci/run").read_text(), re.MULTILINE))
"""What `.ci/run` makes beside the tests."""


def commands(page: str) -> Iterator[str]:
    for block in re.findall(r"```sh\n(.*?)```", (ROOT / page).read_text(), re.DOTALL):
        for line in block.splitlines():
            yield re.split(r"\s+#", line)[0].strip()


def run(command: str, **environment: str) -> str:
    done = subprocess.run(
        shlex.split(command), cwd=ROOT, check=True, timeout=LONG, text=True,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, env={**os.environ, **environment},
    )  # fmt: skip
    return done.stdout


def serve(command: str, sign: str = "listens on port") -> None:
    """Run a command that serves until it is interrupted, and says by a sign that it does."""
    with subprocess.Popen(
        shlex.split(command), cwd=ROOT, text=True, start_new_session=True,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
    ) as serving:  # fmt: skip
        late = threading.Timer(LONG, os.killpg, (serving.pid, signal.SIGKILL))
        late.start()
        assert serving.stdout is not None
        lines = list(takewhile(lambda line: sign not in line, serving.stdout))
        late.cancel()
        assert serving.poll() is None, lines
        os.killpg(serving.pid, signal.SIGINT)
        assert "Traceback" not in serving.communicate(timeout=60)[0]


@pytest.mark.parametrize("command", list(commands("README.md")))
def test_readme_commands_do_what_they_say(
    command: str, postgres_uri: str, server_port: int, tmp_path: Path
) -> None:
    match command:
        case "make test":
            pytest.skip("this is it")
        case _ if command.removeprefix("make ") in BY_CI:
            run(f"make --dry-run {command.removeprefix('make ')}")
        case "make sync-demo" if sdk.environment() is None:
            pytest.skip(f"{sdk.REQUIREMENT} cannot be had")
        case "make serve":
            serve(f"make serve PORT={free_port()}")
        case "make platform":
            serve(f"make platform PLATFORM={tmp_path} ARGS='--port 0'", "pages ")
        case ".venv/bin/python main.py":
            serve(f"{command} --port 0")
        case _ if command.startswith("TEST_POSTGRES_URL="):
            url, make = command.split(" ", 1)
            assert url.startswith("TEST_POSTGRES_URL=postgresql://")
            told = run(f"{make} ARGS=tests/test_tables.py", TEST_POSTGRES_URL=postgres_uri)
            assert " passed" in told
        case _ if "destination_tester" in command:
            inputs = tmp_path / "inputs"
            shutil.copytree(SAMPLE, inputs)
            (inputs / "configuration.json").write_text("{}")
            url = re.sub(r"postgresql://\S+", postgres_uri, command)
            there = url.replace("DIR", str(inputs)).replace("50052", str(server_port))
            told = run(f"{there} --disable-operation-delay --schema-name readme_{tmp_path.name}")
            assert "0 differences" in told
        case _:
            assert command.startswith("make "), command
            run(command)


@pytest.mark.parametrize("command", [c for page in PAGES[1:] for c in commands(page)])
def test_commands_of_other_pages_are_known(command: str) -> None:
    """They take long or need Docker."""
    if command.startswith("make "):
        run(f"make --dry-run {command.removeprefix('make ')}")
    else:
        assert command.startswith(("docker ", "buildah ", "dist/main ", ".venv/bin/python -m "))
        if "benchmarks." in command:
            assert importlib.util.find_spec(command.rsplit(" ", 1)[1])


def test_links_lead_somewhere() -> None:
    for page in (
        *PAGES,
        "CONTRIBUTING.md",
        "tests/README.md",
        "destination_tester/README.md",
        "local_platform/README.md",
        "docs/overview.md",
        "docs/setup-guide.md",
    ):
        for link in re.findall(r"\]\(([^)#]+)", (ROOT / page).read_text()):
            if not link.startswith("http"):
                assert (ROOT / page).parent.joinpath(link).exists(), (page, link)
