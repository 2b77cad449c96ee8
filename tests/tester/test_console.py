"""What people see: names and values as they are, whatever they mean to the terminal's library."""

import pytest

from destination.sdk import common_pb2 as common
from destination_tester.console import Difference, RichOutput
from tests.support.fix_connector import column

NAMES = [":warning:", "[red]", "[/]", "[link=x]y", "a[/b]c\\", "%s", "{0}"]


@pytest.mark.parametrize("name", NAMES)
def test_names_and_values_are_shown_as_they_are(
    name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    output, table = RichOutput(), common.Table(name="t", columns=[column(name)])
    output.input(name)
    output.operation(f"upsert {name}", 1, 0.1, "task", name)
    output.table(name, table, [{name: name}])
    output.differences([Difference(name, "", "c", "1", "2")])
    output.error(name)
    assert capsys.readouterr().out.count(name) == 8
