"""The rules of calling off a part of an order, of parcels that are unpacked, and of notes, one sentence each."""

from typing import Any

import pytest

from core.domain.money import MAX_AMOUNT
from core.domain.order import ORDER
from core.domain.rejection import Reason
from tests.support import deciding
from tests.support.orders import (
    WORK,
    address_changed,
    authorised,
    by,
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
    euros,
    expire,
    expired,
    held,
    hold,
    line_added,
    note,
    noted,
    off,
    order_line,
    place,
    placed,
    quantity_cancelled,
    refund_requested,
    refunded,
    reject,
    rejected,
    shipment_created,
    unpack,
    unpacked,
)


def given(*history: Any) -> deciding.Given[Any, Any, Any]:
    return deciding.given(ORDER, *history)


DRAFT = (created(), line_added(), address_changed())
PLACED = (*DRAFT, placed())
CONFIRMED = (*PLACED, confirmed())
PACKED = (*CONFIRMED, shipment_created("s1", ("tea", 1)))


class TestCancellingAPart:
    @pytest.mark.parametrize("history", [PLACED, CONFIRMED, (*PLACED, held()), (*CONFIRMED, held())])
    def test_units_can_be_taken_off_a_placed_or_confirmed_order(self, history: tuple[Any, ...]) -> None:
        given(*history).when(cancel_quantity()).then(quantity_cancelled())

    def test_the_same_step_again_changes_nothing(self) -> None:
        given(*PLACED, quantity_cancelled()).when(cancel_quantity()).nothing()

    def test_a_cancellation_id_cannot_stand_for_other_units(self) -> None:
        given(*PLACED, quantity_cancelled()).when(cancel_quantity(quantity=2)).rejected(
            Reason.CANCELLATION_EXISTS, cancellation_id="x1"
        )

    def test_what_is_packed_or_cancelled_cannot_be_taken_off(self) -> None:
        given(*PACKED).when(cancel_quantity(quantity=2)).rejected(
            Reason.QUANTITY_EXCEEDS_OPEN, line_id="tea", wanted=2, open=1
        )
        given(*PACKED, quantity_cancelled()).when(cancel_quantity("x2")).rejected(
            Reason.QUANTITY_EXCEEDS_OPEN, wanted=1, open=0
        )

    def test_what_was_cancelled_cannot_be_packed(self) -> None:
        given(*CONFIRMED, quantity_cancelled()).when(create_shipment()).then(shipment_created("s1", ("tea", 1)))
        given(*CONFIRMED, quantity_cancelled()).when(create_shipment("s1", ("tea", 2))).rejected(
            Reason.QUANTITY_EXCEEDS_OPEN, wanted=2, open=1
        )

    def test_a_line_that_is_not_there_is_not_found(self) -> None:
        given(*PLACED).when(cancel_quantity(line_id="milk")).rejected(Reason.LINE_NOT_FOUND, line_id="milk")

    @pytest.mark.parametrize("quantity", [-1, 0, 10_000])
    def test_a_quantity_is_1_to_9999(self, quantity: int) -> None:
        given(*PLACED).when(cancel_quantity(quantity=quantity)).rejected(Reason.QUANTITY_INVALID)

    def test_with_the_last_unit_the_order_is_cancelled(self) -> None:
        line = order_line("tea", 2, 350, discount=1)
        history = (*DRAFT, placed(line, discounts=(off(amount=1),), shipping=by(price=500)))
        given(*history).when(cancel_quantity("x1", quantity=2)).then(
            quantity_cancelled("x1", quantity=2, amount=699),
            cancelled(reason="too many", total=euros(500), units=0),
        )

    def test_not_while_some_are_on_their_way(self) -> None:
        given(*PACKED).when(cancel_quantity()).then(quantity_cancelled())

    def test_of_a_cancelled_order_everything_is_taken_off_already(self) -> None:
        given(*PLACED, cancelled()).when(cancel_quantity()).nothing()

    @pytest.mark.parametrize("history", [DRAFT, (*PLACED, rejected()), (*PLACED, expired())])
    def test_what_was_never_or_not_accepted_has_no_parts_to_cancel(self, history: tuple[Any, ...]) -> None:
        given(*history).when(cancel_quantity()).rejected(Reason.ORDER_STATE)

    def test_units_cost_what_they_did_with_the_discount_to_the_last_cent(self) -> None:
        three = (created(), line_added("tea", 3, 100), address_changed(),
                 placed(order_line("tea", 3, 100, discount=100), discounts=(off(amount=100),)))  # fmt: skip
        # 200 for three: 67, 67 and 66; the last go first
        given(*three).when(cancel_quantity("x1")).then(quantity_cancelled("x1", amount=66))
        given(*three, quantity_cancelled("x1", amount=66)).when(cancel_quantity("x2")).then(
            quantity_cancelled("x2", amount=67)
        )

    @pytest.mark.parametrize(("command", "event"), [(cancel(), cancelled), (reject(), rejected), (expire(), expired)])
    def test_what_comes_to_nothing_later_undoes_only_what_was_left(self, command: Any, event: Any) -> None:
        given(*PLACED, quantity_cancelled()).when(command).then(event(total=euros(350), units=1))

    def test_what_is_left_completes_the_order_when_it_has_arrived_and_is_paid(self) -> None:
        history = (*PACKED, quantity_cancelled(), dispatched(), delivered(), authorised(), captured(amount=350))
        given(*history).when(complete()).then(completed())

    def test_unless_more_is_kept_than_it_costs(self) -> None:
        history = (*PACKED, authorised(), captured(), quantity_cancelled(), dispatched(), delivered())
        given(*history).when(complete()).rejected(Reason.ORDER_OPEN_ITEMS, overpaid_minor=350, unpaid_minor=0)
        given(*history, refund_requested("r1", 350), refunded("r1", 350)).when(complete()).then(completed())

    def test_a_completed_order_has_nothing_open(self) -> None:
        history = (*CONFIRMED, authorised(), captured(), shipment_created(), dispatched(), delivered(), completed())
        given(*history).when(cancel_quantity()).rejected(Reason.QUANTITY_EXCEEDS_OPEN, open=0)


class TestUnpacking:
    @pytest.mark.parametrize("history", [PACKED, (*PACKED, held())])
    def test_a_parcel_in_the_house_can_be_unpacked(self, history: tuple[Any, ...]) -> None:
        given(*history).when(unpack()).then(unpacked())
        given(*history, unpacked()).when(unpack()).nothing()

    def test_its_units_are_open_again(self) -> None:
        given(*CONFIRMED, shipment_created(), unpacked()).when(create_shipment("s2")).then(shipment_created("s2"))

    def test_its_id_is_used(self) -> None:
        given(*CONFIRMED, shipment_created(), unpacked()).when(create_shipment("s1")).nothing()
        given(*CONFIRMED, shipment_created(), unpacked()).when(create_shipment("s1", ("tea", 1))).rejected(
            Reason.SHIPMENT_EXISTS
        )

    @pytest.mark.parametrize("more", [(dispatched(),), (dispatched(), delivered())])
    def test_a_parcel_that_has_left_the_house_cannot(self, more: tuple[Any, ...]) -> None:
        given(*PACKED, *more).when(unpack()).rejected(Reason.SHIPMENT_DISPATCHED, shipment_id="s1")

    @pytest.mark.parametrize("command", [dispatch(), deliver()])
    def test_an_unpacked_parcel_goes_nowhere(self, command: Any) -> None:
        given(*PACKED, unpacked()).when(command).rejected(Reason.SHIPMENT_CANCELLED, shipment_id="s1")

    def test_an_unknown_parcel_is_not_found(self) -> None:
        given(*PACKED).when(unpack("s9")).rejected(Reason.SHIPMENT_NOT_FOUND)

    def test_then_the_order_can_be_cancelled_and_the_address_changed(self) -> None:
        given(*PACKED, unpacked()).when(cancel()).then(cancelled())
        given(*PACKED, unpacked()).when(change_address(WORK)).then(address_changed(WORK))

    @pytest.mark.parametrize("history", [DRAFT, PLACED, (*PLACED, cancelled())])
    def test_only_a_confirmed_order_has_parcels(self, history: tuple[Any, ...]) -> None:
        given(*history).when(unpack()).rejected(Reason.ORDER_STATE)


class TestNotes:
    @pytest.mark.parametrize(
        "history", [DRAFT, PLACED, CONFIRMED, (*PLACED, cancelled()), (*PLACED, rejected()), (*PLACED, expired())]
    )
    def test_a_text_can_be_kept_with_any_order(self, history: tuple[Any, ...]) -> None:
        given(*history).when(note()).then(noted())

    def test_the_same_note_twice_is_one_also_after_the_order_went_on(self) -> None:
        given(created(), noted()).when(note()).nothing()
        given(*DRAFT, noted(), placed(), confirmed(), cancelled()).when(note()).nothing()

    def test_a_note_id_cannot_stand_for_two_texts(self) -> None:
        given(created(), noted()).when(note(text="another")).rejected(Reason.NOTE_EXISTS, note_id="n1")

    def test_a_note_has_at_most_2000_characters(self) -> None:
        given(created()).when(note(text="x" * 2_000)).then(noted(text="x" * 2_000))
        given(created()).when(note(text="x" * 2_001)).rejected(Reason.NOTE_TOO_LONG, length=2_001, most=2_000)

    def test_the_101st_is_one_too_many(self) -> None:
        hundred = [noted(f"n{n}") for n in range(100)]
        given(created(), *hundred).when(note("n100")).rejected(Reason.TOO_MANY_ENTRIES, what="notes", most=100)


def test_a_draft_that_is_worth_more_than_can_be_written_can_still_be_cancelled() -> None:
    history = (created(), line_added(quantity=2, price=MAX_AMOUNT))
    given(*history).when(cancel()).then(cancelled(total=euros(MAX_AMOUNT), placed_at=None))


def test_holding_and_placing_know_nothing_of_parts() -> None:
    given(*PLACED, quantity_cancelled()).when(hold()).then(held())
    given(*PLACED, quantity_cancelled()).when(place()).nothing()
