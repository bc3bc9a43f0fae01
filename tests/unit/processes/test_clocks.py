"""A process whose clock is wrong ends nothing too early."""

import asyncio
from datetime import timedelta

from core.domain.order.state import Confirmed, Expired
from server.processes.payments.simulator import Rules
from tests.support.checkouts import TOTAL, Shop, ran
from tests.support.orders import LATER

AHEAD = timedelta(days=30)  # more than an order has to be confirmed in


class TestAClockThatIsAhead:
    def test_expires_no_order(self) -> None:
        shop = ran(Shop(clock_ahead=AHEAD))
        assert isinstance(asyncio.run(shop.order()), Confirmed)

    def test_expires_one_that_cannot_be_confirmed_when_its_time_has_come(self) -> None:
        shop = ran(Shop(rules=Rules(mute=TOTAL % 100), clock_ahead=AHEAD))
        assert isinstance(asyncio.run(shop.order()), Expired)
        [expired] = [event for event in shop.store.recorded if event.type == "OrderExpired"]
        assert expired.recorded_at is not None
        assert expired.recorded_at >= LATER

    def test_delays_no_retry(self) -> None:
        shop = ran(Shop(rules=Rules(down=100), clock_ahead=AHEAD))
        assert isinstance(asyncio.run(shop.order()), Confirmed)


def test_a_clock_that_is_behind_expires_an_order_later() -> None:
    shop = ran(Shop(rules=Rules(mute=TOTAL % 100), clock_ahead=-timedelta(hours=1)))
    [expired] = [event for event in shop.store.recorded if event.type == "OrderExpired"]
    assert expired.recorded_at is not None
    assert expired.recorded_at >= LATER + timedelta(hours=1)
