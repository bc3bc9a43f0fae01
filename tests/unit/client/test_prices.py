"""Turns at prices: in basket order per sku, together where the price is the same, never in a circle."""

import asyncio
import random

from hypothesis import given, settings
from hypothesis import strategies as st

from client.demo.prices import PriceBoard

baskets = st.lists(st.dictionaries(st.sampled_from("abc"), st.integers(1, 3), min_size=1), max_size=12)


@given(baskets, st.randoms(use_true_random=False))
@settings(max_examples=60, deadline=None)
def test_everyone_gets_their_prices_in_basket_order(wanted: list[dict[str, int]], chance: random.Random) -> None:
    in_force: dict[str, int] = {}
    served: dict[str, list[int]] = {}

    async def set_price(sku: str, price: int) -> None:
        await asyncio.sleep(0)
        in_force[sku] = price

    async def buy(board: PriceBoard, index: int, prices: dict[str, int], tickets: object) -> None:
        async with board.hold(tickets):  # type: ignore[arg-type]  # what draw() returned
            for _ in range(chance.randint(0, 3)):
                await asyncio.sleep(0)
                assert {sku: in_force[sku] for sku in prices} == prices, "nobody changed them meanwhile"
            for sku, price in prices.items():
                served.setdefault(sku, []).append(price)

    async def shop() -> None:
        board = PriceBoard(set_price)
        async with asyncio.timeout(10), asyncio.TaskGroup() as group:
            for index, prices in enumerate(wanted):
                group.create_task(buy(board, index, prices, board.draw(prices)))

    asyncio.run(shop())
    for sku, prices in served.items():
        assert prices == [basket[sku] for basket in wanted if sku in basket]
