"""Record batches put together: what is NULL, what is unmodified, and where something is wrong."""

from collections.abc import Sequence

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from destination.batch.decoding import Converter, Decoder, Partial, equals_text
from destination.batch.refusals import RefusedError
from destination.batch.values import Notices
from destination.errors import BatchFileError
from destination.rows import MODIFIED
from destination.schema import Column, DataType, DecimalParams

ID = Column("id", DataType.INT, primary_key=True)
TEXT = Column("text", DataType.STRING)
NUMBER = Column("number", DataType.INT)
UNMODIFIED = "unmodified"


def decoded(
    columns: Sequence[Column],
    cells: Sequence[Sequence[str | None]],
    partial: Partial | None = None,
    first_row: int = 1,
) -> pa.RecordBatch:
    decoder = Decoder(columns, "null", Notices(), partial)
    arrays = [pa.array(texts, pa.string()) for texts in cells]
    return decoder.decode(arrays, [decoder.from_texts] * len(arrays), first_row)


def test_whole_rows_have_the_columns_of_the_file_alone() -> None:
    batch = decoded([NUMBER, TEXT], [["1", None], ["", "b"]])
    assert batch.to_pydict() == {"number": [1, None], "text": ["", "b"]}


def test_each_value_of_a_partial_row_is_marked_in_the_order_of_the_table() -> None:
    table = (ID, TEXT, Column("absent", DataType.INT), NUMBER)
    batch = decoded(
        [NUMBER, ID, TEXT],
        [[UNMODIFIED, "7", None], ["1", "2", "3"], ["a", UNMODIFIED, None]],
        Partial(UNMODIFIED, table),
    )
    assert batch.to_pydict() == {
        "number": [None, 7, None],
        "id": [1, 2, 3],
        "text": ["a", None, None],
        MODIFIED: [b"\1\1\0\0", b"\1\0\0\1", b"\1\1\0\1"],
    }


def test_empty_text_is_a_value_where_no_text_stands_for_unmodified_ones() -> None:
    batch = decoded([ID, TEXT], [["1", "2"], ["", "b"]], Partial("", (ID, TEXT)))
    assert batch["text"].to_pylist() == ["", "b"]
    assert batch[MODIFIED].to_pylist() == [b"\1\1", b"\1\1"]


@pytest.mark.parametrize("kind", [pa.string(), pa.binary()])
def test_which_values_are_a_text(kind: pa.DataType) -> None:
    values = pa.array(["a", None, "b", ""], pa.string()).cast(kind)
    found = equals_text(values, "b")
    assert found is not None
    assert found.to_pylist() == [False, False, True, False]
    assert equals_text(values, "c") is None
    assert equals_text(values, "") is None
    assert equals_text(pa.array([1]), "1") is None


@pytest.mark.parametrize(("first_row", "row"), [(1, 2), (20_000, 20_001)])
def test_key_that_is_null_or_unmodified_is_told_with_its_row(first_row: int, row: int) -> None:
    key = Column("id", DataType.STRING, primary_key=True)
    with pytest.raises(BatchFileError, match="is NULL, but part of the primary key") as null:
        decoded([key], [["1", None, None]], first_row=first_row)
    partial = Partial(UNMODIFIED, (key,))
    with pytest.raises(BatchFileError, match="is unmodified, but part of") as unmodified:
        decoded([key], [["1", UNMODIFIED, UNMODIFIED]], partial, first_row)
    for error in (null.value, unmodified.value):
        assert (error.row, error.column) == (row, "id")


def test_column_that_is_not_of_the_key_may_be_null() -> None:
    assert decoded([NUMBER], [[None]])["number"].to_pylist() == [None]


def test_value_without_a_converter_is_taken_as_it_is() -> None:
    decoder = Decoder([NUMBER], "null", Notices())
    batch = decoder.decode([pa.array([5], pa.int32())], [None], 1)
    assert batch["number"].to_pylist() == [5]


@given(
    refused=st.sets(st.integers(0, 40), min_size=1), others=st.integers(0, 40), first=st.integers(1)
)
def test_first_value_that_is_refused_is_told_with_its_row(
    refused: set[int], others: int, first: int
) -> None:
    size = max(max(refused) + 1, others)
    texts = ["no number" if i in refused else str(i) for i in range(size)]
    with pytest.raises(BatchFileError) as error:
        decoded([NUMBER], [texts], first_row=first)
    assert (error.value.row, error.value.column) == (first + min(refused), "number")


def test_reason_is_that_of_the_first_value_that_is_refused() -> None:
    with pytest.raises(BatchFileError, match="is too large for FLOAT") as refused:
        decoded([Column("number", DataType.FLOAT)], [["1", "1E39", "x"]])
    assert refused.value.row == 2


def test_values_that_are_refused_together_alone_are_told_by_their_type() -> None:
    def convert(array: pa.Array, _: Column) -> pa.Array:
        if len(array) > 1:
            raise pa.ArrowCapacityError
        return array

    with pytest.raises(BatchFileError) as refused:
        Decoder([TEXT], "null", Notices()).decode([pa.array(["a", "b"])], [convert], 1)
    assert refused.value.reason == "is not a valid STRING, or does not fit its range"


def test_what_columns_modify_is_told_by_their_texts() -> None:
    decoder = Decoder([TEXT, NUMBER], "null", Notices(), Partial(UNMODIFIED, (TEXT, NUMBER)))
    texts = pa.array([UNMODIFIED, "a", None]), pa.array(["1", UNMODIFIED, ""])
    masks = decoder.masks(["text", "number"], texts)
    assert {name: mask.to_pylist() for name, mask in masks.items()} == {
        "text": [b"\0", b"\1", b"\1"],
        "number": [b"\1", b"\0", b"\1"],
    }
    assert decoder.masks([], []) == {}


def raising(error: Exception) -> Converter:
    def convert(array: pa.Array, _: Column) -> pa.Array:
        if array.null_count < len(array):
            raise error
        return pa.nulls(len(array), pa.int32())

    return convert


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (RefusedError("has a reason of its own"), "has a reason of its own"),
        (pa.ArrowInvalid("marked-secret"), "is not a valid INT, or does not fit its range"),
        (pa.ArrowNotImplementedError("x"), "is not a valid INT, or does not fit its range"),
        (pa.ArrowTypeError("x"), "is not a valid INT, or does not fit its range"),
        (pa.ArrowCapacityError("x"), "is not a valid INT, or does not fit its range"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_reason_is_the_converters_or_the_types(error: Exception, told: str) -> None:
    decoder = Decoder([NUMBER], "null", Notices())
    with pytest.raises(BatchFileError) as refused:
        decoder.decode([pa.array([None, "x"])], [raising(error)], 1)
    assert (refused.value.reason, refused.value.row) == (told, 2)


@pytest.mark.parametrize(
    ("column", "told"),
    [
        (NUMBER, "is not a valid INT, or does not fit its range"),
        (
            Column("d", DataType.DECIMAL, decimal=DecimalParams(4, 1)),
            "is no number, or does not fit DECIMAL(4,1)",
        ),
        (Column("d", DataType.DECIMAL), "is not a valid DECIMAL, or does not fit its range"),
    ],
)
def test_misfit_is_told_by_its_type(column: Column, told: str) -> None:
    with pytest.raises(BatchFileError) as refused:
        decoded([column], [["x"]])
    assert refused.value.reason == told


def test_defect_of_a_converter_is_no_refusal() -> None:
    decoder = Decoder([NUMBER], "null", Notices())
    with pytest.raises(ZeroDivisionError):
        decoder.decode([pa.array(["x"])], [raising(ZeroDivisionError())], 1)
