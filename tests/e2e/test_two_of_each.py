"""Two of each service: any of them is restarted or killed at any time, and callers and the books notice nothing.

A shop as it is operated. Orders go through while all eight services are restarted, one of a pair at a time. The stock
is then compared with an oracle of its own, made of the raw events: what orders say has left and come back.
"""

import asyncio
import json
import random
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from esdbclient import EventStoreDBClient

from client.demo.baskets import baskets_of
from client.demo.rules import PAYMENTS
from client.demo.run import Demo
from client.sdk import Addresses, OrderstreamClient
from client.stack import Member, stack
from tests.support.baskets import rows

ROLES = ("commands", "queries", "processes", "projections")
STOCK_OUT = ("ReservationCommitted", "ReservationPartlyCommitted")
STOCK_FREED = ("ReservationReleased", "ReservationPartlyReleased", "ReservationExpired")
LONG = [pytest.mark.long, pytest.mark.timeout(3_600)]


class Pair:
    """Two processes of one role, of which one at most is away at any time."""

    def __init__(self, members: Sequence[Member]) -> None:
        self.members = members
        self.restarts: Counter[str] = Counter()

    @property
    def address(self) -> str:
        """Of both, as gRPC takes it."""
        return "ipv4:" + ",".join(member.ready["address"] for member in self.members)

    async def restart(self, how: str, number: int) -> None:
        member = self.members[number]
        await (member.kill() if how == "kill" else member.stop())
        await member.start()
        self.restarts[how] += 1

    async def each(self) -> None:
        """One of them is killed, the other is told to stop; in either order."""
        numbers = random.sample(range(2), 2)
        await self.restart(random.choice(("kill", "stop")), numbers[0])
        await self.restart("kill" if not self.restarts["kill"] else "stop", numbers[1])

    async def again_and_again(self, stop: asyncio.Event) -> None:
        while not stop.is_set():
            await self.restart(random.choice(("kill", "stop")), random.randrange(2))


@asynccontextmanager
async def pairs_in(data: Path) -> AsyncIterator[tuple[dict[str, Pair], str]]:
    """The pairs by role, and where the event store is."""
    async with stack(data, payments=PAYMENTS) as running:
        first = {role: running.members[role] for role in ROLES}
        second = {role: _twin(member) for role, member in first.items()}
        try:
            await asyncio.gather(*(member.start() for member in second.values()))
            yield (
                {role: Pair((first[role], second[role])) for role in ROLES},
                running.members["eventstore"].ready["uri"],
            )
        finally:
            await asyncio.gather(*(member.stop() for member in second.values()))


def _twin(member: Member) -> Member:
    arguments = [*member.arguments[:-1], "0"]
    assert member.arguments[-2] == "--port"
    log = member.log.with_name(f"{member.name}2.log")
    log.write_bytes(b"")
    return Member(f"{member.name}2", arguments, member.environment, log)


@pytest_asyncio.fixture
async def services(tmp_path: Path) -> AsyncIterator[tuple[dict[str, Pair], str]]:
    async with pairs_in(tmp_path) as found:
        yield found


class Books:
    """The stock by the raw log, without any of our code."""

    def __init__(self, uri: str) -> None:
        self.received: Counter[str] = Counter()
        self.on_hand: Counter[str] = Counter()
        self.open: dict[tuple[str, str], int] = {}  # units by sku and reservation
        self.shipped: Counter[str] = Counter()
        self.returned: Counter[str] = Counter()
        self._skus: dict[tuple[str, str], str] = {}  # by order and line
        self._parcels: dict[tuple[str, str], list[dict[str, Any]]] = {}
        client = EventStoreDBClient(uri)
        try:
            for event in client.read_all():
                category = event.stream_name.partition("-")[0]
                if category in ("stock", "order"):
                    getattr(self, f"_{category}")(event.type, json.loads(event.data))
        finally:
            client.close()

    def _stock(self, kind: str, data: dict[str, Any]) -> None:
        sku, units = data["sku"], data.get("quantity", data.get("change", 0))
        reservation = (sku, data.get("reservation_id", ""))
        if kind == "StockReserved":
            self.open[reservation] = units
        elif kind in (*STOCK_OUT, *STOCK_FREED):
            self.open[reservation] = self.open.get(reservation, 0) - units
        if kind == "StockReceived":
            self.received[sku] += units
        if kind in STOCK_OUT:
            self.on_hand[sku] -= units
        elif kind in ("StockReceived", "StockAdjusted", "StockRestocked"):
            self.on_hand[sku] += units

    def _order(self, kind: str, data: dict[str, Any]) -> None:
        order = data["order_id"]
        if kind == "LineAdded":
            self._skus[order, data["line_id"]] = data["sku"]
        elif kind == "ShipmentCreated":
            self._parcels[order, data["shipment_id"]] = data["lines"]
        elif kind == "ShipmentDispatched":
            for line in self._parcels[order, data["shipment_id"]]:
                self.shipped[self._skus[order, line["line_id"]]] += line["quantity"]
        elif kind in ("ShipmentReturned", "ReturnReceived"):
            for line in data["lines"]:
                if line["condition"] == "RETURN_CONDITION_RESALEABLE":
                    self.returned[line["sku"]] += line["quantity"]


@pytest.mark.parametrize("orders", [16, *(pytest.param(1_000, marks=LONG, id=f"round {n}") for n in range(1, 21))])
async def test_callers_and_the_books_notice_nothing(services: tuple[dict[str, Pair], str], orders: int) -> None:
    pairs, uri = services
    addresses = Addresses(**{role: pair.address for role, pair in pairs.items()})
    baskets = baskets_of(rows(orders), orders, Counter())
    async with OrderstreamClient(addresses, deadline=60.0) as shop:
        sold = asyncio.Event()

        def progress(what: str, _: int, __: int) -> None:
            if what == "orders":
                sold.set()

        demo = Demo(shop, {}, progress)
        async with asyncio.TaskGroup() as group:
            stop = asyncio.Event()
            selling = group.create_task(demo.sell(baskets))
            selling.add_done_callback(lambda _: stop.set())
            await sold.wait()
            for pair in pairs.values():
                group.create_task(pair.each() if orders < 1_000 else pair.again_and_again(stop))
        outcome = await demo.prove(baskets)
    assert outcome.differences == [], "and no call has failed, or it would have ended the demo"
    assert outcome.processes["started"] == orders
    for role, pair in pairs.items():
        assert pair.restarts.keys() == {"kill", "stop"}, role

    books = Books(uri)
    async with OrderstreamClient(addresses, deadline=60.0, read_your_writes=True) as shop:
        stock = {x.sku: x async for page in shop.products.pages("ListStock", page_size=100) for x in page.stock}
    assert books.received, "there is something to compare"
    assert sum(books.shipped.values()) > sum(books.returned.values()) > 0
    for sku, received in books.received.items():
        shown = stock[sku]
        assert received == shown.on_hand + books.shipped[sku] - books.returned[sku], sku
        assert shown.on_hand == books.on_hand[sku], sku
        assert shown.reserved == sum(units for (of, _), units in books.open.items() if of == sku) == 0, sku
