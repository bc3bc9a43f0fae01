"""A parcel is lost, refused or comes back: stock is drawn once per unit that left, and the money is what is owed.

Each test says what happens outside; the process looks at it at the end, and wherever there is `SEEN`.
"""

import logging
from collections.abc import Iterator
from typing import Any, ClassVar

import pytest
import structlog
from hypothesis import given, settings
from hypothesis import strategies as st

from core.domain.checkout.state import OWN_IDS
from core.domain.order.events import Condition
from core.domain.order.state import Cancelled, Completed, Confirmed
from core.domain.stock.commands import CommitReservation, ReceiveStock
from server.processes.ids import derived
from tests.support.checkouts import TOTAL, Fault, Shop
from tests.support.orders import (
    NOON,
    ORDER_ID,
    approve_return,
    cancel,
    cancel_quantity,
    create_shipment,
    deliver,
    dispatch,
    lose,
    receive_return,
    refuse,
    request_return,
    take_back,
    unpack,
)
from tests.support.parcels import (
    ON_HAND,
    SEEN,
    Outside,
    ended_right,
    ledger_of,
    lived,
    on_hand,
    order_of,
    outside_moves,
    process_of,
    reserved,
    then,
)

LONG = pytest.mark.long
GOOD, DAMAGED = Condition.RESALEABLE, Condition.DAMAGED
ALL = (("tea", 2), ("milk", 3))
ALL_GOOD = tuple((line, units, GOOD) for line, units in ALL)


def send(shipment_id: str, *parts: tuple[str, int]) -> tuple[Any, Any]:
    return create_shipment(shipment_id, *parts), dispatch(shipment_id)


# the process sees each step, or only what it all came to
PACES = pytest.mark.parametrize("seen", [(SEEN,), ()], ids=["seen at once", "seen late"])


class TestALostParcel:
    @PACES
    def test_sent_again_and_delivered_is_paid_once_and_drawn_twice(self, seen: tuple[str, ...]) -> None:
        shop = lived(*send("s1", *ALL), *seen, lose("s1"), *seen, *send("s2", *ALL), *seen, deliver("s2"))
        ended_right(shop)
        assert isinstance(order_of(shop), Completed)
        assert process_of(shop).outcome == "COMPLETED"
        assert ledger_of(shop).captured == TOTAL
        assert on_hand(shop) == {"tea": ON_HAND - 4, "milk": ON_HAND - 6}

    @PACES
    def test_keeps_its_units_reserved_until_they_are_sent_again(self, seen: tuple[str, ...]) -> None:
        shop = lived(*send("s1", *ALL), *seen, lose("s1"))
        ended_right(shop)
        assert isinstance(order_of(shop), Confirmed)
        assert reserved(shop) == dict(ALL)

    @PACES
    def test_whose_units_are_cancelled_one_by_one_is_paid_back_and_the_order_ends(self, seen: tuple[str, ...]) -> None:
        sent: tuple[Any, ...] = (*send("s1", ("milk", 2)), *send("s2", ("tea", 2), ("milk", 1)))
        cancelled: tuple[Any, ...] = (cancel_quantity("x1", "milk", 1), *seen, cancel_quantity("x2", "milk", 1))
        shop = lived(*sent, *seen, lose("s1"), *seen, *cancelled, *seen, deliver("s2"))
        ended_right(shop)
        assert isinstance(order_of(shop), Completed)
        assert ledger_of(shop).captured - ledger_of(shop).refunded == TOTAL - 202

    @PACES
    def test_beside_which_units_were_cancelled_leaves_none_reserved_when_the_order_ends(
        self, seen: tuple[str, ...]
    ) -> None:
        history = (cancel_quantity("x1", "milk", 1), *seen, *send("s1", ("tea", 2), ("milk", 2)), *seen, lose("s1"))
        shop = lived(*history, *seen, cancel())
        ended_right(shop)
        assert reserved(shop) == {"tea": 0, "milk": 0}

    @PACES
    def test_after_which_the_order_is_cancelled_is_paid_back(self, seen: tuple[str, ...]) -> None:
        shop = lived(*send("s1", *ALL), *seen, lose("s1"), *seen, cancel())
        ended_right(shop)
        assert isinstance(order_of(shop), Cancelled)
        assert process_of(shop).outcome == "CANCELLED"

    @PACES
    def test_that_comes_back_after_the_order_was_cancelled_is_back_in_stock(self, seen: tuple[str, ...]) -> None:
        shop = lived(*send("s1", *ALL), *seen, lose("s1"), *seen, cancel(), *seen, take_back("s1", *ALL_GOOD))
        ended_right(shop)
        assert on_hand(shop) == {"tea": ON_HAND, "milk": ON_HAND}

    @PACES
    def test_of_an_order_whose_other_parcel_was_delivered_is_sent_again(self, seen: tuple[str, ...]) -> None:
        shop = lived(
            *(*send("s1", ("tea", 2)), *seen, deliver("s1"), *send("s2", ("milk", 3)), *seen, lose("s2"), *seen),
            *(*send("s3", ("milk", 3)), *seen, deliver("s3")),
        )
        ended_right(shop)
        assert isinstance(order_of(shop), Completed)
        assert on_hand(shop) == {"tea": ON_HAND - 2, "milk": ON_HAND - 6}

    @PACES
    def test_that_is_delivered_after_all_holds_no_stock_any_more(self, seen: tuple[str, ...]) -> None:
        shop = lived(*send("s1", *ALL), *seen, lose("s1"), *seen, deliver("s1"))
        ended_right(shop)
        assert isinstance(order_of(shop), Completed)
        assert on_hand(shop) == {"tea": ON_HAND - 2, "milk": ON_HAND - 3}

    @PACES
    def test_that_is_delivered_after_units_beside_it_were_cancelled_holds_none_either(
        self, seen: tuple[str, ...]
    ) -> None:
        shop = lived(
            *(*send("s1", ("milk", 2)), *seen, lose("s1"), *seen, cancel_quantity("x1", "milk", 1), *seen),
            *(deliver("s1"), *seen, *send("s2", ("tea", 2)), *seen, deliver("s2")),
        )
        ended_right(shop)
        assert isinstance(order_of(shop), Completed)

    @PACES
    def test_that_comes_back_when_its_units_were_sent_again_is_back_in_stock(self, seen: tuple[str, ...]) -> None:
        shop = lived(
            *(*send("s1", *ALL), *seen, lose("s1"), *seen, *send("s2", *ALL), *seen, deliver("s2"), *seen),
            take_back("s1", ("milk", 3, GOOD), ("tea", 1, GOOD), ("tea", 1, DAMAGED)),
        )
        ended_right(shop)
        assert on_hand(shop) == {"tea": ON_HAND - 3, "milk": ON_HAND - 3}

    @PACES
    def test_is_lost_as_often_as_it_is_sent(self, seen: tuple[str, ...]) -> None:
        shop = lived(
            *(*send("s1", *ALL), *seen, lose("s1"), *seen, *send("s2", ("milk", 2)), *seen, lose("s2"), *seen),
            *(*send("s3", ("milk", 3)), *seen, *send("s4", ("tea", 2)), *seen, lose("s3"), *seen),
            *(cancel_quantity("x1", "milk", 2), *seen, *send("s5", ("milk", 1)), *seen, deliver("s4"), deliver("s5")),
        )
        ended_right(shop)
        assert isinstance(order_of(shop), Completed)
        assert ledger_of(shop).captured - ledger_of(shop).refunded == TOTAL - 202

    @PACES
    def test_of_which_a_part_is_sent_again_is_not_paid_for_twice(self, seen: tuple[str, ...]) -> None:
        shop = lived(*send("s1", ("milk", 2)), *seen, lose("s1"), *seen, *send("s2", ("milk", 2)))
        ended_right(shop)
        assert ledger_of(shop).captured == 202
        then(shop, *send("s3", ("milk", 1), ("tea", 2)))
        ended_right(shop)
        assert ledger_of(shop).captured == TOTAL

    @PACES
    def test_and_what_the_customer_returns_are_distinguished_even_under_one_id(self, seen: tuple[str, ...]) -> None:
        shop = lived(
            *(*send("s1", *ALL), *seen, refuse("s1"), take_back("s1", *ALL_GOOD), *seen, *send("s2", *ALL), *seen),
            *(deliver("s2"), request_return("s1", *ALL), approve_return("s1"), receive_return("s1", *ALL_GOOD)),
        )
        ended_right(shop)
        assert ledger_of(shop).refunded == TOTAL


class TestALostParcelThatArrivesAfterAll:
    AGAIN: tuple[Any, ...] = (*send("s1", *ALL), SEEN, lose("s1"), SEEN, *send("s2", *ALL))

    @PACES
    def test_beside_the_one_that_was_sent_again_is_paid_once_and_drawn_twice(self, seen: tuple[str, ...]) -> None:
        shop = lived(*self.AGAIN, *seen, deliver("s2"), *seen, deliver("s1"))
        ended_right(shop)
        assert isinstance(order_of(shop), Completed)
        assert ledger_of(shop).captured == TOTAL
        assert on_hand(shop) == {"tea": ON_HAND - 4, "milk": ON_HAND - 6}

    @PACES
    def test_is_back_in_stock_when_the_customer_returns_it_and_nothing_is_refunded(self, seen: tuple[str, ...]) -> None:
        asked: tuple[Any, ...] = (request_return("r1", *ALL), approve_return("r1"), *seen)
        shop = lived(*self.AGAIN, deliver("s2"), *seen, deliver("s1"), *seen, *asked, receive_return("r1", *ALL_GOOD))
        ended_right(shop)
        assert isinstance(order_of(shop), Completed)
        assert ledger_of(shop).refunds == ()
        assert on_hand(shop) == {"tea": ON_HAND - 2, "milk": ON_HAND - 3}

    @PACES
    @pytest.mark.parametrize("late", [False, True], ids=["before", "after"])
    def test_fulfils_the_order_when_the_customer_refuses_the_other(self, *, late: bool, seen: tuple[str, ...]) -> None:
        refused: tuple[Any, ...] = (refuse("s2"), *seen, take_back("s2", *ALL_GOOD))
        arrives: tuple[Any, ...] = (deliver("s1"), *seen)
        both: tuple[Any, ...] = (*refused, *seen, *arrives) if late else (*arrives, *refused)
        shop = lived(*self.AGAIN, *seen, *both)
        ended_right(shop)
        assert isinstance(order_of(shop), Completed)
        assert ledger_of(shop).captured == TOTAL
        assert on_hand(shop) == {"tea": ON_HAND - 2, "milk": ON_HAND - 3}

    @PACES
    def test_frees_the_units_that_were_packed_in_its_place_once_they_are_unpacked(self, seen: tuple[str, ...]) -> None:
        packed: tuple[Any, ...] = (*send("s1", *ALL), *seen, lose("s1"), *seen, create_shipment("s2", *ALL))
        shop = lived(*packed, *seen, deliver("s1"))
        assert reserved(shop) == dict(ALL)
        then(shop, unpack("s2"))
        ended_right(shop)
        assert process_of(shop).reserved_again == ("s1",), "nothing is reserved for a parcel that is not sent again"
        assert reserved(shop) == {"tea": 0, "milk": 0}
        assert on_hand(shop) == {"tea": ON_HAND - 2, "milk": ON_HAND - 3}

    @PACES
    def test_of_a_cancelled_order_stays_refunded_and_is_back_in_stock_when_it_is_returned(
        self, seen: tuple[str, ...]
    ) -> None:
        shop = lived(*send("s1", *ALL), *seen, lose("s1"), *seen, cancel(), *seen, deliver("s1"))
        ended_right(shop)
        assert ledger_of(shop).captured == ledger_of(shop).refunded
        then(shop, request_return("r1", *ALL), approve_return("r1"), receive_return("r1", *ALL_GOOD))
        ended_right(shop)
        assert on_hand(shop) == dict.fromkeys(("tea", "milk"), ON_HAND)


class TestARefusedParcel:
    @PACES
    def test_that_is_back_is_in_stock_again_and_all_money_goes_back_when_the_order_is_cancelled(
        self, seen: tuple[str, ...]
    ) -> None:
        shop = lived(*send("s1", *ALL), *seen, refuse("s1"), *seen, take_back("s1", *ALL_GOOD), *seen, cancel())
        ended_right(shop)
        assert on_hand(shop) == {"tea": ON_HAND, "milk": ON_HAND}
        assert reserved(shop) == {"tea": 0, "milk": 0}

    @PACES
    def test_on_its_way_back_is_paid_for_and_holds_no_stock(self, seen: tuple[str, ...]) -> None:
        shop = lived(*send("s1", *ALL), *seen, refuse("s1"))
        ended_right(shop)
        assert ledger_of(shop).captured == TOTAL
        assert reserved(shop) == {"tea": 0, "milk": 0}

    @PACES
    def test_that_comes_back_with_less_than_was_sent_is_sent_again(self, seen: tuple[str, ...]) -> None:
        back = take_back("s1", ("tea", 1, GOOD), ("milk", 2, DAMAGED))
        shop = lived(
            *send("s1", *ALL), *seen, refuse("s1"), *seen, back, *seen, *send("s2", *ALL), *seen, deliver("s2")
        )
        ended_right(shop)
        assert isinstance(order_of(shop), Completed)
        assert on_hand(shop) == {"tea": ON_HAND - 3, "milk": ON_HAND - 6}

    def test_that_is_back_is_sent_again_even_if_nothing_else_is_left_in_stock(self) -> None:
        shop = Shop(on_hand=dict(ALL))
        lived(*send("s1", *ALL), refuse("s1"), take_back("s1", *ALL_GOOD), *send("s2", *ALL), deliver("s2"), shop=shop)
        assert isinstance(order_of(shop), Completed)
        assert on_hand(shop) == {"tea": 0, "milk": 0}


class TestMissingStock:
    def stuck(self) -> Shop:
        shop = lived(*send("s1", *ALL), lose("s1"), shop=Shop(on_hand={"tea": 10, "milk": 3}))
        failure = process_of(shop).failure
        assert (failure.step, failure.subject, failure.retry_at) == ("RESERVE_STOCK", "s1", None)
        assert failure.reason.startswith("OUT_OF_STOCK")
        assert isinstance(order_of(shop), Confirmed), "a confirmed order is not rejected"
        return shop

    def test_is_said_and_the_lines_that_are_there_are_reserved(self) -> None:
        assert reserved(self.stuck()) == {"tea": 2, "milk": 0}

    def test_holds_up_nothing_when_the_units_are_cancelled(self) -> None:
        shop = then(self.stuck(), cancel_quantity("x1", "milk", 3))
        assert process_of(shop).failure is None
        assert reserved(shop) == {"tea": 2, "milk": 0}
        assert ledger_of(shop).refunded == 303
        then(shop, *send("s2", ("tea", 2)), deliver("s2"))
        assert isinstance(order_of(shop), Completed)
        assert on_hand(shop) == {"tea": 6, "milk": 0}

    def test_is_asked_for_again_when_fewer_units_are_to_be_sent(self) -> None:
        shop = self.stuck()
        then(shop, ReceiveStock(sku="milk", quantity=1, product_known=True, product_discontinued=False, at=NOON))
        then(shop, cancel_quantity("x1", "milk", 2), cancel_quantity("x2", "tea", 1))
        assert process_of(shop).failure is None
        assert reserved(shop) == {"tea": 1, "milk": 1}
        then(shop, *send("s2", ("tea", 1), ("milk", 1)), deliver("s2"))
        assert isinstance(order_of(shop), Completed)
        assert reserved(shop) == {"tea": 0, "milk": 0}
        assert on_hand(shop) == {"tea": 7, "milk": 0}

    def test_does_not_keep_the_order_from_being_cancelled(self) -> None:
        shop = then(self.stuck(), cancel())
        assert process_of(shop).outcome == "CANCELLED"
        assert reserved(shop) == {"tea": 0, "milk": 0}
        assert ledger_of(shop).refunded == TOTAL

    def test_does_not_keep_a_parcel_from_arriving_after_all(self) -> None:
        shop = then(self.stuck(), deliver("s1"))
        assert isinstance(order_of(shop), Completed)
        assert reserved(shop) == {"tea": 0, "milk": 0}

    def test_keeps_what_was_sent_all_the_same_visible(self) -> None:
        shop = then(self.stuck(), *send("s2", *ALL))
        failure = process_of(shop).failure
        assert (failure.step, failure.subject) == ("RESERVE_STOCK", "s1")


def test_units_that_were_drawn_by_hand_are_drawn_once() -> None:
    line = derived(OWN_IDS, "reservation", ORDER_ID, "milk")
    by_hand = CommitReservation(sku="milk", reservation_id=line, quantity=2, at=NOON)
    shop = then(lived(), by_hand)
    then(shop, *send("s1", *ALL), lose("s1"), *send("s2", *ALL), deliver("s2"))
    ended_right(shop)
    assert on_hand(shop) == {"tea": ON_HAND - 4, "milk": ON_HAND - 6}


class TestWhateverGoesWrong:
    """Each call of the process fails in each way once, while the next thing happens outside, or does not."""

    LIVES: ClassVar[dict[str, tuple[Any, ...]]] = {
        "sent again": (*send("s1", *ALL), lose("s1"), *send("s2", *ALL), deliver("s2")),
        "cancelled": (*send("s1", *ALL), lose("s1"), cancel(), take_back("s1", *ALL_GOOD)),
        "cancelled in parts": (
            *send("s1", *ALL),
            lose("s1"),
            cancel_quantity("x1", "milk", 2),
            *send("s2", ("milk", 1)),
        ),
        "both there": (*send("s1", *ALL), lose("s1"), create_shipment("s2", *ALL), deliver("s1"), unpack("s2")),
        "there after all": (*send("s1", ("milk", 2)), lose("s1"), cancel_quantity("x1", "milk", 1), deliver("s1")),
        "back": (*send("s1", *ALL), refuse("s1"), take_back("s1", *ALL_GOOD), *send("s2", *ALL), deliver("s2")),
    }

    @pytest.fixture(autouse=True)
    def quiet(self) -> Iterator[None]:
        before = structlog.get_config()["wrapper_class"]
        structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
        yield
        structlog.configure(wrapper_class=before)

    @pytest.mark.timeout(300)
    @pytest.mark.parametrize("life", LIVES)
    @pytest.mark.parametrize(
        ("together", "every"),
        [
            pytest.param(True, 3, id="together"),
            pytest.param(True, 1, id="together, every fault", marks=LONG),
            pytest.param(False, 1, id="alone", marks=LONG),
        ],
    )
    def test_it_ends_right(self, life: str, together: bool, every: int) -> None:
        """Of every so many faults one at each place, and another at the next."""
        moves, faults = self.LIVES[life], (None, *Fault)
        first = len(lived().places.seen)
        plain = Outside({}, moves)
        lived(shop=plain)
        ended_right(plain)
        for place in range(first, len(plain.places.seen)):
            for fault in faults[place % every :: every]:
                schedule = {} if fault is None else {place: fault}
                shop = Outside(schedule, moves, meanwhile=place if together else None)
                lived(shop=shop)
                ended_right(shop)

    @pytest.mark.timeout(300)
    @pytest.mark.parametrize("life", LIVES)
    def test_it_ends_right_with_another_process_beside_it(self, life: str) -> None:
        moves = self.LIVES[life]
        plain = Outside({}, moves)
        lived(shop=plain)
        for place in range(len(lived().places.seen), len(plain.places.seen)):
            for at_once in range(3):
                shop = Outside({}, moves, meanwhile=place, at_once=at_once, twin=True)
                lived(shop=shop)
                ended_right(shop)

    @pytest.mark.parametrize("fault", [Fault.KILLED_AFTER, Fault.TIMED_OUT, Fault.KILLED_BEFORE, Fault.REFUSED])
    @pytest.mark.parametrize("outside", [1, 2])
    def test_what_was_drawn_without_an_answer_goes_back_when_the_parcel_is_lost_and_the_order_cancelled(
        self, fault: Fault, outside: int
    ) -> None:
        moves = self.LIVES["cancelled"]
        plain = Outside({}, moves)
        lived(shop=plain)
        place = plain.places.seen.index("provider.capture")
        shop = Outside({place: fault}, moves, meanwhile=place, at_once=outside)
        lived(shop=shop)
        ended_right(shop)

    @given(outside_moves(), st.dictionaries(st.integers(0, 50), st.sampled_from(Fault), max_size=2))
    @settings(max_examples=60, deadline=None)
    def test_it_ends_right_whatever_happens_outside_in_whatever_sequence(
        self, moves: list[Any], faults: dict[int, Fault]
    ) -> None:
        first = len(lived().places.seen)
        shop = lived(*moves, shop=Shop({first + place: fault for place, fault in faults.items()}))
        ended_right(shop)
