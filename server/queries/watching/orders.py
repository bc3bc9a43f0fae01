"""WatchOrder and WatchOrders: first the earlier changes, then those that the hub delivers."""

from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from typing import Any

from google.protobuf.timestamp_pb2 import Timestamp

from core.eventstore.client import position_of
from core.eventstore.log import EventLog, LogPoint, point_of
from core.failures import NotFound, ResumeTokenInvalid
from protos.orders.v1 import queries_pb2 as pb
from protos.orders.v1 import types_pb2 as types
from server.queries import mapping, time_travel
from server.queries.paging import from_resume_token, to_resume_token
from server.queries.rows import shown
from server.queries.views import Views
from server.queries.watching.changes import Change, OrderChangeTracker
from server.queries.watching.hub import PATTERN, Hub, Watch

PART = 200  # orders in one part of a snapshot
REPORT_AFTER = 1_000  # events read, after which a watch that catches up sends its position

Wanted = Callable[[Change], bool]


class Watching:
    def __init__(self, views: Views, log: EventLog, hub: Hub) -> None:
        self._views = views
        self._log = log
        self._hub = hub

    async def order(self, request: pb.WatchOrderRequest) -> AsyncGenerator[pb.WatchOrderResponse, None]:
        order_id, resumed = request.order_id, await self._resumed(request)

        def step(point: LogPoint, **message: Any) -> pb.WatchOrderResponse:
            return pb.WatchOrderResponse(resume_token=to_resume_token(request, point), **message)

        # joined first: changes that arrive while the past is read wait in the queue
        async with self._hub.watch(lambda change: change.order_id == order_id, order_id) as watch:
            events = await time_travel.history(self._log, order_id)
            sent = point_of(events[-1])
            if resumed is None:
                order, unread = await time_travel.order_of(self._log, order_id, events)
                if order is None:
                    raise NotFound("ORDER_NOT_FOUND", order_id=order_id)
                yield step(sent, snapshot=order, unread=unread)
            else:
                tracker = OrderChangeTracker(self._log)
                for event in events:
                    missed = await tracker.apply(event)
                    if missed is not None and missed.point > resumed:
                        yield step(missed.point, change=_change(missed), unread=missed.unread)
                sent = max(sent, resumed)
            async with aclosing(watch.changes()) as changes:
                async for change in changes:
                    if isinstance(change, LogPoint):
                        sent = max(sent, change)
                        yield step(sent, heartbeat=_heartbeat())
                    elif change.position > sent.position:
                        sent = change.point
                        yield step(sent, change=_change(change), unread=change.unread)

    async def orders(
        self, request: pb.WatchOrdersRequest, context: Any
    ) -> AsyncGenerator[pb.WatchOrdersResponse, None]:
        sent = await self._resumed(request)
        ahead: dict[str, int] = {}  # rows that are newer than the rest of the snapshot, with their positions
        if sent is None:
            checkpoint = await self._views.checkpoint("order_list", request.consistency_token, context)
            sent = LogPoint() if checkpoint.log_mismatch else checkpoint.point
            async with aclosing(self._snapshot(request, checkpoint.generation, sent, ahead)) as parts:
                async for part in parts:
                    part.snapshot.log_mismatch = checkpoint.log_mismatch
                    yield part

        complete_from = max(ahead.values(), default=0)

        def step(point: LogPoint, **message: Any) -> pb.WatchOrdersResponse:
            token = to_resume_token(request, point) if point.position >= complete_from else ""
            return pb.WatchOrdersResponse(resume_token=token, **message)

        wanted = _wanted(request)
        async with self._hub.watch(wanted) as watch, aclosing(self._from(sent, watch)) as changes:
            async for change in changes:
                if isinstance(change, LogPoint):
                    sent = max(sent, change)
                    yield step(sent, heartbeat=_heartbeat())
                elif change.position > sent.position:
                    sent = change.point
                    if wanted(change) and sent.position > ahead.get(change.order_id, 0):
                        yield step(sent, change=_summary_change(request, change))

    async def _snapshot(
        self, request: pb.WatchOrdersRequest, generation: int, point: LogPoint, ahead: dict[str, int]
    ) -> AsyncGenerator[pb.WatchOrdersResponse, None]:
        """Every matching row. `ahead` receives those that are newer than the point: later changes are in them."""
        where = _where(request)
        after, begins = None, True
        while True:
            rows = await self._views.answered(
                self._views.find.orders(generation, where, after, newest_first=False, most=PART)
            )
            ahead |= {row["_id"]: row["position"] for row in rows if row["position"] > point.position}
            complete = len(rows) < PART
            orders, not_shown = shown("order_list", rows, mapping.order_summary)
            part = pb.OrdersSnapshot(begins=begins, orders=orders, complete=complete, not_shown=not_shown)
            token = to_resume_token(request, point) if complete and not ahead else ""
            yield pb.WatchOrdersResponse(snapshot=part, resume_token=token)
            if complete:
                return
            after, begins = (int(rows[-1]["created_at"]), rows[-1]["_id"]), False

    async def _from(self, point: LogPoint, watch: Watch) -> AsyncGenerator[Change | LogPoint, None]:
        """Changes after a point: those that the hub had delivered before the watch joined are read from the log."""
        if point.position < watch.since:
            tracker, looked = OrderChangeTracker(self._log), 0
            async with aclosing(self._log.after(point.position, PATTERN)) as events:
                async for event in events:
                    if position_of(event) > watch.since:
                        break
                    change = await tracker.apply(event)
                    if change is not None:
                        yield change
                    looked += 1
                    if looked % REPORT_AFTER == 0:
                        yield point_of(event)
        async with aclosing(watch.changes()) as changes:
            async for item in changes:
                yield item

    async def _resumed(self, request: Any) -> LogPoint | None:
        """The point to resume at; None at the beginning. Raises `ResumeTokenInvalid` for a token of another log."""
        point = from_resume_token(request)
        if point is not None and not await self._log.is_of_this_log(point):
            raise ResumeTokenInvalid
        return point


def _wanted(request: pb.WatchOrdersRequest) -> Wanted:
    """A change is wanted if the order matches after it, or did before."""
    status = _status(request)

    def wanted(change: Change) -> bool:
        if request.customer_id and change.after["customer_id"] != request.customer_id:
            return False
        if not status:
            return True
        return status in (change.after["status"], change.before["status"] if change.before else "")

    return wanted


def _where(request: pb.WatchOrdersRequest) -> dict[str, Any]:
    wanted = {"customer_id": request.customer_id, "status": _status(request)}
    return {name: value for name, value in wanted.items() if value}


def _status(request: pb.WatchOrdersRequest) -> str:
    return types.OrderStatus.Name(request.status).removeprefix("ORDER_STATUS_") if request.status else ""


def _change(change: Change) -> pb.OrderChange:
    return pb.OrderChange(order=change.order, entry=change.entry)


def _summary_change(request: pb.WatchOrdersRequest, change: Change) -> pb.OrderSummaryChange:
    status = _status(request)
    left = bool(status) and change.after["status"] != status
    return pb.OrderSummaryChange(order=change.summary, left=left, entry=change.entry, unread=change.unread)


def _heartbeat() -> pb.WatchHeartbeat:
    at = Timestamp()
    at.GetCurrentTime()
    return pb.WatchHeartbeat(at=at)
