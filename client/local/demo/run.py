"""The demo: baskets in, orders out, and the proof. What happens to an order: `rules.py`."""

import asyncio
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from typing import Any

from client.local.demo.baskets import CURRENCY, Basket, Line
from client.local.demo.outcome import AT_ONCE, OF_ALL_RUNS, Names, Outcome, Patience, Progress, all_of
from client.local.demo.own_proof import OwnProof, OwnState
from client.local.demo.prices import PriceBoard
from client.local.demo.proof import Proof
from client.local.demo.rules import OF_THE_DEMO, Fate, Parcel, ParcelFate, Planned, Provider, plans, units_received
from client.local.demo.system_state import SystemState
from client.sdk import OrderstreamClient
from client.sdk.errors import Refused
from protos.common.v1.types_pb2 import Address, Money
from protos.orders.v1.commands_pb2 import NewLine
from protos.orders.v1.types_pb2 import (
    ORDER_STATUS_DRAFT,
    ORDER_STATUS_PLACED,
    RETURN_CONDITION_RESALEABLE,
    LineQuantity,
    ReceivedQuantity,
)

LOOK_AGAIN = 0.05  # seconds
UNDECIDED = (ORDER_STATUS_DRAFT, ORDER_STATUS_PLACED)


class OrderUndecidedError(Exception):
    """One line that names the order, and since when it waits."""


class Demo:
    """One run. `token` is the newest answer's, so that the proof reads nothing older."""

    def __init__(
        self,
        shop: OrderstreamClient,
        products: dict[int, str],
        progress: Progress,
        *,
        names: Names = OF_ALL_RUNS,
        provider: Provider = OF_THE_DEMO,
        patience: Patience | None = None,
    ) -> None:
        self._shop = shop
        self._products = products
        self._names = names
        self._provider = provider
        self._patience = patience or Patience()
        self._progress = progress
        self._prices = PriceBoard(self._set_price)
        self._known: dict[str, int] = {}
        self._changes: dict[str, int] = {}  # of the price, by sku registered
        self._stock: Counter[str] = Counter()
        self._hands = asyncio.Semaphore(AT_ONCE)
        self.tokens: list[str] = []
        self.outcome = Outcome()
        state, proof = (OwnState, OwnProof) if names.run else (SystemState, Proof)
        self._state = state(shop, progress, names, self._patience)
        self._proof = proof(shop, self.outcome, progress, names, self._patience, state=self._state)

    async def run(self, baskets: list[Basket]) -> Outcome:
        await self.sell(baskets)
        return await self.prove(baskets)

    async def sell(self, baskets: list[Basket]) -> None:
        """Send every command of the run, and wait for the processes to end."""
        started, planned = time.monotonic(), self._planned(baskets)
        self._stock = units_received(planned)
        await self._register_users(baskets)
        await self._sell(planned)
        await self._cancel_refused(planned)
        await self._state.wait_for_the_processes(planned, self.tokens)
        self.outcome.seconds = round(time.monotonic() - started, 3)

    async def prove(self, baskets: list[Basket]) -> Outcome:
        """Every difference between what was sold and what the system has is in the outcome."""
        await self._proof.check(self._planned(baskets), self.tokens)
        return self.outcome

    def _planned(self, baskets: list[Basket]) -> list[Planned]:
        named = (
            replace(x, lines=tuple(replace(line, sku=self._names.sku_of(line.sku)) for line in x.lines))
            for x in baskets
        )
        return plans(list(named), self._provider)

    async def _register_users(self, baskets: list[Basket]) -> None:
        households = sorted({basket.household for basket in baskets})

        async def register(household: int) -> None:
            await self._command(
                self._shop.users.RegisterUser,
                "user",
                household,
                user_id=self._names.id_of("user", household),
                name=f"Household {household}",
                email=self._names.email_of(household),
            )

        await all_of(self._progress, "users", [partial(register, household) for household in households])
        self.outcome.users = len(households)

    async def _sell(self, planned: Sequence[Planned]) -> None:
        # tickets are drawn here, one basket after the other; only the work behind them is concurrent
        places = asyncio.Semaphore(AT_ONCE)
        done = 0

        async def sell(x: Planned, tickets: Any) -> None:
            nonlocal done
            try:
                async with self._prices.hold(tickets):
                    token = await self._place(x.basket)
            finally:
                places.release()
            async with self._hands:
                await self._decided(x.basket, token)
                await self._fulfil(x)
            done += 1
            self._progress("orders", done, len(planned))

        async with asyncio.TaskGroup() as group:
            for x in planned:
                await places.acquire()
                tickets = self._prices.draw({line.sku: line.price for line in x.basket.lines})
                for line in x.basket.lines:
                    self._known.setdefault(line.sku, line.product)
                group.create_task(sell(x, tickets))
        self.outcome.products = len(self._known)
        self.outcome.orders = len(planned)
        self.outcome.lines = sum(len(x.basket.lines) for x in planned)

    async def _set_price(self, sku: str, price: int) -> None:
        money = Money(amount_minor=price, currency=CURRENCY)
        if sku in self._changes:
            # counted per sku: the queues are in basket order, so a second run sends the same requests again
            self._changes[sku] += 1
            self.outcome.price_changes += 1
            await self._command(self._shop.products.ChangePrice, "price", sku, self._changes[sku], sku=sku, price=money)
            return
        self._changes[sku] = 0
        name = self._products.get(self._known[sku], f"Product {sku}")
        await self._command(self._shop.products.RegisterProduct, "product", sku, sku=sku, name=name, price=money)
        await self._command(self._shop.products.ActivateProduct, "activate", sku, sku=sku)
        # a product is received once, for all baskets and losses; a stock that is too small is for other tests
        await self._command(self._shop.products.ReceiveStock, "receive", sku, sku=sku, quantity=self._stock[sku])

    async def _place(self, basket: Basket) -> str:
        order_id = self._names.id_of("order", basket.basket)
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
            customer_id=self._names.id_of("user", basket.household),
            currency=CURRENCY,
            lines=[NewLine(line_id=line.sku, sku=line.sku, quantity=line.quantity) for line in basket.lines],
            shipping_address=address,
        )
        place = partial(self._reply, self._shop.orders.PlaceOrder, "place", basket.basket, order_id=order_id)
        try:
            placed = await place()
        except Refused as refused:
            if refused.reason != "PRICE_CHANGED":
                raise
            # it was drafted by another command service than the one that changed the price, within a second (ADR 5)
            await self._command(self._shop.orders.RefreshPrices, "refresh", basket.basket, order_id=order_id)
            placed = await place()
        drafted = len(basket.lines) + 1  # the revision at which it was created, had its lines and its address
        self.outcome.price_changes += placed.revision - drafted - 1
        return str(placed.consistency_token)

    async def _decided(self, basket: Basket, token: str) -> None:
        """Wait until its process has confirmed or rejected the order."""
        order_id, since = self._names.id_of("order", basket.basket), time.monotonic()
        while True:
            reply = await self._patience.ask(self._shop.orders.GetOrder, order_id=order_id, consistency_token=token)
            if reply.order.status not in UNDECIDED:
                return
            waited = time.monotonic() - since
            if waited > self._patience.seconds:
                raise OrderUndecidedError(f"order {order_id} was placed {waited:.0f} s ago and not decided since")
            await asyncio.sleep(LOOK_AGAIN)

    async def _fulfil(self, x: Planned) -> None:
        orders, order_id, key = self._shop.orders, self._names.id_of("order", x.basket.basket), x.basket.basket
        if x.fate is Fate.CANCELLED and not x.parcels:
            await self._command(orders.CancelOrder, "cancel", key, order_id=order_id, reason="every 20th is cancelled")
        for parcel in x.parcels:
            await self._send(x, parcel)
        if x.back is not None:
            back: dict[str, Any] = {"order_id": order_id, "return_id": x.return_id}
            one = LineQuantity(line_id=x.back.sku, quantity=1)
            await self._command(orders.RequestReturn, "return", key, lines=[one], reason="one too many", **back)
            await self._command(orders.ApproveReturn, "approve", key, **back)
            await self._command(orders.ReceiveReturn, "back", key, lines=[_as_new(x.back, 1)], **back)

    async def _send(self, x: Planned, parcel: Parcel) -> None:
        """Pack a parcel, hand it to the carrier, and record its outcome."""
        orders, key, number = self._shop.orders, x.basket.basket, parcel.name
        which = {"order_id": self._names.id_of("order", key), "shipment_id": parcel.name}
        parts = [LineQuantity(line_id=line.sku, quantity=line.quantity) for line in parcel.lines]
        await self._command(orders.CreateShipment, "pack", key, number, lines=parts, **which)
        await self._command(
            orders.DispatchShipment,
            "dispatch",
            key,
            number,
            carrier="USPS",
            tracking_number=f"{key}-{number}",
            **which,
        )
        match parcel.fate:
            case ParcelFate.DELIVERED:
                await self._command(orders.ConfirmDelivery, "deliver", key, number, **which)
            case ParcelFate.LOST:
                await self._command(orders.RecordShipmentLoss, "lose", key, number, reason="lost on its way", **which)
            case ParcelFate.RETURNED:
                as_new = [_as_new(line, line.quantity) for line in parcel.lines]
                await self._command(
                    orders.RecordDeliveryRefusal, "refuse", key, number, reason="refused at the door", **which
                )
                await self._command(orders.ReceiveReturnedShipment, "come back", key, number, lines=as_new, **which)

    async def _cancel_refused(self, planned: Sequence[Planned]) -> None:
        """Cancel what was refused at the door. It may or may not have been reserved again by then, and the log differs
        by that; so the demo waits until it was, to know the number of events.
        """
        refused = [x for x in planned if x.is_refused]
        await self._state.wait_until_refused_parcels_are_reserved_again(refused)
        await all_of(self._progress, "refused", [partial(self._cancel_refused_of, x) for x in refused])

    async def _cancel_refused_of(self, x: Planned) -> None:
        orders, key, reason = self._shop.orders, x.basket.basket, "refused at the door"
        order_id = self._names.id_of("order", key)
        if x.fate is Fate.CANCELLED:
            await self._command(orders.CancelOrder, "cancel", key, order_id=order_id, reason=reason)
            return
        for line in x.lines_of(ParcelFate.RETURNED):
            await self._command(
                orders.CancelLineQuantity,
                "cancel",
                key,
                line.sku,
                order_id=order_id,
                cancellation_id=line.sku,
                line_id=line.sku,
                quantity=line.quantity,
                reason=reason,
            )

    async def _command(self, method: Any, *key: object, **fields: Any) -> str:
        """The token of its reply."""
        return str((await self._reply(method, *key, **fields)).consistency_token)

    async def _reply(self, method: Any, *key: object, **fields: Any) -> Any:
        reply = await self._patience.ask(method, request_id=self._names.id_of(*key), **fields)
        self.outcome.commands += 1
        self.tokens[:] = [reply.consistency_token, *self.tokens[:AT_ONCE]]
        return reply


def _as_new(line: Line, quantity: int) -> ReceivedQuantity:
    return ReceivedQuantity(line_id=line.sku, quantity=quantity, condition=RETURN_CONDITION_RESALEABLE)
