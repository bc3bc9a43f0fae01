"""A product has one price at a time, and baskets need it at theirs: there is a queue per sku, in basket order.

Baskets that need the same price hold a sku together; a basket that needs another price waits until they have released
it, and those behind it wait for it. Tickets for all skus of a basket are drawn at once, in basket order, so that no
deadlock is possible.
"""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field


@dataclass(slots=True)
class _Ticket:
    price: int
    served: asyncio.Event = field(default_factory=asyncio.Event)


@dataclass(slots=True)
class _Queue:
    price: int | None = None
    holders: int = 0
    waiting: deque[_Ticket] = field(default_factory=deque)
    setting: asyncio.Lock = field(default_factory=asyncio.Lock)
    in_force: int | None = None  # the price that the shop has confirmed


class PriceBoard:
    """`set_price(sku, price)` changes it in the shop; it is called once per change, before any order at that price."""

    def __init__(self, set_price: Callable[[str, int], Awaitable[None]]) -> None:
        self._set_price = set_price
        self._queues: dict[str, _Queue] = {}

    def draw(self, prices: Mapping[str, int]) -> dict[str, _Ticket]:
        """Tickets for these skus at these prices. To be drawn in basket order."""
        tickets = {}
        for sku, price in prices.items():
            queue = self._queues.setdefault(sku, _Queue())
            ticket = tickets[sku] = _Ticket(price)
            queue.waiting.append(ticket)
            self._serve(queue)
        return tickets

    @asynccontextmanager
    async def hold(self, tickets: Mapping[str, _Ticket]) -> AsyncIterator[None]:
        """Wait for every ticket; the prices stay fixed until the block ends."""
        for ticket in tickets.values():
            await ticket.served.wait()
        try:
            for sku, ticket in tickets.items():
                await self._put_in_force(sku, ticket.price)
            yield
        finally:
            for sku in tickets:
                queue = self._queues[sku]
                queue.holders -= 1
                self._serve(queue)

    async def _put_in_force(self, sku: str, price: int) -> None:
        queue = self._queues[sku]
        async with queue.setting:
            if queue.in_force != price:
                await self._set_price(sku, price)
                queue.in_force = price

    @staticmethod
    def _serve(queue: _Queue) -> None:
        while queue.waiting and (not queue.holders or queue.waiting[0].price == queue.price):
            ticket = queue.waiting.popleft()
            queue.price = ticket.price
            queue.holders += 1
            ticket.served.set()
