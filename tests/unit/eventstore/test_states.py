"""Whatever state an order is in, a snapshot of it is read back as what it was."""

from typing import Any

import msgspec
from hypothesis import given, settings

from core.domain.order import ORDER
from core.eventstore.snapshots import shape_of
from tests.support.sequences import lived, sequences

KINDS = shape_of(ORDER).kinds


@given(sequences())
@settings(max_examples=100)
def test_every_state_of_an_order_survives_its_snapshot(sequence: list[Any]) -> None:
    state = ORDER.fold(lived(sequence))
    assert KINDS[type(state).__name__].decode(msgspec.msgpack.encode(state)) == state
