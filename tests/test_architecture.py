"""The arrows between modules go one way: servicer -> batch, warehouse -> schema, errors."""

import ast
import re
from collections import Counter
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "destination"
MODULES = sorted(
    path.relative_to(PACKAGE)
    for path in PACKAGE.rglob("*.py")
    if path.relative_to(PACKAGE).parts[0] != "sdk"
)
WHOLE = [
    path
    for name in ("destination", "destination_tester", "local_platform", "benchmarks", "tests")
    for path in sorted((ROOT / name).rglob("*.py"))
    if "sdk" not in path.parts
]
WIRE = {"wire.py", "servicer.py"}
STARTERS = {"cli.py", "server.py"}
LIMIT = 400


@cache
def nodes(path: Path) -> list[ast.AST]:
    return list(ast.walk(ast.parse(path.read_text())))


def imports(module: Path) -> Iterator[str]:
    for node in nodes(PACKAGE / module):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def called(module: Path) -> set[str]:
    """The names of functions that a module calls."""
    calls = [node for node in nodes(PACKAGE / module) if isinstance(node, ast.Call)]
    return {call.func.id for call in calls if isinstance(call.func, ast.Name)}


@pytest.mark.parametrize("module", MODULES, ids=str)
def test_imports_follow_the_arrows(module: Path) -> None:
    found = set(imports(module))
    parts = module.parts
    if parts[0] == "batch":
        assert not any(name.startswith("destination.warehouse") for name in found)
        assert not any(name.startswith(("sqlalchemy", "psycopg")) for name in found)
    if parts[0] == "warehouse":
        assert not any(name.startswith("destination.batch") for name in found)
    if parts[-1] == "servicer.py":
        assert not any(name.split(".")[0] in {"sqlalchemy", "psycopg", "pyarrow"} for name in found)
        assert "open" not in called(module)
    if parts[-1] not in WIRE | STARTERS:
        assert not any(name.startswith("destination.sdk") for name in found)
        assert "destination.servicer" not in found


KINDS = {"postgres", "citus"}
"""The packages of `warehouse/`, one for each kind of warehouse."""
NEUTRAL = [
    module
    for module in MODULES
    if KINDS.isdisjoint(module.parts) and module.name not in {"cli.py", "__init__.py"}
]
OF_A_KIND = re.compile(
    r"postgres|psycopg|libpq|psql|citus|\bpg_|sqlalchemy\.dialects", re.IGNORECASE
)


@pytest.mark.parametrize("module", NEUTRAL, ids=str)
def test_what_is_of_one_kind_of_warehouse_is_in_its_package(module: Path) -> None:
    assert not OF_A_KIND.search((PACKAGE / module).read_text())


VARIANTS = Path("warehouse/postgres/variants.py")


@pytest.mark.parametrize("module", MODULES, ids=str)
def test_variant_of_a_kind_is_known_where_it_is_chosen(module: Path) -> None:
    if "citus" not in module.parts and module != VARIANTS:
        assert not any(name.startswith("destination.warehouse.citus") for name in imports(module))


@pytest.mark.parametrize("path", WHOLE, ids=lambda path: str(path.relative_to(ROOT)))
def test_module_says_what_it_is_for_and_is_one_thing(path: Path) -> None:
    source = path.read_text()
    module = nodes(path)[0]
    assert isinstance(module, ast.Module)
    assert ast.get_docstring(module)
    assert len(source.splitlines()) <= LIMIT


IN_THE_CHILD = {"preexec_fn", "user", "group", "extra_groups"}
"""What has subprocess fork, and go on in the child where gRPC's threads may abort."""


@pytest.mark.parametrize("path", WHOLE, ids=lambda path: str(path.relative_to(ROOT)))
def test_no_process_is_started_by_a_fork_that_goes_on_in_the_child(path: Path) -> None:
    for node in nodes(path):
        if isinstance(node, ast.Call) and ast.unparse(node.func) in {
            "subprocess.Popen",
            "subprocess.run",
        }:
            assert IN_THE_CHILD.isdisjoint({each.arg for each in node.keywords}), path


PLATFORM = sorted((ROOT / "local_platform").rglob("*.py"))


def test_local_platform_uses_only_the_tester_and_the_wire() -> None:
    assert PLATFORM
    for path in PLATFORM:
        found = set(imports(path))
        ours = {name for name in found if name.split(".")[0] == "destination"}
        assert {name.split(".")[1] for name in ours if "." in name} <= {"sdk"}, path
        assert not any(name.split(".")[0] in {"benchmarks", "tests"} for name in found), path


FLOORS = {
    "sync": {"sync"},
    "api": {"sync", "api"},
    "web": {"sync", "api", "web"},
    "client": {"client"},
}
"""What each part of the local platform may import of it; what starts it may import all."""


@pytest.mark.parametrize("floor", FLOORS)
def test_floors_of_the_local_platform_rest_on_those_below(floor: str) -> None:
    paths = sorted((ROOT / "local_platform" / floor).rglob("*.py"))
    assert paths
    for path in paths:
        ours = {name for name in imports(path) if name.startswith("local_platform.")}
        assert {name.split(".")[1] for name in ours} <= FLOORS[floor], path


def test_nothing_uses_the_local_platform() -> None:
    for package in ("destination", "destination_tester"):
        for path in (ROOT / package).rglob("*.py"):
            assert not any(name.split(".")[0] == "local_platform" for name in imports(path)), path


def test_tester_shares_only_the_wire_with_the_connector() -> None:
    for path in (PACKAGE.parent / "destination_tester").rglob("*.py"):
        found = {name for name in imports(path) if name.split(".")[0] == "destination"}
        assert {name.split(".")[1] for name in found if "." in name} <= {"sdk"}, path


def test_no_two_tests_have_the_same_name() -> None:
    counts = Counter(
        node.name
        for path in sorted((ROOT / "tests").rglob("test_*.py"))
        for node in nodes(path)
        if isinstance(node, ast.FunctionDef) and node.name.startswith("test_")
    )
    assert [name for name, count in counts.items() if count > 1] == []
