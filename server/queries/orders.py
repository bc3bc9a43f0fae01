"""OrderQueryService."""

from collections.abc import AsyncGenerator, Sequence
from datetime import UTC
from typing import Any

from core.eventstore.client import position_of
from core.eventstore.consistency_token import from_token
from core.eventstore.log import EventLog
from core.failures import NotFound
from core.readmodel.documents import to_micros
from core.readmodel.views.customer_orders import currency_sums
from core.readmodel.views.order_detail import order_detail
from core.readmodel.views.order_timeline import timeline_key, timeline_revision
from core.rpc.typing import Context
from core.rpc.validation import Rule, check, day, known_enum, optional, time, uuid
from core.security.owners import limit_to_own, require_own_order, require_own_user, restricted_to
from protos.common.v1.types_pb2 import Freshness, FreshnessSource, Money
from protos.orders.v1 import queries_pb2 as pb
from protos.orders.v1 import types_pb2 as types
from protos.orders.v1.queries_pb2_grpc import OrderQueryServiceServicer
from server.queries import causation, mapping, time_travel
from server.queries.event_entries import to_entries
from server.queries.paging import fitting, from_page_token, page_size, to_page_token
from server.queries.rows import shown
from server.queries.views import Views
from server.queries.watching.orders import Watching

RECENT = 20
ORDERS = {"": True, "created_at desc": True, "created_at asc": False}  # order_by → newest first
AFTER_ANY_CURRENCY = "~"
LAST_REVISION = 10**12 - 1


def order_by(value: object) -> str | None:
    return None if value in ORDERS else 'must be "created_at desc" or "created_at asc"'


LIST_RULES: dict[str, Rule] = {
    "customer_id": optional(uuid),
    "status": known_enum(types.OrderStatus.DESCRIPTOR),
    "created_from": time,
    "created_to": time,
    "order_by": order_by,
}


class OrderQueries(OrderQueryServiceServicer):
    """Queries about orders."""

    def __init__(self, views: Views, log: EventLog, watching: Watching) -> None:
        self._views = views
        self._log = log
        self._watching = watching

    async def GetOrder(self, request: pb.GetOrderRequest, context: Context) -> pb.GetOrderResponse:
        check(request, {"order_id": uuid, "as_of.time": time})
        if request.HasField("as_of"):
            return await self._as_of(request)
        found = await self._views.one(order_detail, request.order_id, request.consistency_token, context)
        unread = await self._views.unread("order_detail", found.generation, f"order-{request.order_id}")
        if found.document is None:
            if unread is not None and not restricted_to():  # the owner of an unreadable order is unknown
                raise unread.failure
            raise NotFound("ORDER_NOT_FOUND", order_id=request.order_id)
        require_own_order(found.document["customer_id"], request.order_id)
        return pb.GetOrderResponse(
            order=mapping.order(found.document),
            freshness=found.freshness,
            unread=None if unread is None else unread.message,
        )

    async def _as_of(self, request: pb.GetOrderRequest) -> pb.GetOrderResponse:
        if request.consistency_token:
            from_token(request.consistency_token)  # the log has every position that a token of ours stands for
        events = await time_travel.history(self._log, request.order_id)
        then = time_travel.until(events, request.as_of, "as_of")
        order, unread = await time_travel.order_of(self._log, request.order_id, then)
        if order is None:
            raise NotFound("ORDER_NOT_FOUND", order_id=request.order_id)
        freshness = Freshness(position=position_of(then[-1]), source=FreshnessSource.FRESHNESS_SOURCE_LOG)
        return pb.GetOrderResponse(order=order, freshness=freshness, unread=unread)

    async def DiffOrder(self, request: pb.DiffOrderRequest, context: Context) -> pb.DiffOrderResponse:
        check(request, {"order_id": uuid, "since.time": time, "until.time": time})
        most = page_size(request.page_size) if request.page_size else None
        token = from_page_token(request, int, int, int)
        events = await time_travel.history(self._log, request.order_id)
        first, since, until = token or (0, *time_travel.between(events, request))
        before, _ = await time_travel.order_of(self._log, request.order_id, events[:since])
        after, unread = await time_travel.order_of(self._log, request.order_id, events[:until])
        rows = [*time_travel.changes(before, after), *await to_entries(self._log, events[since:until])][first:]
        page = rows[: fitting(rows[:most])]
        following = [first + len(page), since, until]
        return pb.DiffOrderResponse(
            changes=[row for row in page if isinstance(row, pb.FieldChange)],
            entries=[row for row in page if isinstance(row, pb.HistoryEntry)],
            unread=unread,
            next_page_token=to_page_token(request, following) if len(page) < len(rows) else "",
        )

    async def ListOrders(self, request: pb.ListOrdersRequest, context: Context) -> pb.ListOrdersResponse:
        check(request, LIST_RULES)
        limit_to_own(request)
        most, after = page_size(request.page_size), from_page_token(request, int, str)
        freshness, generation = await self._views.at_least("order_list", request.consistency_token, context)
        rows = await self._views.answered(
            self._views.find.orders(
                generation,
                _where(request),
                None if after is None else (after[0], after[1]),
                newest_first=ORDERS[request.order_by],
                most=most + 1,
            )
        )
        page, more = rows[:most], len(rows) > most
        orders, not_shown = await self._summaries(generation, page)
        last = [[int(row["created_at"]), row["_id"]] for row in page if isinstance(row.get("created_at"), int)][-1:]
        return pb.ListOrdersResponse(
            orders=orders,
            next_page_token=to_page_token(request, last[0]) if more and last else "",
            freshness=freshness,
            not_shown=not_shown,
        )

    async def _summaries(
        self, generation: int, rows: Sequence[mapping.Document]
    ) -> tuple[list[types.OrderSummary], list[str]]:
        """Rows of `order_list`; for orders whose streams are parked, at which event and why.

        With the ids of those that cannot be shown.
        """
        streams = {row["_id"]: f"order-{row['_id']}" for row in rows}
        unread = await self._views.failed("order_list", generation, list(streams.values()))
        return shown("order_list", rows, lambda row: mapping.order_summary(row, unread.get(streams[row["_id"]], "")))

    async def GetCustomerOrders(
        self, request: pb.GetCustomerOrdersRequest, context: Context
    ) -> pb.GetCustomerOrdersResponse:
        check(request, {"customer_id": uuid})
        require_own_user(request.customer_id)
        # both views have to satisfy the token; the older of the two gives the freshness of the complete answer
        token, customer_id = request.consistency_token, request.customer_id
        sums_fresh, sums_generation = await self._views.at_least("customer_orders", token, context)
        rows_fresh, rows_generation = await self._views.at_least("order_list", token, context)
        sums = await self._views.answered(self._views.find.one("customer_orders", sums_generation, customer_id))
        rows = await self._views.answered(
            self._views.find.orders(rows_generation, {"customer_id": customer_id}, None, newest_first=True, most=RECENT)
        )
        recent, not_shown = await self._summaries(rows_generation, rows)
        counted = sums or {"created": 0, "placed": 0, "cancelled": 0, "totals": []}
        return pb.GetCustomerOrdersResponse(
            customer_id=customer_id,
            orders_created=counted["created"],
            orders_placed=counted["placed"],
            orders_cancelled=counted["cancelled"],
            orders_rejected=counted.get("rejected", 0),
            orders_expired=counted.get("expired", 0),
            totals=_money(counted["totals"]),
            returned=_money(counted.get("returned", ())),
            recent=recent,
            not_shown=not_shown,
            freshness=min(sums_fresh, rows_fresh, key=lambda fresh: (not fresh.log_mismatch, fresh.position)),
        )

    async def GetOrderHistory(self, request: pb.GetOrderHistoryRequest, context: Context) -> pb.GetOrderHistoryResponse:
        check(request, {"order_id": uuid})
        most, after = page_size(request.page_size), from_page_token(request, int)
        freshness, _ = await self._views.at_least("order_detail", request.consistency_token, context)
        if request.as_tree:
            life = await causation.life(self._log, request.order_id)
            nodes = causation.tree(life)
            return pb.GetOrderHistoryResponse(nodes=nodes, truncated=life.truncated, freshness=freshness)
        start = 0 if after is None else after[0] + 1
        events = await self._log.stream(f"order-{request.order_id}", start, most + 1)
        if events is None:
            raise NotFound("ORDER_NOT_FOUND", order_id=request.order_id)
        entries = await to_entries(self._log, events[:most])
        page = events[: fitting(entries)]
        more = len(events) > len(page)
        return pb.GetOrderHistoryResponse(
            entries=entries[: len(page)],
            next_page_token=to_page_token(request, [page[-1].stream_position]) if more else "",
            freshness=freshness,
        )

    def WatchOrder(
        self, request: pb.WatchOrderRequest, context: Context
    ) -> AsyncGenerator[pb.WatchOrderResponse, None]:
        check(request, {"order_id": uuid})
        return self._watching.order(request)

    def WatchOrders(
        self, request: pb.WatchOrdersRequest, context: Context
    ) -> AsyncGenerator[pb.WatchOrdersResponse, None]:
        check(request, {"customer_id": optional(uuid), "status": known_enum(types.OrderStatus.DESCRIPTOR)})
        limit_to_own(request)
        return self._watching.orders(request, context)

    async def GetOrderTimeline(
        self, request: pb.GetOrderTimelineRequest, context: Context
    ) -> pb.GetOrderTimelineResponse:
        check(request, {"order_id": uuid})
        most, after = page_size(request.page_size), from_page_token(request, int)
        freshness, generation = await self._views.at_least("order_timeline", request.consistency_token, context)
        first = 0 if after is None else after[0] + 1
        keys = {"$gte": timeline_key(request.order_id, first), "$lt": timeline_key(request.order_id, LAST_REVISION)}
        rows = await self._views.answered(self._views.find.by_key("order_timeline", generation, {}, keys, most + 1))
        if not rows and after is None:
            raise NotFound("ORDER_NOT_FOUND", order_id=request.order_id)
        page = rows[:most]
        entries, not_shown = shown("order_timeline", page, mapping.timeline_entry)
        if fitting(entries) < len(entries):
            last = entries[fitting(entries) - 1].revision
            page = [row for row in page if timeline_revision(row["_id"]) <= last]
            entries, not_shown = shown("order_timeline", page, mapping.timeline_entry)
        more = len(rows) > len(page)
        return pb.GetOrderTimelineResponse(
            entries=entries,
            next_page_token=to_page_token(request, [timeline_revision(page[-1]["_id"])]) if more else "",
            freshness=freshness,
            not_shown=not_shown,
        )

    async def GetSalesDaily(self, request: pb.GetSalesDailyRequest, context: Context) -> pb.GetSalesDailyResponse:
        check(request, {"from_day": optional(day), "to_day": optional(day)})
        keys = {"$gte": request.from_day} if request.from_day else {}
        if request.to_day:
            keys["$lt"] = request.to_day + AFTER_ANY_CURRENCY
        page = await self._views.page("sales_daily", request, context, keys=keys)
        days, not_shown = shown("sales_daily", page.rows, mapping.sales_day)
        return pb.GetSalesDailyResponse(days=days, not_shown=not_shown, **page.fields)


def _money(sums: Any) -> list[Money]:
    return [Money(**x) for x in sorted(currency_sums(sums), key=lambda x: x["currency"])]


def _where(request: pb.ListOrdersRequest) -> dict[str, Any]:
    where: dict[str, Any] = {}
    if request.customer_id:
        where["customer_id"] = request.customer_id
    if request.status:
        where["status"] = types.OrderStatus.Name(request.status).removeprefix("ORDER_STATUS_")
    created = {}
    for bound, field in (("$gte", "created_from"), ("$lt", "created_to")):
        if request.HasField(field):  # type: ignore[arg-type]  # both are fields of the message
            created[bound] = to_micros(getattr(request, field).ToDatetime(tzinfo=UTC))
    if created:
        where["created_at"] = created
    return where
