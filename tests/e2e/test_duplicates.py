"""Impatient callers: every command sent eight times at once, and again after everything was restarted."""

import asyncio
from collections import Counter
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from esdbclient import EventStoreDBClient
from pymongo import MongoClient

from client.sdk import OrderstreamClient
from protos.common.v1.types_pb2 import Money
from tests.support.processes import Stack, stack

AT_ONCE = 8
CALLERS = 16  # commands under way, each with its duplicates
EFFECTS = ("UserRegistered", "ProductRegistered", "StockReceived", "OrderCreated", "NoteAdded")  # of what a buyer sends


class Buyer:
    """Sends one command of each kind; a second visit sends the very same ones again."""

    def __init__(self, shop: OrderstreamClient, number: int) -> None:
        self._shop = shop
        self._number = number
        self._request_ids = [str(uuid4()) for _ in EFFECTS]
        self._effects_left = 1  # of each command

    async def visit(self, times: int) -> list[set[bytes]]:
        """The answers to each command, sent so many times at once."""
        shop, sku, answers = self._shop, f"sku-{self._number}", list[set[bytes]]()

        async def send(call: Any, **fields: Any) -> Any:
            request_id = self._request_ids[len(answers)]
            replies = await asyncio.gather(*(call(request_id=request_id, **fields) for _ in range(times)))
            new = [reply for reply in replies if not reply.is_repeat]
            assert len(new) == self._effects_left, "one of them has the effect, and the others say that they had not"
            for reply in replies:
                reply.is_repeat = False
            answers.append({reply.SerializeToString(deterministic=True) for reply in replies})
            return replies[0]

        user = await send(shop.users.RegisterUser, name="Ann", email=f"ann-{self._number}@example.org")
        price = Money(amount_minor=350, currency="EUR")
        await send(shop.products.RegisterProduct, sku=sku, name="Tea", price=price)
        await send(shop.products.ReceiveStock, sku=sku, quantity=5)
        order = await send(shop.orders.CreateOrder, customer_id=user.user_id, currency="EUR")
        await send(shop.orders.AddNote, order_id=order.order_id, note_id="n1", text="ring twice")
        self._effects_left = 0
        return answers


async def restart_without_views(running: Stack) -> None:
    """Every process, the stores too; MongoDB forgets all it had."""
    stores = [running.members[name] for name in ("eventstore", "mongo")]
    services = [member for member in running.members.values() if member not in stores]
    await asyncio.gather(*(member.stop() for member in services))
    with MongoClient[dict[str, Any]](running.members["mongo"].ready["uri"]) as mongo:
        mongo.drop_database("orderstream")
    await asyncio.gather(*(member.stop() for member in stores))
    await asyncio.gather(*(member.start() for member in stores))
    await asyncio.gather(*(member.start() for member in services))


@pytest.mark.parametrize("commands", [10, pytest.param(1_000, marks=pytest.mark.long)])
async def test_a_command_sent_many_times_has_one_effect_and_one_answer_for_ever(commands: int, tmp_path: Path) -> None:
    async with stack(tmp_path) as running, OrderstreamClient(running.addresses, deadline=60.0) as shop:
        buyers = [Buyer(shop, number) for number in range(commands // len(EFFECTS))]
        places = asyncio.Semaphore(CALLERS)

        async def visited(buyer: Buyer, times: int) -> list[set[bytes]]:
            async with places:
                return await buyer.visit(times)

        first = await asyncio.gather(*(visited(buyer, AT_ONCE) for buyer in buyers))
        assert [len(answers) for visit in first for answers in visit] == [1] * commands
        await restart_without_views(running)
        assert await asyncio.gather(*(visited(buyer, AT_ONCE) for buyer in buyers)) == first

        with EventStoreDBClient(running.eventstore_uri) as log:
            written = log.read_all(filter_include=["(user|product|stock|order)-.*"], filter_by_stream_name=True)
            effects = Counter(event.type for event in written)
        assert effects == dict.fromkeys(EFFECTS, len(buyers))
