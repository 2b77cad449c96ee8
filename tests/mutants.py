"""Mutates modules of `destination/` and has their tests notice: `python -m tests.mutants MODULE,… [SAMPLE]`.

The mutation tool, mutmut, lies in build/mutmut; it forks each mutant's tests from a process that has
imported them. What no test noticed is printed as a difference, and the score at the end.
"""

from __future__ import annotations

import difflib
import json
import os
import random
import re
import shutil
import subprocess
import sys
import tempfile
from collections import Counter
from contextlib import ExitStack
from pathlib import Path

from destination.warehouse.postgres.embedded import embedded_postgres

ROOT = Path(__file__).parents[1]
TOOL = ROOT / "build" / "mutmut"
SERVER = "TEST_POSTGRES_URL"
PLACE = ROOT / "build" / "mutants"
SEED = 16
"""Of the sample, where a module has too many mutants."""
NOTICED = {1: "failed", 24: "too slow", -24: "too slow", 36: "too slow", 152: "too slow"}
UNTESTED = {5, 33}
COPIED = ("destination_tester", "local_platform", "benchmarks", "docs", "protos", "main.py")
SETTINGS = """
[tool.mutmut]
source_paths = ["destination"]
only_mutate = {modules}
also_copy = {copied}
pytest_add_cli_args = ["-p", "no:unraisableexception"]
pytest_add_cli_args_test_selection = {tests}
process_isolation = "forkserver"
do_not_mutate_patterns = ["telemetry\\\\."]
track_dependencies = false
use_git_change_detection = false
timeout_multiplier = 3.0
timeout_constant = 3.0
"""
SUBJECTS: dict[str, str] = {
    "memory": "memory",
    "cancellation": "cancellation",
    "batch/binary": "batch/values",
    "batch/csv": "batch/csv batch/csv_stream batch/reader",
    "batch/csv_stream": "batch/csv_stream batch/reader",
    "batch/decimals": "batch/decimals batch/values",
    "batch/decoding": "batch/decoding batch/csv batch/parquet batch/reader",
    "batch/decompression": "batch/decompression",
    "batch/decryption": "batch/decryption",
    "batch/native": "batch/native batch/parquet",
    "batch/parquet": "batch/parquet batch/reader",
    "batch/reader": "batch/reader batch/csv_stream",
    "batch/refusals": "batch/decoding batch/values",
    "batch/temporal": "batch/temporal batch/values",
    "batch/values": "batch/values batch/csv",
    "batch/zstd_frames": "batch/zstd_frames batch/decompression",
    "warehouse/naming": "names",
    "warehouse/stored": "names loading_keys bad_input warehouse/contract",
    "warehouse/tables": "tables names outages",
    "warehouse/altering": "alter",
    "warehouse/staging": "write_batch keys widths",
    "warehouse/carried": "warehouse/carried write_batch history",
    "warehouse/chains": "history write_batch widths",
    "warehouse/statements": "write_batch history history_overlaps",
    "warehouse/loading": "write_batch bad_input loading_keys straight_copy first_load",
    "warehouse/merging": "write_batch loading_keys straight_copy first_load warehouse/carried history",
    "warehouse/history": "history history_overlaps history_property loading_keys",
    "warehouse/migration": "migrate migrate_history",
    "warehouse/postgres/catalog": "tables alter names keys warehouse/shadowing",
    "warehouse/postgres/session": (
        "write_batch first_load straight_copy keys::test_value_that_a_type_refuses_is_told_with_its_place"
        " names::test_schema_bears_its_name_where_it_is_stored_as_another alter::test_alter_casts_the_data"
        " concurrency::test_tables_are_created_and_loaded_at_once"
        " waiting::test_reader_of_an_empty_table_is_let_through_while_it_is_filled"
    ),
    "warehouse/postgres/carrying": "warehouse/carried write_batch types",
    "warehouse/postgres/types": "types tables warehouse/types",
    "warehouse/postgres/conversions": "conversions",
    "warehouse/postgres/marks": "warehouse/marks",
    "warehouse/postgres/locks": "warehouse/locks waiting warehouse/claim",
    "warehouse/postgres/contract": (
        "warehouse/contract warehouse/inherited outages::test_standby_is_a_task_that_names_the_primary citus/settings"
    ),
    "warehouse/postgres/outcome": "warehouse/outcome",
    "warehouse/postgres/errors": "warehouse/errors refusals bad_input connection permissions keys",
    "warehouse/postgres/grants": "permissions translated",
    "warehouse/citus/commits": "citus/commits",
    "warehouse/citus/diagnosis": "citus/errors",
    "warehouse/citus/distribution": (
        "citus/kinds::test_rows_are_written citus/kinds::test_columns_and_keys_change"
        " citus/kinds::test_table_is_made_beside_one_of_another_collation"
        " citus/kinds::test_versions_are_written citus/commits citus/errors"
    ),
    "warehouse/citus/errors": "citus/errors citus/faults",
    "warehouse/citus/expressions": "citus/kinds::test_versions_are_written citus/kinds::test_rows_are_written",
    "warehouse/citus/session": (
        "citus/kinds::test_rows_are_written citus/kinds::test_columns_and_keys_change"
        " citus/kinds::test_versions_are_written citus/commits citus/errors citus/settling"
    ),
    "warehouse/citus/settling": "citus/settling",
    "warehouse/citus/staged": "citus/kinds::test_rows_are_deleted citus/kinds::test_rows_are_written",
}
"""The tests whose subject a module is, `a/b` for `tests/a/test_b.py`, or `a/b::test_c` for one of them; others
may notice more."""


def main(wanted: str, sample: str = "") -> int:
    """Run the tests about modules against mutants of them; print those that no test noticed.

    Args:
        wanted: modules, as in `SUBJECTS`, or the directories that several are in.
        sample: of how many mutants of each module, at random; all unless given.

    Returns:
        0 if each was noticed.
    """
    asked = set(wanted.split(","))
    modules = [each for each in SUBJECTS if asked & {each, each.rpartition("/")[0]}]
    place = _prepared(modules)
    changes = {module: _changes(Path("destination", f"{module}.py"), place) for module in modules}
    tried = {module: _sampled(sorted(names), sample) for module, names in changes.items()}
    _run(place, [name for names in tried.values() for name in names])
    return sum([_told(place, module, tried[module], changes[module]) for module in modules])


def _sampled(names: list[str], sample: str) -> list[str]:
    few = min(len(names), int(sample or len(names)))
    return sorted(random.Random(SEED).sample(names, few))


def _told(place: Path, module: str, tried: list[str], changes: dict[str, str]) -> int:
    """How many mutants of a module were not noticed; they and the score are printed."""
    codes = json.loads((place / "mutants" / "destination" / f"{module}.py.meta").read_text())
    outcome = {name: codes["exit_code_by_key"][name] for name in tried}
    survivors = [name for name, code in outcome.items() if code not in NOTICED]
    for name in survivors:
        print(f"\n{name}: {_say(outcome[name])}\n{changes[name]}")
    told = [f"{count} {what}" for what, count in Counter(map(_say, outcome.values())).items()]
    noticed = f"{len(tried) - len(survivors)} of {len(tried)} noticed ({', '.join(told)})"
    print(f"\n{module}: {noticed}; {len(changes)} mutants in all", flush=True)
    return len(survivors)


def _say(code: int | None) -> str:
    if code in UNTESTED:
        return "untested"
    return NOTICED.get(code or 0, "survived")


def _file(subject: str) -> str:
    path, *test = subject.split("::")
    directory, _, name = path.rpartition("/")
    return "::".join([str(Path("tests", directory, f"test_{name}.py")), *test])


def _prepared(modules: list[str]) -> Path:
    """A directory to run in, with the sources as links."""
    place = PLACE / "-".join(modules)[:100].replace("/", ".")
    shutil.rmtree(place, ignore_errors=True)
    place.mkdir(parents=True)
    for name in ("destination", "tests", *COPIED):
        (place / name).symlink_to(ROOT / name)
    subjects = {subject for module in modules for subject in SUBJECTS[module].split()}
    settings = SETTINGS.format(
        modules=json.dumps([f"destination/{module}.py" for module in modules]),
        copied=json.dumps(COPIED),
        tests=json.dumps(sorted(map(_file, subjects))),
    )
    (place / "pyproject.toml").write_text((ROOT / "pyproject.toml").read_text() + settings)
    return place


def _changes(path: Path, place: Path) -> dict[str, str]:
    """What each mutant changes; those of prose, texts with a blank, are left out."""
    sys.path.insert(0, str(TOOL))
    os.chdir(place)
    from mutmut.mutation.file_mutation import mutate_file_contents  # noqa: PLC0415
    from mutmut.utils.format_utils import get_mutant_name  # noqa: PLC0415

    mutated = mutate_file_contents(str(path), path.read_text())
    code, spans = mutated.code.splitlines(), mutated.line_span_by_function_name
    bodies = {name: code[span.start - 1 : span.end] for name, span in spans.items()}
    changes = {}
    for name in mutated.mutant_names:
        function = re.sub(r"__mutmut_\d+$", "", name)
        original, mutant = (
            "\n".join(bodies[each]).replace(each, function)
            for each in (f"{function}__mutmut_orig", name)
        )
        if _without_prose(original) != _without_prose(mutant):
            lines = original.splitlines(), mutant.splitlines()
            difference = difflib.unified_diff(*lines, n=1, lineterm="")
            changes[get_mutant_name(path, name)] = "\n".join(list(difference)[2:])
    return changes


def _without_prose(code: str) -> str:
    """Code without texts that have a blank, and without `strict`: it guards what cannot be."""
    return re.sub(r", strict=\w+|, (?=\))", "", re.sub(r'"[^"\n]*? [^"\n]*?"', '""', code))


def _run(place: Path, names: list[str]) -> None:
    """Have mutmut try the mutants, with one PostgreSQL for all."""
    command = [sys.executable, str(TOOL / "bin" / "mutmut"), "run", "--max-children", "1", *names]
    environment = {**os.environ, "PYTHONPATH": str(TOOL), "EXAMPLES": "0.2", "SHRINK": ""}
    with ExitStack() as resources:
        if SERVER not in environment:
            data = resources.enter_context(tempfile.TemporaryDirectory(prefix="postgres-"))
            environment[SERVER] = resources.enter_context(embedded_postgres(Path(data) / "data"))
        subprocess.run(command, cwd=place, check=True, env=environment)


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
