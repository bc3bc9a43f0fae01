"""A small shop in memory, on the real deciders, handler and reconciler, in which any call may go wrong by a schedule.

Every command of the process and every call to the payment provider is a place where misfortune can strike; places are
counted from 0 in the order in which they come up.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import Enum
from functools import partial
from typing import Any

from core.domain.checkout import CHECKOUT
from core.domain.checkout.state import Running
from core.domain.checkout.steps import AUTHORISATION
from core.domain.decider import Decider
from core.domain.money import Money
from core.domain.order import ORDER
from core.domain.order import commands as order
from core.domain.order.events import Condition
from core.domain.order.state import Completed, Confirmed, Order
from core.domain.rejection import CommandRejected, Reason
from core.domain.stock import STOCK
from core.domain.stock.commands import ReceiveStock
from core.domain.stock.state import Stock
from core.domain.user import USER
from core.domain.user import commands as user
from core.eventstore import codec
from core.eventstore.idempotency import CommandResult
from core.eventstore.repository import Repository
from core.eventstore.snapshots import Snapshots
from core.eventstore.store_time import StoreTime
from core.failures import StoreUnavailable
from server.commands.handler import CommandHandler, Envelope
from server.commands.lookups import Lookups
from server.processes.automatic_start import AutomaticStart
from server.processes.command_sender import PAYMENTS, CommandSender
from server.processes.payment_callbacks import PaymentCallbacks
from server.processes.payments.port import Approved, Declined, Lapsed, ProviderUnavailable
from server.processes.payments.simulator import Rules, Simulator
from server.processes.reconciler import NotBegunError, Patience, Reconciler
from server.processes.triggers import cause_of, key_of
from tests.support import orders
from tests.support.memory_store import MemoryStore
from tests.support.orders import ANN, HOME, LATER, NOON, ORDER_ID, euros, listing

LINES = {"tea": (2, 350), "milk": (3, 101)}  # line → units, price
TOTAL = sum(units * price for units, price in LINES.values())
CANCELLED_WHEN_PAID = ("milk", 2)  # line, units
MAX_ROUNDS = 100
NEVER = 1_000_000  # events


class Fault(Enum):
    """What can happen at a place."""

    REFUSED = "refused"
    FAILED = "failed"  # not done, and no answer
    TIMED_OUT = "timed out"  # done, but no answer
    LATE = "late"  # no answer; done when nobody expects it any more
    TWICE = "done twice"
    KILLED_BEFORE = "killed before"
    KILLED_AFTER = "killed after"


PAUSES = tuple(timedelta(seconds=n) for n in range(1, 9))  # between the attempts at a step


class KilledError(BaseException):
    """The process is gone, with all it had in memory."""


Schedule = Mapping[int, Fault]


@dataclass(slots=True)
class Places:
    """Counts them, and knows what is to happen where. `before` is called ahead of each, with its number."""

    schedule: Schedule
    before: Callable[[int], Awaitable[None]]
    seen: list[str] = field(default_factory=list)

    async def pass_through(
        self, name: str, call: Callable[[], Awaitable[Any]], fail: type[Exception], late: Callable[[], None]
    ) -> Any:
        number = len(self.seen)
        self.seen.append(name)
        await self.before(number)
        match self.schedule.get(number):
            case Fault.KILLED_BEFORE:
                raise KilledError
            case Fault.FAILED:
                raise fail(name)
            case Fault.LATE:
                late()
                raise fail(name)
            case Fault.REFUSED:
                return None
            case Fault.TWICE:
                await call()
        result = await call()
        match self.schedule.get(number):
            case Fault.KILLED_AFTER:
                raise KilledError
            case Fault.TIMED_OUT:
                raise fail(name)
        return result


class FaultyHandler(CommandHandler):
    """The real one; each command is a place."""

    def __init__(self, store: MemoryStore, repository: Repository, places: Places) -> None:
        super().__init__(store, repository)
        self._places = places

    async def handle(
        self,
        decider: Decider[Any, Any, Any],
        aggregate_id: str,
        envelope: Envelope,
        command: Callable[[Any], Awaitable[Any]],
        *,
        creates_stream: bool = False,
        require_own: Callable[[Any], None] | None = None,
    ) -> CommandResult:
        asked = type(await command(None)).__name__
        again = super().handle

        async def call() -> CommandResult:
            return await again(
                decider, aggregate_id, envelope, command, creates_stream=creates_stream, require_own=require_own
            )

        result = await self._places.pass_through(asked, call, StoreUnavailable, lambda: None)
        if result is None:
            raise CommandRejected(Reason.ORDER_STATE, order_id=aggregate_id, command=asked)
        assert isinstance(result, CommandResult)
        return result


class FaultyProvider(Simulator):
    """The simulator; each call is a place. What is done late, is done by `arrive`."""

    def __init__(self, rules: Rules) -> None:
        super().__init__(rules)
        self.places: Places | None = None
        self.late: list[tuple[str, Money]] = []
        self.down = False  # while it is, no call is answered

    def follow(self, rules: Rules) -> None:
        """Other rules from now on."""
        self._rules = rules

    def would_refuse(self, refund_id: str) -> bool:
        return self._drawn("refund_fails", f"{ORDER_ID}:refund:{refund_id}") < self._rules.refund_fails

    async def authorise(self, key: str, amount: Money) -> Approved | Declined | Lapsed:
        answer = await self._place(
            "provider.authorise",
            partial(super().authorise, key, amount),
            lambda: self.late.append((key, amount)),
        )
        return Declined("the provider says no") if answer is None else answer

    async def void(self, key: str) -> None:
        if await self._place("provider.void", partial(self._void, key), lambda: None) is None:
            raise ProviderUnavailable("the provider says no")  # there is no such answer, so it is none

    async def _void(self, key: str) -> bool:
        await super().void(key)
        return True

    async def capture(self, key: str, authorisation: str, amount: Money) -> Approved | Declined | Lapsed:
        answer = await self._place(
            "provider.capture", partial(super().capture, key, authorisation, amount), lambda: None
        )
        return Declined("the provider says no") if answer is None else answer

    async def refund(self, key: str, amount: Money) -> Approved | Declined:
        answer = await self._place("provider.refund", partial(super().refund, key, amount), lambda: None)
        return Declined("the provider says no") if answer is None else answer

    async def _place(self, name: str, call: Callable[[], Awaitable[Any]], late: Callable[[], None]) -> Any:
        assert self.places is not None, "places are set before it is called"
        if self.down:
            raise ProviderUnavailable(name)
        return await self.places.pass_through(name, call, ProviderUnavailable, late)

    async def arrive(self) -> tuple[str, Approved | Declined | Lapsed]:
        """Do what is late, or report what was withdrawn."""
        key, amount = self.late.pop()
        return key, await Simulator.authorise(self, key, amount)

    def withdraw(self) -> None:
        """What is held, without a request. It is reported later, once."""
        for key in self.books.authorised:
            if (lapsed := self.lapse(key)) is not None:
                self.late.append((key, lapsed.amount))


class Clock:
    def __init__(self) -> None:
        self.at = NOON

    def __call__(self) -> datetime:
        return self.at


class Shop:
    """One order, from being placed to its end. `customer_cancels_at` is a place, or None.

    `blocked_at` is a place: there the user is blocked. `withdrawn_at` is another: there the provider withdraws all it
    holds. `sold`: it is sent in two parcels, and when it is complete half of the tea comes back. `overpaid`: as soon as
    it is confirmed all is drawn by hand, and then units of it are cancelled. `clock` is that of the event store and of
    everybody else; that of the process is ahead of it by `clock_ahead`.
    """

    def __init__(
        self,
        schedule: Schedule | None = None,
        *,
        on_hand: Mapping[str, int] | None = None,
        rules: Rules | None = None,
        customer_cancels_at: int | None = None,
        lapses_at: int | None = None,
        blocked_at: int | None = None,
        withdrawn_at: int | None = None,
        sold: bool = False,
        overpaid: bool = False,
        clock_ahead: timedelta = timedelta(0),
        pauses: tuple[timedelta, ...] = PAUSES,
    ) -> None:
        self.clock, self._clock_ahead = Clock(), clock_ahead
        self.store = MemoryStore(self.clock)
        self.provider = FaultyProvider(rules or Rules())
        self.places = Places({} if schedule is None else schedule, self._before)
        self.provider.places = self.places
        self.kills = 0
        self.delivered_elsewhere = 0  # times that each event was given to consumers who could do nothing with it
        self._on_hand = dict.fromkeys(LINES, 10) | dict(on_hand or {})
        self._cancels_at = customer_cancels_at
        self._lapses_at = lapses_at
        self._blocked_at = blocked_at
        self._withdrawn_at = withdrawn_at
        self._to_be_overpaid = overpaid
        self._whens: list[tuple[Callable[[Any], bool], Callable[[], Awaitable[None]]]] = []
        if sold:
            self._sell()
        self.declines_afterwards = False  # after the provider has withdrawn
        self.hears_of_it = True  # what the provider does late, or by itself
        self._fired: set[datetime] = set()
        self._postponed: set[datetime] = set()
        self._patience = Patience(pauses=pauses, step_within=5.0)
        self._start_process()

    def customer_cancels_at(self, place: int) -> None:
        self._cancels_at = place

    def withdraws_when(self, is_so: Callable[[Any], bool]) -> None:
        """The provider withdraws all that it holds, once."""
        self._whens.append((is_so, self._withdraw))

    def releases_when(self, is_so: Callable[[Any], bool]) -> None:
        """The hold is released, once."""
        self._whens.append((is_so, partial(self.order_does, orders.release())))

    def _sell(self) -> None:
        def is_paid(order: Any, minor: int) -> bool:
            return isinstance(order, Confirmed | Completed) and order.payments.captured == minor

        self._whens += [
            (
                lambda order: isinstance(order, Confirmed) and not order.shipments,
                partial(self.deliver, "p1", ("tea", 2)),
            ),
            (lambda order: is_paid(order, 2 * 350), partial(self.deliver, "p2")),
            (lambda order: isinstance(order, Completed), partial(self.take_back, "r1", "tea", 1)),
        ]

    async def _withdraw(self) -> None:
        self.provider.withdraw()
        if self.declines_afterwards:
            self.provider.follow(Rules(decline=TOTAL % 100))

    async def _see(self) -> bool:
        """Whether something of that has happened now."""
        for when in self._whens:
            is_so, happens = when
            if is_so(await self.order()):
                self._whens.remove(when)
                await happens()
                return True
        return False

    def _start_process(self) -> None:
        repository = Repository(self.store, Snapshots(self.store, every=NEVER))
        handler = FaultyHandler(self.store, repository, self.places)
        self.reconciler = self._reconciler(handler, repository)
        self._late = PaymentCallbacks(
            self.reconciler, partial(CommandSender, handler, self.process_clock, actor=PAYMENTS)
        )

    def process_clock(self) -> datetime:
        return self.clock() + self._clock_ahead

    def _store_time(self) -> StoreTime:
        return StoreTime(self.store, self.process_clock, monotonic=lambda: self.clock().timestamp())

    def another_process(self) -> Reconciler:
        """It works on the same log, beside the one that is driven here."""
        repository = Repository(self.store, Snapshots(self.store, every=NEVER))
        return self._reconciler(FaultyHandler(self.store, repository, self.places), repository)

    def _reconciler(self, handler: CommandHandler, repository: Repository) -> Reconciler:
        return Reconciler(
            handler,
            repository,
            self.provider,
            self._patience,
            self.process_clock,
            lookups=Lookups(repository, self._store_time()),
            automatic=AutomaticStart(self.store),
        )

    # ------------------------------------------------------------------ the world around the process

    async def send(self, decider: Decider[Any, Any, Any], aggregate_id: str, command: Any) -> None:
        """As somebody else does, from another process."""
        self._sent = getattr(self, "_sent", 0) + 1
        envelope = Envelope(
            request_id=f"00000000-0000-4000-8000-{self._sent:012d}",
            payload_hash="",
            expected_revision=None,
            actor="somebody",
            correlation_id="00000000-0000-4000-9000-000000000000",
            traceparent="",
            at=self.clock(),
        )

        async def as_it_is(_: object) -> Any:
            return command

        repository = Repository(self.store, Snapshots(self.store, every=NEVER))
        await CommandHandler(self.store, repository).handle(decider, aggregate_id, envelope, as_it_is)

    async def open(self) -> None:
        """Stock received, an order placed."""
        await AutomaticStart(self.store).enable()
        at = self.clock()
        for sku, units in self._on_hand.items():
            if units:
                receive = ReceiveStock(sku=sku, quantity=units, product_known=True, product_discontinued=False, at=at)
                await self.send(STOCK, sku, receive)
        lines = tuple(
            order.NewLine(line_id=sku, listing=listing(sku, price), quantity=units)
            for sku, (units, price) in LINES.items()
        )
        customer = order.Customer(user_id=ANN, known=True, blocked=False)
        create = order.CreateOrder(
            order_id=ORDER_ID, customer=customer, currency="EUR", lines=lines, address=HOME, at=at
        )
        await self.send(ORDER, ORDER_ID, create)
        listings = tuple(line.listing for line in lines)
        place = order.PlaceOrder(order_id=ORDER_ID, customer=customer, listings=listings, expires_at=LATER, at=at)
        await self.send(ORDER, ORDER_ID, place)

    async def cancel(self) -> None:
        """Whatever it comes to: it may be too late."""
        try:
            await self.send(ORDER, ORDER_ID, order.CancelOrder(order_id=ORDER_ID, reason="no", at=self.clock()))
        except CommandRejected:
            return

    async def block(self) -> None:
        """Register the user first: a user that no event knows cannot be blocked."""
        at = self.clock()
        for command in (
            user.RegisterUser(user_id=ANN, email="ann@example.org", name="Ann", at=at),
            user.BlockUser(user_id=ANN, reason="fraud", at=at),
        ):
            await self.send(USER, ANN, command)

    async def order_does(self, command: Any) -> None:
        await self.send(ORDER, ORDER_ID, command)

    async def operator(self, command: Any) -> None:
        await self.send(CHECKOUT, ORDER_ID, command)

    async def deliver(self, shipment_id: str, *lines: tuple[str, int]) -> None:
        """Packed, sent and arrived; without lines all that is left."""
        await self.order_does(orders.create_shipment(shipment_id, *lines))
        await self.order_does(orders.dispatch(shipment_id))
        await self.order_does(orders.deliver(shipment_id))

    async def take_back(self, return_id: str, line_id: str, units: int) -> None:
        await self.order_does(orders.request_return(return_id, (line_id, units)))
        await self.order_does(orders.approve_return(return_id))
        await self.order_does(orders.receive_return(return_id, (line_id, units, Condition.RESALEABLE)))

    async def _overpay(self) -> None:
        at, (line_id, off) = self.clock(), CANCELLED_WHEN_PAID
        captured = order.CapturePayment(
            order_id=ORDER_ID, capture_id="by hand", authorisation_id=AUTHORISATION, amount=euros(TOTAL), at=at
        )
        cancelled = order.CancelLineQuantity(
            order_id=ORDER_ID, cancellation_id="x1", line_id=line_id, quantity=off, reason="too many", at=at
        )
        for command in (captured, cancelled):
            await self.send(ORDER, ORDER_ID, command)

    async def _before(self, number: int) -> None:
        if number == self._cancels_at:
            await self.cancel()
        if number == self._blocked_at:
            await self.block()
        if number == self._lapses_at:
            self.clock.at = max(self.clock.at, LATER)
        if number == self._withdrawn_at:
            self.provider.withdraw()

    # ------------------------------------------------------------------ the process, driven

    async def run(self) -> None:
        """Deliver events until each was acknowledged, and let time pass, until nothing is left to wait for."""
        acknowledged = 0
        for _ in range(MAX_ROUNDS):
            acknowledged = await self._deliver(acknowledged)
            if self.provider.late and self.hears_of_it:
                await self._be_reported()
                continue
            if await self._see():
                continue
            if self._to_be_overpaid and isinstance(await self.order(), Confirmed):
                self._to_be_overpaid = False
                await self._overpay()
                continue
            if acknowledged == len(self.store.recorded) and not await self._let_time_pass():
                return
        raise AssertionError(f"it does not come to an end: {self.places.seen}")

    async def _be_reported(self) -> None:
        """The provider reports each event once."""
        try:
            await self._late.received(*await self.provider.arrive())
        except KilledError:
            self.kills += 1
            self._start_process()

    async def _deliver(self, acknowledged: int) -> int:
        while acknowledged < len(self.store.recorded):
            event = self.store.recorded[acknowledged]
            key = key_of(event)
            if key is not None:
                await self._until_taken(key, partial(self._look, cause_of(event)))
            acknowledged += 1
        return acknowledged

    async def _look(self, cause: Any, key: str, delivered_before: int) -> None:
        waits = await self.reconciler.reconcile(key, cause, delivered_before=delivered_before)
        if waits.again_in is not None:
            self._postponed.add(self.process_clock() + waits.again_in)

    async def _until_taken(self, key: str, work: Callable[[str, int], Awaitable[None]]) -> None:
        for delivered_before in range(self.delivered_elsewhere, self.delivered_elsewhere + MAX_ROUNDS):
            try:
                await work(key, delivered_before)
            except (StoreUnavailable, NotBegunError, CommandRejected):  # sent back, and delivered again
                continue
            except KilledError:
                self.kills += 1
                self._start_process()
                continue
            return
        raise AssertionError(f"an event is delivered for ever: {self.places.seen}")

    async def _let_time_pass(self) -> bool:
        """To the next thing that is due, as the log has it; whether there was any. Each wakes the process once."""
        checkout = CHECKOUT.fold([e async for e in self._decoded(CHECKOUT.stream(ORDER_ID))])
        if not isinstance(checkout, Running):
            return False
        deadline = None if checkout.outcome else checkout.deadline
        retry_at = checkout.failure.retry_at if checkout.failure else None
        due = {at for at in (deadline, retry_at, *self._postponed) if at is not None} - self._fired
        if not due:
            return False
        self._fired.add(min(due))
        self.clock.at = max(self.clock.at, min(due) - self._clock_ahead)  # it is due by the clock of the process
        cause = cause_of(self.store.recorded[-1])
        await self._until_taken(ORDER_ID, partial(self._look, cause))
        return True

    async def deliver_all_again(self) -> None:
        """In the wrong order, too."""
        for event in reversed(list(self.store.recorded)):
            if (key := key_of(event)) is not None:
                await self._until_taken(key, partial(self._look, cause_of(event)))

    # ------------------------------------------------------------------ what has become of it

    async def _decoded(self, stream: str) -> Any:
        async for event in self.store.read(stream):
            yield codec.decode(event.type, event.data)

    async def order(self) -> Order:
        return ORDER.fold([event async for event in self._decoded(ORDER.stream(ORDER_ID))])

    async def checkout(self) -> Any:
        return CHECKOUT.fold([event async for event in self._decoded(CHECKOUT.stream(ORDER_ID))])

    async def stock(self, sku: str) -> Stock:
        return STOCK.fold([event async for event in self._decoded(STOCK.stream(sku))])

    async def types(self) -> list[str]:
        return [event.type for event in self.store.recorded]


def ran(shop: Shop) -> Shop:
    """From open to the end, in a loop of its own."""

    async def all_of_it() -> None:
        await shop.open()
        await shop.run()

    asyncio.run(all_of_it())
    return shop
