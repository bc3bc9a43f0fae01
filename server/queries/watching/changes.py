"""A change: an event of an order, and the order before and after it."""

from collections import OrderedDict
from contextlib import aclosing
from dataclasses import dataclass, replace
from functools import cached_property

import structlog

from core.eventstore.client import RecordedEvent, position_of
from core.eventstore.log import EventLog, LogPoint, point_of
from core.readmodel.views.order_detail import OrderDetail, order_detail
from protos.orders.v1 import queries_pb2 as pb
from protos.orders.v1 import types_pb2 as types
from server.queries import mapping, time_travel
from server.queries.event_entries import to_entry

log = structlog.get_logger()

ORDER = "order-"
REMEMBERED = 1_000  # orders


@dataclass(frozen=True)
class Change:
    """`before` is None for the first event. Messages are built once, for any number of watches.

    `unread` is set from the first unreadable event on: the order stays as it was before that event.
    """

    order_id: str
    event: RecordedEvent
    before: OrderDetail | None
    after: OrderDetail
    unread: pb.Unread | None = None
    is_excluded: bool = False

    @property
    def position(self) -> int:
        return position_of(self.event)

    @property
    def point(self) -> LogPoint:
        return point_of(self.event)

    @cached_property
    def order(self) -> types.Order:
        return mapping.order({"_id": self.order_id, **self.after})

    @cached_property
    def summary(self) -> types.OrderSummary:
        return mapping.summary_of(self.order)

    @cached_property
    def entry(self) -> pb.HistoryEntry:
        entry = to_entry(self.event)
        if self.is_excluded:
            entry.unread = pb.UNREAD_REASON_EXCLUDED
        return entry


@dataclass(frozen=True, slots=True)
class _Folded:
    """An order up to a revision, or up to the event before the `unread` one."""

    doc: OrderDetail | None
    revision: int
    unread: pb.Unread | None = None

    def missing(self, event: RecordedEvent) -> pb.Unread | None:
        """What the order lacks after the event."""
        if self.unread is None:
            return None
        missing = pb.Unread()
        missing.CopyFrom(self.unread)
        missing.events = event.stream_position - missing.revision + 1
        return missing


NOTHING = _Folded(None, -1)


class OrderChangeTracker:
    """Makes changes from events in the order of the log. The most recent orders are cached."""

    def __init__(self, events: EventLog, most: int = REMEMBERED) -> None:
        self._log = events
        self._most = most
        self._known: OrderedDict[str, _Folded] = OrderedDict()

    async def apply(self, event: RecordedEvent) -> Change | None:
        """Apply an event; None if nothing of its order can be shown."""
        order_id = event.stream_name.removeprefix(ORDER)
        before = await self._before(order_id, event.stream_position)
        after = before if before.unread else await self._next(before, event)
        self._known[order_id] = after
        self._known.move_to_end(order_id)
        if len(self._known) > self._most:
            self._known.popitem(last=False)
        if after.doc is None:
            return None
        excluded = after.unread is None and after.doc is before.doc
        return Change(order_id, event, before.doc, after.doc, after.missing(event), is_excluded=excluded)

    async def _before(self, order_id: str, revision: int) -> _Folded:
        if revision == 0:
            return NOTHING
        known = self._known.get(order_id)
        if known is not None and known.revision == revision - 1 and not known.unread:
            return known
        folded = NOTHING  # also after an unread event: an operator may have excluded it
        async with aclosing(self._log.events(ORDER + order_id, most=revision, may_be_deleted=True)) as earlier:
            async for event in earlier:
                folded = folded if folded.unread else await self._next(folded, event)
        return folded

    async def _next(self, before: _Folded, event: RecordedEvent) -> _Folded:
        read = await time_travel.known(self._log, [event])
        if read.unread is not None:
            log.error("an event cannot be read", stream=event.stream_name, error=str(read.failure))
            return replace(before, unread=read.unread)
        if not read.events:
            return replace(before, revision=event.stream_position)  # excluded
        try:
            [recorded] = read.events
            return _Folded(order_detail.fold(before.doc, [recorded]), event.stream_position)
        except Exception as error:  # noqa: BLE001  # a failure of one order; the others are not affected
            log.error(
                "an event cannot be folded", stream=event.stream_name, revision=event.stream_position, error=str(error)
            )
            unread = time_travel.to_unread(event, 1)
            unread.reason = pb.UNREAD_REASON_FAILED
            return replace(before, unread=unread)
