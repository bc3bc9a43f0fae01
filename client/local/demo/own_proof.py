"""The proof of a run on a stack that others use too: the same, for the run's own orders."""

from collections import Counter
from collections.abc import AsyncIterator, Sequence
from functools import partial
from typing import Any

from client.local.demo.outcome import all_of
from client.local.demo.proof import Proof
from client.local.demo.rules import Planned, sold
from client.local.demo.system_state import SystemState
from protos.orders.v1.types_pb2 import Order, OrderSummary
from protos.processes.v1.types_pb2 import Process
from protos.products.v1.types_pb2 import Stock


class OwnState(SystemState):
    """Orders, processes and products of others are ignored.

    A run knows its own data by its names: its orders by their customers, its products by their SKU.
    """

    own: frozenset[str] = frozenset()  # ids of orders
    households: tuple[str, ...] = ()  # ids of users

    async def wait_until_refused_parcels_are_reserved_again(self, refused: Sequence[Planned]) -> None:
        self._know(refused)
        await super().wait_until_refused_parcels_are_reserved_again(refused)

    async def wait_for_the_views(self, planned: Sequence[Planned], tokens: list[str]) -> None:
        """Others write all the time, so the views never stay at the end of the log for long."""
        self._know(planned)
        await self._wait_for_the_tokens(planned, tokens)

    def _know(self, planned: Sequence[Planned]) -> None:
        self.own = frozenset(self._names.id_of("order", x.basket.basket) for x in planned)
        households = sorted({x.basket.household for x in planned})
        self.households = tuple(self._names.id_of("user", household) for household in households)

    async def orders(self, **wanted: Any) -> AsyncIterator[OrderSummary]:
        for customer in self.households:
            async for order in super().orders(customer_id=customer, **wanted):
                yield order

    async def processes(self) -> AsyncIterator[Process]:
        async for process in super().processes():
            if process.order_id in self.own:
                yield process

    async def levels(self) -> AsyncIterator[Stock]:
        async for level in super().levels():
            if level.sku.startswith(self._names.sku_of("")):
                yield level


class OwnProof(Proof):
    """Nothing is proved about the log of all."""

    _state: OwnState

    async def _views_are_the_log(self) -> None:
        """`verify` counts the events of all; here the events of the run's users, products and stocks are counted."""
        outcome, skus = self._outcome, [level.sku async for level in self._state.levels()]

        async def user(user_id: str) -> None:
            reply = await self._patience.ask(self._shop.users.GetUser, user_id=user_id)
            outcome.events += reply.user.revision + 1

        async def product(sku: str) -> None:
            reply = await self._patience.ask(self._shop.products.GetProduct, sku=sku)
            stock = await self._patience.ask(self._shop.products.GetStock, sku=sku)
            outcome.events += reply.product.revision + 1 + stock.stock.revision + 1

        await all_of(self._progress, "users", [partial(user, user_id) for user_id in self._state.households])
        await all_of(self._progress, "products", [partial(product, sku) for sku in skus])
        outcome.streams += len(self._state.households) + 2 * len(skus) + len(self._state.own)
        outcome.documents += len(self._state.households) + 2 * len(skus) + len(self._state.own)

    async def _sales(self, planned: Sequence[Planned]) -> None:
        """The rows of days cover all orders of the shop; so the run's orders are added up instead."""
        totals: Counter[str] = Counter()
        async for order in self._state.orders():
            totals["orders"] += 1
            totals["cents"] += order.total.amount_minor
        self._equal("orders placed", len(planned), totals["orders"])
        kept = sum(sold(x) or x.basket.total for x in planned)
        self._equal("cents of orders", kept, totals["cents"])

    def _count(self, order: Order) -> None:
        super()._count(order)
        self._outcome.events += order.revision + 1
