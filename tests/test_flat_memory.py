"""The connector's memory does not grow with the number of calls."""

import gc
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from destination.sdk import common_pb2 as common
from destination_tester.notation import UNMODIFIED, Cell
from destination_tester.stored import ACTIVE, END, OPEN_END, START
from tests.support.fix_connector import Client, column
from tests.test_widths import BASE, row, table

COLUMNS = 300
WARM_UP, CALLS = 5, 15
GROWTH_MIB = 20
WIDTHS, ROUNDS = (10, 100, 300, 1_000), 14
GROWTH_OF_SEVERAL_MIB = 60
"""More than of one at a time: each thread that serves has an arena of its own."""
HISTORY = common.Table(
    name="t",
    columns=[
        column("id", common.INT, key=True),
        *(column(f"c{i}", common.INT) for i in range(COLUMNS - 4)),
        column(START, common.UTC_DATETIME, key=True),
        column(END, common.UTC_DATETIME),
        column(ACTIVE, common.BOOLEAN),
    ],
)


def kept_mib() -> int:
    """What stays in memory when all that nothing refers to is gone."""
    gc.collect()
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) >> 10 for line in lines if line.startswith("VmRSS"))


def test_batches_into_wide_tables_in_flat_memory(client: Client) -> None:
    """Statements about 300 columns: each that is kept would take megabytes."""
    assert client.create(HISTORY).success
    whole: dict[str, Cell] = {
        **dict.fromkeys((each.name for each in HISTORY.columns), 1),
        START: BASE, END: OPEN_END, ACTIVE: True,
    }  # fmt: skip
    partial: dict[str, Cell] = {
        **dict.fromkeys(whole, UNMODIFIED),
        "id": 1,
        START: BASE.replace(year=2025),
    }
    after_warm_up = 0
    for call in range(CALLS):
        answer = client.write_history(HISTORY, replace=[[whole]], update=[[partial, partial]])
        assert answer.success, answer
        if call == WARM_UP:
            after_warm_up = kept_mib()
    assert kept_mib() - after_warm_up < GROWTH_MIB


def test_batches_into_tables_of_many_widths_in_flat_memory(client: Client) -> None:
    """As `make bench BENCH=memory` sends a thousand of them into fifty tables."""
    tables = [table(width, name=f"t{width}") for width in WIDTHS]
    for each in tables:
        assert client.create(each).success
    requests = [
        client.write_request(each, replace=[[row(each, record, 1) for record in range(5)]])
        for each in tables
    ]
    with ThreadPoolExecutor(len(tables)) as pool:
        after_warm_up = 0
        for call in range(ROUNDS):
            answers = list(pool.map(client.stub.WriteBatch, requests))
            assert all(answer.success for answer in answers), answers
            if call == 2:
                after_warm_up = kept_mib()
    assert kept_mib() - after_warm_up < GROWTH_OF_SEVERAL_MIB
