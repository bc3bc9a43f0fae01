"""The proof of a run on a stack that others use too: the same, for the run's own orders."""

from collections import Counter
from collections.abc import AsyncIterator, Sequence
from functools import partial
from typing import Any

from client.local.demo.outcome import all_of
from client.local.demo.proof import Proof
from client.local.demo.rules import Planned, sold
from protos.orders.v1.types_pb2 import Order, OrderSummary
from protos.processes.v1.types_pb2 import Process
from protos.products.v1.types_pb2 import Stock


class OwnProof(Proof):
    """Orders, processes and products of others are ignored, and nothing is proved about the log of all.

    A run knows its own data by its names: its orders by their customers, its products by their SKU.
    """

    _own: frozenset[str] = frozenset()  # ids of orders
    _households: tuple[str, ...] = ()  # ids of users

    async def wait_until_refused_parcels_are_reserved_again(self, refused: Sequence[Planned]) -> None:
        self._know(refused)
        await super().wait_until_refused_parcels_are_reserved_again(refused)

    async def wait_for_the_processes(self, planned: Sequence[Planned], tokens: list[str]) -> None:
        self._know(planned)
        await super().wait_for_the_processes(planned, tokens)

    async def check(self, planned: Sequence[Planned], tokens: list[str]) -> None:
        self._know(planned)
        await super().check(planned, tokens)

    def _know(self, planned: Sequence[Planned]) -> None:
        self._own = frozenset(self._names.id_of("order", x.basket.basket) for x in planned)
        households = sorted({x.basket.household for x in planned})
        self._households = tuple(self._names.id_of("user", household) for household in households)

    async def _wait_for_the_views(self, planned: Sequence[Planned], tokens: list[str]) -> None:
        """Others write all the time, so the views never stay at the end of the log for long."""
        await self._wait_for_the_tokens(planned, tokens)

    async def _orders(self, **wanted: Any) -> AsyncIterator[OrderSummary]:
        for customer in self._households:
            async for order in super()._orders(customer_id=customer, **wanted):
                yield order

    async def _processes(self) -> AsyncIterator[Process]:
        async for process in super()._processes():
            if process.order_id in self._own:
                yield process

    async def _levels(self) -> AsyncIterator[Stock]:
        async for level in super()._levels():
            if level.sku.startswith(self._names.sku_of("")):
                yield level

    async def _views_are_the_log(self) -> None:
        """`verify` counts the events of all; here the events of the run's users, products and stocks are counted."""
        outcome, skus = self._outcome, [level.sku async for level in self._levels()]

        async def user(user_id: str) -> None:
            reply = await self._patience.ask(self._shop.users.GetUser, user_id=user_id)
            outcome.events += reply.user.revision + 1

        async def product(sku: str) -> None:
            reply = await self._patience.ask(self._shop.products.GetProduct, sku=sku)
            stock = await self._patience.ask(self._shop.products.GetStock, sku=sku)
            outcome.events += reply.product.revision + 1 + stock.stock.revision + 1

        await all_of(self._progress, "users", [partial(user, user_id) for user_id in self._households])
        await all_of(self._progress, "products", [partial(product, sku) for sku in skus])
        outcome.streams += len(self._households) + 2 * len(skus) + len(self._own)
        outcome.documents += len(self._households) + 2 * len(skus) + len(self._own)

    async def _sales(self, planned: Sequence[Planned]) -> None:
        """The rows of days cover all orders of the shop; so the run's orders are added up instead."""
        totals: Counter[str] = Counter()
        async for order in self._orders():
            totals["orders"] += 1
            totals["cents"] += order.total.amount_minor
        self._equal("orders placed", len(planned), totals["orders"])
        kept = sum(sold(x) or x.basket.total for x in planned)
        self._equal("cents of orders", kept, totals["cents"])

    def _count(self, order: Order) -> None:
        super()._count(order)
        self._outcome.events += order.revision + 1
