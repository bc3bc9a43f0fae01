"""The rules of stock, one sentence each, and one for every sequence."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given as for_all
from hypothesis import strategies as st

from core.domain.rejection import CommandRejected, Reason
from core.domain.stock import STOCK
from core.domain.stock.commands import (
    AdjustStock,
    CommitReservation,
    ExpireReservation,
    ReceiveStock,
    ReleaseReservation,
    ReserveStock,
    RestockReturn,
)
from core.domain.stock.decide import MAX_AT_ONCE, MAX_ON_HAND, MAX_OPEN
from core.domain.stock.events import (
    ReservationCommitted,
    ReservationExpired,
    ReservationPartlyCommitted,
    ReservationPartlyReleased,
    ReservationReleased,
    StockAdjusted,
    StockReceived,
    StockReserved,
    StockRestocked,
)
from core.domain.stock.state import REMEMBERED, Stock
from tests.support import deciding
from tests.support.orders import NOON

LATER = NOON + timedelta(minutes=15)


def given(*history: Any) -> deciding.Given[Any, Any, Any]:
    return deciding.given(STOCK, *history)


def receive(quantity: int = 10, *, known: bool = True, discontinued: bool = False) -> ReceiveStock:
    return ReceiveStock(sku="tea", quantity=quantity, product_known=known, product_discontinued=discontinued, at=NOON)


def adjust(change: int) -> AdjustStock:
    return AdjustStock(sku="tea", change=change, reason="counted", at=NOON)


def reserve(quantity: int = 2, name: str = "r1") -> ReserveStock:
    return ReserveStock(sku="tea", reservation_id=name, quantity=quantity, expires_at=LATER, at=NOON)


def restock(quantity: int = 1, name: str = "back1") -> RestockReturn:
    return RestockReturn(sku="tea", return_id=name, quantity=quantity, at=NOON)


def received(quantity: int = 10) -> StockReceived:
    return StockReceived(sku="tea", quantity=quantity, at=NOON)


def reserved(quantity: int = 2, name: str = "r1") -> StockReserved:
    return StockReserved(sku="tea", reservation_id=name, quantity=quantity, expires_at=LATER, at=NOON)


COMMIT = CommitReservation(sku="tea", reservation_id="r1", at=NOON)
RELEASE = ReleaseReservation(sku="tea", reservation_id="r1", at=NOON)
EXPIRE = ExpireReservation(sku="tea", reservation_id="r1", now=LATER, at=LATER)
COMMITTED = ReservationCommitted(sku="tea", reservation_id="r1", quantity=2, at=NOON)
RELEASED = ReservationReleased(sku="tea", reservation_id="r1", quantity=2, at=NOON)
EXPIRED = ReservationExpired(sku="tea", reservation_id="r1", quantity=2, at=LATER)


def test_stock_is_received_for_products_that_exist() -> None:
    given().when(receive()).then(received())
    given().when(receive(known=False)).rejected(Reason.PRODUCT_NOT_FOUND, sku="tea")


def test_a_discontinued_product_receives_no_stock_and_the_refusal_says_by_how_much_to_adjust_it_instead() -> None:
    given(received()).when(receive(5, discontinued=True)).rejected(Reason.PRODUCT_DISCONTINUED, sku="tea", quantity=5)


def test_a_discontinued_product_that_never_had_stock_cannot_be_adjusted_either() -> None:
    refused = given().when(receive(5, discontinued=True))
    refused.rejected(Reason.PRODUCT_DISCONTINUED, sku="tea")
    assert refused.rejection is not None
    assert "quantity" not in refused.rejection.metadata


@pytest.mark.parametrize("command", [adjust(1), reserve(), COMMIT, RELEASE, EXPIRE, restock()])
def test_where_nothing_was_ever_received_there_is_no_stock(command: Any) -> None:
    given().when(command).rejected(Reason.STOCK_NOT_FOUND, sku="tea")


@pytest.mark.parametrize("quantity", [0, -1, MAX_AT_ONCE + 1])
def test_a_quantity_is_at_least_one_and_not_absurd(quantity: int) -> None:
    for command in (receive(quantity), reserve(quantity), restock(quantity)):
        given(received()).when(command).rejected(Reason.QUANTITY_INVALID, quantity=quantity)


def test_a_stock_has_a_largest_size() -> None:
    full = received(MAX_ON_HAND)
    for command in (receive(1), adjust(1), restock(1)):
        given(full).when(command).rejected(Reason.STOCK_TOO_LARGE, on_hand=MAX_ON_HAND)


def test_what_is_available_can_be_reserved_and_no_more() -> None:
    given(received()).when(reserve(10)).then(reserved(10))
    given(received(), reserved(8)).when(reserve(3, "r2")).rejected(Reason.OUT_OF_STOCK, available=2, wanted=3)


def test_the_same_reservation_again_changes_nothing_another_under_its_id_is_refused() -> None:
    given(received(), reserved()).when(reserve()).nothing()
    given(received(), reserved()).when(reserve(3)).rejected(Reason.RESERVATION_EXISTS, reservation_id="r1")


def test_a_reservation_ends_once_and_in_one_way() -> None:
    open_one = (received(), reserved())
    given(*open_one).when(COMMIT).then(COMMITTED)
    given(*open_one).when(RELEASE).then(RELEASED)
    given(*open_one).when(EXPIRE).then(EXPIRED)
    given(*open_one, COMMITTED).when(COMMIT).nothing()
    given(*open_one, RELEASED).when(RELEASE).nothing()
    given(*open_one, EXPIRED).when(EXPIRE).nothing()
    given(*open_one, COMMITTED).when(RELEASE).rejected(Reason.RESERVATION_ENDED, ended="COMMITTED")
    given(*open_one, COMMITTED).when(EXPIRE).rejected(Reason.RESERVATION_ENDED, ended="COMMITTED")
    given(*open_one, RELEASED).when(COMMIT).rejected(Reason.RESERVATION_ENDED, ended="RELEASED")
    given(*open_one, EXPIRED).when(reserve()).rejected(Reason.RESERVATION_ENDED, ended="EXPIRED")


def test_the_units_of_a_reservation_that_is_gone_either_way_are_free_again() -> None:
    given(received(), reserved(), EXPIRED).when(RELEASE).nothing()
    given(received(), reserved(), RELEASED).when(EXPIRE).nothing()


def test_a_reservation_does_not_expire_before_its_time() -> None:
    early = replace(EXPIRE, now=NOON)
    given(received(), reserved()).when(early).rejected(Reason.RESERVATION_NOT_EXPIRED, expires_at=LATER.isoformat())
    for_ever = replace(reserved(), expires_at=None)
    given(received(), for_ever).when(EXPIRE).rejected(Reason.RESERVATION_NOT_EXPIRED, expires_at="never")


@pytest.mark.parametrize("command", [COMMIT, EXPIRE])
def test_what_was_never_reserved_is_not_found(command: Any) -> None:
    given(received()).when(command).rejected(Reason.RESERVATION_NOT_FOUND, reservation_id="r1")


def test_what_was_released_before_it_was_reserved_comes_too_late() -> None:
    never = replace(RELEASED, quantity=0)
    given(received()).when(RELEASE).then(never)
    given(received(), never).when(RELEASE).nothing()
    given(received(), never).when(reserve()).rejected(Reason.RESERVATION_ENDED, ended="RELEASED")


def partly_committed(quantity: int) -> ReservationPartlyCommitted:
    return ReservationPartlyCommitted(sku="tea", reservation_id="r1", quantity=quantity, at=NOON)


def partly_released(quantity: int) -> ReservationPartlyReleased:
    return ReservationPartlyReleased(sku="tea", reservation_id="r1", quantity=quantity, at=NOON)


def test_a_reservation_leaves_the_house_in_parts_counted_from_its_beginning() -> None:
    five = (received(), reserved(5))
    given(*five).when(replace(COMMIT, quantity=2)).then(partly_committed(2))
    given(*five, partly_committed(2)).when(replace(COMMIT, quantity=2)).nothing()
    given(*five, partly_committed(2)).when(replace(COMMIT, quantity=1)).nothing()
    given(*five, partly_committed(2)).when(replace(COMMIT, quantity=5)).then(replace(COMMITTED, quantity=3))
    given(*five, partly_committed(2)).when(COMMIT).then(replace(COMMITTED, quantity=3))
    given(*five).when(replace(COMMIT, quantity=6)).rejected(Reason.RESERVATION_EXCEEDED, wanted=6, reserved=5)
    given(*five).when(replace(COMMIT, quantity=-1)).rejected(Reason.QUANTITY_INVALID)


def test_a_reservation_is_released_down_to_what_is_kept() -> None:
    five = (received(), reserved(5))
    given(*five).when(replace(RELEASE, keep=3)).then(partly_released(2))
    given(*five, partly_released(2)).when(replace(RELEASE, keep=3)).nothing()
    given(*five, partly_released(2)).when(replace(RELEASE, keep=5)).nothing()
    given(*five, partly_released(2)).when(RELEASE).then(replace(RELEASED, quantity=3))
    given(*five).when(replace(RELEASE, keep=-1)).rejected(Reason.QUANTITY_INVALID)


def test_what_has_left_is_not_released() -> None:
    given(received(), reserved(5), partly_committed(2)).when(RELEASE).then(replace(RELEASED, quantity=3))
    given(received(), reserved(5), partly_committed(2)).when(replace(RELEASE, keep=2)).then(
        replace(RELEASED, quantity=3)
    )
    given(received(), reserved(5), partly_released(2)).when(replace(COMMIT, quantity=4)).rejected(
        Reason.RESERVATION_EXCEEDED, wanted=4, reserved=3
    )


def test_a_reservation_keeps_its_name_while_it_is_used_up() -> None:
    given(received(), reserved(5), partly_committed(2), partly_released(1)).when(reserve(5)).nothing()


def test_a_count_corrects_what_is_on_hand_but_not_below_what_is_promised() -> None:
    given(received()).when(adjust(-10)).then(StockAdjusted(sku="tea", change=-10, reason="counted", at=NOON))
    given(received()).when(adjust(0)).nothing()
    given(received(), reserved(8)).when(adjust(-3)).rejected(Reason.STOCK_BELOW_RESERVED, on_hand=10, reserved=8)


def test_what_comes_back_is_taken_in_once() -> None:
    back = StockRestocked(sku="tea", return_id="back1", quantity=1, at=NOON)
    given(received()).when(restock()).then(back)
    given(received(), back).when(restock()).nothing()
    given(received(), back).when(restock(2)).rejected(Reason.RETURN_EXISTS, return_id="back1")


def test_a_stock_keeps_so_many_reservations_at_one_time() -> None:
    history: list[Any] = [received(MAX_OPEN + 1), *(reserved(1, f"r{n}") for n in range(MAX_OPEN))]
    given(*history).when(reserve(1, "one more")).rejected(Reason.TOO_MANY_RESERVATIONS, most=MAX_OPEN)


def test_a_stock_that_sells_for_years_stays_small() -> None:
    state = STOCK.fold([received(10)])
    for n in range(3 * REMEMBERED):
        state = STOCK.fold([reserved(1, f"r{n}"), replace(RELEASED, reservation_id=f"r{n}", quantity=1)], state)
    assert len(state.ended) == REMEMBERED
    assert not state.open
    assert state.available == 10


QUANTITIES, NAMES = st.integers(1, 6), st.sampled_from(["r1", "r2", "r3"])
COMMANDS = st.one_of(
    st.builds(receive, QUANTITIES),
    st.builds(adjust, st.integers(-6, 6)),
    st.builds(reserve, QUANTITIES, NAMES),
    st.builds(restock, QUANTITIES, NAMES),
    *(st.builds(lambda name, command: replace(command, reservation_id=name), NAMES, st.just(command))
      for command in (COMMIT, RELEASE, EXPIRE)),
)  # fmt: skip


@for_all(st.lists(COMMANDS, max_size=60))
def test_no_sequence_of_commands_promises_more_than_is_there(commands: list[Any]) -> None:
    state = Stock()
    for command in commands:
        try:
            events = STOCK.decide(state, command)
        except CommandRejected:
            continue
        state = STOCK.fold(events, state)
        assert 0 <= state.reserved <= state.on_hand
        assert state.reserved == sum(reservation.quantity for reservation in state.open.values())
        assert not set(state.open) & set(state.ended)
