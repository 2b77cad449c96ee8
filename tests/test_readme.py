"""The commands in the README and its like can be run."""

import re
import shlex
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PAGES = ("README.md", "BUILD.md", "benchmarks/README.md")


def commands() -> Iterator[tuple[str, str]]:
    for page in PAGES:
        for block in re.findall(r"```sh\n(.*?)```", (ROOT / page).read_text(), re.DOTALL):
            for line in block.splitlines():
                yield page, line.split("  #")[0].split(" #")[0].strip()


def run(command: list[str]) -> None:
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True, timeout=60)


@pytest.mark.parametrize(("page", "command"), list(commands()), ids=str)
def test_command_is_understood(page: str, command: str) -> None:
    """Make's are planned, programs are asked for their help: what they do is tested elsewhere."""
    del page
    words = [word for word in shlex.split(command) if not word.startswith("TEST_POSTGRES_URL=")]
    match words:
        case ["make", *arguments]:
            run(["make", "--dry-run", *arguments])
        case [".venv/bin/python", "main.py", *options]:
            run([".venv/bin/python", "main.py", *options, "--version"])
        case [".venv/bin/python", "-m", module, *_]:
            run([".venv/bin/python", "-m", module, "--help"])
        case ["docker", *_] | ["dist/main", *_]:
            pytest.skip("needs what `make binary` or Docker makes; `make smoke` runs the binary")
        case _:
            pytest.fail(f"no test knows how to run {command}")


def test_links_lead_somewhere() -> None:
    for page in (*PAGES, "destination_tester/README.md", "docs/overview.md", "docs/setup-guide.md"):
        for link in re.findall(r"\]\(([^)#]+)", (ROOT / page).read_text()):
            if not link.startswith("http"):
                assert (ROOT / page).parent.joinpath(link).exists(), (page, link)
