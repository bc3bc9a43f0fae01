"""The log that the bench writes is one that the domain would have written."""

from bench.history import EVENTS_OF_AN_ORDER, events_of
from core.domain.order import ORDER
from core.domain.order.state import Placed
from tests.support.orders import ORDER_ID


def test_the_fold_factor_is_the_number_of_events_of_an_order() -> None:
    assert len(events_of(ORDER_ID, 1)) == EVENTS_OF_AN_ORDER


def test_every_order_of_the_history_is_placed() -> None:
    assert isinstance(ORDER.fold(events_of(ORDER_ID, 1)), Placed)
