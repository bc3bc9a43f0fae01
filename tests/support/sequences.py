"""Whatever may be asked of an order, in whatever sequence: for properties that hold whatever happens."""

from collections.abc import Sequence
from typing import Any

from hypothesis import strategies as st

from core.domain.order import ORDER
from core.domain.order.events import Condition, OrderEvent
from core.domain.order.state import Order
from core.domain.rejection import CommandRejected
from tests.support import orders
from tests.support.orders import HOME, WORK, create, listing, new_line

LINES = ("tea", "milk")
IDS = ("i1", "i2", "i3")
AMOUNTS = (0, 1, 349, 700, 1_400)
listings = (listing("tea", 350), listing("milk", 101))

GOODS = (create(new_line("tea", 4), new_line("milk", 3, listing("milk", 101)), address=HOME),)
PRICED = (*GOODS, orders.discount("i1", basis_points=3_333), orders.set_shipping(500))
PLACED = (*PRICED, orders.place(*listings))
CONFIRMED = (*PLACED, orders.authorise("i1", 1_000), orders.confirm())
SENT = (
    *CONFIRMED,
    orders.create_shipment("i1", ("tea", 3)),
    orders.dispatch("i1"),
    orders.create_shipment("i2", ("milk", 2)),
)
DELIVERED = (*SENT, orders.deliver("i1"), orders.capture("i1", 900, "i1"))
RETURNING = (*DELIVERED, orders.request_return("i1", ("tea", 2)), orders.approve_return("i1"))
ALL_DELIVERED = (
    *PRICED,
    orders.place(*listings),
    orders.confirm(),
    orders.authorise("i1", 1_635),
    orders.capture("i1", 1_635, "i1"),
    orders.create_shipment("i1"),
    orders.dispatch("i1"),
    orders.deliver("i1"),
)
BACK = (
    *ALL_DELIVERED,
    orders.request_return("i1", ("tea", 1)),
    orders.approve_return("i1"),
    orders.receive_return("i1", ("tea", 1, Condition.RESALEABLE)),
    orders.request_return("i2", ("tea", 2)),
    orders.approve_return("i2"),
)
PARCEL_LOST = (*ALL_DELIVERED[:-1], orders.lose("i1"))
PARCEL_REFUSED = (*SENT, orders.refuse("i1"))
SENT_AGAIN = (*PARCEL_LOST, orders.create_shipment("i2", ("tea", 2), ("milk", 3)), orders.dispatch("i2"))
ARRIVED_TWICE = (*SENT_AGAIN, orders.deliver("i2"), orders.deliver("i1"))
CANCELLED_WITH_A_PARCEL = (*PARCEL_LOST, orders.cancel())
ARRIVED_AFTER_THE_END = (*CANCELLED_WITH_A_PARCEL, orders.deliver("i1"))
BEGINNINGS: tuple[tuple[Any, ...], ...] = (
    (create(),),
    GOODS,
    PRICED,
    PLACED,
    CONFIRMED,
    SENT,
    DELIVERED,
    RETURNING,
    ALL_DELIVERED,
    BACK,
    PARCEL_LOST,
    PARCEL_REFUSED,
    SENT_AGAIN,
    ARRIVED_TWICE,
    CANCELLED_WITH_A_PARCEL,
    ARRIVED_AFTER_THE_END,
)

PARTS = [((line, n),) for line in LINES for n in (1, 2, 4)]
COME: list[tuple[tuple[str, int, Condition], ...]] = [
    ((line, n, how),) for line in LINES for n in (1, 2) for how in Condition
]
COME.append((("tea", 1, Condition.RESALEABLE), ("tea", 1, Condition.DAMAGED)))

# what may be asked, one list for each kind of command
KINDS: tuple[list[Any], ...] = (
    [create()],
    [orders.add_line(new_line(line, n, the)) for line, the in zip(LINES, listings, strict=True) for n in (0, 1, 4)],
    [orders.change_quantity(line, n) for line in LINES for n in (1, 3, 10_000)],
    [orders.remove_line(line) for line in LINES],
    [orders.refresh_prices(listing("tea", price), listing("milk", 101)) for price in (350, 399)],
    [orders.change_address(), orders.change_address(WORK)],
    [orders.set_shipping(price) for price in (-1, 0, 500)],
    [orders.discount(name, amount=n) for name in IDS for n in AMOUNTS],
    [orders.discount(name, basis_points=n) for name in IDS for n in (1, 3_333, 10_000)],
    [orders.remove_discount(name) for name in IDS],
    [orders.place(*listings)],
    [orders.confirm()],
    [orders.reject(), orders.expire()],
    [orders.complete()],
    [orders.cancel()],
    [orders.hold()],
    [orders.release()],
    [orders.cancel_quantity(name, line, n) for name in IDS for line in LINES for n in (1, 2, 4)],
    [orders.create_shipment(name, *parts) for name in IDS for parts in [(), *PARTS]],
    [orders.dispatch(name) for name in IDS],
    [orders.deliver(name) for name in IDS],
    [orders.unpack(name) for name in IDS],
    [orders.lose(name) for name in IDS],
    [orders.refuse(name) for name in IDS],
    [orders.take_back(name, *parts) for name in IDS for parts in [(), *COME]],
    [orders.request_return(name, *parts) for name in IDS for parts in [(), *PARTS]],
    [orders.approve_return(name) for name in IDS],
    [orders.reject_return(name) for name in IDS],
    [orders.receive_return(name, *parts) for name in IDS for parts in [(), *COME]],
    [orders.authorise(name, n) for name in IDS for n in AMOUNTS],
    [orders.fail_payment(name) for name in IDS],
    [orders.void(name) for name in IDS],
    [orders.lapse(name) for name in IDS],
    [orders.capture(name, n, of) for name in IDS for n in AMOUNTS for of in IDS],
    [orders.refund(name, n, return_id=back) for name in IDS for n in AMOUNTS for back in ("", *IDS)],
    [orders.settle(name) for name in IDS],
    [orders.fail_refund(name) for name in IDS],
    [orders.note(name, text) for name in IDS for text in ("one", "another")],
)
# a kind that can do nothing now is followed by one far from it; a prime that does not divide their number meets all
STRIDE = next(n for n in (7, 11, 13) if len(KINDS) % n)


@st.composite
def sequences(draw: st.DrawFn) -> list[Any]:
    """Commands, most of which change something: by chance alone few orders would get far."""
    sequence = [*draw(st.sampled_from(BEGINNINGS))]
    state = ORDER.fold(lived(sequence))
    for _ in range(draw(st.integers(0, 20))):
        first, reported = draw(st.integers(0, len(KINDS) - 1)), draw(st.integers(0, 3)) > 0
        kinds = (KINDS[(first + STRIDE * n) % len(KINDS)] for n in range(len(KINDS)))
        reporting = ([command for command in kind if not reported or decided(state, command)] for kind in kinds)
        command = draw(st.sampled_from(next((kind for kind in reporting if kind), KINDS[first])))
        sequence.append(command)
        state = ORDER.fold(decided(state, command), state)
    return sequence


def decided(state: Order, command: Any) -> Sequence[OrderEvent]:
    try:
        return ORDER.decide(state, command)
    except CommandRejected:
        return []


def lived(sequence: list[Any]) -> list[OrderEvent]:
    """The history that such a sequence leaves; what is refused leaves nothing."""
    history: list[OrderEvent] = []
    state = ORDER.initial
    for command in sequence:
        events = decided(state, command)
        state = ORDER.fold(events, state)
        history.extend(events)
    return history
