"""The memory budget: who is admitted, who waits, who never fits, and that all is given back."""

import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, nullcontext

import pyarrow as pa
import pytest

from destination.errors import CapacityError
from destination.memory import FILE_BYTES, MIB, Budget, Reservation

SHORT_SECONDS, LONG_SECONDS = 0.05, 10


@pytest.fixture
def budget() -> Budget:
    """For two files at once, and one large one of two shares."""
    return Budget(4 * FILE_BYTES)


@pytest.fixture
def resources() -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


def started(work: Callable[[], object]) -> threading.Event:
    """Begin work that may wait; what it answers is set once the work is done."""
    done = threading.Event()

    def run() -> None:
        work()
        done.set()

    threading.Thread(target=run, daemon=True).start()
    return done


def waits(work: Callable[[], object], release: Callable[[], object]) -> bool:
    """Whether work waits until something is released, and ends then."""
    done = started(work)
    early = done.wait(SHORT_SECONDS)
    release()
    return done.wait(LONG_SECONDS) and not early


def outgrown(reservation: Reservation) -> None:
    reservation.part().require(FILE_BYTES + 1)


@pytest.mark.parametrize(
    ("size", "files"), [(4 * FILE_BYTES, 2), (5 * FILE_BYTES, 2), (6 * FILE_BYTES, 3), (MIB, 1)]
)
def test_as_many_files_as_fit_half_the_budget_are_read_at_once(size: int, files: int) -> None:
    budget, first, others = Budget(size), ExitStack(), ExitStack()
    first.enter_context(budget.reserve())
    for _ in range(files - 1):
        others.enter_context(budget.reserve())
    with others:
        assert waits(lambda: others.enter_context(budget.reserve()), first.close)


def test_budget_of_less_than_a_file_admits_one() -> None:
    with Budget(MIB).reserve() as reservation:
        with pytest.raises(CapacityError):
            outgrown(reservation)
        reservation.part().require(FILE_BYTES)


def test_files_at_once_have_a_thread_each_to_be_read_in() -> None:
    before = pa.io_thread_count()
    try:
        Budget(2 * FILE_BYTES * (before + 3))
        assert pa.io_thread_count() == before + 3
        Budget(2 * FILE_BYTES)
        assert pa.io_thread_count() == before + 3
    finally:
        pa.set_io_thread_count(before)


def test_file_that_outgrows_its_share_waits_for_the_one_that_has(
    budget: Budget, resources: ExitStack
) -> None:
    one, other = (resources.enter_context(budget.reserve()) for _ in range(2))
    part = one.part()
    part.require(FILE_BYTES)
    outgrown(other)
    part.require(0)
    assert waits(lambda: part.require(FILE_BYTES + 1), other.close)


@pytest.mark.parametrize("size", [FILE_BYTES, FILE_BYTES - 1, 0])
def test_file_that_shrinks_to_its_share_lets_another_outgrow_its_own(
    budget: Budget, resources: ExitStack, size: int
) -> None:
    one, other = (resources.enter_context(budget.reserve()) for _ in range(2))
    part = one.part()
    part.require(2 * FILE_BYTES)
    assert waits(lambda: outgrown(other), lambda: part.require(size))


def test_large_file_may_change_its_size_and_is_large_once(
    budget: Budget, resources: ExitStack
) -> None:
    one, other = (resources.enter_context(budget.reserve()) for _ in range(2))
    part = one.part()
    for size in (FILE_BYTES + 2, FILE_BYTES + 1, 2 * FILE_BYTES):
        part.require(size)
        assert part.size == size
    assert waits(lambda: outgrown(other), lambda: part.require(1))


@pytest.mark.parametrize("fails", [False, True])
def test_all_is_given_back_at_the_end_even_of_a_file_that_cannot_be_read(
    budget: Budget, *, fails: bool
) -> None:
    def read() -> None:
        expected = pytest.raises(ValueError) if fails else nullcontext()
        with expected, budget.reserve() as reservation:
            outgrown(reservation)
            if fails:
                raise ValueError

    for _ in range(5):
        assert started(read).wait(LONG_SECONDS)


def test_parts_of_a_file_are_counted_together(budget: Budget, resources: ExitStack) -> None:
    one, other = (resources.enter_context(budget.reserve()) for _ in range(2))
    first, second = one.part(), one.part()
    first.require(FILE_BYTES // 2)
    second.require(FILE_BYTES // 2 + 1)
    assert waits(lambda: outgrown(other), lambda: first.require(FILE_BYTES // 2 - 1))


def test_file_that_never_fits_is_told_what_to_do(budget: Budget) -> None:
    with budget.reserve() as reservation:
        part = reservation.part()
        part.require(2 * FILE_BYTES)
        told = r"more than 128 MiB: .* --memory-budget larger than 256 \(MiB\)"
        with pytest.raises(CapacityError, match=told):
            part.require(2 * FILE_BYTES + 1)
        assert part.size == 2 * FILE_BYTES
