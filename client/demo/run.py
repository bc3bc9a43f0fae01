"""The demo: baskets in, orders out, and the proof.

The rules of what happens to an order: every 20th basket is cancelled after it was placed; the others are confirmed and
shipped whole, but every 5th that has several lines in two parcels; every parcel is dispatched and delivered.
"""

import asyncio
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Any
from uuid import UUID, uuid5

from client.demo.baskets import CURRENCY, Basket, Line
from client.demo.prices import PriceBoard
from client.sdk import OrderstreamClient
from protos.common.v1.types_pb2 import Address, Money
from protos.orders.v1.commands_pb2 import NewLine
from protos.orders.v1.types_pb2 import LineQuantity, OrderStatus

AT_ONCE = 32
DEADLINE = 60.0  # seconds for one command, over all tries, and for the views to move at all
LOOK_AGAIN = 0.5  # seconds
CANCEL_EVERY, SPLIT_EVERY = 20, 5
EVENTS_OF_A_PARCEL = 3
# between them, each event of the log once
TAKE_IN_EVERYTHING = ("order_detail", "product_list", "stock_levels", "user_detail")
NAMES = UUID("6f0d1c4e-6a55-5b0e-9d6e-0c6f7a9f2b11")  # ids are derived, so the demo may be run again on the same data

Progress = Callable[[str, int, int], None]  # what, done, of


class ViewsStuckError(Exception):
    """One line that says which."""


def derived(*parts: object) -> str:
    return str(uuid5(NAMES, ":".join(map(str, parts))))


def is_cancelled(index: int) -> bool:
    return index % CANCEL_EVERY == CANCEL_EVERY - 1


def parcels_of(index: int, basket: Basket) -> list[tuple[Line, ...]]:
    if index % SPLIT_EVERY == 0 and len(basket.lines) > 1:
        return [basket.lines[:1], basket.lines[1:]]
    return [basket.lines]


@dataclass(slots=True)
class Outcome:
    """What was sent, and what the proof found."""

    users: int = 0
    products: int = 0
    price_changes: int = 0
    orders: int = 0
    lines: int = 0
    commands: int = 0
    events: int = 0
    streams: int = 0
    documents: int = 0
    differences: list[str] = field(default_factory=list)
    seconds: float = 0.0
    left_out: Counter[str] = field(default_factory=Counter)


class Demo:
    """One run. `token` is the newest answer's, so that the proof reads nothing older."""

    def __init__(self, shop: OrderstreamClient, names: dict[int, str], progress: Progress) -> None:
        self._shop = shop
        self._names = names
        self._progress = progress
        self._prices = PriceBoard(self._set_price)
        self._known: dict[str, int] = {}
        self._changes: dict[str, int] = {}  # of the price, by sku registered
        self.tokens: list[str] = []
        self.outcome = Outcome()

    async def run(self, baskets: list[Basket]) -> Outcome:
        started = time.monotonic()
        await self._register_users(baskets)
        await self._sell(baskets)
        self.outcome.seconds = round(time.monotonic() - started, 3)
        await Proof(self._shop, self.outcome, self._progress).check(baskets, self.tokens)
        return self.outcome

    async def _register_users(self, baskets: list[Basket]) -> None:
        households = sorted({basket.household for basket in baskets})

        async def register(household: int) -> None:
            await self._command(
                self._shop.users.RegisterUser,
                "user",
                household,
                user_id=derived("user", household),
                name=f"Household {household}",
                email=f"household-{household}@example.org",
            )

        await _all(self._progress, "users", [partial(register, household) for household in households])
        self.outcome.users = len(households)

    async def _sell(self, baskets: list[Basket]) -> None:
        # tickets are drawn here, one basket after the other; only the work behind them is concurrent
        places = asyncio.Semaphore(AT_ONCE)
        done = 0

        async def sell(index: int, basket: Basket, tickets: Any) -> None:
            nonlocal done
            try:
                async with self._prices.hold(tickets):
                    await self._place(basket)
            finally:
                places.release()
            await self._fulfil(index, basket)
            done += 1
            self._progress("orders", done, len(baskets))

        async with asyncio.TaskGroup() as group:
            for index, basket in enumerate(baskets):
                await places.acquire()
                tickets = self._prices.draw({line.sku: line.price for line in basket.lines})
                for line in basket.lines:
                    self._known.setdefault(line.sku, line.product)
                group.create_task(sell(index, basket, tickets))
        self.outcome.products = len(self._known)
        self.outcome.orders = len(baskets)
        self.outcome.lines = sum(len(basket.lines) for basket in baskets)

    async def _set_price(self, sku: str, price: int) -> None:
        money = Money(amount_minor=price, currency=CURRENCY)
        if sku in self._changes:
            # counted per sku: turns are taken in basket order, so a second run sends the same requests again
            self._changes[sku] += 1
            self.outcome.price_changes += 1
            await self._command(self._shop.products.ChangePrice, "price", sku, self._changes[sku], sku=sku, price=money)
            return
        self._changes[sku] = 0
        name = self._names.get(self._known[sku], f"Product {sku}")
        await self._command(self._shop.products.RegisterProduct, "product", sku, sku=sku, name=name, price=money)
        await self._command(self._shop.products.ActivateProduct, "activate", sku, sku=sku)

    async def _place(self, basket: Basket) -> None:
        order_id = derived("order", basket.basket)
        address = Address(
            name=f"Household {basket.household}",
            line1="1 Main Street",
            city="Cincinnati",
            postal_code="45202",
            country="US",
        )
        await self._command(
            self._shop.orders.CreateOrder,
            "create",
            basket.basket,
            order_id=order_id,
            customer_id=derived("user", basket.household),
            currency=CURRENCY,
            lines=[NewLine(line_id=line.sku, sku=line.sku, quantity=line.quantity) for line in basket.lines],
            shipping_address=address,
        )
        await self._command(self._shop.orders.PlaceOrder, "place", basket.basket, order_id=order_id)

    async def _fulfil(self, index: int, basket: Basket) -> None:
        orders, order_id, key = self._shop.orders, derived("order", basket.basket), basket.basket
        if is_cancelled(index):
            await self._command(orders.CancelOrder, "cancel", key, order_id=order_id, reason="every 20th is cancelled")
            return
        await self._command(orders.ConfirmOrder, "confirm", key, order_id=order_id)
        for number, lines in enumerate(parcels_of(index, basket), start=1):
            parcel = {"order_id": order_id, "shipment_id": f"parcel-{number}"}
            parts = [LineQuantity(line_id=line.sku, quantity=line.quantity) for line in lines]
            await self._command(orders.CreateShipment, "pack", key, number, lines=parts, **parcel)
            await self._command(
                orders.DispatchShipment,
                "dispatch",
                key,
                number,
                carrier="USPS",
                tracking_number=f"{key}-{number}",
                **parcel,
            )
            await self._command(orders.ConfirmDelivery, "deliver", key, number, **parcel)

    async def _command(self, method: Any, *key: object, **fields: Any) -> None:
        reply = await method(request_id=derived(*key), deadline=DEADLINE, **fields)
        self.outcome.commands += 1
        self.tokens[:] = [reply.consistency_token, *self.tokens[:AT_ONCE]]


class Proof:
    """The views against the data set's own sums, and the log against the views."""

    def __init__(self, shop: OrderstreamClient, outcome: Outcome, progress: Progress) -> None:
        self._shop = shop
        self._outcome = outcome
        self._progress = progress

    async def check(self, baskets: list[Basket], tokens: list[str]) -> None:
        """Every difference found is a line in `outcome.differences`."""
        await self._wait_for_the_views(baskets, tokens)
        await self._views_are_the_log()
        self._equal("events in the log", expected_events(baskets, self._outcome), self._outcome.events)
        await self._sales(baskets)
        await self._statuses(baskets)
        await self._customers(baskets)

    async def _wait_for_the_views(self, baskets: list[Basket], tokens: list[str]) -> None:
        reached, since = -1, time.monotonic()
        while True:
            views = (await self._shop.operations.ListProjections(deadline=DEADLINE)).projections
            at, head = sum(min(view.position, view.head) for view in views), sum(view.head for view in views)
            self._progress("views", at, head)
            if at == head:
                break
            if at != reached:
                reached, since = at, time.monotonic()
            elif time.monotonic() - since > DEADLINE:
                behind = ", ".join(f"{view.view} {view.last_error}" for view in views if view.position < view.head)
                raise ViewsStuckError(f"no view has moved for {DEADLINE:.0f} s; behind the log: {behind}")
            await asyncio.sleep(LOOK_AGAIN)
        # each view has a position of its own, and which of the last answers is the newest the tokens do not say
        orders, anyone = self._shop.orders, derived("user", baskets[0].household)
        for token in tokens:
            await orders.GetSalesDaily(consistency_token=token, page_size=1, deadline=DEADLINE)
            await orders.ListOrders(consistency_token=token, page_size=1, deadline=DEADLINE)
            await orders.GetCustomerOrders(consistency_token=token, customer_id=anyone, deadline=DEADLINE)

    async def _views_are_the_log(self) -> None:
        outcome, head = self._outcome, 0
        async for message in self._shop.operations.VerifyProjections():
            if message.HasField("progress"):
                head = message.progress.head
                self._progress("verifying", message.progress.position, head)
                continue
            result = message.snapshots if message.HasField("snapshots") else message.result
            outcome.documents += result.documents
            if result.view in TAKE_IN_EVERYTHING:
                outcome.events += result.events
                outcome.streams += result.streams
            name = result.view or "snapshots"
            for x in result.listed:
                outcome.differences.append(
                    f"{name} {x.key} {x.field}: the log says {x.expected_json}, there stands {x.actual_json}"
                )
            if result.differences > len(result.listed):
                outcome.differences.append(f"{name}: {result.differences - len(result.listed)} more")
        self._progress("verifying", head, head)

    async def _sales(self, baskets: list[Basket]) -> None:
        totals: Counter[str] = Counter()
        async for page in self._shop.orders.pages("GetSalesDaily", page_size=1000):
            for day in page.days:
                totals["placed"] += day.placed_minor
                totals["cancelled"] += day.cancelled_minor
                totals["orders"] += day.orders_placed
                totals["orders cancelled"] += day.orders_cancelled
                totals["units"] += day.units
        gone = [basket for index, basket in enumerate(baskets) if is_cancelled(index)]
        self._equal("cents placed", sum(basket.total for basket in baskets), totals["placed"])
        self._equal("cents cancelled", sum(basket.total for basket in gone), totals["cancelled"])
        self._equal("orders placed", len(baskets), totals["orders"])
        self._equal("orders cancelled", len(gone), totals["orders cancelled"])
        self._equal("units", _units(baskets) - _units(gone), totals["units"])

    async def _statuses(self, baskets: list[Basket]) -> None:
        gone = sum(is_cancelled(index) for index in range(len(baskets)))
        for status, wanted in (("CANCELLED", gone), ("CONFIRMED", len(baskets) - gone), ("DRAFT", 0), ("PLACED", 0)):
            number = OrderStatus.Value(f"ORDER_STATUS_{status}")
            found = 0
            async for page in self._shop.orders.pages("ListOrders", page_size=1000, status=number):
                found += len(page.orders)
            self._equal(f"orders that are {status.lower()}", wanted, found)

    async def _customers(self, baskets: list[Basket]) -> None:
        sums: Counter[int] = Counter()
        for index, basket in enumerate(baskets):
            sums[basket.household] += 0 if is_cancelled(index) else basket.total

        async def check(household: int) -> None:
            reply = await self._shop.orders.GetCustomerOrders(customer_id=derived("user", household), deadline=DEADLINE)
            found = sum(total.amount_minor for total in reply.totals)
            self._equal(f"cents of household {household}", sums[household], found)

        await _all(self._progress, "customers", [partial(check, household) for household in sums])

    def _equal(self, what: str, wanted: int, found: int) -> None:
        if wanted != found:
            self._outcome.differences.append(f"{what}: the data says {wanted}, the system {found}")


def expected_events(baskets: list[Basket], outcome: Outcome) -> int:
    """As computed from the data and the rules: what the log must hold."""
    events = outcome.users + 2 * outcome.products + outcome.price_changes
    for index, basket in enumerate(baskets):
        events += 3 + len(basket.lines)  # created, lines, address, placed
        events += 1  # cancelled or confirmed
        if not is_cancelled(index):
            events += EVENTS_OF_A_PARCEL * len(parcels_of(index, basket))
    return events


def _units(baskets: list[Basket]) -> int:
    return sum(line.quantity for basket in baskets for line in basket.lines)


async def _all(progress: Progress, what: str, jobs: list[Callable[[], Any]]) -> None:
    places = asyncio.Semaphore(AT_ONCE)
    done = 0

    async def one(job: Callable[[], Any]) -> None:
        nonlocal done
        async with places:
            await job()
        done += 1
        progress(what, done, len(jobs))

    async with asyncio.TaskGroup() as group:
        for job in jobs:
            group.create_task(one(job))
