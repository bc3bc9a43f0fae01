"""Whatever commands come in whatever sequence, an order stays legal."""

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from server.domain.order import ORDER
from server.domain.order.commands import CreateOrder
from server.domain.order.state import Confirmed, open_quantities
from server.domain.rejection import Rejected
from tests.support.orders import (
    WORK,
    add_line,
    cancel,
    change_address,
    change_quantity,
    confirm,
    create,
    create_shipment,
    deliver,
    dispatch,
    hold,
    listing,
    new_line,
    place,
    release,
    remove_line,
)

lines = st.sampled_from(["tea", "milk"])
quantities = st.integers(0, 4)
shipments = st.sampled_from(["s1", "s2", "s3"])
commands: st.SearchStrategy[Any] = st.one_of(
    st.just(create()),
    st.builds(lambda line, n: add_line(new_line(line, n)), lines, quantities),
    st.builds(change_quantity, lines, quantities),
    st.builds(remove_line, lines),
    st.sampled_from([change_address(), change_address(WORK), confirm()]),
    st.just(place(listing("tea"), listing("milk"))),
    st.sampled_from([cancel(), hold(), release()]),
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
        if isinstance(after, Confirmed):
            assert all(left >= 0 for left in open_quantities(after).values())
