"""A moment of an order is a prefix of its stream, also where the store's clock went back."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from esdbclient import RecordedEvent
from google.protobuf.timestamp_pb2 import Timestamp

from protos.orders.v1.queries_pb2 import Moment
from server.queries import time_travel
from tests.support.orders import NOON, created, line_added, quantity_changed
from tests.support.viewing import stored

HISTORY = (
    created(),
    line_added("tea"),
    quantity_changed("tea", 3),
    quantity_changed("tea", 4),
    quantity_changed("tea", 5),
)
SECONDS = (0, 5, 6, 1, 2)  # when the store recorded each: its clock went back by five seconds after revision 2


def history() -> list[RecordedEvent]:
    return [
        replace(event, recorded_at=NOON + timedelta(seconds=n))
        for event, n in zip(stored(HISTORY), SECONDS, strict=True)
    ]


def at(moment: datetime) -> Moment:
    time = Timestamp()
    time.FromDatetime(moment.astimezone(UTC))
    return Moment(time=time)


@pytest.mark.parametrize(("second", "last"), [(0, 0), (1, 3), (2, 4), (5, 4), (6, 4), (60, 4)])
def test_a_time_is_the_prefix_up_to_the_last_event_that_is_not_later(second: int, last: int) -> None:
    then = time_travel.until(history(), at(NOON + timedelta(seconds=second)), "as_of")
    assert [event.stream_position for event in then] == list(range(last + 1))


def test_nothing_is_before_the_first_event() -> None:
    assert not time_travel.until(history(), at(NOON - timedelta(seconds=1)), "as_of")


def test_a_later_time_never_shows_less() -> None:
    lengths = [len(time_travel.until(history(), at(NOON + timedelta(seconds=n)), "until")) for n in range(-1, 10)]
    assert lengths == sorted(lengths)
