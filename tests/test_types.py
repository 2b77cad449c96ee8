"""Every Fivetran type with its extremes, from a batch file into PostgreSQL and back."""

import pytest

from destination.sdk import common_pb2 as common
from destination.sdk import destination_sdk_pb2 as sdk
from destination_tester.files import NULL_STRING, UNMODIFIED_STRING, Row
from destination_tester.notation import Value
from tests.support.fix_connector import Client, column
from tests.support.fix_postgres import Database

TEXTS: list[tuple[common.DataType, tuple[int, int] | None, dict[str, str]]] = [
    (common.BOOLEAN, None, {"true": "true", "false": "false"}),
    (common.SHORT, None, {"32767": "32767", "-32768": "-32768", "0": "0"}),
    (common.INT, None, {"2147483647": "2147483647", "-2147483648": "-2147483648"}),
    (common.LONG, None, {"9223372036854775807": "9223372036854775807", "-9223372036854775808": "-9223372036854775808"}),
    (
        common.DECIMAL,
        (38, 37),
        {
            "9.9999999999999999999999999999999999999": "9.9999999999999999999999999999999999999",
            "-1E-37": "-0." + "0" * 36 + "1",
            "0.00000000000000000000000000000000000015": "0." + "0" * 36 + "2",
            "3": "3." + "0" * 37,
        },
    ),
    (common.DECIMAL, (38, 0), {"9" * 38: "9" * 38, "-" + "9" * 38: "-" + "9" * 38, "2.5": "3", "-2.5": "-3", "1E+37": "1" + "0" * 37}),
    (common.DECIMAL, (6, 3), {"100.2345": "100.235", "-100.2345": "-100.235", "1": "1.000", "1E2": "100.000"}),
    (common.DECIMAL, None, {"1E+40": "1" + "0" * 40, "0.1": "0.1", "100": "100", "-12.30": "-12.30"}),
    (
        common.FLOAT,
        None,
        {"3.4028237E+38": "3.4028235e+38", "-3.4028237E+38": "-3.4028235e+38", "1.5": "1.5", "NaN": "NaN", "Infinity": "Infinity", "-Infinity": "-Infinity", "1.17549435E-38": "1.1754944e-38"},
    ),
    (
        common.DOUBLE,
        None,
        {"1.7976931348623157E308": "1.7976931348623157e+308", "-2.2250738585072014E-308": "-2.2250738585072014e-308", "4.9E-324": "5e-324", "NaN": "NaN", "Infinity": "Infinity", "-Infinity": "-Infinity", "0": "0"},
    ),
    (
        common.NAIVE_DATE,
        None,
        {"2007-12-03": "2007-12-03", "0001-01-01": "0001-01-01", "9999-12-31": "9999-12-31", "+10000-01-01": "10000-01-01", "0000-01-01": "0001-01-01 BC", "-0005-02-28": "0006-02-28 BC", "-4713-11-24": "4714-11-24 BC", "+5874897-12-31": "5874897-12-31", "2000-02-29": "2000-02-29"},
    ),
    (
        common.NAIVE_TIME,
        None,
        {"10:15:30": "10:15:30", "10:15": "10:15:00", "10:15:30.123456": "10:15:30.123456", "23:59:59.999999999": "23:59:59.999999", "00:00": "00:00:00"},
    ),
    (
        common.NAIVE_DATETIME,
        None,
        {"2007-12-03T10:15:30Z": "2007-12-03 10:15:30", "2007-12-03T10:15:30.5+02:00": "2007-12-03 10:15:30.5", "-4713-11-24T00:00:00": "4714-11-24 00:00:00 BC", "2007-12-03T10:15:30": "2007-12-03 10:15:30", "2007-12-03T10:15": "2007-12-03 10:15:00", "2007-12-03T10:15:30.123456789": "2007-12-03 10:15:30.123456", "0001-01-01T00:00:00": "0001-01-01 00:00:00", "9999-12-31T23:59:59.999999999": "9999-12-31 23:59:59.999999"},
    ),
    (
        common.UTC_DATETIME,
        None,
        {
            "2007-12-03T10:15:30.123Z": "2007-12-03 10:15:30.123+00",
            "2007-12-03T10:15:30Z": "2007-12-03 10:15:30+00",
            "2007-12-03T10:15:30": "2007-12-03 10:15:30+00",
            "2007-12-03T10:15:30.123456789Z": "2007-12-03 10:15:30.123456+00",
            "9999-12-31T23:59:59.999Z": "9999-12-31 23:59:59.999+00",
            "0001-01-01T00:00:00Z": "0001-01-01 00:00:00+00",
            "+10000-01-01T00:00:00Z": "10000-01-01 00:00:00+00",
            "+294247-01-10T04:00:54.775807Z": "294247-01-10 04:00:54.775807+00",
            "-0005-01-01T00:00:00Z": "0006-01-01 00:00:00+00 BC",
        },
    ),
    (common.BINARY, None, {"": "\\x", "AP8=": "\\x00ff", "AP8": "\\x00ff", "[B@7d4991ad": "\\x5b42403764343939316164"}),
    (common.XML, None, {"<a>é</a>": "<a>é</a>", "not xml": "not xml"}),
    (common.STRING, None, {text: text for text in ("", " ", "\\.", "a\n\\.\nb", "\r\n", "\t", '"', "\\N", "😀", "NULL")}),
    (common.JSON, None, {text: text for text in ('{"a": [1, null]}', '"\\u0000"', "[ ]", "1.0")}),
]  # fmt: skip


@pytest.mark.parametrize("file_format", [sdk.CSV, sdk.PARQUET], ids=["csv", "parquet-strings"])
@pytest.mark.parametrize(
    ("kind", "decimal", "values"), TEXTS, ids=lambda value: value if isinstance(value, int) else ""
)
def test_text_arrives_as_its_type(
    client: Client,
    database: Database,
    file_format: sdk.BatchFileFormat,
    kind: common.DataType,
    decimal: tuple[int, int] | None,
    values: dict[str, str],
) -> None:
    client.files.format = file_format
    table = common.Table(
        name="typed",
        columns=[column("id", common.INT, key=True), column("value", kind, decimal=decimal)],
    )
    assert client.create(table).success
    rows: list[Row] = [{"id": i, "value": text} for i, text in enumerate([*values, None])]
    answer = client.write(table, replace=[rows])
    assert answer.success, answer
    found = database.execute("SELECT value::text FROM {schema}.typed ORDER BY id")
    assert [value for (value,) in found] == [*values.values(), None]
    assert client.describe("typed").table == table


@pytest.mark.parametrize("file_format", [sdk.CSV, sdk.PARQUET], ids=["csv", "parquet-strings"])
@pytest.mark.parametrize(
    ("kind", "text"),
    [
        (common.BOOLEAN, "TRUE"),
        (common.BOOLEAN, "1"),
        (common.SHORT, "32768"),
        (common.SHORT, "0xFFFF"),
        (common.INT, "0x10"),
        (common.LONG, "0XFF"),
        (common.INT, "2147483648"),
        (common.INT, "1.0"),
        (common.INT, ""),
        (common.LONG, "9223372036854775808"),
        (common.DECIMAL, "1000"),
        (common.DECIMAL, "NaN"),
        (common.DECIMAL, "9" * 39),
        (common.DECIMAL, "1e400"),
        (common.FLOAT, "3.5E38"),
        (common.DOUBLE, "1E309"),
        (common.DOUBLE, "abc"),
        (common.NAIVE_DATE, "2007-02-29"),
        (common.NAIVE_DATE, "2007-13-01"),
        (common.NAIVE_TIME, "24:00"),
        (common.NAIVE_DATETIME, "yesterday"),
        (common.UTC_DATETIME, "+300000-01-01T00:00:00Z"),
        (common.UTC_DATETIME, "+294247-01-10T04:00:54.775808Z"),
        (common.UTC_DATETIME, "-290290-01-01T00:00:00Z"),
        (common.UTC_DATETIME, "-4713-11-24T00:00:00+01:00"),
        (common.NAIVE_DATETIME, "-4713-11-23T23:59:59"),
        (common.NAIVE_DATE, "-9999-01-01"),
        (common.NAIVE_DATE, "-4713-11-23"),
        (common.NAIVE_DATE, "+5874898-01-01"),
        (common.JSON, "{"),
    ],
)
def test_text_not_of_its_type_is_a_task_that_says_where(
    client: Client,
    database: Database,
    file_format: sdk.BatchFileFormat,
    kind: common.DataType,
    text: str,
) -> None:
    client.files.format = file_format
    table = common.Table(
        name="typed",
        columns=[column("id", common.INT, key=True), column("value", kind, decimal=(4, 1) if kind == common.DECIMAL else None)],
    )  # fmt: skip
    assert client.create(table).success
    rows: list[Row] = [{"id": 1, "value": None}, {"id": 2, "value": None}, {"id": 3, "value": text}]
    answer = client.write(table, replace=[rows])
    _, place, reason = answer.task.message.partition('row 3, column "value"')
    assert place, answer
    if len(text) > 2:
        assert text not in reason
    assert database.rows("typed") == []


@pytest.mark.parametrize("kind", [k for k, _, _ in TEXTS], ids=common.DataType.Name)
def test_null_and_unmodified_in_quotes(
    client: Client, database: Database, kind: common.DataType
) -> None:
    text = next(text for k, _, texts in TEXTS if k == kind for text in texts if text.strip())
    table = common.Table(name="typed", columns=[column("id", key=True), column("value", kind)])
    assert client.create(table).success
    null = client.files.write_bytes("null", f'id,value\na,"{NULL_STRING}"\n'.encode())
    assert client.send(table, replace_files=[null]).success
    assert database.rows("typed") == [("a", None)]
    assert client.write(table, replace=[[{"id": "a", "value": text}]]).success
    before = database.rows("typed")
    assert before != [("a", None)]
    kept = client.files.write_bytes("kept", f'id,value\na,"{UNMODIFIED_STRING}"\n'.encode())
    assert client.send(table, update_files=[kept]).success
    assert database.rows("typed") == before


def test_parquet_native_values_arrive_exactly(client: Client, database: Database) -> None:
    client.files.format = sdk.PARQUET
    kinds: dict[str, tuple[common.DataType, Value]] = {
        "boolean": (common.BOOLEAN, True),
        "short": (common.SHORT, -32768),
        "int": (common.INT, 2147483647),
        "long": (common.LONG, -(2**63)),
        "float": (common.FLOAT, 0.5),
        "double": (common.DOUBLE, 5e-324),
        "binary": (common.BINARY, b"\0\xff"),
    }
    table = common.Table(
        name="typed",
        columns=[column("id", common.INT, key=True), *(column(name, kind) for name, (kind, _) in kinds.items())],
    )  # fmt: skip
    assert client.create(table).success
    row: Row = {"id": 1, **{name: value for name, (_, value) in kinds.items()}}
    assert client.write(table, replace=[[row]]).success
    ((_, *values),) = database.rows("typed")
    assert values == [value for _, value in kinds.values()]


def test_nul_is_removed_from_text(client: Client, database: Database) -> None:
    table = common.Table(name="typed", columns=[column("id", key=True), column("value")])
    assert client.create(table).success
    assert client.write(table, replace=[[{"id": "a\0b", "value": "\0x"}]]).success
    assert database.rows("typed") == [("ab", "x")]


def test_sixty_megabytes_in_one_value(client: Client, database: Database) -> None:
    table = common.Table(name="typed", columns=[column("id", key=True), column("value")])
    assert client.create(table).success
    assert client.write(table, replace=[[{"id": "1", "value": "\n," * 30_000_000}]]).success
    assert database.execute("SELECT length(value) FROM {schema}.typed") == [(60_000_000,)]
