"""The tester's modules import each other in one direction."""

import ast
from graphlib import TopologicalSorter
from pathlib import Path

import destination_tester

PACKAGE = Path(destination_tester.__file__).parent


def imported(path: Path) -> set[str]:
    """The tester's modules that a module imports, for types alone too."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.module == "destination_tester":
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and str(node.module).startswith(
            "destination_tester."
        ):
            names.add(str(node.module).split(".")[1])
    return names


def test_no_module_imports_itself_by_way_of_others() -> None:
    graph = {path.stem: imported(path) for path in PACKAGE.glob("*.py")}
    assert graph["runner"] >= {"migrations", "model"}
    TopologicalSorter(graph).prepare()
