"""Two of each service: any of them is restarted or killed at any time, and callers and the books notice nothing.

A shop as it is operated. Orders go through while all eight services are restarted, one of a pair at a time. The stock
is then compared with an oracle of its own, made of the raw events: what orders say has left and come back.
"""

import asyncio
import random
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

import pytest

from client.local.demo.baskets import baskets_of
from client.local.demo.rules import PAYMENTS
from client.local.demo.run import Demo
from client.local.stack import Member
from client.sdk import Addresses, OrderstreamClient
from tests.support.baskets import rows
from tests.support.books import Books
from tests.support.processes import stack

ROLES = ("commands", "queries", "processes", "projections")
FEW, MANY = 16, 1_000  # orders: each process is restarted once, or all of them again and again
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
        """One of them is killed, the other is stopped; in either order."""
        numbers = random.sample(range(2), 2)
        await self.restart(random.choice(("kill", "stop")), numbers[0])
        await self.restart("kill" if not self.restarts["kill"] else "stop", numbers[1])

    async def again_and_again(self, stop: asyncio.Event) -> None:
        while not stop.is_set():
            await self.restart(random.choice(("kill", "stop")), random.randrange(2))


def _twin(member: Member) -> Member:
    arguments = [*member.arguments[:-1], "0"]
    assert member.arguments[-2] == "--port"
    log = member.log.with_name(f"{member.name}2.log")
    log.write_bytes(b"")
    return Member(f"{member.name}2", arguments, member.environment, log)


@pytest.fixture
async def services(tmp_path: Path) -> AsyncIterator[tuple[dict[str, Pair], str]]:
    """The pairs by role, and where the event store is."""
    async with stack(tmp_path, payments=PAYMENTS) as running:
        first = {role: running.members[role] for role in ROLES}
        second = {role: _twin(member) for role, member in first.items()}
        try:
            await asyncio.gather(*(member.start() for member in second.values()))
            pairs = {role: Pair((first[role], second[role])) for role in ROLES}
            yield pairs, running.eventstore_uri
        finally:
            await asyncio.gather(*(member.stop() for member in second.values()))


@pytest.mark.parametrize("orders", [FEW, *(pytest.param(MANY, marks=LONG, id=f"round {n}") for n in range(1, 21))])
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
                group.create_task(pair.each() if orders == FEW else pair.again_and_again(stop))
        outcome = await demo.prove(baskets)
    assert outcome.differences == [], "and no call has failed, or it would have ended the demo"
    assert outcome.processes["started"] == orders
    for role, pair in pairs.items():
        assert pair.restarts.keys() == {"kill", "stop"}, role

    books = Books(uri)
    assert sum(books.shipped.values()) > sum(books.returned.values()) > 0
    async with OrderstreamClient(addresses, deadline=60.0) as shop:
        assert await books.differences(shop) == []
    assert sum(books.open.values()) == 0, "every order has come to an end"
