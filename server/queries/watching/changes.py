"""An event of an order, and the order before and after it."""

from collections import OrderedDict
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import structlog
from esdbclient import RecordedEvent

from protos.orders.v1 import queries_pb2 as pb
from protos.orders.v1 import types_pb2 as types
from server.eventstore import codec
from server.eventstore.reading import position_of
from server.queries import replies
from server.queries.history import to_entry
from server.readmodel.documents import OrderDetail
from server.readmodel.log import Log
from server.readmodel.order_detail import REDUCERS

log = structlog.get_logger()

ORDER = "order-"
PAGE = 1_000  # events
REMEMBERED = 1_000  # orders


@dataclass(frozen=True)
class Change:
    """`before` is None for the first event. Messages are made once, however many watch."""

    order_id: str
    event: RecordedEvent
    before: OrderDetail | None
    after: OrderDetail

    @property
    def position(self) -> int:
        return position_of(self.event)

    @cached_property
    def order(self) -> types.Order:
        return replies.order({"_id": self.order_id, **self.after})

    @cached_property
    def summary(self) -> types.OrderSummary:
        return replies.summary_of(self.order)

    @cached_property
    def entry(self) -> pb.HistoryEntry:
        return to_entry(self.event)


class Folding:
    """Makes changes of events that come in the order of the log. The newest orders are remembered."""

    def __init__(self, events: Log, most: int = REMEMBERED) -> None:
        self._log = events
        self._most = most
        self._known: OrderedDict[str, OrderDetail] = OrderedDict()

    async def take(self, event: RecordedEvent) -> Change | None:
        """None for an event that cannot be folded: the order shows nothing of it, as in the view."""
        order_id = event.stream_name.removeprefix(ORDER)
        before = await self._before(order_id, event.stream_position)
        try:
            after = _reduce(before, event)
        except Exception as error:  # noqa: BLE001  # one order's trouble; the others are watched on
            log.error(
                "an event cannot be folded", stream=event.stream_name, revision=event.stream_position, error=str(error)
            )
            self._known.pop(order_id, None)
            return None
        self._known[order_id] = after
        self._known.move_to_end(order_id)
        if len(self._known) > self._most:
            self._known.popitem(last=False)
        return Change(order_id, event, before, after)

    async def _before(self, order_id: str, revision: int) -> OrderDetail | None:
        if revision == 0:
            return None
        known = self._known.get(order_id)
        if known is not None and known["revision"] == revision - 1:
            return known
        doc: OrderDetail | None = None
        read = 0
        while read < revision:
            page = await self._log.stream(ORDER + order_id, read, min(PAGE, revision - read))
            if not page:
                return doc  # deleted meanwhile
            for event in page:
                doc = _reduce(doc, event)
            read += len(page)
        return doc


def _reduce(doc: OrderDetail | None, event: RecordedEvent) -> OrderDetail:
    recorded: Any = codec.recorded(event)
    after = REDUCERS[type(recorded.data)](doc, recorded)
    assert after is not None, "an order is never taken away"
    return after
