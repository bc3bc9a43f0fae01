"""What the reconciler owes beside reaching an end: counted attempts, one effect, nothing for ever."""

import asyncio
import json
from collections.abc import Iterator, Mapping
from datetime import timedelta
from typing import Any

import pytest

from core.domain.checkout.state import Running
from core.domain.order.state import Confirmed, Expired, Rejected
from tests.support.checkouts import LINES, Fault, Shop, ran


class Always(Mapping[int, Fault]):
    """The same fault wherever a call of that name comes up, `times` times; then another, for good."""

    def __init__(self, name: str, fault: Fault, times: int, then: Fault | None = None) -> None:
        self.shop: Shop | None = None
        self._name, self._fault, self._left, self._then = name, fault, times, then

    def get(self, number: int, default: Fault | None = None) -> Fault | None:  # type: ignore[override]  # a schedule asks
        assert self.shop is not None
        if self.shop.places.seen[number] != self._name:
            return default
        if self._left == 0:
            return self._then or default
        self._left -= 1
        return self._fault

    def __getitem__(self, number: int) -> Fault:
        raise KeyError(number)

    def __iter__(self) -> Iterator[int]:
        return iter(())

    def __len__(self) -> int:
        return 0


def shop_with(schedule: Always, **world: Any) -> Shop:
    schedule.shop = Shop(schedule, **world)
    return schedule.shop


def failures(shop: Shop) -> list[tuple[int, str]]:
    """Attempts and reasons, as they were written down."""
    stored = (event for event in shop.store.recorded if event.type == "CheckoutStepFailed")
    return [(data["attempt"], data["reason"]) for data in (json.loads(event.data) for event in stored)]


def test_a_step_that_takes_the_process_down_each_time_is_counted_and_waits_for_an_operator_in_the_end() -> None:
    shop = ran(shop_with(Always("provider.authorise", Fault.KILLED_BEFORE, times=1_000)))
    assert isinstance(asyncio.run(shop.order()), Expired)
    types = asyncio.run(shop.types())
    assert shop.kills < 20, "it is not tried for ever"
    assert types.count("CheckoutStepFailed") > 5


def test_a_provider_that_is_down_for_a_while_costs_nothing_but_time() -> None:
    shop = ran(shop_with(Always("provider.authorise", Fault.FAILED, times=5)))
    order, process = asyncio.run(shop.order()), asyncio.run(shop.checkout())
    assert isinstance(order, Confirmed)
    assert isinstance(process, Running)
    assert process.failure is not None
    assert process.failure.attempt == 6, "five came to nothing, the sixth was written down before it was made"


def test_an_event_that_others_have_sent_back_often_is_worked_on_at_once() -> None:
    """By consumers of an older release, say, which could not read the order."""
    shop = Shop()
    shop.delivered_elsewhere = 5
    ran(shop)
    assert isinstance(asyncio.run(shop.order()), Confirmed)


def test_a_step_that_fails_for_another_reason_than_before_says_so() -> None:
    shop = ran(shop_with(Always("provider.authorise", Fault.KILLED_BEFORE, times=4, then=Fault.FAILED)))
    noted = failures(shop)
    assert noted[0] == (1, "its event was delivered several times and came to nothing")
    assert noted[-1] == (9, "PAYMENT_PROVIDER: provider.authorise")
    attempts = [attempt for attempt, _ in noted]
    assert attempts == sorted(attempts), "a reason that is written down again is no attempt"


def test_a_pause_that_is_over_at_once_hides_no_reason() -> None:
    """As on a machine that was held up between writing the failure down and looking again."""
    schedule = Always("provider.authorise", Fault.FAILED, times=1_000)
    shop = ran(shop_with(schedule, pauses=(timedelta(0), timedelta(0))))
    assert failures(shop) == [(n, "PAYMENT_PROVIDER: provider.authorise") for n in (1, 2, 3)]


def test_a_provider_that_is_down_for_good_ends_with_the_deadline_and_nothing_held() -> None:
    shop = ran(shop_with(Always("provider.authorise", Fault.TIMED_OUT, times=1_000)))
    assert isinstance(asyncio.run(shop.order()), Expired)
    assert shop.provider.books.held == 0


def test_an_order_whose_user_is_blocked_before_it_is_confirmed_is_rejected_and_all_is_given_back() -> None:
    shop = ran(Shop(blocked_at=0))
    assert isinstance(asyncio.run(shop.order()), Rejected)
    [rejected] = [json.loads(event.data) for event in shop.store.recorded if event.type == "OrderRejected"]
    assert rejected["reason"].startswith("USER_BLOCKED")
    assert {asyncio.run(shop.stock(sku)).reserved for sku in LINES} == {0}
    assert shop.provider.books.held == 0


@pytest.mark.parametrize("name", ["ConfirmOrder", "NoteStockReserved", "ReserveStock"])
def test_an_event_store_that_is_down_for_a_while_costs_nothing_but_time(name: str) -> None:
    shop = ran(shop_with(Always(name, Fault.FAILED, times=8)))
    assert isinstance(asyncio.run(shop.order()), Confirmed)
