"""AlterTable from every type to every other: each value beside a plain model, kept whole or refused."""

from collections.abc import Sequence
from datetime import UTC, date, datetime, time
from decimal import Decimal

import pytest

from destination.sdk import common_pb2 as common
from destination_tester.conversions import NotSurvivedError, convert, widened
from destination_tester.files import Row
from destination_tester.notation import Value, to_text
from tests.support.fix_connector import Client, column
from tests.support.fix_postgres import Database

ID = column("id", common.INT, key=True)
TEXTS: list[str] = [
    "", " ", "null", "NULL", "true", "false", "TRUE", "t", "1", "0", "-1", "+1", "1.0", "01", " 1", "1 ",
    "1e2", "1.5E+1", "1E-7", ".5", "5.", ".", "-", "--1", "1,5", "0x10", "1_000", "32767", "32768", "-32769",
    "2147483648", "16777217", "9007199254740993", "9223372036854775807", "9223372036854775808", "9" * 38,
    "9" * 39, "0." + "1" * 37, "0." + "1" * 38, "1e400", "1e-400", "123456.78", "100.45", "0.1",
    "0.10000000149011612", "3.4028235E+38", "3.4028237E+38", "-3.4028237E+38", "3.5E+38", "1.4E-45", "1E-46",
    "1.7976931348623157E+308", "1.8E+308", "5E-324", "NaN", "nan", "Infinity", "-Infinity", "inf", "infinite",
    "-0", "-0.0", "2007-12-03", "2007-02-29", "2000-02-29", "1900-02-29", "2007-13-01", "2007-04-31",
    "2007-00-10", "0000-02-29", "-0005-02-28", "-0004-02-29", "+10000-01-01", "-4713-11-24", "-4713-11-23",
    "+5874897-12-31", "+5874898-01-01", "20071203", "2007-1-3", "10:15", "10:15:30", "23:59:59.999999999",
    "24:00", "24:00:00", "10:60", "10:15:60", "1:15", "10:15:30.", "10:15:30.1", "2007-12-03T10:15",
    "2007-12-03 10:15:30.123456789", "2007-12-03T10:15:30Z", "2007-12-03T10:15:30.123+01:00",
    "2007-12-03T10:15-0530", "2007-12-03T23:59:59.9999999Z", "2007-12-03T10:15:30 Z", "+10000-01-01T00:00:00Z",
    "-0005-01-01T00:00Z", "+294247-01-09T23:59:59Z", "+294248-01-01T00:00", "yesterday", "now", "epoch",
    "infinity", "2007-12-03 BC", "12/03/2007", "AP8=", "AP8", "AP8==", "A", "AAAAA", "[B@7d4991ad", "a=b", "=",
    "====", "é", "😀", "{", "[1, null]", '{"a": 1.0}', '"text"', '"2007-12-03"', "'1'", "\\", "\\x00ff", "<a/>",
    '{"a": "b"} ', "1\n", "\n1", "2007-12-03\n", "\t7 ", " true",
    "2007-12-03\t", " 10:15 ", " 2007-12-03T10:15:30Z ", " NaN", " AP8=", " 1.5 ",
]  # fmt: skip
DOCUMENTS = [
    *(
        "null",
        "true",
        "false",
        "1",
        "1.0",
        "-0",
        "1e2",
        "9007199254740993",
        " 7 ",
        "[1]",
        "{}",
        '""',
        '"true"',
    ),
    *(
        '"7"',
        '"NaN"',
        '"0.1"',
        '"2007-12-03"',
        '"10:15"',
        '"2007-12-03T10:15Z"',
        '"AP8="',
        '"\\u0000"',
    ),
    *(
        '"\\\\u0000"',
        '"\\ud83d\\ude00"',
        '"\\ud83d"',
        '"\\ude00x"',
        '"null"',
        '{"a": "\\u0000"}',
        '"\\u0031"',
    ),
    *('"\\"1\\""', "\t1\n", '"😀"'),
]
VALUES: dict[common.DataType, Sequence[Value]] = {
    common.BOOLEAN: [True, False],
    common.SHORT: [0, 1, -1, 2, 32767, -32768],
    common.INT: [0, 1, -1, 2, 32768, 16777217, 2**31 - 1, -(2**31)],
    common.LONG: [0, 1, -1, 2, 2**53, 2**53 + 1, 2**63 - 1, -(2**63), 20071203, 1234],
    common.DECIMAL: [
        Decimal(text)
        for text in ("0", "1", "-1", "1.5", "1.2345", "0.1", "16777217", "99999999.9999", "-0.0001", "2")
    ],
    common.FLOAT: [
        *(0.0, -0.0, 1.0, 2.0, -1.5, 0.10000000149011612, 123456.78125, 1e7, 9999999.0, 0.0010000000474974513),
        *(0.0009999999310821295, 3.4028234663852886e38, 1.401298464324817e-45, float("nan"), float("inf")),
        *(-float("inf"), 16777216.0, 1e10, 32768.0),
    ],
    common.DOUBLE: [
        *(0.0, -0.0, 1.0, 200.0, 1.7, 100.45, 0.1, 99999999999999.98, 1e300, 5e-324, 1e22, 1e-5, 0.001, 1e7),
        *(9999999.999999998, 123456789012345680.0, float("nan"), float("inf"), -float("inf"), 2.0**53, 2.0**63),
        *(1.7976931348623157e308, -2.2250738585072014e-308, 3.4028234663852886e38, 1e39),
    ],
    common.NAIVE_DATE: [
        *(date(2020, 2, 29), date(1, 1, 1), date(9999, 12, 31), date(1970, 1, 1), "-0005-02-28"),
        *("+10000-01-01", "0000-02-29", "-4713-11-24", "+5874897-12-31", "+294247-01-09", "+294248-01-01"),
    ],
    common.NAIVE_TIME: [
        *(time(0), time(10, 15), time(10, 15, 30), time(10, 15, 30, 123000), time(10, 15, 30, 123456)),
        *(time(23, 59, 59, 999999), time(0, 0, 0, 1), time(10, 15, 0, 120000)),
    ],
    common.NAIVE_DATETIME: [
        *(datetime(2007, 12, 3, 10, 15), datetime(2007, 12, 3), datetime(1, 1, 1), datetime(9999, 12, 31, 23, 59, 59, 999999)),
        *(datetime(2007, 12, 3, 10, 15, 30, 123000), datetime(2007, 12, 3, 0, 0, 0, 1), "-0005-02-28T10:15"),
        *("0000-02-29T00:00", "+10000-01-01T00:00", "-4713-11-24T00:00", "+294247-01-09T23:59:59.999999"),
    ],
    common.UTC_DATETIME: [
        *(datetime(2007, 12, 3, 10, 15, tzinfo=UTC), datetime(2007, 12, 3, tzinfo=UTC), datetime(1, 1, 1, tzinfo=UTC)),
        *(datetime(2007, 12, 3, 10, 15, 30, 123456, UTC), "-0005-02-28T10:15:00Z", "+10000-01-01T00:00:00Z"),
        *("-4713-11-24T00:00:00Z", "+294247-01-09T23:59:59.999999Z"),
    ],
    common.BINARY: [b"", b"\0\xff", b"123", b"true", bytes(range(256)), b"\xd7m\xf8"],
    common.STRING: TEXTS,
    common.XML: TEXTS,
    common.JSON: DOCUMENTS,
}  # fmt: skip
PARAMS: dict[common.DataType, list[tuple[int, int] | None]] = {
    common.DECIMAL: [(12, 4), (3, 1), (38, 0), None]
}


def decimal_of(column: common.Column) -> tuple[int, int] | None:
    params = column.params.decimal
    return (params.precision, params.scale) if params.precision else None


TARGETS = {
    f"v{i}": column(f"v{i}", kind, decimal=params)
    for i, (kind, params) in enumerate(
        (kind, params) for kind in VALUES for params in PARAMS.get(kind, [None])
    )
}
"""A column for each type that values become."""
SOURCES = [column("v", each.type, decimal=decimal_of(each)) for each in TARGETS.values()]


def fitting(source: common.Column) -> list[Value]:
    """The values that a column holds to their last digit."""
    params = source.params.decimal
    limit = Decimal(10) ** (params.precision - params.scale)
    return [
        each
        for each in VALUES[source.type]
        if not isinstance(each, Decimal)
        or not params.precision
        or (abs(each) < limit and each == round(each, params.scale))
    ]


def survivors(
    values: Sequence[Value], source: common.Column, target: common.Column
) -> dict[int, Value]:
    """What the model makes of the values that survive, by their places."""
    kept = {}
    for place, value in enumerate(values):
        try:
            converted = convert(value, source, target)
            if isinstance(converted, Decimal):
                widened(target, [converted])
        except NotSurvivedError:
            continue
        kept[place] = converted
    return kept


@pytest.mark.parametrize("source", SOURCES, ids=lambda each: common.DataType.Name(each.type))
def test_values_become_what_a_load_of_their_texts_would_store(
    client: Client, database: Database, source: common.Column
) -> None:
    """A table has the values in a column for each type that they are to become."""
    if source.type == common.JSON:
        database.needs_local_tables(
            "Citus hands its workers no expression that reads a JSON string"
        )
    values = fitting(source)
    current = {name: column(name, source.type, decimal=decimal_of(source)) for name in TARGETS}
    assert client.create(table("t", current)).success
    texts = [to_text(value, source) for value in values]
    rows: list[Row] = [{"id": i, **dict.fromkeys(TARGETS, text)} for i, text in enumerate(texts)]
    written = client.write(table("t", current), replace=[[*rows, {"id": -1}]])
    assert written.success, written
    kept = {name: survivors(values, source, target) for name, target in TARGETS.items()}
    uncounted = {common.JSON} if database.connection.info.server_version < 160000 else set()
    for name, target in TARGETS.items():
        lost = set(range(len(values))) - set(kept[name])
        if lost:
            answer = client.alter(table("t", {**current, name: target}))
            told = target.type not in {common.DECIMAL, *uncounted}
            count = f"{len(lost)} values" if told else ""
            assert f'column "{name}": {count}' in answer.task.message, answer
            forget(database, name, lost)
    assert client.describe("t").table == table("t", current)
    answer = client.alter(table("t", TARGETS))
    assert answer.success, answer
    became = {
        name: widened(target, (each for each in kept[name].values() if isinstance(each, Decimal)))
        for name, target in TARGETS.items()
    }
    assert client.describe("t").table == table("t", became)
    loaded(client, became, kept)
    for name, target in TARGETS.items():
        shown = "trim_scale({}.{v})::text" if target.type == common.DECIMAL else "{}.{v}::text"
        columns = [shown.replace("{}", which) for which in ("t", "l")]
        compared = database.execute(
            f"SELECT id, {', '.join(columns)} FROM {{schema}}.t JOIN {{schema}}.loaded l USING (id)"
            " ORDER BY id",
            v=name,
        )
        assert [old for _, old, _ in compared] == [new for _, _, new in compared], target
        assert len(compared) == len(values) + 1


def table(name: str, columns: dict[str, common.Column]) -> common.Table:
    return common.Table(name=name, columns=[ID, *columns.values()])


def forget(database: Database, name: str, ids: set[int]) -> None:
    """Set a column to NULL in rows of the table."""
    listed = ", ".join(map(str, ids))
    database.execute(f"UPDATE {{schema}}.t SET {{v}} = NULL WHERE id IN ({listed})", v=name)


def loaded(
    client: Client, columns: dict[str, common.Column], kept: dict[str, dict[int, Value]]
) -> None:
    """Load the texts of what the model makes of the values into a table of their new types."""
    texts = {
        name: {place: to_text(value, columns[name]) for place, value in values.items()}
        for name, values in kept.items()
    }
    places = range(-1, max(max(values, default=-1) for values in kept.values()) + 1)
    rows: list[Row] = [
        {"id": place, **{name: values.get(place) for name, values in texts.items()}}
        for place in places
    ]
    assert client.create(table("loaded", columns)).success
    answer = client.write(table("loaded", columns), replace=[rows])
    assert answer.success, answer
