"""Stock through the real services: never more promised than there is, however many callers ask at the same time."""

import asyncio
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import pytest
from google.protobuf.timestamp_pb2 import Timestamp

from client.sdk import OrderstreamClient, errors
from client.sdk.errors import OrderstreamError
from protos.common.v1.types_pb2 import Money
from tests.support.calling import fresh_sku


async def stocked(client: OrderstreamClient, quantity: int) -> str:
    sku = fresh_sku()
    await client.products.RegisterProduct(sku=sku, name="Tea", price=Money(amount_minor=350, currency="EUR"))
    await client.products.ReceiveStock(sku=sku, quantity=quantity)
    return sku


async def test_five_hundred_buyers_of_a_hundred_units(client: OrderstreamClient) -> None:
    sku = await stocked(client, 100)

    async def buy() -> str:
        reservation = str(uuid4())
        try:
            await client.products.ReserveStock(sku=sku, reservation_id=reservation, quantity=1, deadline=60.0)
        except OrderstreamError as refused:
            return refused.reason
        reply = await client.products.CommitReservation(sku=sku, reservation_id=reservation, deadline=60.0)
        tokens.append(reply.consistency_token)
        return "bought"

    tokens: list[str] = []
    outcomes = await asyncio.gather(*(buy() for _ in range(500)))

    assert sorted(outcomes) == ["OUT_OF_STOCK"] * 400 + ["bought"] * 100
    for token in tokens:
        stock = (await client.products.GetStock(sku=sku, consistency_token=token)).stock
    assert (stock.on_hand, stock.reserved, stock.available, stock.open_reservations) == (0, 0, 0, 0)


async def test_a_reservation_whose_time_has_passed_is_taken_back(client: OrderstreamClient) -> None:
    sku, reservation = await stocked(client, 5), str(uuid4())
    past = Timestamp()
    past.FromDatetime(datetime.now(UTC) - timedelta(seconds=1))
    await client.products.ReserveStock(sku=sku, reservation_id=reservation, quantity=5, expires_at=past)
    reply = await client.products.ExpireReservation(sku=sku, reservation_id=reservation)
    stock = (await client.products.GetStock(sku=sku, consistency_token=reply.consistency_token)).stock
    assert stock.available == 5


async def test_stock_is_listed_by_sku_and_by_how_little_is_left(client: OrderstreamClient) -> None:
    scarce, plenty = await stocked(client, 2), await stocked(client, 50)
    token = (await client.products.AdjustStock(sku=plenty, change=1, reason="counted")).consistency_token
    rows = [
        row
        async for page in client.products.pages("ListStock", page_size=1, consistency_token=token)
        for row in page.stock
    ]
    assert [row.sku for row in rows] == sorted(row.sku for row in rows)
    assert {row.sku: row.available for row in rows}.items() >= {scarce: 2, plenty: 51}.items()
    few = await client.products.ListStock(available_at_most=2, page_size=1000, consistency_token=token)
    assert scarce in {row.sku for row in few.stock}
    assert plenty not in {row.sku for row in few.stock}


async def test_a_discontinued_product_receives_nothing_and_all_else_goes_on(client: OrderstreamClient) -> None:
    sku, reservation = await stocked(client, 5), str(uuid4())
    await client.products.DiscontinueProduct(sku=sku)
    with pytest.raises(errors.Refused) as refused:
        await client.products.ReceiveStock(sku=sku, quantity=3)
    assert refused.value.reason == "PRODUCT_DISCONTINUED"
    assert refused.value.metadata["remedy"].startswith("AdjustStock")
    await client.products.AdjustStock(sku=sku, change=3, reason="a late delivery")
    await client.products.ReserveStock(sku=sku, reservation_id=reservation, quantity=8)
    await client.products.CommitReservation(sku=sku, reservation_id=reservation)
    token = (await client.products.RestockReturn(sku=sku, return_id=str(uuid4()), quantity=1)).consistency_token
    assert (await client.products.GetStock(sku=sku, consistency_token=token)).stock.on_hand == 1


async def test_bad_input_has_its_reason_and_leaves_no_event(client: OrderstreamClient) -> None:
    sku = await stocked(client, 5)
    before = (await client.products.AdjustStock(sku=sku, change=1, reason="counted")).revision
    calls = {
        "FIELD_INVALID": client.products.ReserveStock(sku=sku, reservation_id="mine", quantity=1),
        "QUANTITY_INVALID": client.products.ReserveStock(sku=sku, reservation_id=str(uuid4()), quantity=-1),
        "RESERVATION_NOT_FOUND": client.products.CommitReservation(sku=sku, reservation_id=str(uuid4())),
        "PRODUCT_NOT_FOUND": client.products.ReceiveStock(sku=fresh_sku(), quantity=1),
        "STOCK_NOT_FOUND": client.products.AdjustStock(sku=fresh_sku(), change=1, reason="counted"),
    }
    for reason, call in calls.items():
        with pytest.raises(OrderstreamError) as refused:
            await call
        assert refused.value.reason == reason
    far = Timestamp(seconds=10**15)
    with pytest.raises(errors.InvalidRequest, match="expires_at"):
        await client.products.ReserveStock(sku=sku, reservation_id=str(uuid4()), quantity=1, expires_at=far)
    with pytest.raises(OrderstreamError, match="STOCK_NOT_FOUND"):
        await client.products.GetStock(sku=fresh_sku())
    assert (await client.products.AdjustStock(sku=sku, change=0, reason="counted")).revision == before
