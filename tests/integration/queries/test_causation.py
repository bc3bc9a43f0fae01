"""What caused what: the life of an order as a tree, out of the log alone."""

from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any
from uuid import uuid4

import pytest
from esdbclient import NewEvent, StreamState

from client.sdk import OrderstreamClient
from client.sdk.errors import NotFound
from core.domain.checkout.events import CheckoutStarted, CheckoutStockReserved
from core.domain.stock.events import StockReceived, StockReserved
from core.eventstore import codec
from core.eventstore.connection import Client, connect
from core.eventstore.log import EventLog
from protos.orders.v1.queries_pb2 import CausationNode
from server.queries.causation import life, tree
from tests.support.buying import orders
from tests.support.orders import NOON, cancelled
from tests.support.processes import running
from tests.support.views import new_order

CROWD = 2_000  # events of other orders in the stream of the stock


@pytest.fixture
async def log() -> AsyncIterator[Client]:
    """Of its own: what these tests write of processes, no process may find."""
    with running("embedded", "eventstore", "--port", "0", "--memory") as node:
        client = await connect(node.ready["uri"])
        yield client
        await client.close()


def caused(event: Any, cause: str, request_id: str, actor: str = "process:checkout") -> NewEvent:
    event_type, data = codec.encode(event)
    metadata = codec.Metadata(
        correlation_id=request_id, causation_id=cause, request_id=request_id, payload_hash="", schema_version=1,
        actor=actor, occurred_at=NOON,
    )  # fmt: skip
    return NewEvent(type=event_type, data=data, metadata=codec.encode_metadata(metadata), id=uuid4())


async def lived(log: Client) -> tuple[str, str]:
    """An order that was drafted and placed; its id, and that of the event of its placing."""
    events = new_order()[:3]
    order_id = events[0].order_id
    drafting, placing = str(uuid4()), str(uuid4())
    stored = [
        caused(event, request, request, "ann")
        for event, request in zip(events, (drafting, drafting, placing), strict=True)
    ]
    await log.append_to_stream(f"order-{order_id}", current_version=StreamState.NO_STREAM, events=stored)
    return order_id, str(stored[-1].id)


async def received(log: Client, order_id: str) -> list[str]:
    """One line a node, as deep as it is."""

    def what(node: CausationNode) -> str:
        return node.event.entry.event_type if node.HasField("event") else f"{node.command.actor}:"

    return ["  " * node.depth + what(node) for node in tree(await life(EventLog(log), order_id))]


DRAFTED = ["ann:", "  OrderCreated", "  LineAdded"]


async def test_commands_events_steps_and_effects_hang_together(log: Client) -> None:
    order_id, placing = await lived(log)
    begin = caused(
        CheckoutStarted(id_version=8, order_id=order_id, lines=(), deadline=NOON, at=NOON), placing, str(uuid4())
    )
    await log.append_to_stream(f"checkout-{order_id}", current_version=StreamState.NO_STREAM, events=[begin])

    reserve = StockReserved(sku="tea", reservation_id=str(uuid4()), quantity=2, expires_at=None, at=NOON)
    receive = StockReceived(sku="tea", quantity=5, at=NOON)
    crowd = [caused(reserve, str(uuid4()), str(uuid4())) for _ in range(CROWD)]
    stock = [caused(receive, request := str(uuid4()), request, "ann"), *crowd, caused(reserve, placing, str(uuid4()))]
    for start in range(0, len(stock), 500):
        part = stock[start : start + 500]
        await log.append_to_stream("stock-tea", current_version=StreamState.ANY, events=part)

    reserved = caused(CheckoutStockReserved(order_id=order_id, at=NOON), placing, str(uuid4()))
    await log.append_to_stream(f"checkout-{order_id}", current_version=0, events=[reserved])
    cancel = caused(replace(cancelled(), order_id=order_id), request := str(uuid4()), request, "bob")
    await log.append_to_stream(f"order-{order_id}", current_version=2, events=[cancel])

    assert await received(log, order_id) == [
        *DRAFTED,
        "ann:",
        "  OrderPlacedV2",
        "    process:checkout:",
        "      CheckoutStartedV2",
        "    process:checkout:",
        "      StockReserved",
        "    process:checkout:",
        "      CheckoutStockReserved",
        "bob:",
        "  OrderCancelled",
    ]


async def test_stock_sold_long_before_the_order_is_not_looked_through(log: Client) -> None:
    reserve = StockReserved(sku="tea", reservation_id=str(uuid4()), quantity=2, expires_at=None, at=NOON)
    for _ in range(12):
        crowd = [caused(reserve, str(uuid4()), str(uuid4())) for _ in range(1_000)]
        await log.append_to_stream("stock-tea", current_version=StreamState.ANY, events=crowd)
    order_id, placing = await lived(log)
    mine = caused(reserve, placing, str(uuid4()))
    await log.append_to_stream("stock-tea", current_version=StreamState.ANY, events=[mine])
    assert not (await life(EventLog(log), order_id)).truncated
    assert (await received(log, order_id))[-1] == "      StockReserved"


async def test_an_event_that_no_command_of_ours_has_written_is_a_root(log: Client) -> None:
    order_id, _ = await lived(log)
    strange = NewEvent(type="OrderBlessed", data=b"{}")
    await log.append_to_stream(f"order-{order_id}", current_version=2, events=[strange])
    assert await received(log, order_id) == [*DRAFTED, "ann:", "  OrderPlacedV2", ":", "  OrderBlessed"]


async def test_a_chain_of_any_length_is_reported(log: Client) -> None:
    order_id, cause = await lived(log)
    chain: list[NewEvent] = []
    for _ in range(150):
        chain.append(caused(CheckoutStockReserved(order_id=order_id, at=NOON), cause, str(uuid4())))
        cause = str(chain[-1].id)
    await log.append_to_stream(f"checkout-{order_id}", current_version=StreamState.NO_STREAM, events=chain)
    assert (await received(log, order_id))[-1] == "  " * (1 + 2 * len(chain)) + "CheckoutStockReserved"


async def test_the_tree_comes_over_the_wire_instead_of_the_entries(client: OrderstreamClient) -> None:
    _, [order_id], token = await orders(client, 1)
    reply = await client.orders.GetOrderHistory(order_id=order_id, as_tree=True, consistency_token=token)
    assert [node.depth for node in reply.nodes] == [0, 1, 1, 1, 0, 1]
    assert (list(reply.entries), reply.truncated, reply.next_page_token) == ([], False, "")
    commands = [node.command for node in reply.nodes if node.HasField("command")]
    assert {command.stream for command in commands} == {f"order-{order_id}"}
    assert commands[0].request_id != commands[1].request_id
    with pytest.raises(NotFound):
        await client.orders.GetOrderHistory(order_id=str(uuid4()), as_tree=True)
