"""Watching orders: first what is, then every change, once, however often the connection breaks."""

import asyncio
import random
from collections.abc import AsyncIterator, Iterator
from contextlib import aclosing, suppress
from dataclasses import replace
from typing import Any

import grpc
import pytest

from client.sdk import Addresses, OrderstreamClient, errors
from protos.orders.v1 import queries_pb2 as pb
from protos.orders.v1.queries_pb2_grpc import OrderQueryServiceStub
from protos.orders.v1.types_pb2 import Order, OrderStatus
from tests.support.buying import orders, product, user
from tests.support.calling import HOME, fresh_id, refusal
from tests.support.processes import Running, running

PLACED, CONFIRMED = OrderStatus.ORDER_STATUS_PLACED, OrderStatus.ORDER_STATUS_CONFIRMED
CANCELLED = OrderStatus.ORDER_STATUS_CANCELLED


@pytest.fixture
def raw(channel: grpc.aio.Channel) -> Any:
    """The stub as any client has it: what breaks stays broken."""
    return OrderQueryServiceStub(channel)


async def taken(watch: AsyncIterator[Any], number: int) -> list[Any]:
    """So many messages that are no heartbeats."""
    messages: list[Any] = []
    while len(messages) < number:
        async with asyncio.timeout(20):
            message = await anext(watch)
        if not message.HasField("heartbeat"):
            messages.append(message)
    return messages


async def test_an_order_is_shown_as_it_is_and_then_after_every_event(client: OrderstreamClient) -> None:
    _, [order_id], _ = await orders(client, 1)
    async with aclosing(client.orders.WatchOrder(order_id=order_id)) as watch:  # type: ignore[type-var]  # a generator
        [first] = await taken(watch, 1)
        assert (first.snapshot.status, first.snapshot.revision) == (PLACED, 3)
        await client.orders.HoldOrder(order_id=order_id, reason="looks odd")
        await client.orders.ReleaseHold(order_id=order_id)
        token = (await client.orders.ConfirmOrder(order_id=order_id)).consistency_token
        steps = await taken(watch, 3)
    assert [step.change.entry.event_type for step in steps] == ["OrderHeld", "HoldReleased", "OrderConfirmed"]
    assert [step.change.order.hold_reason for step in steps] == ["looks odd", "", ""]
    assert steps[-1].change.order == (await client.orders.GetOrder(order_id=order_id, consistency_token=token)).order


async def test_a_watch_goes_on_where_its_token_says_without_a_snapshot(raw: Any, client: OrderstreamClient) -> None:
    _, [order_id], _ = await orders(client, 1)
    call = raw.WatchOrder(pb.WatchOrderRequest(order_id=order_id))
    [first] = await taken(aiter(call), 1)
    call.cancel()
    await client.orders.HoldOrder(order_id=order_id, reason="looks odd")
    await client.orders.ReleaseHold(order_id=order_id)
    call = raw.WatchOrder(pb.WatchOrderRequest(order_id=order_id, resume_token=first.resume_token))
    steps = await taken(aiter(call), 2)
    call.cancel()
    assert [step.change.order.revision for step in steps] == [4, 5]


@pytest.mark.parametrize(
    ("lines", "cuts"), [(40, 60), pytest.param(160, 500, marks=[pytest.mark.long, pytest.mark.timeout(600)])]
)
async def test_disconnects_of_the_watch_of_an_order_lose_and_double_nothing(
    lines: int, cuts: int, raw: Any, client: OrderstreamClient
) -> None:
    customer, sku, dice = await user(client), await product(client), random.Random(5)
    order_id = (await client.orders.CreateOrder(customer_id=customer, currency="EUR")).order_id

    async def busy() -> str:
        for n in range(lines):
            line = {"line_id": f"line-{n}", "sku": sku, "quantity": 1}
            await client.orders.AddLine(order_id=order_id, line=line)
        return (await client.orders.CancelOrder(order_id=order_id, reason="enough")).consistency_token

    writing = asyncio.create_task(busy())
    revisions: list[int] = []
    token, disconnects = "", 0
    state = Order()
    while disconnects < cuts or state.status != CANCELLED:
        call = raw.WatchOrder(pb.WatchOrderRequest(order_id=order_id, resume_token=token))
        with suppress(TimeoutError):
            async with asyncio.timeout(dice.choice([0.0, 0.001, 0.005, 0.02])):
                async for step in call:
                    token = step.resume_token
                    if not step.HasField("heartbeat"):
                        state = step.change.order if step.HasField("change") else step.snapshot
                        revisions.append(state.revision)
        call.cancel()
        disconnects += 1
    shown = (await client.orders.GetOrder(order_id=order_id, consistency_token=await writing)).order
    assert revisions == list(range(revisions[0], shown.revision + 1))
    assert state == shown


class Held:
    """What a client of WatchOrders holds, as the contract says."""

    def __init__(self) -> None:
        self.token = ""
        self.orders: dict[str, Any] = {}
        self.seen: list[tuple[str, int]] = []

    def take(self, step: Any) -> None:
        self.token = step.resume_token or self.token
        if step.HasField("snapshot"):
            if step.snapshot.begins:
                self.orders, self.seen = {}, []
            self.orders |= {order.order_id: order for order in step.snapshot.orders}
        elif step.HasField("change"):
            self.orders[step.change.order.order_id] = step.change.order
            self.seen.append((step.change.order.order_id, step.change.entry.revision))

    async def follow(self, call: Any, patience: float) -> None:
        """Until patience ends, and then as a broken connection does."""
        with suppress(TimeoutError):
            async with asyncio.timeout(patience):
                async for step in call:
                    self.take(step)
        call.cancel()


@pytest.mark.parametrize("cuts", [150, pytest.param(500, marks=pytest.mark.long)])
async def test_disconnects_of_the_watch_of_a_customer_leave_the_list_as_the_view_has_it(
    cuts: int, raw: Any, client: OrderstreamClient
) -> None:
    customer, ids, _ = await orders(client, 4)
    dice, held = random.Random(6), Held()

    async def busy() -> str:
        for n in range(40):
            for order_id in ids:
                await client.orders.AddNote(order_id=order_id, note_id=f"note-{n}", text="still here")
        for order_id in ids[:2]:
            token = (await client.orders.CancelOrder(order_id=order_id, reason="enough")).consistency_token
        return str(token)

    def watch() -> Any:
        return raw.WatchOrders(pb.WatchOrdersRequest(customer_id=customer, resume_token=held.token))

    writing = asyncio.create_task(busy())
    disconnects = 0
    while disconnects < cuts or not writing.done():
        await held.follow(watch(), dice.choice([0.0, 0.002, 0.01, 0.03]))
        disconnects += 1
    shown = await client.orders.ListOrders(customer_id=customer, consistency_token=await writing)
    wanted = {order.order_id: order for order in shown.orders}
    call = watch()
    async with asyncio.timeout(20):
        while held.orders != wanted:
            held.take(await anext(aiter(call)))
    call.cancel()
    for order_id in ids:
        revisions = [revision for known, revision in held.seen if known == order_id]
        assert revisions == list(range(revisions[0], revisions[0] + len(revisions))), "no gap, no double"


async def test_an_order_that_leaves_the_filter_is_reported_once_as_left(client: OrderstreamClient) -> None:
    customer, ids, token = await orders(client, 2)
    all_placed = client.orders.WatchOrders(customer_id=customer, status=PLACED, consistency_token=token)
    async with aclosing(all_placed) as watch:  # type: ignore[type-var]  # a generator
        [first] = await taken(watch, 1)
        assert (first.snapshot.begins, first.snapshot.complete) == (True, True)
        assert [order.order_id for order in first.snapshot.orders] == ids
        await client.orders.ConfirmOrder(order_id=ids[0])
        await client.orders.AddNote(order_id=ids[0], note_id="one", text="not placed any more")
        await client.orders.AddNote(order_id=ids[1], note_id="one", text="still placed")
        steps = [step.change for step in await taken(watch, 2)]
    assert [(x.order.order_id, x.order.status, x.left) for x in steps] == [
        (ids[0], CONFIRMED, True),
        (ids[1], PLACED, False),
    ]


async def test_a_new_order_of_the_customer_appears(client: OrderstreamClient) -> None:
    customer, sku = await user(client), await product(client)
    async with aclosing(client.orders.WatchOrders(customer_id=customer)) as watch:  # type: ignore[type-var]  # a generator
        [first] = await taken(watch, 1)
        assert not first.snapshot.orders
        line = {"sku": sku, "quantity": 2}
        made = await client.orders.CreateOrder(
            customer_id=customer, currency="EUR", lines=[line], shipping_address=HOME
        )
        steps = [step.change for step in await taken(watch, 3)]
    assert {x.order.order_id for x in steps} == {made.order_id}
    assert [x.entry.event_type for x in steps] == ["OrderCreated", "LineAdded", "ShippingAddressChanged"]
    row = (await client.orders.ListOrders(customer_id=customer, consistency_token=made.consistency_token)).orders[0]
    assert steps[-1].order == row


async def test_a_hundred_watches_are_all_reported(raw: Any, client: OrderstreamClient) -> None:
    _, [order_id], _ = await orders(client, 1)
    calls = [raw.WatchOrder(pb.WatchOrderRequest(order_id=order_id)) for _ in range(100)]
    for call in calls:
        [first] = await taken(aiter(call), 1)
        assert first.snapshot.revision == 3
    await client.orders.HoldOrder(order_id=order_id, reason="looks odd")
    await client.orders.ReleaseHold(order_id=order_id)
    for call in calls:
        steps = await taken(aiter(call), 2)
        assert [step.change.entry.event_type for step in steps] == ["OrderHeld", "HoldReleased"]
        call.cancel()


BAD = [
    ("WatchOrder", {"order_id": "x"}, "FIELD_INVALID"),
    ("WatchOrder", {"order_id": fresh_id()}, "ORDER_NOT_FOUND"),
    ("WatchOrder", {"order_id": fresh_id(), "resume_token": "abc"}, "RESUME_TOKEN_INVALID"),
    ("WatchOrders", {"customer_id": "ann"}, "FIELD_INVALID"),
    ("WatchOrders", {"status": 99}, "FIELD_INVALID"),
    ("WatchOrders", {"resume_token": "ünicode"}, "RESUME_TOKEN_INVALID"),
    ("WatchOrders", {"consistency_token": "abc"}, "CONSISTENCY_TOKEN_INVALID"),
]


@pytest.mark.parametrize(("rpc", "fields", "reason"), BAD)
async def test_bad_input_ends_a_watch_at_once_and_is_reported(
    client: OrderstreamClient, rpc: str, fields: dict[str, Any], reason: str
) -> None:
    with pytest.raises(errors.OrderstreamError) as refused:
        await anext(getattr(client.orders, rpc)(**fields))
    assert refused.value.reason == reason


async def test_a_resume_token_belongs_to_its_watch_and_to_this_log(raw: Any, client: OrderstreamClient) -> None:
    _, ids, _ = await orders(client, 2)
    call = raw.WatchOrder(pb.WatchOrderRequest(order_id=ids[0]))
    [first] = await taken(aiter(call), 1)
    call.cancel()
    other = raw.WatchOrder(pb.WatchOrderRequest(order_id=ids[1], resume_token=first.resume_token))
    assert (await refusal(other.read())).reason == "RESUME_TOKEN_INVALID"


@pytest.fixture
def another(environment: dict[str, str], addresses: Addresses) -> Iterator[tuple[Running, Addresses]]:
    """A query service of one's own, to stop and start, that says every moment that it is alive."""
    own = {**environment, "ORDERSTREAM_WATCH_HEARTBEAT": "0.05", "ORDERSTREAM_MAX_WATCHES": "3"}
    with running("server", "queries", "--port", "0", environment=own) as process:
        yield process, replace(addresses, queries=process.ready["address"])


async def test_a_watch_without_a_change_says_that_it_is_alive_and_can_go_on_from_there(
    another: tuple[Running, Addresses], client: OrderstreamClient
) -> None:
    _, [order_id], _ = await orders(client, 1)
    async with grpc.aio.insecure_channel(another[1].queries) as channel:
        stub: Any = OrderQueryServiceStub(channel)
        call = stub.WatchOrder(pb.WatchOrderRequest(order_id=order_id))
        [first] = await taken(aiter(call), 1)
        async for step in call:
            if step.HasField("heartbeat") and step.resume_token != first.resume_token:
                break  # other orders' events have gone by
            await orders(client, 1)
        call.cancel()
        await client.orders.ConfirmOrder(order_id=order_id)
        call = stub.WatchOrder(pb.WatchOrderRequest(order_id=order_id, resume_token=step.resume_token))
        [change] = await taken(aiter(call), 1)
        assert change.change.entry.event_type == "OrderConfirmed"
        call.cancel()


async def test_a_server_that_stops_ends_its_watches_and_says_so(
    another: tuple[Running, Addresses], client: OrderstreamClient
) -> None:
    _, [order_id], _ = await orders(client, 1)
    process, at = another
    async with grpc.aio.insecure_channel(at.queries) as channel:
        stub: Any = OrderQueryServiceStub(channel)
        call = stub.WatchOrder(pb.WatchOrderRequest(order_id=order_id))
        await taken(aiter(call), 1)
        stopping = asyncio.create_task(asyncio.to_thread(process.stop))
        refused = await refusal(_to_the_end(call))
        assert (refused.code, refused.reason, refused.retry) == (grpc.StatusCode.UNAVAILABLE, "SERVER_DRAINING", True)
        assert await stopping == 0


async def test_the_python_client_resumes_by_itself_when_the_server_is_killed_and_started_again(
    another: tuple[Running, Addresses], environment: dict[str, str], client: OrderstreamClient
) -> None:
    _, [order_id], _ = await orders(client, 1)
    process, at = another
    port = at.queries.rpartition(":")[2]
    async with OrderstreamClient(at) as watcher, aclosing(watcher.orders.WatchOrder(order_id=order_id)) as watch:  # type: ignore[type-var]  # a generator
        await taken(watch, 1)
        process.kill()
        await client.orders.HoldOrder(order_id=order_id, reason="looks odd")
        with running("server", "queries", "--port", port, environment=environment):
            await client.orders.ReleaseHold(order_id=order_id)
            steps = await taken(watch, 2)
    assert [step.change.entry.event_type for step in steps] == ["OrderHeld", "HoldReleased"]


async def test_more_watches_than_a_server_may_serve_are_refused(
    another: tuple[Running, Addresses], client: OrderstreamClient
) -> None:
    _, [order_id], _ = await orders(client, 1)
    async with grpc.aio.insecure_channel(another[1].queries) as channel:
        stub: Any = OrderQueryServiceStub(channel)
        calls = [stub.WatchOrder(pb.WatchOrderRequest(order_id=order_id)) for _ in range(3)]
        for call in calls:
            await taken(aiter(call), 1)
        refused = await refusal(_to_the_end(stub.WatchOrder(pb.WatchOrderRequest(order_id=order_id))))
        assert (refused.code, refused.reason, refused.retry) == (
            grpc.StatusCode.RESOURCE_EXHAUSTED,
            "TOO_MANY_WATCHES",
            True,
        )
        for call in calls:
            call.cancel()


async def _to_the_end(call: Any) -> Any:
    async for _ in call:
        pass
