"""Whatever commands come in whatever sequence, an order stays legal."""

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from server.domain.order import ORDER
from server.domain.order.commands import CreateOrder
from server.domain.order.state import Completed, Confirmed, Draft, NoOrder, Placed, draft_total, open_quantities
from server.domain.rejection import Rejected
from tests.support.orders import (
    WORK,
    add_line,
    authorise,
    cancel,
    capture,
    change_address,
    change_quantity,
    complete,
    confirm,
    create,
    create_shipment,
    deliver,
    discount,
    dispatch,
    expire,
    fail_payment,
    fail_refund,
    hold,
    listing,
    new_line,
    place,
    refund,
    reject,
    release,
    remove_discount,
    remove_line,
    set_shipping,
    settle,
    void,
)

lines = st.sampled_from(["tea", "milk"])
quantities = st.integers(0, 4)
shipments = st.sampled_from(["s1", "s2", "s3"])
payments = st.sampled_from(["p1", "p2", "p3"])
discounts = st.sampled_from(["d1", "d2"])
amounts = st.sampled_from([0, 1, 100, 350, 700, 1400])
commands: st.SearchStrategy[Any] = st.one_of(
    st.just(create()),
    st.builds(lambda line, n: add_line(new_line(line, n)), lines, quantities),
    st.builds(change_quantity, lines, quantities),
    st.builds(remove_line, lines),
    st.sampled_from([change_address(), change_address(WORK), confirm()]),
    st.just(place(listing("tea"), listing("milk"))),
    st.builds(set_shipping, st.sampled_from([0, 500])),
    st.builds(lambda name, n: discount(name, amount=n), discounts, amounts),
    st.builds(lambda name, n: discount(name, basis_points=n), discounts, st.sampled_from([1, 3_333, 10_000])),
    st.builds(remove_discount, discounts),
    st.sampled_from([cancel(), hold(), release(), reject(), expire(), complete()]),
    st.builds(authorise, payments, amounts),
    st.builds(capture, payments, amounts, payments),
    st.builds(refund, payments, amounts),
    st.one_of(*(st.builds(build, payments) for build in (fail_payment, void, settle, fail_refund))),
    st.builds(lambda shipment, line, n: create_shipment(shipment, (line, n)), shipments, lines, quantities),
    st.builds(create_shipment, shipments),
    st.builds(dispatch, shipments),
    st.builds(deliver, shipments),
)


@given(st.lists(commands, max_size=40))
@settings(max_examples=300)
def test_no_sequence_of_commands_breaks_an_order(sequence: list[Any]) -> None:
    history: list[Any] = []
    for command in [create(), *sequence]:
        before = ORDER.fold(history)
        try:
            events = ORDER.decide(before, command)
        except Rejected:
            continue
        after = ORDER.fold(events, before)
        assert not events or after != before, "every event means something"
        if not isinstance(command, CreateOrder):
            assert list(ORDER.decide(after, command)) == [], "doing it twice is nothing"
        history.extend(events)
        assert after == ORDER.fold(history)
        if isinstance(after, Draft):
            assert draft_total(after).amount_minor >= 0
        if isinstance(after, Placed | Confirmed | Completed):
            paid = sum(line.line_total.amount_minor - line.discount.amount_minor for line in after.lines)
            assert after.total.amount_minor >= paid >= 0
        if isinstance(after, Confirmed):
            assert all(left >= 0 for left in open_quantities(after).values())
        if not isinstance(after, NoOrder | Draft):
            money = after.payments
            assert 0 <= money.refunded + money.refunding <= money.captured <= money.authorised <= money.most_minor
