"""PostgreSQL's types: what a DECIMAL is stored as, and how many columns of a type share a page."""

from hypothesis import given
from hypothesis import strategies as st

from destination.schema import Column, DataType, DecimalParams
from destination.warehouse.ddl import NamedType
from destination.warehouse.postgres.types import PART_COLUMNS, fitting, type_name
from tests.support.examples import examples

WIDE, NARROW = "text", "bigint"


@examples(100)
@given(
    kinds=st.lists(st.sampled_from([WIDE, NARROW, "numeric", "json"]), min_size=1, max_size=2000)
)
def test_parts_hold_each_column_once_and_in_order(kinds: list[str]) -> None:
    parts = fitting([NamedType(kind) for kind in kinds], len(kinds))
    assert [column for part in parts for column in part] == [*range(len(kinds))]
    assert all(0 < len(part) <= PART_COLUMNS for part in parts)


def test_columns_that_may_be_wide_share_a_part_with_fewer() -> None:
    def most(*kinds: str, count: int = 1000) -> int:
        return max(map(len, fitting([NamedType(kind) for kind in kinds * count], count)))

    assert most("boolean") > most(WIDE) > most("uuid") > 1
    assert most(NARROW) > most(WIDE)
    assert most("character varying(10)") == most(WIDE)
    assert most(NARROW, count=10) == 10


def test_decimal_may_have_all_its_digits_after_the_point() -> None:
    for precision, scale in ((5, 5), (5, 0), (38, 38)):
        column = Column("v", DataType.DECIMAL, decimal=DecimalParams(precision, scale))
        assert type_name(column) == f"numeric({precision},{scale})"
