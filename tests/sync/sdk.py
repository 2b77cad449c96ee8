"""The environment of real sources: Fivetran's Connector SDK in a venv of its own under build/.

Version 2.13.1 alone: it is the last one with a server, and under the MIT licence. Later ones depend on a
core whose licence forbids use for competing products: never install one of those, nor one unpinned.
"""

import fcntl
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
PYTHON = ROOT / "build" / "sdk" / "bin" / "python"
REQUIREMENT = "fivetran-connector-sdk==2.13.1"


def environment() -> Path | None:
    """The Python of the environment, made if there is none; None if the SDK cannot be had."""
    directory = PYTHON.parents[1]
    directory.parent.mkdir(exist_ok=True)
    with (directory.parent / "sdk.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not _has_sdk():
            subprocess.run([sys.executable, "-m", "venv", directory], check=True)
            subprocess.run([PYTHON, "-m", "pip", "install", "--quiet", REQUIREMENT], check=False)
    return PYTHON if _has_sdk() else None


def _has_sdk() -> bool:
    name, version = REQUIREMENT.split("==")
    program = f"import importlib.metadata as m; assert m.version({name!r}) == {version!r}"
    if not PYTHON.exists():
        return False
    told = subprocess.run([PYTHON, "-c", program], check=False, stderr=subprocess.DEVNULL)
    return told.returncode == 0


if __name__ == "__main__":
    sys.exit(None if environment() else f"{REQUIREMENT} cannot be had")
