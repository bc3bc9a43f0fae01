"""Queries over the wire: fresh when asked, paged by keys, and clear about bad input."""

import asyncio
from functools import partial
from typing import Any

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2
from pymongo import AsyncMongoClient

from client.sdk import OrderstreamClient, errors
from core.eventstore.consistency_token import to_token
from protos.common.v1.types_pb2 import Money
from protos.orders.v1.types_pb2 import OrderStatus
from tests.support.buying import orders, product
from tests.support.calling import fresh_email, fresh_id
from tests.support.eventually import eventually
from tests.support.processes import Running


async def test_a_read_with_a_token_reflects_the_write(client: OrderstreamClient) -> None:
    sku = await product(client)
    for price in range(400, 430):
        token = (
            await client.products.ChangePrice(sku=sku, price=Money(amount_minor=price, currency="EUR"))
        ).consistency_token
        reply = await client.products.GetProduct(sku=sku, consistency_token=token)
        assert reply.product.price.amount_minor == price
        assert reply.freshness.position > 0


async def test_a_token_of_another_context_is_honoured_without_waiting_for_more_events(
    client: OrderstreamClient,
) -> None:
    _, [order_id], _ = await orders(client, 1)
    registered = await client.users.RegisterUser(name="Bob", email=fresh_email())
    reply = await client.orders.GetOrder(
        order_id=order_id, consistency_token=registered.consistency_token, deadline=5.0
    )
    assert reply.order.status == OrderStatus.ORDER_STATUS_PLACED


async def test_a_token_that_is_not_reached_in_time_is_unavailable_never_stale(client: OrderstreamClient) -> None:
    _, [order_id], _ = await orders(client, 1)
    with pytest.raises(errors.Unavailable) as refused:
        await client.orders.GetOrder(order_id=order_id, consistency_token=to_token(2**60), deadline=0.5)
    assert refused.value.reason in ("NOT_FRESH_ENOUGH", "")


async def test_a_list_is_paged_without_gap_or_double_both_ways(client: OrderstreamClient) -> None:
    customer, ids, token = await orders(client, 7)
    for order_by, wanted in (("", ids[::-1]), ("created_at asc", ids)):
        seen: list[str] = []
        pages = client.orders.pages(
            "ListOrders", customer_id=customer, page_size=3, order_by=order_by, consistency_token=token
        )
        async for page in pages:
            assert len(page.orders) <= 3
            seen += [row.order_id for row in page.orders]
        assert seen == wanted


async def test_a_list_is_filtered_by_status_and_time(client: OrderstreamClient) -> None:
    customer, ids, _ = await orders(client, 3)
    token = (await client.orders.CancelOrder(order_id=ids[1], reason="changed my mind")).consistency_token
    mine: dict[str, Any] = {"customer_id": customer, "consistency_token": token}
    cancelled = await client.orders.ListOrders(**mine, status=OrderStatus.ORDER_STATUS_CANCELLED)
    assert [row.order_id for row in cancelled.orders] == [ids[1]]
    rows = (await client.orders.ListOrders(**mine, order_by="created_at asc")).orders
    later = await client.orders.ListOrders(**mine, created_from=rows[1].created_at, order_by="created_at asc")
    earlier = await client.orders.ListOrders(**mine, created_to=rows[1].created_at)
    assert [row.order_id for row in later.orders] == ids[1:]
    assert [row.order_id for row in earlier.orders] == ids[:1]


@pytest.mark.parametrize(
    "damage",
    [{"$unset": {"lines": ""}}, {"$set": {"returns": {"$ref": "REQUESTED", "$id": "APPROVED"}}}],
    ids=["a field is missing", "returns that a former release kept under their own names"],
)
async def test_a_row_that_cannot_be_shown_is_left_out_of_its_page_and_named(
    client: OrderstreamClient, environment: dict[str, str], damage: dict[str, Any]
) -> None:
    customer, ids, token = await orders(client, 3)
    await client.orders.ListOrders(customer_id=customer, consistency_token=token)
    async with AsyncMongoClient[dict[str, Any]](environment["ORDERSTREAM_MONGO_URI"]) as store:
        rows = store[environment["ORDERSTREAM_MONGO_DATABASE"]]["order_list.g1"]
        assert (await rows.update_one({"_id": ids[1]}, damage)).modified_count == 1
        try:
            listed = await client.orders.ListOrders(customer_id=customer)
            of_customer = await client.orders.GetCustomerOrders(customer_id=customer)
            snapshot = (await anext(aiter(client.orders.WatchOrders(customer_id=customer)))).snapshot
        finally:
            await rows.delete_one({"_id": ids[1]})
    for shown in (listed.orders, of_customer.recent, reversed(snapshot.orders)):
        assert [row.order_id for row in shown] == [ids[2], ids[0]]
    for reply in (listed, of_customer, snapshot):
        assert list(reply.not_shown) == [ids[1]]


async def test_products_are_paged_by_sku(client: OrderstreamClient) -> None:
    mine = [await product(client) for _ in range(3)]
    # a repeat's token is that of the product's own last event: only the last product's covers all three
    token = (await client.products.ActivateProduct(sku=mine[-1])).consistency_token
    seen = [
        row.sku
        async for page in client.products.pages("ListProducts", page_size=2, consistency_token=token)
        for row in page.products
    ]
    assert seen == sorted(seen)
    assert set(mine) <= set(seen)


async def test_a_customer_and_a_day_add_up(client: OrderstreamClient) -> None:
    customer, ids, _ = await orders(client, 3)
    token = (await client.orders.CancelOrder(order_id=ids[0], reason="changed my mind")).consistency_token
    reply = await client.orders.GetCustomerOrders(customer_id=customer, consistency_token=token)
    assert (reply.orders_created, reply.orders_placed, reply.orders_cancelled) == (3, 3, 1)
    assert [(total.amount_minor, total.currency) for total in reply.totals] == [(1400, "EUR")]
    assert [row.order_id for row in reply.recent] == ids[::-1]
    days = (await client.orders.GetSalesDaily(consistency_token=token)).days
    assert sum(day.orders_cancelled for day in days) >= 1


async def test_a_timeline_reports_every_step_in_pages(client: OrderstreamClient) -> None:
    _, [order_id], token = await orders(client, 1)
    pages = [
        page
        async for page in client.orders.pages(
            "GetOrderTimeline", order_id=order_id, page_size=3, consistency_token=token
        )
    ]
    assert [[entry.step for entry in page.entries] for page in pages] == [
        ["OrderCreated", "LineAdded", "ShippingAddressChanged"],
        ["OrderPlaced"],
    ]
    assert pages[1].entries[0].amount.amount_minor == 700
    with pytest.raises(errors.NotFound):
        await client.orders.GetOrderTimeline(order_id=fresh_id())


async def test_history_reports_every_event_with_who_when_and_why(client: OrderstreamClient) -> None:
    _, [order_id], _ = await orders(client, 1)
    entries = [
        entry
        async for page in client.orders.pages("GetOrderHistory", order_id=order_id, page_size=2)
        for entry in page.entries
    ]
    assert [entry.event_type for entry in entries] == [
        "OrderCreated",
        "LineAdded",
        "ShippingAddressChanged",
        "OrderPlacedV2",
    ]
    assert [entry.revision for entry in entries] == [0, 1, 2, 3]
    assert entries[3].event.order_placed_v2.total.amount_minor == 700
    assert entries[3].request_id == entries[3].causation_id
    assert entries[0].occurred_at.seconds > 0


BAD = [
    ("orders", "GetOrder", {"order_id": "x"}, errors.InvalidRequest, "FIELD_INVALID"),
    ("orders", "GetOrder", {"order_id": fresh_id()}, errors.NotFound, "ORDER_NOT_FOUND"),
    ("orders", "GetOrderHistory", {"order_id": fresh_id()}, errors.NotFound, "ORDER_NOT_FOUND"),
    ("users", "GetUser", {"user_id": fresh_id()}, errors.NotFound, "USER_NOT_FOUND"),
    ("products", "GetProduct", {"sku": "nowhere"}, errors.NotFound, "PRODUCT_NOT_FOUND"),
    ("orders", "ListOrders", {"status": 99}, errors.InvalidRequest, "FIELD_INVALID"),
    ("products", "ListProducts", {"status": 99}, errors.InvalidRequest, "FIELD_INVALID"),
    ("orders", "ListOrders", {"page_size": -1}, errors.InvalidRequest, "FIELD_INVALID"),
    ("orders", "ListOrders", {"order_by": "price"}, errors.InvalidRequest, "FIELD_INVALID"),
    ("orders", "ListOrders", {"created_from": {"seconds": 10**15}}, errors.InvalidRequest, "FIELD_INVALID"),
    ("orders", "ListOrders", {"customer_id": "ann"}, errors.InvalidRequest, "FIELD_INVALID"),
    ("orders", "ListOrders", {"page_token": "abc"}, errors.InvalidRequest, "PAGE_TOKEN_INVALID"),
    ("orders", "ListOrders", {"page_token": "ünicode"}, errors.InvalidRequest, "PAGE_TOKEN_INVALID"),
    ("orders", "ListOrders", {"consistency_token": "abc"}, errors.InvalidRequest, "CONSISTENCY_TOKEN_INVALID"),
    ("orders", "ListOrders", {"consistency_token": "ü" * 9}, errors.InvalidRequest, "CONSISTENCY_TOKEN_INVALID"),
    ("orders", "GetSalesDaily", {"from_day": "yesterday"}, errors.InvalidRequest, "FIELD_INVALID"),
]


@pytest.mark.parametrize(("context", "rpc", "fields", "kind", "reason"), BAD)
async def test_bad_input_is_reported(  # noqa: PLR0917  # a row of the table
    client: OrderstreamClient, context: str, rpc: str, fields: dict[str, Any], kind: type[Exception], reason: str
) -> None:
    with pytest.raises(kind) as refused:
        await getattr(getattr(client, context), rpc)(**fields)
    assert isinstance(refused.value, errors.OrderstreamError)
    assert refused.value.reason == reason


async def test_a_page_token_belongs_to_its_query(client: OrderstreamClient) -> None:
    customer, _, token = await orders(client, 3)
    page = await client.orders.ListOrders(customer_id=customer, page_size=2, consistency_token=token)
    with pytest.raises(errors.InvalidRequest) as refused:
        await client.orders.ListOrders(customer_id=fresh_id(), page_token=page.next_page_token)
    assert refused.value.reason == "PAGE_TOKEN_INVALID"
    with pytest.raises(errors.InvalidRequest):
        await client.products.ListProducts(page_token=page.next_page_token)


async def test_many_waiting_reads_are_all_answered(client: OrderstreamClient) -> None:
    customer, ids, token = await orders(client, 1)
    replies = await asyncio.gather(
        *(client.orders.GetOrder(order_id=ids[0], consistency_token=token) for _ in range(50))
    )
    assert {reply.order.customer_id for reply in replies} == {customer}


async def test_views_killed_and_started_again_go_on_where_they_were(
    client: OrderstreamClient, projections: Running
) -> None:
    _, ids, _ = await orders(client, 2)
    projections.kill()
    token = (await client.orders.ConfirmOrder(order_id=ids[0])).consistency_token
    projections.start()
    reply = await client.orders.GetOrder(order_id=ids[0], consistency_token=token, deadline=30.0)
    assert reply.order.status == OrderStatus.ORDER_STATUS_CONFIRMED


async def test_health_and_reflection_are_there(channel: grpc.aio.Channel) -> None:
    health: Any = health_pb2_grpc.HealthStub(channel)
    for service in ("", "orders.v1.OrderQueryService"):
        check = partial(health.Check, health_pb2.HealthCheckRequest(service=service), timeout=5)
        await eventually(check, lambda now: now.status == health_pb2.HealthCheckResponse.SERVING)
    ask = reflection_pb2.ServerReflectionRequest(list_services="")
    for version in ("v1", "v1alpha"):
        reflection: Any = channel.stream_stream(
            f"/grpc.reflection.{version}.ServerReflection/ServerReflectionInfo",
            reflection_pb2.ServerReflectionRequest.SerializeToString,
            reflection_pb2.ServerReflectionResponse.FromString,
        )
        [reported] = [reply async for reply in reflection(iter([ask]), timeout=5)]
        assert "orders.v1.OrderQueryService" in {x.name for x in reported.list_services_response.service}
