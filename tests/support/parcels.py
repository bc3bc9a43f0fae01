"""The shop in memory with parcels that are lost, refused or come back: what happens outside, and when it is seen."""

import asyncio
from collections import Counter
from collections.abc import Sequence
from typing import Any

from hypothesis import strategies as st

from core.domain.order import ORDER
from core.domain.order.commands import OrderCommand
from core.domain.order.events import Condition
from core.domain.order.ledger import Ledger
from core.domain.order.state import (
    Cancelled,
    Completed,
    Confirmed,
    ShipmentStage,
    cancelled_quantities,
    delivered_quantities,
    left_shipments,
)
from core.domain.stock import STOCK
from core.domain.stock import commands as stock
from server.processes.triggers import cause_of
from tests.support import orders
from tests.support.checkouts import LINES, Schedule, Shop
from tests.support.orders import ORDER_ID
from tests.support.sequences import decided

ON_HAND = 10
SEEN = "the process looks at it"
CONFIRMED = (
    orders.created(),
    orders.placed(*(orders.order_line(sku, units, price) for sku, (units, price) in LINES.items())),
    orders.confirmed(),
)
Parcels = Confirmed | Completed | Cancelled


class Outside(Shop):
    """Once the order is confirmed these moves happen: one whenever the process has nothing to do, and `at_once` of them
    `meanwhile`, right before what it does at that place. With a `twin`, another process then does all that it can.
    """

    def __init__(
        self,
        schedule: Schedule,
        moves: Sequence[OrderCommand],
        meanwhile: int | None = None,
        *,
        at_once: int = 1,
        twin: bool = False,
    ) -> None:
        super().__init__(schedule)
        self._moves = list(moves)
        self._meanwhile = meanwhile
        self._at_once = at_once
        self._twin = twin

    async def run(self) -> None:
        await super().run()
        while self._moves:
            await self._move()
            await super().run()

    async def _move(self) -> None:
        await self.send(ORDER, ORDER_ID, self._moves.pop(0))

    async def _before(self, number: int) -> None:
        if number == self._meanwhile:
            for _ in range(min(self._at_once, len(self._moves))):
                await self._move()
            if self._twin:
                await self.another_process().reconcile(ORDER_ID, cause_of(self.store.recorded[-1]))


def lived(*moves: OrderCommand | str, shop: Shop | None = None) -> Shop:
    """A confirmed order, then these moves; `SEEN` where the process gets to look. It looks once more at the end."""
    the_shop = shop or Shop()

    async def all_of_it() -> None:
        await the_shop.open()
        await the_shop.run()
        for move in (*moves, SEEN):
            if isinstance(move, str):
                await the_shop.run()
            else:
                await the_shop.send(ORDER, ORDER_ID, move)

    asyncio.run(all_of_it())
    return the_shop


def then(shop: Shop, *moves: OrderCommand | stock.StockCommand) -> Shop:
    """More of it, and the process looks at it."""

    async def all_of_it() -> None:
        for move in moves:
            if isinstance(move, OrderCommand):
                await shop.send(ORDER, ORDER_ID, move)
            else:
                await shop.send(STOCK, move.sku, move)
        await shop.run()

    asyncio.run(all_of_it())
    return shop


PARTS = ((), (("milk", 1),), (("milk", 2),), (("tea", 1), ("milk", 1)), (("tea", 2), ("milk", 3)))
CANCELLED = (("milk", 1), ("milk", 2), ("tea", 1))
NAMES = ("s1", "s2", "s3", "s4")
GOOD, DAMAGED = Condition.RESALEABLE, Condition.DAMAGED
OUTSIDE: tuple[list[OrderCommand], ...] = (
    [orders.create_shipment(name, *parts) for name in NAMES for parts in PARTS],
    [orders.dispatch(name) for name in NAMES],
    [orders.deliver(name) for name in NAMES],
    [orders.lose(name) for name in NAMES],
    [orders.refuse(name) for name in NAMES],
    [
        orders.take_back(name, *parts)
        for name in NAMES
        for parts in (
            (("milk", 1, GOOD),),
            (("tea", 2, GOOD), ("milk", 3, GOOD)),
            (("tea", 1, DAMAGED), ("milk", 1, GOOD)),
        )
    ],
    [orders.unpack(name) for name in NAMES],
    [
        orders.cancel_quantity(f"x-{name}", line, n)
        for name in NAMES[:3]
        for line, n in (("milk", 1), ("milk", 2), ("tea", 1))
    ],
    [orders.cancel()],
    [orders.request_return("r1"), orders.approve_return("r1"), orders.receive_return("r1", ("milk", 1, GOOD))],
)


@st.composite
def outside_moves(draw: st.DrawFn) -> list[OrderCommand | str]:
    """What happens outside to a confirmed order, each of it possible, and where the process gets to look."""
    moves: list[OrderCommand | str] = []
    state = ORDER.fold(CONFIRMED)
    for _ in range(draw(st.integers(1, 14))):
        first = draw(st.integers(0, len(OUTSIDE) - 1))
        kinds = (OUTSIDE[(first + 3 * n) % len(OUTSIDE)] for n in range(len(OUTSIDE)))
        possible = ([command for command in kind if decided(state, command)] for kind in kinds)
        kind = next((kind for kind in possible if kind), None)
        if kind is None:
            break
        command = draw(st.sampled_from(kind))
        state = ORDER.fold(decided(state, command), state)
        moves.append(command)
        if draw(st.booleans()):
            moves.append(SEEN)
    return moves


def order_of(shop: Shop) -> Parcels:
    order = asyncio.run(shop.order())
    assert isinstance(order, Parcels)
    return order


def process_of(shop: Shop) -> Any:
    return asyncio.run(shop.checkout())


def on_hand(shop: Shop) -> dict[str, int]:
    return {sku: asyncio.run(shop.stock(sku)).on_hand for sku in LINES}


def reserved(shop: Shop) -> dict[str, int]:
    return {sku: asyncio.run(shop.stock(sku)).reserved for sku in LINES}


def ledger_of(shop: Shop) -> Ledger:
    return order_of(shop).payments


def units_left(order: Parcels) -> Counter[str]:
    """line_id → units that left the house, each parcel counted."""
    units: Counter[str] = Counter()
    for shipment in left_shipments(order):
        units.update({part.line_id: part.quantity for part in shipment.lines})
    return units


def units_away(order: Parcels) -> Counter[str]:
    """line_id → units that are with the customer, or under way."""
    units: Counter[str] = Counter()
    for shipment in left_shipments(order):
        if shipment.stage not in (ShipmentStage.LOST, ShipmentStage.RETURNED):
            units.update({part.line_id: part.quantity for part in shipment.lines})
    return units


def units_back(order: Parcels) -> Counter[str]:
    """line_id → units that came back as good as new, undelivered or returned by the customer."""
    units: Counter[str] = Counter()
    parts: list[Any] = [part for shipment in order.shipments for part in shipment.returned]
    parts += [part for x in order.returns for part in (*x.received, *x.excess)]
    for part in parts:
        if part.condition == Condition.RESALEABLE:
            units[part.line_id] += part.quantity
    return units


def ended_right(shop: Shop) -> None:
    """The property: units that left are drawn once, what came back is back, what is to be sent is reserved and nothing
    else; and the money is what is owed.
    """
    order, process = order_of(shop), process_of(shop)
    said = f"{order} {process} {shop.places.seen}"
    assert process.failure is None or process.failure.retry_at is not None, f"it is stuck: {said}"
    left, back = units_left(order), units_back(order)
    for sku, (ordered, _) in LINES.items():
        assert on_hand(shop)[sku] == ON_HAND - left[sku] + back[sku], f"{sku}: {said}"
        if isinstance(order, Cancelled):
            to_be_sent = 0
        else:
            packed = Counter[str]()
            for shipment in order.shipments:
                if shipment.stage == ShipmentStage.CREATED:
                    packed.update({part.line_id: part.quantity for part in shipment.lines})
            missing = ordered - cancelled_quantities(order)[sku] - units_away(order)[sku] - packed[sku]
            to_be_sent = packed[sku] + max(0, missing)
        assert reserved(shop)[sku] == to_be_sent, f"{sku}: {said}"
    _money_is_right(shop, order, said)


def _money_is_right(shop: Shop, order: Parcels, said: str) -> None:
    money, books = order.payments, shop.provider.books
    assert money.captured == sum(x.amount_minor for x in books.captured.values()), (
        f"all that was drawn is known: {said}"
    )
    assert money.refunded == sum(x.amount_minor for x in books.refunded.values()), said
    assert money.refunding == 0, said
    kept = money.captured - money.refunded
    if isinstance(order, Cancelled):
        assert kept == 0, said
        assert books.held == 0, said
        return
    returned = sum(part.amount.amount_minor for x in order.returns for part in x.received)
    assert kept <= order.total.amount_minor, said
    prices = {sku: price for sku, (_, price) in LINES.items()}
    off, away = cancelled_quantities(order), units_away(order)
    due = {sku: min(away[sku], ordered - off[sku]) for sku, (ordered, _) in LINES.items()}
    owed = sum(prices[sku] * units for sku, units in due.items()) - returned
    assert kept >= owed, f"what is with the customer, or on its way, is paid for: {said}"
    ever = Counter({sku: min(units_left(order)[sku], ordered) for sku, (ordered, _) in LINES.items()})
    assert kept <= sum(prices[sku] * units for sku, units in ever.items()), f"nothing is paid before it is sent: {said}"
    if isinstance(order, Completed):
        assert kept == order.total.amount_minor - returned, said
        assert delivered_quantities(order).total(), said
