"""Whatever commands come in whatever sequence, an order stays legal."""

from collections import Counter
from collections.abc import Iterable
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from core.domain.order import ORDER
from core.domain.order.commands import CreateOrder
from core.domain.order.events import (
    LineQuantityCancelled,
    OrderCancelled,
    OrderEvent,
    OrderExpired,
    OrderPlaced,
    OrderRejected,
    ReturnReceived,
    ShipmentLost,
)
from core.domain.order.ledger import AuthorisationStage
from core.domain.order.state import (
    Cancelled,
    Completed,
    Confirmed,
    Draft,
    NoOrder,
    Order,
    Placed,
    delivered_quantities,
    draft_total,
    excess_quantities,
    kept_quantities,
    live_shipments,
    net_minor,
    open_quantities,
    open_returns,
    remaining_units,
    returned_quantities,
)
from core.domain.rejection import CommandRejected
from core.eventstore.registry import BY_EVENT
from tests.support.events import EXAMPLES
from tests.support.sequences import BEGINNINGS, lived, sequences


@given(sequences())
@settings(max_examples=150)
def test_no_sequence_of_commands_breaks_an_order(sequence: list[Any]) -> None:
    history: list[Any] = []
    for command in sequence:
        before = ORDER.fold(history)
        try:
            events = ORDER.decide(before, command)
        except CommandRejected:
            continue
        after = ORDER.fold(events, before)
        assert not events or after != before, "every event means something"
        if not isinstance(command, CreateOrder):
            assert list(ORDER.decide(after, command)) == [], "doing it twice is nothing"
        history.extend(events)
        assert after == ORDER.fold(history)
        _goods_are_legal(after, history)
        _money_is_legal(after)


@given(sequences())
@settings(max_examples=150)
def test_the_total_of_an_order_is_what_its_events_add_up_to(sequence: list[Any]) -> None:
    history = lived(sequence)
    order = ORDER.fold(history)
    placed = next((e for e in history if isinstance(e, OrderPlaced)), None)
    if placed is None:
        return
    goods = sum(net_minor(line) for line in placed.lines)
    shipping = placed.shipping.price.amount_minor if placed.shipping else 0
    assert placed.total.amount_minor == goods + shipping
    off = sum(e.amount.amount_minor for e in history if isinstance(e, LineQuantityCancelled))
    left = placed.total.amount_minor - off
    assert left >= shipping
    if isinstance(order, Placed | Confirmed | Completed):
        assert order.total.amount_minor == left
    for end in history:
        if isinstance(end, OrderCancelled | OrderRejected | OrderExpired):
            assert end.total.amount_minor == left


@given(sequences())
@settings(max_examples=150)
def test_what_is_cancelled_and_what_comes_back_is_worth_what_it_cost_and_no_unit_twice(sequence: list[Any]) -> None:
    history = lived(sequence)
    sold = {line.line_id: line for e in history if isinstance(e, OrderPlaced) for line in e.lines}
    units, worth = _undone(history)
    for line_id, line in sold.items():
        assert units[line_id] <= line.quantity
        assert worth[line_id] <= net_minor(line)
        if units[line_id] == line.quantity:
            assert worth[line_id] == net_minor(line)


@given(sequences(), st.sampled_from([event for event in EXAMPLES if BY_EVENT[type(event)].category == "order"]))
@settings(max_examples=150)
def test_an_event_that_no_order_would_decide_breaks_none(sequence: list[Any], event: Any) -> None:
    state = ORDER.fold(lived(sequence))
    assert isinstance(ORDER.evolve(state, event), Order)


def test_every_beginning_is_a_life_without_a_refusal() -> None:
    for beginning in BEGINNINGS:
        state: Order = ORDER.initial
        for command in beginning:
            state = ORDER.fold(ORDER.decide(state, command), state)


def _undone(history: list[OrderEvent]) -> tuple[Counter[str], Counter[str]]:
    """line_id → units cancelled or come back, and what they were worth."""
    units: Counter[str] = Counter()
    worth: Counter[str] = Counter()
    for event in history:
        if isinstance(event, LineQuantityCancelled):
            units[event.line_id] += event.quantity
            worth[event.line_id] += event.amount.amount_minor
        if isinstance(event, ReturnReceived):
            for part in event.lines:
                units[part.line_id] += part.quantity
                worth[part.line_id] += part.amount.amount_minor
    return units, worth


def _goods_are_legal(order: Order, history: list[OrderEvent]) -> None:
    if isinstance(order, Placed | Confirmed | Completed):
        assert remaining_units(order) > 0
    if isinstance(order, Confirmed | Completed | Cancelled):
        kept, there, back = kept_quantities(order), delivered_quantities(order), returned_quantities(order)
        lost = {e.shipment_id for e in history if isinstance(e, ShipmentLost)}
        expected = _by_line(part for x in live_shipments(order) if x.shipment_id not in lost for part in x.lines)
        excess = _by_line(part for x in order.returns for part in x.excess)
        coming = _by_line(part for x in open_returns(order) for part in x.requested)
        for line_id, units in kept.items():
            assert expected[line_id] <= units, "only a parcel that was lost brings more than was ordered"
            assert back[line_id] <= min(there[line_id], units), "no unit of the order is returned twice"
            assert excess[line_id] <= max(0, there[line_id] - units), "nor one beyond it"
            assert back[line_id] + excess[line_id] + coming[line_id] <= there[line_id]
            beyond = excess_quantities(order)[line_id]
            assert there[line_id] - excess[line_id] == min(there[line_id], units) + beyond
        for x in order.returns:
            assert _by_line((*x.received, *x.excess)) <= _by_line(x.requested)
    if isinstance(order, Completed):
        assert not any(open_quantities(order).values())
        assert delivered_quantities(order) >= Counter(kept_quantities(order))


def _by_line(parts: Iterable[Any]) -> Counter[str]:
    units: Counter[str] = Counter()
    for part in parts:
        units[part.line_id] += part.quantity
    return units


def _money_is_legal(order: Order) -> None:
    if isinstance(order, Draft):
        assert draft_total(order).amount_minor >= 0
    if not isinstance(order, NoOrder | Draft):
        money = order.payments
        assert 0 <= money.refunded + money.refunding <= money.captured <= money.authorised
        live = [x for x in money.authorisations if x.stage == AuthorisationStage.AUTHORISED]
        assert sum(x.amount_minor for x in live) <= money.authorisation_limit_minor
        # beyond what it was worth is only what was drawn from an authorisation after the provider had called it lapsed
        if not any(x.stage == AuthorisationStage.LAPSED for x in money.authorisations):
            assert money.authorised <= money.authorisation_limit_minor
        for x in money.authorisations:
            assert money.captured_of(x.authorisation_id) <= x.amount_minor
