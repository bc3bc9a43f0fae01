"""Requests may be repeated, raced and expected at a revision."""

import asyncio
import json
from typing import Any
from uuid import NAMESPACE_URL, uuid5

import grpc
import pytest

from core.config import Settings
from core.eventstore.store import EventStore
from protos.orders.v1 import commands_pb2 as pb
from server.app import serving
from tests.support.calling import DEADLINE, Shop, done_before, fresh_id, refusal, refusal_of, shop_at


def note(order_id: str, line_id: str, **fields: Any) -> pb.RemoveLineRequest:
    known: dict[str, Any] = {"request_id": fresh_id(), "order_id": order_id, "line_id": line_id}
    return pb.RemoveLineRequest(**known | fields)


def add(order_id: str, sku: str, **fields: Any) -> pb.AddLineRequest:
    line = pb.NewLine(line_id=fields.pop("line_id", sku), sku=sku, quantity=fields.pop("quantity", 1))
    known: dict[str, Any] = {"request_id": fresh_id(), "order_id": order_id, "line": line}
    return pb.AddLineRequest(**known | fields)


async def events(log: EventStore, order_id: str) -> list[Any]:
    return [event async for event in log.read(f"order-{order_id}")]


async def test_a_repeat_gets_the_first_answer_and_leaves_no_second_event(shop: Shop, log: EventStore) -> None:
    sku, order_id = await shop.product(), await shop.draft()
    request = add(order_id, sku)
    first = await shop.orders.AddLine(request, timeout=DEADLINE)
    await shop.orders.RemoveLine(note(order_id, sku), timeout=DEADLINE)

    assert await shop.orders.AddLine(request, timeout=DEADLINE) == done_before(first)
    assert [event.type for event in await events(log, order_id)][-2:] == ["LineAdded", "LineRemoved"]


async def test_a_repeat_is_known_after_a_restart(shop: Shop, settings: Settings) -> None:
    order_id = await shop.placed()
    request = pb.ConfirmOrderRequest(request_id=fresh_id(), order_id=order_id)
    first = await shop.orders.ConfirmOrder(request, timeout=DEADLINE)
    async with serving("commands", settings, port=0) as address, shop_at(address) as another:
        assert await another.orders.ConfirmOrder(request, timeout=DEADLINE) == done_before(first)


async def test_a_repeat_of_a_request_that_changed_nothing_does_not_act_after_a_change(
    shop: Shop, settings: Settings, log: EventStore
) -> None:
    """Nor through another service that starts then, where the order is not in memory."""
    sku, order_id = await shop.product(), await shop.draft()
    request = note(order_id, "gift")
    first = await shop.orders.RemoveLine(request, timeout=DEADLINE)
    assert first.unchanged
    before = len(await events(log, order_id))
    await shop.orders.AddLine(add(order_id, sku, line_id="gift"), timeout=DEADLINE)

    assert await shop.orders.RemoveLine(request, timeout=DEADLINE) == done_before(first)
    async with serving("commands", settings, port=0) as address, shop_at(address) as another:
        assert await another.orders.RemoveLine(request, timeout=DEADLINE) == done_before(first)
    assert [event.type for event in (await events(log, order_id))[before:]] == ["LineAdded"]


async def test_a_repeat_of_a_request_that_changed_nothing_is_known_to_a_service_that_runs_already(
    shop: Shop, settings: Settings, log: EventStore
) -> None:
    """It has the order in memory, and has made the change itself."""
    sku, order_id = await shop.product(), await shop.draft()
    request = note(order_id, "gift")
    async with serving("commands", settings, port=0) as address, shop_at(address) as other:
        await other.orders.AddLine(add(order_id, sku), timeout=DEADLINE)
        first = await shop.orders.RemoveLine(request, timeout=DEADLINE)
        await other.orders.AddLine(add(order_id, sku, line_id="gift"), timeout=DEADLINE)
        retry = (("x-orderstream-retry", "1"),)
        repeated = await other.orders.RemoveLine(request, timeout=DEADLINE, metadata=retry)
        assert repeated == done_before(first)
    assert "LineRemoved" not in [event.type for event in await events(log, order_id)]


async def test_the_scope_of_a_request_id_is_one_aggregate(shop: Shop) -> None:
    sku, request_id = await shop.product(), fresh_id()
    for order_id in (await shop.draft(), await shop.draft()):
        reply = await shop.orders.AddLine(add(order_id, sku, request_id=request_id), timeout=DEADLINE)
        assert (reply.is_repeat, reply.unchanged) == (False, False)


async def test_the_same_step_under_another_request_id_says_that_nothing_changed(shop: Shop) -> None:
    order_id = await shop.placed()
    assert not (await shop.confirm(order_id)).unchanged
    again = await shop.confirm(order_id)
    assert again.unchanged
    assert not again.is_repeat


async def test_a_used_request_id_with_another_payload_is_refused(shop: Shop, log: EventStore) -> None:
    sku, order_id = await shop.product(), await shop.draft()
    request = add(order_id, sku)
    await shop.orders.AddLine(request, timeout=DEADLINE)
    before = len(await events(log, order_id))

    refused = await refusal(shop.orders.AddLine(add(order_id, sku, quantity=2, request_id=request.request_id)))
    assert (refused.code, refused.reason) == (grpc.StatusCode.ALREADY_EXISTS, "REQUEST_ID_REUSED")
    assert refused.metadata["request_id"] == request.request_id
    assert len(await events(log, order_id)) == before


async def test_duplicates_sent_at_once_to_two_workers_have_one_effect(
    shop: Shop, settings: Settings, log: EventStore
) -> None:
    sku, order_id = await shop.product(), await shop.draft()
    request = add(order_id, sku)
    async with serving("commands", settings, port=0) as address, shop_at(address) as other:
        replies = await asyncio.gather(*(each.orders.AddLine(request, timeout=DEADLINE) for each in (shop, other) * 10))
    assert len({(reply.revision, reply.consistency_token) for reply in replies}) == 1
    assert [event.type for event in await events(log, order_id)].count("LineAdded") == 1


async def test_two_payloads_racing_under_one_request_id_have_one_winner(
    shop: Shop, settings: Settings, log: EventStore
) -> None:
    sku = await shop.product()
    async with serving("commands", settings, port=0) as address, shop_at(address) as other:
        for _ in range(10):
            order_id, request_id = await shop.draft(), fresh_id()
            outcomes = await asyncio.gather(
                *(
                    each.orders.AddLine(add(order_id, sku, quantity=n, request_id=request_id), timeout=DEADLINE)
                    for n, each in enumerate((shop, other), start=1)
                ),
                return_exceptions=True,
            )
            lost = [outcome for outcome in outcomes if isinstance(outcome, grpc.aio.AioRpcError)]
            assert [refusal_of(error).reason for error in lost] == ["REQUEST_ID_REUSED"]
            added = [event for event in await events(log, order_id) if event.type == "LineAdded"]
            assert len(added) == 1


async def test_a_stale_expected_revision_is_aborted_with_both_revisions(shop: Shop, log: EventStore) -> None:
    sku, order_id = await shop.product(), await shop.draft()
    before = await events(log, order_id)
    revision = before[-1].stream_position
    reply = await shop.orders.AddLine(add(order_id, sku, expected_revision=revision), timeout=DEADLINE)
    assert reply.revision == revision + 1

    refused = await refusal(shop.orders.RemoveLine(note(order_id, sku, expected_revision=revision)))
    assert (refused.code, refused.reason) == (grpc.StatusCode.ABORTED, "REVISION_CONFLICT")
    assert refused.metadata["expected"] == str(revision)
    assert refused.metadata["actual"] == str(revision + 1)
    assert len(await events(log, order_id)) == len(before) + 1


async def test_64_writers_on_one_order_through_two_workers_lose_nothing(
    shop: Shop, settings: Settings, log: EventStore
) -> None:
    sku, order_id = await shop.product(), await shop.draft()
    async with serving("commands", settings, port=0) as address, shop_at(address) as other:
        outcomes = await asyncio.gather(
            *(
                (shop, other)[n % 2].orders.AddLine(add(order_id, sku, line_id=f"line-{n}"), timeout=DEADLINE)
                for n in range(64)
            ),
            return_exceptions=True,
        )
    lost = [outcome for outcome in outcomes if isinstance(outcome, grpc.aio.AioRpcError)]
    assert all(refusal_of(error).reason == "CONTENTION" for error in lost)
    added = {json.loads(e.data)["line_id"] for e in await events(log, order_id) if e.type == "LineAdded"}
    assert len(added) == 64 - len(lost)


async def test_a_stale_cache_never_refuses(shop: Shop, settings: Settings) -> None:
    """One worker has the order as a draft in memory; the other places it; the first one is then asked to confirm."""
    order_id = await shop.draft(await shop.product())
    async with serving("commands", settings, port=0) as address, shop_at(address) as other:
        await other.place(order_id)
        assert (await shop.confirm(order_id)).revision > 0


async def test_who_when_and_why_stand_beside_each_event(shop: Shop, log: EventStore) -> None:
    order_id = await shop.placed()
    request = pb.ConfirmOrderRequest(request_id=fresh_id(), order_id=order_id)
    conversation, trace = fresh_id(), "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
    headers = (("x-orderstream-actor", "ann"), ("x-correlation-id", conversation), ("traceparent", trace))
    await shop.orders.ConfirmOrder(request, timeout=DEADLINE, metadata=headers)

    metadata = json.loads((await events(log, order_id))[-1].metadata)
    assert metadata.pop("occurredAt").endswith("Z")
    assert len(metadata.pop("payloadHash")) == 64
    assert metadata == {
        "$correlationId": conversation,
        "$causationId": request.request_id,
        "requestId": request.request_id,
        "schemaVersion": 1,
        "actor": "ann",
        "traceparent": trace,
    }


@pytest.mark.parametrize("named", ["basket 7/2026", "x" * 128])
async def test_a_conversation_may_have_any_name_and_its_id_is_made_of_it(
    named: str, shop: Shop, log: EventStore
) -> None:
    order_id = await shop.placed()
    request = pb.ConfirmOrderRequest(request_id=fresh_id(), order_id=order_id)
    await shop.orders.ConfirmOrder(request, timeout=DEADLINE, metadata=(("x-correlation-id", named),))
    metadata = json.loads((await events(log, order_id))[-1].metadata)
    assert metadata["correlationText"] == named
    assert metadata["$correlationId"] == str(uuid5(NAMESPACE_URL, f"x-correlation-id:{named}"))


@pytest.mark.parametrize("trace", ["x", "00-" + "A" * 32])
async def test_a_trace_of_another_form_is_left_out(trace: str, shop: Shop, log: EventStore) -> None:
    order_id = await shop.placed()
    request = pb.ConfirmOrderRequest(request_id=fresh_id(), order_id=order_id)
    await shop.orders.ConfirmOrder(request, timeout=DEADLINE, metadata=(("traceparent", trace),))
    assert "traceparent" not in json.loads((await events(log, order_id))[-1].metadata)


async def test_a_price_that_moved_is_found_when_placing(shop: Shop) -> None:
    sku = await shop.product(price=350)
    order_id = await shop.draft(sku)
    await shop.price(sku, 400)
    refused = await refusal(shop.place(order_id))
    assert (refused.code, refused.reason) == (grpc.StatusCode.FAILED_PRECONDITION, "PRICE_CHANGED")
    assert refused.metadata == {
        "sku": sku,
        "order_price_minor": "350",
        "current_price_minor": "400",
        "currency": "EUR",
        "order_id": order_id,
        "line_id": sku,
        "remedy": f"RefreshPrices (orderstream orders refresh-prices {order_id})",
    }


async def test_refreshed_prices_are_those_of_now_and_the_order_can_be_placed(shop: Shop, settings: Settings) -> None:
    sku = await shop.product(price=350)
    order_id = await shop.draft(sku)
    async with serving("commands", settings, port=0) as address, shop_at(address) as other:
        await other.price(sku, 400)
    request = pb.RefreshPricesRequest(request_id=fresh_id(), order_id=order_id)
    first = await shop.orders.RefreshPrices(request, timeout=DEADLINE)
    assert await shop.orders.RefreshPrices(request, timeout=DEADLINE) == done_before(first)
    assert (await shop.place(order_id)).revision == first.revision + 1


async def test_a_price_changed_through_another_worker_is_found_when_placing(shop: Shop, settings: Settings) -> None:
    sku = await shop.product(price=350)
    order_id = await shop.draft(sku)
    async with serving("commands", settings, port=0) as address, shop_at(address) as other:
        await other.price(sku, 400)
    assert (await refusal(shop.place(order_id))).reason == "PRICE_CHANGED"


@pytest.mark.parametrize("given", [True, False])
async def test_an_order_is_named_by_the_caller_or_by_its_request(shop: Shop, *, given: bool) -> None:
    request_id, order_id = fresh_id(), fresh_id()
    request = pb.CreateOrderRequest(
        request_id=request_id, order_id=order_id if given else "", customer_id=await shop.user(), currency="EUR"
    )
    reply = await shop.orders.CreateOrder(request, timeout=DEADLINE)
    assert reply.order_id == (order_id if given else request_id)
    assert await shop.orders.CreateOrder(request, timeout=DEADLINE) == done_before(reply)


async def test_every_line_of_the_log_says_which_conversation_it_belongs_to(
    shop: Shop, capfd: pytest.CaptureFixture[str]
) -> None:
    conversation = fresh_id()
    request = pb.PlaceOrderRequest(request_id=fresh_id(), order_id=fresh_id())
    await refusal(shop.orders.PlaceOrder(request, timeout=DEADLINE, metadata=(("x-correlation-id", conversation),)))
    reported = capfd.readouterr()
    assert conversation in reported.out + reported.err
    assert "ORDER_NOT_FOUND" in reported.out + reported.err
