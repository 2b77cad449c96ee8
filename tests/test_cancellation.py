"""Giving up: the canceller does not wait, and nothing is interrupted that comes later."""

import threading

import pytest

from destination.cancellation import Cancellation
from destination.errors import CancelledError
from tests.waiting import wait_until


def test_work_that_waits_is_interrupted() -> None:
    cancellation, interrupted = Cancellation(), threading.Event()
    with cancellation.interrupting(interrupted.set):
        cancellation.cancel()
        assert interrupted.wait(10)
        with pytest.raises(CancelledError):
            cancellation.check()


def test_canceller_does_not_wait_but_the_work_does() -> None:
    cancellation, released = Cancellation(), threading.Event()
    steps = []

    def interrupt() -> None:
        released.wait(10)
        steps.append("interrupted")

    def work() -> None:
        with cancellation.interrupting(interrupt):
            cancellation.cancel()
            steps.append("cancelled")
        steps.append("left")

    working = threading.Thread(target=work)
    working.start()
    wait_until(lambda: steps == ["cancelled"])
    released.set()
    working.join()
    assert steps == ["cancelled", "interrupted", "left"]


def test_work_that_is_done_is_not_interrupted() -> None:
    cancellation, interrupted = Cancellation(), threading.Event()
    with cancellation.interrupting(interrupted.set):
        pass
    cancellation.cancel()
    assert not interrupted.wait(0.1)


def test_work_is_not_begun_after_it_was_given_up() -> None:
    cancellation = Cancellation()
    cancellation.cancel()
    with pytest.raises(CancelledError), cancellation.interrupting(lambda: None):
        raise AssertionError("begun")
