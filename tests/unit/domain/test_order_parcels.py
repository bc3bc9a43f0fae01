"""What becomes of a parcel that has left the house: delivered, lost, refused, back; and what its units are then."""

from typing import Any

import pytest

from core.domain.order import ORDER, owed
from core.domain.order.events import Condition
from core.domain.order.state import (
    Cancelled,
    Completed,
    Confirmed,
    Shipped,
    excess_quantities,
    open_quantities,
    returnable_quantities,
)
from core.domain.rejection import Reason
from tests.support import deciding
from tests.support.orders import (
    WORK,
    address_changed,
    authorised,
    back_line,
    came_back,
    cancel,
    cancel_quantity,
    cancelled,
    captured,
    change_address,
    complete,
    completed,
    confirmed,
    create_shipment,
    created,
    deliver,
    delivered,
    dispatch,
    dispatched,
    empty_return,
    euros,
    excess_returned,
    held,
    line_added,
    lose,
    lost,
    order_line,
    placed,
    quantity_cancelled,
    receive_return,
    received_line,
    refuse,
    refused,
    request_return,
    return_approved,
    return_requested,
    returned,
    shipment_created,
    take_back,
    unpack,
    unpacked,
)

CONFIRMED = (created(), line_added(), placed(), confirmed())
PACKED = (*CONFIRMED, shipment_created())
SENT = (*PACKED, dispatched())
LOST = (*SENT, lost())
REFUSED = (*SENT, refused())
BACK = (*REFUSED, came_back())
DELIVERED = (*SENT, delivered())
SENT_AGAIN = (*LOST, shipment_created("s2"), dispatched("s2"))
GOOD, DAMAGED = Condition.RESALEABLE, Condition.DAMAGED


def given(*history: Any) -> deciding.Given[Any, Any, Any]:
    return deciding.given(ORDER, *history)


class TestEachStageOfAParcel:
    """One row for each stage and command; docs/orders.md has the same table."""

    @pytest.mark.parametrize(
        ("history", "command", "event"),
        [
            (SENT, deliver(), delivered()),
            (SENT, lose(), lost()),
            (SENT, refuse(), refused()),
            (SENT, take_back("s1", ("tea", 2, GOOD)), came_back()),
            (REFUSED, deliver(), delivered()),
            (REFUSED, lose(), lost()),
            (REFUSED, take_back("s1", ("tea", 2, GOOD)), came_back()),
            (LOST, deliver(), delivered()),
            (LOST, take_back("s1", ("tea", 2, GOOD)), came_back()),
        ],
    )
    def test_what_happened_outside_is_recorded(self, history: Any, command: Any, event: Any) -> None:
        given(*history).when(command).then(event)
        given(*history, held()).when(command).then(event)
        given(*history, event).when(command).nothing()

    @pytest.mark.parametrize(
        ("history", "command", "stage"),
        [
            (DELIVERED, lose(), "DELIVERED"),
            (DELIVERED, refuse(), "DELIVERED"),
            (DELIVERED, take_back("s1", ("tea", 2, GOOD)), "DELIVERED"),
            (BACK, lose(), "RETURNED"),
            (BACK, deliver(), "RETURNED"),
            (BACK, take_back("s1", ("tea", 2, DAMAGED)), "RETURNED"),
            (LOST, refuse(), "LOST"),
        ],
    )
    def test_what_contradicts_it_is_refused(self, history: Any, command: Any, stage: str) -> None:
        given(*history).when(command).rejected(Reason.SHIPMENT_STATE, shipment_id="s1", stage=stage)

    @pytest.mark.parametrize("command", [lose(), refuse(), take_back("s1", ("tea", 2, GOOD))])
    def test_only_a_parcel_that_has_left_can_be_lost_refused_or_come_back(self, command: Any) -> None:
        given(*PACKED).when(command).rejected(Reason.SHIPMENT_NOT_DISPATCHED, shipment_id="s1")
        given(*PACKED, unpacked()).when(command).rejected(Reason.SHIPMENT_CANCELLED, shipment_id="s1")
        given(*CONFIRMED).when(command).rejected(Reason.SHIPMENT_NOT_FOUND, shipment_id="s1")
        given(*CONFIRMED[:3]).when(command).rejected(Reason.ORDER_STATE, status="PLACED")

    @pytest.mark.parametrize("history", [LOST, REFUSED, BACK])
    def test_a_parcel_that_has_left_is_not_unpacked_and_its_dispatch_may_be_repeated(self, history: Any) -> None:
        given(*history).when(unpack()).rejected(Reason.SHIPMENT_DISPATCHED, shipment_id="s1")
        given(*history).when(dispatch()).nothing()

    def test_a_refusal_of_what_is_back_changes_nothing(self) -> None:
        given(*BACK).when(refuse()).nothing()


class TestWhatComesBack:
    def test_it_may_be_less_than_was_sent_and_in_any_condition(self) -> None:
        given(*REFUSED).when(take_back("s1", ("tea", 1, DAMAGED))).then(came_back("s1", back_line("tea", 1, DAMAGED)))
        given(*REFUSED).when(take_back("s1", ("tea", 1, GOOD), ("tea", 1, DAMAGED))).then(
            came_back("s1", back_line("tea", 1), back_line("tea", 1, DAMAGED))
        )

    def test_it_is_never_more_than_was_sent(self) -> None:
        given(*REFUSED).when(take_back("s1", ("tea", 2, GOOD), ("tea", 1, DAMAGED))).rejected(
            Reason.RECEIVED_EXCEEDS_SENT, line_id="tea", received=3, sent=2
        )
        given(*REFUSED).when(take_back("s1", ("milk", 1, GOOD))).rejected(
            Reason.RECEIVED_EXCEEDS_SENT, line_id="milk", received=1, sent=0
        )

    def test_it_is_something(self) -> None:
        given(*REFUSED).when(take_back()).rejected(Reason.QUANTITY_INVALID)
        given(*REFUSED).when(take_back("s1", ("tea", 0, GOOD))).rejected(Reason.QUANTITY_INVALID)


class TestUnitsOfALostOrReturnedParcel:
    @pytest.mark.parametrize("history", [LOST, BACK, (*SENT, came_back("s1", back_line("tea", 1)))])
    def test_all_of_them_are_open_again(self, history: Any) -> None:
        given(*history).when(create_shipment("s2")).then(shipment_created("s2"))
        given(*history).when(cancel_quantity()).then(quantity_cancelled())
        given(*history).when(cancel()).then(cancelled())

    def test_those_of_a_refused_parcel_are_still_under_way(self) -> None:
        given(*REFUSED).when(create_shipment("s2")).rejected(Reason.QUANTITY_EXCEEDS_OPEN, open=0)
        given(*REFUSED).when(cancel_quantity()).rejected(Reason.QUANTITY_EXCEEDS_OPEN, open=0)
        given(*REFUSED).when(cancel()).rejected(Reason.CANCEL_HAS_SHIPMENTS, shipments=1)
        given(*REFUSED, authorised(), captured()).when(complete()).rejected(
            Reason.ORDER_OPEN_ITEMS, undelivered_units=2
        )

    def test_they_cannot_be_returned_by_the_customer(self) -> None:
        for history in (LOST, REFUSED, BACK):
            order = ORDER.fold(history)
            assert isinstance(order, Confirmed)
            assert returnable_quantities(order) == {}

    def test_they_keep_an_order_open_until_they_have_arrived(self) -> None:
        paid = (*LOST, authorised(), captured())
        given(*paid).when(complete()).rejected(Reason.ORDER_OPEN_ITEMS, undelivered_units=2)
        again = (*paid, shipment_created("s2"), dispatched("s2"), delivered("s2"))
        given(*again).when(complete()).then(completed())

    def test_the_address_may_change_before_they_are_sent_again(self) -> None:
        given(*SENT).when(change_address(WORK)).rejected(Reason.ALREADY_SHIPPED)
        given(*REFUSED).when(change_address(WORK)).rejected(Reason.ALREADY_SHIPPED)
        given(*BACK).when(change_address(WORK)).then(address_changed(WORK))

    def test_other_parcels_keep_an_order_from_being_cancelled(self) -> None:
        history = (
            *CONFIRMED,
            *(shipment_created("s1", ("tea", 1)), dispatched("s1"), lost("s1")),
            *(shipment_created("s2", ("tea", 1)), dispatched("s2"), delivered("s2")),
        )
        given(*history).when(cancel()).rejected(Reason.CANCEL_HAS_SHIPMENTS, shipments=1)
        given(*history).when(cancel_quantity()).then(quantity_cancelled())

    def test_with_the_last_of_them_the_order_is_cancelled(self) -> None:
        given(*LOST).when(cancel_quantity("x1", "tea", 2)).then(
            quantity_cancelled("x1", "tea", 2, 700),
            cancelled(reason="too many", total=euros(0), units=0),
        )


class TestALostParcelThatArrivesAfterAll:
    def test_is_delivered_if_its_units_are_still_open(self) -> None:
        given(*LOST, shipment_created("s2"), unpacked("s2")).when(deliver()).then(delivered())
        order = ORDER.fold((*LOST, delivered()))
        assert isinstance(order, Confirmed)
        assert open_quantities(order) == {"tea": 0}
        assert returnable_quantities(order) == {"tea": 2}
        assert not excess_quantities(order)

    @pytest.mark.parametrize(
        ("since", "beyond"),
        [
            ((*LOST, shipment_created("s2")), 0),  # it may still be unpacked
            (SENT_AGAIN, 0),  # it may still be lost
            ((*SENT_AGAIN, delivered("s2")), 2),
            ((*SENT_AGAIN, delivered("s2"), completed()), 2),
            ((*LOST, quantity_cancelled()), 1),
            ((*LOST, cancelled()), 2),
        ],
    )
    def test_is_delivered_too_if_they_were_sent_again_or_cancelled_and_what_is_beyond_the_order_is_known(
        self, since: Any, beyond: int
    ) -> None:
        given(*since).when(deliver()).then(delivered())
        given(*since, delivered()).when(deliver()).nothing()
        order = ORDER.fold((*since, delivered()))
        assert isinstance(order, Shipped)
        assert excess_quantities(order).total() == beyond
        assert not any(open_quantities(order).values())

    @pytest.mark.parametrize("end", [lost("s2"), came_back("s2"), unpacked("s2")])
    def test_fulfils_the_order_if_what_was_sent_in_its_place_does_not_arrive(self, end: Any) -> None:
        before = (*LOST, shipment_created("s2")) if end == unpacked("s2") else SENT_AGAIN
        history = (*before, delivered("s1"), end)
        order = ORDER.fold(history)
        assert isinstance(order, Confirmed)
        assert open_quantities(order) == {"tea": 0}
        assert not excess_quantities(order)
        given(*history, authorised(), captured()).when(complete()).then(completed())

    def test_leaves_open_what_it_did_not_bring(self) -> None:
        two = (created(), line_added(), line_added("milk"), placed(order_line(), order_line("milk")), confirmed())
        tea = (shipment_created("s1", ("tea", 2)), dispatched("s1"), lost("s1"))
        again = (shipment_created("s2", ("tea", 2)), dispatched("s2"), delivered("s2"), delivered("s1"))
        given(*two, *tea, *again, authorised(amount=1_400), captured(amount=1_400)).when(complete()).rejected(
            Reason.ORDER_OPEN_ITEMS, undelivered_units=2
        )

    def test_can_come_back_even_when_they_were_sent_again(self) -> None:
        given(*SENT_AGAIN).when(take_back("s1", ("tea", 2, GOOD))).then(came_back())


class TestUnitsBeyondTheOrder:
    """The customer has them since a lost parcel arrived; they are returned like others."""

    TWICE = (*SENT_AGAIN, delivered("s2"), delivered("s1"))

    def test_are_returned_first_and_nothing_is_owed_for_them(self) -> None:
        asked = (return_requested("r1", ("tea", 3)), return_approved())
        given(*self.TWICE, *asked).when(receive_return("r1", ("tea", 3, GOOD))).then(
            excess_returned("r1", back_line("tea", 2)), returned("r1", received_line("tea", 1, 350))
        )
        everything = (excess_returned("r1", back_line("tea", 2)), returned("r1", received_line("tea", 1, 350)))
        given(*self.TWICE, *asked, *everything).when(receive_return("r1", ("tea", 3, GOOD))).nothing()
        given(*self.TWICE, *asked, *everything).when(request_return("r2", ("tea", 2))).rejected(
            Reason.RETURN_EXCEEDS_DELIVERED, wanted=2, returnable=1
        )

    def test_are_owed_for_no_more_than_the_order_cost(self) -> None:
        all_back = (return_requested("r1", ("tea", 2)), return_approved(), returned())
        order = ORDER.fold((*LOST, authorised(), captured(), delivered("s1"), *all_back))
        assert isinstance(order, Confirmed)
        assert owed.for_returns(order) == {"r1": 700}
        history = (*SENT_AGAIN, delivered("s1"), *all_back, delivered("s2"))
        asked = (return_requested("r2", ("tea", 2)), return_approved("r2"))
        given(*history, *asked).when(receive_return("r2", ("tea", 2, GOOD))).then(
            excess_returned("r2"), empty_return("r2")
        )

    @pytest.mark.parametrize("how", [GOOD, DAMAGED])
    def test_are_returned_also_after_the_order_was_cancelled(self, how: Condition) -> None:
        over = (*LOST, cancelled(), delivered("s1"))
        given(*over).when(request_return("r1")).then(return_requested("r1", ("tea", 2)))
        asked = (*over, return_requested("r1", ("tea", 2)), return_approved())
        given(*asked).when(receive_return("r1", ("tea", 1, how))).then(
            excess_returned("r1", back_line("tea", 1, how)), empty_return("r1")
        )

    def test_have_the_worth_that_they_have_in_the_order(self) -> None:
        for history, units, worth in ((self.TWICE, 2, 700), ((*LOST, quantity_cancelled(), delivered("s1")), 1, 350)):
            order = ORDER.fold(history)
            assert isinstance(order, Shipped)
            assert owed.excess_goods(order) == [owed.Excess("tea", "tea", units, worth)]

    def test_are_none_of_an_order_whose_parcels_arrived(self) -> None:
        order = ORDER.fold(DELIVERED)
        assert isinstance(order, Shipped)
        assert owed.excess_goods(order) == []


class TestAfterTheOrder:
    def test_a_lost_parcel_of_a_cancelled_order_may_come_back(self) -> None:
        over = (*LOST, cancelled())
        assert isinstance(ORDER.fold(over), Cancelled)
        given(*over).when(take_back("s1", ("tea", 2, GOOD))).then(came_back())
        given(*over, came_back()).when(take_back("s1", ("tea", 2, GOOD))).nothing()
        given(*over).when(lose()).nothing()
        given(*over).when(refuse()).rejected(Reason.SHIPMENT_STATE, stage="LOST")

    def test_a_cancelled_order_that_sent_nothing_knows_no_parcel(self) -> None:
        given(*CONFIRMED, cancelled()).when(lose()).rejected(Reason.SHIPMENT_NOT_FOUND)

    def test_a_lost_parcel_of_a_completed_order_may_come_back_too(self) -> None:
        over = (*SENT_AGAIN, delivered("s2"), completed())
        assert isinstance(ORDER.fold(over), Completed)
        given(*over).when(take_back("s1", ("tea", 2, GOOD))).then(came_back())
        given(*over).when(deliver("s1")).then(delivered())


def test_an_order_knows_which_units_had_been_cancelled_when_a_parcel_was_lost() -> None:
    lines = (order_line("tea", 3),)
    history = (created(), line_added("tea", 3), placed(*lines), confirmed(), quantity_cancelled("x1"))
    order = ORDER.fold((*history, shipment_created("s1"), dispatched("s1"), lost("s1"), quantity_cancelled("x2")))
    assert isinstance(order, Confirmed)
    assert [(x.shipment_id, x.cancellations, x.undone) for x in order.reopenings] == [("s1", 1, False)]
    assert [part.quantity for x in order.reopenings for part in x.lines] == [2]
    arrived = ORDER.evolve(ORDER.evolve(order, came_back("s1")), lost("s2"))
    assert isinstance(arrived, Confirmed)
    assert arrived.reopenings == order.reopenings
