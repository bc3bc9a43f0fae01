"""The rules of an order, one sentence each."""

from dataclasses import replace
from typing import Any

import pytest

from core.domain.money import MAX_AMOUNT
from core.domain.order import ORDER
from core.domain.order.commands import Customer
from core.domain.rejection import Reason
from tests.support import deciding
from tests.support.orders import (
    ANN,
    HOME,
    WORK,
    add_line,
    address_changed,
    cancel,
    cancelled,
    change_address,
    change_quantity,
    complete,
    confirm,
    confirmed,
    create,
    create_shipment,
    created,
    deliver,
    delivered,
    dispatch,
    dispatched,
    held,
    hold,
    hold_released,
    line_added,
    line_removed,
    listing,
    new_line,
    order_line,
    place,
    placed,
    quantity_changed,
    release,
    remove_line,
    shipment_created,
)


def given(*history: Any) -> deciding.Given[Any, Any, Any]:
    return deciding.given(ORDER, *history)


DRAFT = (created(), line_added(), address_changed())
PLACED = (*DRAFT, placed())
CONFIRMED = (*PLACED, confirmed())
SHIPPED = (*CONFIRMED, shipment_created(), dispatched())


class TestCreating:
    def test_an_order_opens_as_a_draft_with_its_lines_and_address(self) -> None:
        given().when(create(new_line(), address=HOME)).then(created(), line_added(), address_changed())

    def test_an_order_may_open_empty(self) -> None:
        given().when(create()).then(created())

    def test_an_order_id_is_taken_once(self) -> None:
        given(created()).when(create()).rejected(Reason.ORDER_EXISTS)

    def test_an_unknown_user_cannot_order(self) -> None:
        stranger = Customer(user_id=ANN, known=False, blocked=False)
        given().when(create(customer=stranger)).rejected(Reason.USER_NOT_FOUND, user_id=ANN)

    def test_a_blocked_user_cannot_order(self) -> None:
        blocked = Customer(user_id=ANN, known=True, blocked=True)
        given().when(create(customer=blocked)).rejected(Reason.USER_BLOCKED, user_id=ANN)

    @pytest.mark.parametrize("currency", ["", "EURO", "eur", "XXX"])
    def test_the_currency_must_exist(self, currency: str) -> None:
        given().when(create(currency=currency)).rejected(Reason.CURRENCY_UNKNOWN, currency=currency)

    def test_two_lines_cannot_have_one_id(self) -> None:
        given().when(create(new_line(), new_line())).rejected(Reason.LINE_EXISTS, line_id="tea")

    def test_201_lines_are_too_many(self) -> None:
        lines = [new_line(f"sku{n}") for n in range(201)]
        given().when(create(*lines)).rejected(Reason.TOO_MANY_LINES, lines=201)

    @pytest.mark.parametrize("field", ["name", "line1", "city", "country"])
    def test_an_address_must_be_whole(self, field: str) -> None:
        address = replace(HOME, **{field: " "})
        given().when(create(address=address)).rejected(Reason.ADDRESS_INVALID, field=field)

    @pytest.mark.parametrize("country", ["be", "B1", "BEL", "ÄÖ"])
    def test_a_country_is_two_upper_case_letters(self, country: str) -> None:
        address = replace(HOME, country=country)
        given().when(create(address=address)).rejected(Reason.ADDRESS_INVALID, field="country")


class TestEditing:
    def test_a_line_takes_the_price_of_its_product(self) -> None:
        given(created()).when(add_line(new_line(the_listing=listing(price=999)))).then(line_added(price=999))

    def test_adding_the_same_line_twice_changes_nothing(self) -> None:
        given(created(), line_added()).when(add_line()).nothing()

    def test_a_line_id_cannot_stand_for_two_things(self) -> None:
        given(created(), line_added()).when(add_line(new_line(quantity=3))).rejected(Reason.LINE_EXISTS)

    @pytest.mark.parametrize("quantity", [-1, 0, 10_000])
    def test_a_quantity_is_1_to_9999(self, quantity: int) -> None:
        given(created()).when(add_line(new_line(quantity=quantity))).rejected(
            Reason.QUANTITY_INVALID, quantity=quantity
        )
        given(*DRAFT).when(change_quantity(quantity=quantity)).rejected(Reason.QUANTITY_INVALID, quantity=quantity)

    def test_a_product_off_sale_cannot_be_added(self) -> None:
        line = new_line(the_listing=listing(sellable=False))
        given(created()).when(add_line(line)).rejected(Reason.PRODUCT_NOT_SELLABLE, sku="tea")

    def test_an_unknown_product_cannot_be_added(self) -> None:
        line = new_line(the_listing=replace(listing(), price=None))
        given(created()).when(add_line(line)).rejected(Reason.PRODUCT_NOT_SELLABLE, sku="tea")

    def test_a_product_in_another_currency_cannot_be_added(self) -> None:
        line = new_line(the_listing=listing(currency="USD"))
        given(created()).when(add_line(line)).rejected(Reason.CURRENCY_MISMATCH, product_currency="USD")

    def test_the_201st_line_is_one_too_many(self) -> None:
        lines = [line_added(f"sku{n}") for n in range(200)]
        given(created(), *lines).when(add_line()).rejected(Reason.TOO_MANY_LINES, lines=201)

    def test_a_quantity_can_change(self) -> None:
        given(*DRAFT).when(change_quantity(quantity=5)).then(quantity_changed(quantity=5))

    def test_the_same_quantity_again_changes_nothing(self) -> None:
        given(*DRAFT).when(change_quantity(quantity=2)).nothing()

    def test_a_line_that_is_not_there_has_no_quantity(self) -> None:
        given(*DRAFT).when(change_quantity("milk")).rejected(Reason.LINE_NOT_FOUND, line_id="milk")

    def test_a_line_can_go(self) -> None:
        given(*DRAFT).when(remove_line()).then(line_removed())

    def test_a_line_that_is_gone_stays_gone(self) -> None:
        given(*DRAFT, line_removed()).when(remove_line()).nothing()

    @pytest.mark.parametrize("command", [add_line(), change_quantity(), remove_line()])
    @pytest.mark.parametrize("history", [PLACED, CONFIRMED, (*DRAFT, cancelled())])
    def test_only_a_draft_can_be_edited(self, command: Any, history: tuple[Any, ...]) -> None:
        given(*history).when(command).rejected(Reason.ORDER_NOT_EDITABLE)

    @pytest.mark.parametrize("history", [(created(),), PLACED, (*CONFIRMED, shipment_created())])
    def test_the_address_can_change_until_the_first_dispatch(self, history: tuple[Any, ...]) -> None:
        given(*history).when(change_address(WORK)).then(address_changed(WORK))

    def test_the_address_is_fixed_after_dispatch(self) -> None:
        given(*SHIPPED).when(change_address(WORK)).rejected(Reason.ALREADY_SHIPPED)

    def test_the_same_address_again_changes_nothing(self) -> None:
        given(*SHIPPED).when(change_address(HOME)).nothing()


class TestPlacing:
    def test_placing_fixes_lines_total_and_address(self) -> None:
        history = (created(), line_added("tea", 2, 350), line_added("milk", 3, 101), address_changed())
        given(*history).when(place(listing("tea", 350), listing("milk", 101))).then(
            placed(order_line("tea", 2, 350), order_line("milk", 3, 101))
        )

    def test_an_empty_order_cannot_be_placed(self) -> None:
        given(created(), address_changed()).when(place()).rejected(Reason.ORDER_EMPTY)

    def test_an_order_without_an_address_cannot_be_placed(self) -> None:
        given(created(), line_added()).when(place()).rejected(Reason.ADDRESS_MISSING)

    def test_a_price_that_moved_is_reported_with_both_prices(self) -> None:
        given(*DRAFT).when(place(listing(price=400))).rejected(
            Reason.PRICE_CHANGED, sku="tea", order_price_minor=350, current_price_minor=400
        )

    def test_a_product_taken_off_sale_cannot_be_placed(self) -> None:
        given(*DRAFT).when(place(listing(sellable=False))).rejected(Reason.PRODUCT_NOT_SELLABLE, sku="tea")

    def test_a_total_must_be_exact_in_every_reader(self) -> None:
        history = (created(), line_added(quantity=2, price=MAX_AMOUNT), address_changed())
        given(*history).when(place(listing(price=MAX_AMOUNT))).rejected(Reason.TOTAL_TOO_LARGE)

    @pytest.mark.parametrize("history", [PLACED, CONFIRMED])
    def test_placing_twice_changes_nothing(self, history: tuple[Any, ...]) -> None:
        given(*history).when(place()).nothing()

    def test_a_cancelled_order_cannot_be_placed(self) -> None:
        given(*DRAFT, cancelled()).when(place()).rejected(Reason.ORDER_STATE, status="CANCELLED", command="PlaceOrder")


class TestConfirmingAndCancelling:
    def test_a_placed_order_can_be_confirmed(self) -> None:
        given(*PLACED).when(confirm()).then(confirmed())

    def test_confirming_twice_changes_nothing(self) -> None:
        given(*CONFIRMED).when(confirm()).nothing()

    @pytest.mark.parametrize("history", [DRAFT, (*PLACED, cancelled())])
    def test_only_a_placed_order_can_be_confirmed(self, history: tuple[Any, ...]) -> None:
        given(*history).when(confirm()).rejected(Reason.ORDER_STATE)

    @pytest.mark.parametrize("history", [PLACED, CONFIRMED])
    def test_cancelling_says_what_it_undoes(self, history: tuple[Any, ...]) -> None:
        given(*history).when(cancel()).then(cancelled())

    def test_cancelling_a_draft_undoes_no_placing(self) -> None:
        given(*DRAFT).when(cancel()).then(cancelled(placed_at=None))

    def test_cancelling_twice_changes_nothing(self) -> None:
        given(*PLACED, cancelled()).when(cancel("another reason")).nothing()

    def test_an_order_with_a_shipment_cannot_be_cancelled(self) -> None:
        given(*CONFIRMED, shipment_created()).when(cancel()).rejected(Reason.CANCEL_HAS_SHIPMENTS, shipments=1)


class TestHolding:
    def test_an_order_on_hold_is_neither_confirmed_nor_packed_nor_sent_nor_completed(self) -> None:
        given(*PLACED, held()).when(confirm()).rejected(Reason.ORDER_ON_HOLD)
        given(*CONFIRMED, held()).when(create_shipment()).rejected(Reason.ORDER_ON_HOLD)
        given(*CONFIRMED, shipment_created(), held()).when(dispatch()).rejected(Reason.ORDER_ON_HOLD)
        given(*SHIPPED, delivered(), held()).when(complete()).rejected(Reason.ORDER_ON_HOLD)

    def test_after_the_hold_it_goes_on(self) -> None:
        given(*PLACED, held()).when(release()).then(hold_released())
        given(*PLACED, held(), hold_released()).when(confirm()).then(confirmed())

    def test_what_was_done_before_the_hold_stays_done(self) -> None:
        given(*CONFIRMED, held()).when(confirm()).nothing()
        given(*SHIPPED, held()).when(create_shipment()).nothing()
        given(*SHIPPED, held()).when(dispatch()).nothing()
        given(*SHIPPED, held()).when(deliver()).then(delivered())

    def test_an_order_on_hold_can_be_cancelled(self) -> None:
        given(*PLACED, held()).when(cancel()).then(cancelled())

    def test_holding_and_releasing_twice_is_once(self) -> None:
        given(*PLACED).when(hold()).then(held())
        given(*PLACED, held()).when(hold()).nothing()
        given(*PLACED).when(release()).nothing()

    def test_a_draft_has_nothing_to_hold(self) -> None:
        given(*DRAFT).when(hold()).rejected(Reason.ORDER_STATE, status="DRAFT")


class TestShipping:
    def test_a_shipment_without_lines_takes_all_that_is_open(self) -> None:
        given(*CONFIRMED).when(create_shipment()).then(shipment_created())

    def test_a_shipment_may_take_a_part(self) -> None:
        given(*CONFIRMED).when(create_shipment("s1", ("tea", 1))).then(shipment_created("s1", ("tea", 1)))

    def test_a_second_shipment_takes_the_rest(self) -> None:
        given(*CONFIRMED, shipment_created("s1", ("tea", 1))).when(create_shipment("s2")).then(
            shipment_created("s2", ("tea", 1))
        )

    def test_more_than_is_open_cannot_be_shipped(self) -> None:
        given(*CONFIRMED, shipment_created("s1", ("tea", 1))).when(create_shipment("s2", ("tea", 2))).rejected(
            Reason.QUANTITY_EXCEEDS_OPEN, line_id="tea", wanted=2, open=1
        )

    def test_parts_of_one_line_add_up(self) -> None:
        given(*CONFIRMED).when(create_shipment("s1", ("tea", 1), ("tea", 2))).rejected(
            Reason.QUANTITY_EXCEEDS_OPEN, wanted=3, open=2
        )

    def test_nothing_open_is_nothing_to_ship(self) -> None:
        given(*CONFIRMED, shipment_created()).when(create_shipment("s2")).rejected(Reason.QUANTITY_EXCEEDS_OPEN)

    def test_a_line_that_is_not_there_cannot_be_shipped(self) -> None:
        given(*CONFIRMED).when(create_shipment("s1", ("milk", 1))).rejected(Reason.LINE_NOT_FOUND, line_id="milk")

    def test_the_same_shipment_twice_changes_nothing(self) -> None:
        given(*CONFIRMED, shipment_created()).when(create_shipment("s1", ("tea", 2))).nothing()
        given(*CONFIRMED, shipment_created()).when(create_shipment("s1")).nothing()

    def test_a_shipment_id_cannot_stand_for_two_parcels(self) -> None:
        given(*CONFIRMED, shipment_created()).when(create_shipment("s1", ("tea", 1))).rejected(Reason.SHIPMENT_EXISTS)

    @pytest.mark.parametrize("command", [create_shipment(), dispatch(), deliver()])
    @pytest.mark.parametrize("history", [DRAFT, PLACED, (*PLACED, cancelled())])
    def test_only_a_confirmed_order_ships(self, command: Any, history: tuple[Any, ...]) -> None:
        given(*history).when(command).rejected(Reason.ORDER_STATE)

    def test_a_parcel_goes_out_and_arrives(self) -> None:
        given(*CONFIRMED, shipment_created()).when(dispatch()).then(dispatched())
        given(*SHIPPED).when(deliver()).then(delivered())

    def test_dispatching_or_delivering_twice_changes_nothing(self) -> None:
        given(*SHIPPED).when(dispatch()).nothing()
        given(*SHIPPED, delivered()).when(deliver()).nothing()

    def test_a_parcel_on_its_way_keeps_its_carrier(self) -> None:
        given(*SHIPPED).when(dispatch(carrier="other")).rejected(Reason.SHIPMENT_DISPATCHED)

    def test_what_was_not_dispatched_cannot_arrive(self) -> None:
        given(*CONFIRMED, shipment_created()).when(deliver()).rejected(Reason.SHIPMENT_NOT_DISPATCHED)

    @pytest.mark.parametrize("command", [dispatch("s9"), deliver("s9")])
    def test_an_unknown_parcel_is_not_found(self, command: Any) -> None:
        given(*SHIPPED).when(command).rejected(Reason.SHIPMENT_NOT_FOUND, shipment_id="s9")


@pytest.mark.parametrize(
    "command",
    [add_line(), change_address(), place(), confirm(), cancel(), create_shipment(), dispatch(), deliver()],
    ids=lambda command: type(command).__name__,
)
def test_what_was_never_created_is_not_found(command: Any) -> None:
    given().when(command).rejected(Reason.ORDER_NOT_FOUND)
