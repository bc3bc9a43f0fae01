"""More buyers than units: exactly as many orders are confirmed as there are units, and nothing is left in between."""

import asyncio
from collections import Counter
from functools import partial

import pytest

from core.config import Settings
from core.domain.order import ORDER
from core.domain.order.state import Confirmed, Rejected
from core.domain.stock import STOCK
from core.domain.stock.state import Stock
from tests.integration.processes.conftest import World
from tests.support.eventually import eventually

AT_ONCE = 32
WITHIN = 150.0  # seconds


@pytest.fixture
def settings(eventstore_uri: str) -> Settings:
    return Settings(eventstore_uri=eventstore_uri, grace=1.0)


@pytest.mark.parametrize(
    ("buyers", "units"), [(60, 12), pytest.param(500, 100, marks=[pytest.mark.long, pytest.mark.timeout(400)])]
)
async def test_as_many_are_confirmed_as_there_are_units(buyers: int, units: int, world: World) -> None:
    sku, customer = await world.product_in_stock(units), await world.shop.user()
    places = asyncio.Semaphore(AT_ONCE)

    async def buy() -> str:
        async with places:
            return await world.shop.placed(sku, quantity=1, customer_id=customer)

    orders = await asyncio.gather(*(buy() for _ in range(buyers)))
    for order_id in orders:
        await eventually(partial(status, world, order_id), lambda now: now != "PLACED", within=WITHIN)

    reported = Counter([await status(world, order_id) for order_id in orders])
    assert reported == {Confirmed.status: units, Rejected.status: buyers - units}
    history = await world.decoded(f"stock-{sku}")
    state: Stock = STOCK.initial
    for event in history:
        state = STOCK.evolve(state, event)
        assert state.available >= 0, "it was oversold"
    assert (state.on_hand, state.reserved) == (units, units)

    for order_id in orders:  # those who got one change their mind: nothing is reserved in the end
        if await status(world, order_id) == Confirmed.status:
            await world.shop.cancel(order_id)
    for order_id in orders:
        await world.until(f"checkout-{order_id}", "CheckoutEnded")
    end = STOCK.fold(await world.decoded(f"stock-{sku}"))
    assert (end.on_hand, end.reserved, end.open) == (units, 0, {})


async def status(world: World, order_id: str) -> str:
    return str(ORDER.fold(await world.decoded(f"order-{order_id}")).status)
