"""A handler that does not return is interrupted, whatever else uses the timer of the process."""

import signal
import threading
import time
from collections.abc import Iterator
from types import FrameType

import pytest

from projections.engine import handler_timeout
from projections.engine.handler_timeout import HandlerTimeout, call_with_timeout


@pytest.fixture(autouse=True)
def soon(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(handler_timeout, "HANDLER_TIMEOUT", 0.05)
    before, limit = signal.getsignal(signal.SIGALRM), signal.setitimer(signal.ITIMER_REAL, 0)  # the test's own limit
    yield
    signal.signal(signal.SIGALRM, before)
    signal.setitimer(signal.ITIMER_REAL, *limit)


def waits(document: int, event: int) -> int:
    until = time.monotonic() + 5
    while time.monotonic() < until:
        pass
    return document + event


def test_what_comes_back_in_time_is_what_it_returned() -> None:
    assert call_with_timeout(lambda document, event: document + event, 2, 3) == 5
    assert signal.getitimer(signal.ITIMER_REAL) == (0.0, 0.0)


def test_one_that_hangs_is_interrupted() -> None:
    with pytest.raises(HandlerTimeout):
        call_with_timeout(waits, 2, 3)


def test_one_that_hangs_is_interrupted_also_after_somebody_else_took_the_alarm() -> None:
    call_with_timeout(lambda document, _: document, 2, 3)
    signal.signal(signal.SIGALRM, lambda _, __: None)
    with pytest.raises(HandlerTimeout):
        call_with_timeout(waits, 2, 3)


class TestTheAlarmOfSomebodyElse:
    def test_has_its_handler_and_the_time_it_has_left_afterwards(self) -> None:
        def theirs(_: int, __: FrameType | None) -> None: ...

        signal.signal(signal.SIGALRM, theirs)
        signal.setitimer(signal.ITIMER_REAL, 60.0)
        call_with_timeout(lambda document, _: document, 2, 3)
        left, _ = signal.setitimer(signal.ITIMER_REAL, 0)
        assert signal.getsignal(signal.SIGALRM) is theirs
        assert 0.0 < left < 60.0

    def test_has_them_also_after_a_handler_that_hung(self) -> None:
        def theirs(_: int, __: FrameType | None) -> None: ...

        signal.signal(signal.SIGALRM, theirs)
        signal.setitimer(signal.ITIMER_REAL, 60.0)
        with pytest.raises(HandlerTimeout):
            call_with_timeout(waits, 2, 3)
        left, _ = signal.setitimer(signal.ITIMER_REAL, 0)
        assert signal.getsignal(signal.SIGALRM) is theirs
        assert 0.0 < left < 60.0

    def test_goes_off_afterwards_if_its_time_has_come_meanwhile(self) -> None:
        rang: list[int] = []
        signal.signal(signal.SIGALRM, lambda number, _: rang.append(number))
        signal.setitimer(signal.ITIMER_REAL, 0.01)
        with pytest.raises(HandlerTimeout):
            call_with_timeout(waits, 2, 3)
        until = time.monotonic() + 5
        while not rang and time.monotonic() < until:
            pass
        assert rang == [signal.SIGALRM]


def test_in_another_thread_it_is_called_as_it_is() -> None:
    found: list[int] = []
    thread = threading.Thread(
        target=lambda: found.append(call_with_timeout(lambda document, event: document * event, 2, 3))
    )
    thread.start()
    thread.join()
    assert found == [6]
