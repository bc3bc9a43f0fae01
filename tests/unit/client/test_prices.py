"""A product has one price at a time: turns are taken in basket order, and nobody waits in a circle."""

import asyncio
import random
from collections.abc import Mapping

import pytest

from client.local.demo.prices import PriceBoard


class Shop:
    """Keeps the prices and what happened to them."""

    def __init__(self) -> None:
        self.prices: dict[str, int] = {}
        self.changes: list[tuple[str, int]] = []

    async def set_price(self, sku: str, price: int) -> None:
        await asyncio.sleep(0)
        self.prices[sku] = price
        self.changes.append((sku, price))


async def test_the_price_stands_while_it_is_held() -> None:
    shop = Shop()
    board = PriceBoard(shop.set_price)
    first, second = board.draw({"tea": 100}), board.draw({"tea": 120})
    waiting = asyncio.create_task(_bought(board, shop, second))
    async with board.hold(first):
        await asyncio.sleep(0)
        assert shop.prices == {"tea": 100}
        assert not waiting.done()
    assert await waiting == {"tea": 120}


async def test_who_needs_the_same_price_buys_together_and_it_is_set_once() -> None:
    shop = Shop()
    board = PriceBoard(shop.set_price)
    first, second = board.draw({"tea": 100}), board.draw({"tea": 100})
    async with board.hold(first), board.hold(second):
        assert shop.changes == [("tea", 100)]


async def test_nobody_overtakes_who_waits_for_another_price() -> None:
    shop = Shop()
    board = PriceBoard(shop.set_price)
    tickets = [board.draw({"tea": price}) for price in (100, 120, 100)]
    await asyncio.gather(*(_bought(board, shop, ticket) for ticket in reversed(tickets)))
    assert shop.changes == [("tea", 100), ("tea", 120), ("tea", 100)]


async def test_a_failure_releases_the_price() -> None:
    shop = Shop()
    board = PriceBoard(shop.set_price)
    first, second = board.draw({"tea": 100}), board.draw({"tea": 120})
    with pytest.raises(LookupError):
        async with board.hold(first):
            raise LookupError
    assert await asyncio.wait_for(_bought(board, shop, second), 5) == {"tea": 120}


async def test_many_baskets_that_cross_each_other_all_get_their_prices() -> None:
    shop, chance = Shop(), random.Random(11)
    board = PriceBoard(shop.set_price)
    baskets = [
        {f"sku-{n}": chance.choice((100, 110, 120)) for n in chance.sample(range(6), chance.randint(1, 6))}
        for _ in range(200)
    ]
    buying = [_bought(board, shop, board.draw(prices)) for prices in baskets]
    chance.shuffle(together := list(enumerate(buying)))
    async with asyncio.timeout(20):
        seen = dict(zip((n for n, _ in together), await asyncio.gather(*(b for _, b in together)), strict=True))
    assert [seen[number] for number in range(len(baskets))] == baskets


async def _bought(board: PriceBoard, shop: Shop, tickets: Mapping[str, object]) -> dict[str, int]:
    """The prices that the shop has, for these skus, after a while of holding them."""
    async with board.hold(tickets):  # type: ignore[arg-type]  # the board's own tickets, opaque to its users
        for _ in range(3):
            await asyncio.sleep(0)
        return {sku: shop.prices[sku] for sku in tickets}
