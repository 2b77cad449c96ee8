"""Hypothesis strategies for tables, rows and whatever is nasty in them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal

from hypothesis import strategies as st

from destination.sdk import common_pb2 as common
from destination_tester.files import NULL_STRING, UNMODIFIED_STRING
from destination_tester.notation import UNMODIFIED, Cell
from tests.support.fix_secrets import MARK

NASTY_TEXTS = (
    "",
    " ",
    "\\.",
    "a\n\\.\nb",
    "\r\n",
    "\n",
    "\t",
    '"',
    '""',
    "'",
    "\\",
    "\\N",
    ",",
    "NULL",
    "null",
    "a,b\nc",
    "😀" * 20,
    "a\0b",
    "%s %(x)s :x",
    NULL_STRING[:-1],
    UNMODIFIED_STRING + " ",
    "ﷺ" * 30,
    "x" * 300,
    MARK,
)
NASTY_NAMES = (
    "select",
    "Mixed Case",
    'quo"ted',
    "semi;colon",
    "per%cent",
    "%(x)s",
    ":colon",
    "back\\slash",
    "new\nline",
    "ctid ",
    "c0",
    "ordinal",
    "mask",
    "v0",
    ".",
    ".c0",
    "[0]",
    "a.b",
    "日本語の非常に長い列の名前がここにありますから切れます",
    "x" * 63,
    "x" * 64,
    "x" * 64 + "y",
    "é" * 32,
)

characters = st.characters(codec="utf-8")
texts = st.sampled_from(NASTY_TEXTS) | st.text(characters, max_size=40)
names = st.sampled_from(NASTY_NAMES) | st.text(
    st.characters(codec="utf-8", exclude_characters="\0"), min_size=1, max_size=40
)
moments = st.datetimes(min_value=datetime(1, 1, 1), max_value=datetime(9999, 12, 31, 23, 59, 59))
documents = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(characters, max_size=10),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3)
    ),
    max_leaves=5,
)


def decimals(precision: int, scale: int) -> st.SearchStrategy[Decimal]:
    """Decimals that fit, to their last digit."""
    limit = 10**precision - 1
    return st.integers(-limit, limit).map(lambda digits: Decimal(f"{digits}E-{scale}"))


VALUES: dict[common.DataType, st.SearchStrategy[Cell]] = {
    common.BOOLEAN: st.booleans(),
    common.SHORT: st.integers(-(2**15), 2**15 - 1),
    common.INT: st.integers(-(2**31), 2**31 - 1),
    common.LONG: st.integers(-(2**63), 2**63 - 1),
    common.FLOAT: st.floats(width=32),
    common.DOUBLE: st.floats(),
    common.NAIVE_DATE: st.dates(),
    common.NAIVE_TIME: st.times(),
    common.NAIVE_DATETIME: moments,
    common.UTC_DATETIME: moments.map(lambda moment: moment.replace(tzinfo=UTC)),
    common.BINARY: st.binary(max_size=40),
    common.XML: texts,
    common.STRING: texts,
    common.JSON: documents.map(json.dumps),
}
KEY_TYPES = (*(kind for kind in VALUES if kind != common.JSON), common.DECIMAL)
DECIMAL_PARAMS = ((1, 0), (6, 3), (18, 9), (38, 0), (38, 10), (38, 37), (0, 0))


def values(column: common.Column) -> st.SearchStrategy[Cell]:
    """Values of a column's type."""
    if column.type != common.DECIMAL:
        return VALUES[column.type]
    params = column.params.decimal
    return decimals(params.precision or 30, params.scale)


@st.composite
def columns(draw: st.DrawFn, name: str, *, key: bool) -> common.Column:
    """A column of any type; of any that a key may have if it is part of one."""
    kinds = KEY_TYPES if key else (*VALUES, common.DECIMAL)
    column = common.Column(name=name, type=draw(st.sampled_from(kinds)), primary_key=key)
    if column.type == common.DECIMAL:
        precision, scale = draw(st.sampled_from(DECIMAL_PARAMS))
        if precision:
            column.params.decimal.precision = precision
            column.params.decimal.scale = scale
    return column


@st.composite
def tables(draw: st.DrawFn) -> common.Table:
    """A table with a key of one or two columns, in any order, under nasty names."""
    distinct = draw(st.lists(names, min_size=2, max_size=8, unique=True))
    keys = draw(st.integers(1, 2))
    made = [draw(columns(name, key=i < keys)) for i, name in enumerate(distinct)]
    return common.Table(name=draw(names), columns=draw(st.permutations(made)))


Row = dict[str, Cell]


@dataclass(frozen=True)
class Batch:
    """The rows of a request, file by file."""

    replace: Sequence[Sequence[Row]]
    update: Sequence[Sequence[Row]]
    delete: Sequence[Sequence[Row]]


@st.composite
def batches(draw: st.DrawFn, table: common.Table) -> Batch:
    """A batch whose keys are few, so that they meet often."""
    key_columns = [column for column in table.columns if column.primary_key]
    others = [column for column in table.columns if not column.primary_key]
    keys = draw(
        st.lists(
            st.fixed_dictionaries({column.name: values(column) for column in key_columns}),
            min_size=1,
            max_size=5,
        )
    )

    def files(cells: dict[str, st.SearchStrategy[Cell]]) -> st.SearchStrategy[list[list[Row]]]:
        row = st.builds(dict.__or__, st.sampled_from(keys), st.fixed_dictionaries(cells))
        return st.lists(st.lists(row, max_size=8), max_size=2)

    nullable = {column.name: st.none() | values(column) for column in others}
    partial = {name: st.just(UNMODIFIED) | cell for name, cell in nullable.items()}
    return Batch(
        draw(files(nullable)),
        draw(files(partial)),
        draw(files({column.name: st.none() for column in others})),
    )
