"""Whatever has happened to an order before its process looks at it: in the end goods and money are right.

Every prefix of every history is the beginning of one. The numbers are counted here from the events themselves, not with
the functions that the process uses.
"""

import asyncio
import logging
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any

import pytest
import structlog
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from core.domain.checkout.state import NotStarted, Running
from core.domain.order import events as order
from core.domain.order.state import Cancelled, Completed, Confirmed, Expired, Placed, Rejected
from core.domain.stock import STOCK
from core.domain.stock import events as stock
from core.domain.stock.commands import ReceiveStock
from core.eventstore import codec
from server.processes.automatic_start import AutomaticStart
from tests.support.checkouts import Shop
from tests.support.orders import NOON, ORDER_ID
from tests.support.sequences import lived, sequences
from tests.support.stored import write

SKUS = ("tea", "milk")
RECEIVED = 1_000


@pytest.fixture(autouse=True)
def quiet() -> Iterator[None]:
    before = structlog.get_config()["wrapper_class"]
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    yield
    structlog.configure(wrapper_class=before)


def after_the_process(history: Sequence[Any]) -> "Outcome":
    """Let the process of an order find this history, and wait until it has nothing left to do."""

    async def all_of_it() -> Outcome:
        shop = Shop()
        await AutomaticStart(shop.store).enable()
        for sku in SKUS:
            received = ReceiveStock(sku=sku, quantity=RECEIVED, product_known=True, product_discontinued=False, at=NOON)
            await shop.send(STOCK, sku, received)
        await write(shop.store, f"order-{ORDER_ID}", *history)
        await shop.run()
        events = [codec.decode(x.type, x.data) for x in shop.store.recorded if x.type != "ProcessesStarted"]
        return Outcome(await shop.order(), await shop.checkout(), events)

    return asyncio.run(all_of_it())


class Outcome:
    """The state in which all is, and what is counted from the events."""

    def __init__(self, order_: Any, process: Any, events: Sequence[Any]) -> None:
        self.order, self.process = order_, process
        self._events = events

    def every(self, kind: Any) -> list[Any]:
        return [x for x in self._events if isinstance(x, kind)]

    @property
    def stuck(self) -> str:
        return self.process.failure.reason if isinstance(self.process, Running) and self.process.failure else ""

    @property
    def sent(self) -> Counter[str]:
        """sku → units that have left the house; line ids are skus here."""
        packed = {x.shipment_id: x.lines for x in self.every(order.ShipmentCreated)}
        units: Counter[str] = Counter()
        for dispatched in self.every(order.ShipmentDispatched):
            for part in packed[dispatched.shipment_id]:
                units[part.line_id] += part.quantity
        return units

    @property
    def drawn(self) -> Counter[str]:
        """sku → units that were taken off the stock."""
        units: Counter[str] = Counter()
        for x in self.every(stock.ReservationCommitted | stock.ReservationPartlyCommitted):
            units[x.sku] += x.quantity
        return units

    @property
    def reserved(self) -> Counter[str]:
        units: Counter[str] = Counter()
        for x in self.every(stock.StockReserved):
            units[x.sku] += x.quantity
        for x in self.every(stock.ReservationReleased | stock.ReservationPartlyReleased):
            units[x.sku] -= x.quantity
        return units - self.drawn

    @property
    def kept(self) -> int:
        """The money that the shop has drawn and not given back."""
        drawn = sum(x.amount.amount_minor for x in self.every(order.PaymentCaptured))
        return int(drawn - sum(x.amount.amount_minor for x in self.every(order.PaymentRefunded)))

    @property
    def overpaid(self) -> int:
        """The refunds for a return beyond what it was worth: they are goodwill, and no other return pays for them."""
        returns = {x.refund_id: x.return_id for x in self.every(order.RefundRequested)}
        beyond: Counter[str] = Counter()
        for x in self.every(order.PaymentRefunded):
            beyond[returns[x.refund_id]] += x.amount.amount_minor
        for x in self.every(order.ReturnReceived):
            beyond[x.return_id] -= x.amount.amount_minor
        return sum((+beyond).values())

    @property
    def held(self) -> int:
        """The money that is authorised and neither drawn nor let go."""
        given = {x.authorisation_id: x.amount.amount_minor for x in self.every(order.PaymentAuthorised)}
        for x in self.every(order.PaymentVoided | order.AuthorisationLapsed):
            given[x.authorisation_id] = 0
        drawn: Counter[str] = Counter()
        for x in self.every(order.PaymentCaptured):
            drawn[x.authorisation_id] += x.amount.amount_minor
        return sum(max(0, minor - drawn[of]) for of, minor in given.items())


def is_right(outcome: Outcome) -> None:
    if outcome.stuck:
        assert len(outcome.stuck) > 5, "it says what lacks"
        return
    state = outcome.order
    moved = outcome.every(order.PaymentEvent)
    match state:
        case Placed() | Confirmed() | Completed():
            assert isinstance(outcome.process, Running), "a placed order has a process"
        case Cancelled() | Rejected() | Expired() if outcome.kept or outcome.held:
            raise AssertionError(f"{outcome.kept} are kept and {outcome.held} held of an order that has ended")
        case Cancelled() | Rejected() | Expired() if isinstance(outcome.process, NotStarted):
            assert outcome.sent == Counter() or not moved
            return
        case _:
            pass
    if isinstance(outcome.process, Running):
        assert outcome.drawn == outcome.sent, "what has left was taken off the stock, once"
    if isinstance(state, Cancelled | Rejected | Expired | Completed):
        assert +outcome.reserved == Counter(), "nothing is promised to an order that is over"
    if isinstance(state, Completed):
        assert outcome.held == 0, "nothing is held of an order that is complete"
        worth = sum(x.amount.amount_minor for x in outcome.every(order.ReturnReceived))
        if all(x.return_id for x in outcome.every(order.RefundRequested)):
            expected = max(0, state.total.amount_minor - worth - outcome.overpaid)  # no more goes back than was paid
            assert outcome.kept == expected, "what is kept is what the customer has kept"


PLACED_SEQUENCES = sequences().map(lived).filter(lambda history: any(isinstance(x, order.OrderPlaced) for x in history))


def prefixes(history: Sequence[Any]) -> Iterator[Sequence[Any]]:
    placed = next(n for n, x in enumerate(history) if isinstance(x, order.OrderPlaced))
    return (history[:end] for end in range(placed + 1, len(history) + 1))


@settings(max_examples=60, suppress_health_check=list(HealthCheck))
@given(PLACED_SEQUENCES, st.randoms(use_true_random=False))
def test_the_process_ends_right_after_any_part_of_any_history(history: Sequence[Any], dice: Any) -> None:
    is_right(after_the_process(dice.choice(list(prefixes(history)))))


@pytest.mark.long
@pytest.mark.timeout(1800)
@settings(max_examples=400, suppress_health_check=list(HealthCheck))
@given(PLACED_SEQUENCES)
def test_the_process_ends_right_after_every_part_of_any_history(history: Sequence[Any]) -> None:
    for part in prefixes(history):
        is_right(after_the_process(part))
