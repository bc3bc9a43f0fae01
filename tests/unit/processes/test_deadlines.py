"""What timers wait for, and from where on the log has to be read to know it again."""

from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core.domain.checkout.events import (
    CheckoutEnded,
    CheckoutRetried,
    CheckoutStarted,
    CheckoutStepFailed,
    CheckoutStockReserved,
)
from server.processes.command_sender import Cause
from server.processes.deadlines import Deadline, Deadlines
from tests.support import orders
from tests.support.orders import NOON

CAUSE = Cause(event_id="e", correlation_id="c")
ORDERS = ("one", "two", "three")


def at(minutes: int) -> Any:
    return NOON + timedelta(minutes=minutes)


def started(deadline: int = 60) -> CheckoutStarted:
    return CheckoutStarted(id_version=8, order_id="one", lines=(), deadline=at(deadline), at=NOON)


def failed(retry_at: int | None) -> CheckoutStepFailed:
    again = None if retry_at is None else at(retry_at)
    return CheckoutStepFailed(
        order_id="one", step="CAPTURE_PAYMENT", subject="s1", reason="no", attempt=1, retry_at=again, at=NOON
    )


RESERVED = CheckoutStockReserved(order_id="one", at=NOON)
RETRIED = CheckoutRetried(order_id="one", at=NOON)
ENDED = CheckoutEnded(order_id="one", outcome="COMPLETED", at=NOON)
CONFIRMED = orders.confirmed()


class Log:
    """Events at positions 10, 20, …, and what has been made of them."""

    def __init__(self, *events: Any) -> None:
        self.events: list[tuple[int, str, Any]] = []
        self.deadlines = Deadlines()
        for event in events:
            self.append("one", event)

    @property
    def head(self) -> int:
        return 10 * len(self.events)

    def append(self, order_id: str, event: Any) -> None:
        after = self.head
        self.events.append((after + 10, order_id, event))
        self.deadlines.apply(order_id, event, CAUSE, after=after)

    def read_again(self) -> Deadlines:
        """By another, from the mark on."""
        mark, deadlines = self.deadlines.resume_position(self.head), Deadlines()
        before = mark
        for position, order_id, event in self.events:
            if position > mark:
                deadlines.apply(order_id, event, CAUSE, after=before)
                before = position
        return deadlines


def pop_due(deadlines: Deadlines, minutes: int) -> list[str]:
    return [order_id for order_id, _ in deadlines.pop_due(at(minutes))]


def test_an_order_is_woken_at_its_deadline_once() -> None:
    deadlines = Log(started(60), RESERVED).deadlines
    assert pop_due(deadlines, 59) == []
    assert pop_due(deadlines, 60) == ["one"]
    assert pop_due(deadlines, 61) == []


def test_a_failed_step_is_tried_again_before_the_deadline() -> None:
    deadlines = Log(started(60), failed(5)).deadlines
    assert (pop_due(deadlines, 5), pop_due(deadlines, 60)) == (["one"], ["one"])


@pytest.mark.parametrize("over", [ENDED, CONFIRMED])
def test_an_order_that_is_confirmed_or_has_ended_does_not_lapse(over: Any) -> None:
    log = Log(started(60), over)
    assert (pop_due(log.deadlines, 60), log.deadlines.resume_position(log.head)) == ([], log.head)


def test_what_is_tried_again_at_once_or_waits_for_an_operator_has_no_timer() -> None:
    assert pop_due(Log(CONFIRMED, failed(5), RETRIED).deadlines, 5) == []
    assert pop_due(Log(CONFIRMED, failed(None)).deadlines, 5) == []


def test_an_open_deadline_is_read_again_and_what_was_over_before_it_is_not() -> None:
    log = Log(started(60), ENDED)
    log.append("two", started(90))
    log.append("three", started(30))
    log.append("three", ENDED)
    assert log.deadlines.resume_position(log.head) == 20
    assert pop_due(log.read_again(), 90) == ["two"]


def test_what_has_come_is_needed_until_the_process_has_looked() -> None:
    log = Log(started(60))
    [(_, due)] = log.deadlines.pop_due(at(60))
    assert log.deadlines.resume_position(log.head) == 0
    log.deadlines.done(due)
    assert log.deadlines.resume_position(log.head) == log.head


EVENTS = st.one_of(
    st.builds(started, st.integers(0, 60)),
    st.builds(failed, st.one_of(st.none(), st.integers(0, 60))),
    st.sampled_from([RESERVED, RETRIED, ENDED, CONFIRMED]),
)
HAPPENS = st.tuples(st.sampled_from(ORDERS), EVENTS)
TIME_PASSES = st.tuples(st.just(""), st.integers(0, 10))
LOOKED = st.tuples(st.just("looked"), st.integers(0, 9))


@settings(max_examples=300)
@given(st.lists(st.one_of(HAPPENS, TIME_PASSES, LOOKED), max_size=40))
def test_who_reads_from_the_mark_on_misses_nothing_that_is_open(story: list[tuple[str, Any]]) -> None:
    log, now = Log(), 0
    being_woken: list[tuple[str, Deadline, int]] = []
    for who, what in story:
        if who == "":
            now += what
            being_woken += [(order_id, due, log.head) for order_id, due in log.deadlines.pop_due(at(now))]
        elif who == "looked":
            if being_woken:
                log.deadlines.done(being_woken.pop(what % len(being_woken))[1])
        else:
            log.append(who, what)
    again = log.read_again()
    for order_id in log.deadlines:
        known, read = log.deadlines[order_id], again[order_id]
        for mine, theirs in ((known.deadline, read.deadline), (known.retry_at, read.retry_at)):
            woken_once_more = mine is None and theirs is not None and theirs <= at(now)  # which does no harm
            assert mine == theirs or woken_once_more
    come_again = pop_due(again, now)
    for order_id, _, head in being_woken:
        reported_since = any(one == order_id for position, one, _ in log.events if position > head)
        assert order_id in come_again or reported_since
