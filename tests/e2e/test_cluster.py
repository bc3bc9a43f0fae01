"""The whole of orderstream on a cluster whose leaders change: no call fails, nothing is lost, all roles come back.

The cluster is the stand-in (`orderstream embedded cluster`), which goes through each change as three real nodes did.
The long form measures how long each role was away, prints it, and fails at three times the target
(docs/eventstoredb.md).
"""

import asyncio
import json
import random
import time
import urllib.error
import urllib.request
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from client.local.demo.baskets import baskets_of
from client.local.demo.rules import PAYMENTS
from client.local.demo.run import Demo
from client.sdk import OrderstreamClient
from client.sdk.errors import OrderstreamError
from protos.common.v1.types_pb2 import Money
from protos.orders.v1.commands_pb2 import NewLine
from protos.orders.v1.types_pb2 import OrderStatus
from tests.support.baskets import rows
from tests.support.books import Books
from tests.support.buying import user
from tests.support.calling import HOME, fresh_id, fresh_sku
from tests.support.eventually import eventually
from tests.support.processes import Running, Stack, running, stack

FEW, MANY = 6, 200  # orders
LONG = [pytest.mark.long, pytest.mark.timeout(1_800)]
PATIENCE = 30.0  # seconds that a client has where a leader hangs; with 10 a command may end UNAVAILABLE


class Control:
    """The acts of a cluster that runs in a process of its own."""

    def __init__(self, cluster: Running) -> None:
        self.uri: str = cluster.ready["uri"]
        self._address: str = cluster.ready["control"]

    async def state(self) -> dict[str, Any]:
        return await asyncio.to_thread(self._say, "GET", "/")

    async def do(self, act: str) -> dict[str, Any]:
        return await asyncio.to_thread(self._say, "POST", f"/{act}")

    def _say(self, method: str, path: str) -> dict[str, Any]:
        request = urllib.request.Request(f"http://{self._address}{path}", method=method)  # our own
        with urllib.request.urlopen(request, timeout=120) as answer:  # the same
            printed: dict[str, Any] = json.load(answer)
        return printed

    async def leader(self) -> int:
        return int((await self.state())["leader"])

    async def whole(self) -> None:
        """Start what has ended and let go on what hangs, until all three run.

        A leader that was replaced while it hung ends itself, and is then started twice.
        """
        await self.do("settled")
        for _ in range(4):
            for number, member in enumerate((await self.state())["members"]):
                if not member["state"]:
                    try:
                        await self.do(f"members/{number}/start")
                    except urllib.error.HTTPError:
                        await self.do(f"members/{number}/resume")
            await self.do("settled")


async def killed(control: Control) -> None:
    await control.do(f"members/{await control.leader()}/kill")


async def resigned(control: Control) -> None:
    await control.do("resign")


async def hung(control: Control) -> None:
    await control.do(f"members/{await control.leader()}/hang")


async def hung_and_back(control: Control) -> None:
    await control.do("two-leaders")


async def without_quorum(control: Control) -> None:
    await control.do("lose-quorum")


Act = Callable[[Control], Awaitable[None]]
GENTLE: tuple[Act, ...] = (killed, resigned)
ALL: tuple[Act, ...] = (*GENTLE, hung_and_back, resigned, killed)


@asynccontextmanager
async def on_a_cluster(data: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[tuple[Stack, Control]]:
    with running("embedded", "cluster", "--port", "0", "--memory") as cluster:
        monkeypatch.setenv("ORDERSTREAM_EVENTSTORE_URI", cluster.ready["uri"])
        async with stack(data, payments=PAYMENTS) as shop:
            yield shop, Control(cluster)


@pytest.mark.parametrize(
    ("orders", "acts"),
    [(FEW, GENTLE), *(pytest.param(MANY, ALL, marks=LONG, id=f"round {n}") for n in range(1, 21))],
)
async def test_callers_and_the_books_notice_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, orders: int, acts: tuple[Act, ...]
) -> None:
    baskets = baskets_of(rows(orders), orders, Counter())
    async with (
        on_a_cluster(tmp_path, monkeypatch) as (running_stack, control),
        OrderstreamClient(running_stack.addresses, deadline=60.0) as shop,
    ):
        sold = asyncio.Event()

        def progress(what: str, _: int, __: int) -> None:
            if what == "orders":
                sold.set()

        demo, done = Demo(shop, {}, progress), 0
        selling = asyncio.create_task(demo.sell(baskets))
        selling.add_done_callback(lambda _: sold.set())
        await sold.wait()
        for act in random.sample(acts, len(acts)):
            if not selling.done():
                await act(control)
                await control.whole()
                done += 1
        await selling
        outcome = await demo.prove(baskets)
        assert outcome.differences == [], "and no call has failed, or it would have ended the demo"
        assert outcome.processes["started"] == orders
        assert done > 0
        assert await Books(control.uri).differences(shop) == []


# ------------------------------------------------------------------ how long each role is away


@dataclass
class Away:
    """How long each role was away at most, in seconds, while orders were placed."""

    commands: float = 0.0
    views: float = 0.0
    processes: float = 0.0
    failed: Counter[str] = field(default_factory=Counter)


class Load:
    """Twenty orders a second are placed, seen through a view with their token, and wanted confirmed."""

    PER_SECOND = 20

    def __init__(self, shop: OrderstreamClient, deadline: float) -> None:
        self._shop, self._deadline = shop, deadline
        self._answered = {"commands": time.monotonic(), "views": time.monotonic(), "processes": time.monotonic()}
        self.away = Away()
        self.orders: list[str] = []
        self._tasks: set[asyncio.Task[None]] = set()

    async def begin(self) -> None:
        self._customer, self._sku = await user(self._shop), fresh_sku()
        await self._shop.products.RegisterProduct(
            sku=self._sku, name="Tea", price=Money(amount_minor=350, currency="EUR")
        )
        await self._shop.products.ActivateProduct(sku=self._sku)
        await self._shop.products.ReceiveStock(sku=self._sku, quantity=1_000_000, request_id=fresh_id())

    async def run(self, stop: asyncio.Event) -> None:
        while not stop.is_set():
            task = asyncio.create_task(self._one())
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
            with suppress(TimeoutError):
                await asyncio.wait_for(stop.wait(), 1 / self.PER_SECOND)
        await asyncio.gather(*self._tasks)

    async def placed(self) -> int:
        return len(self.orders)

    def _heard(self, role: str) -> None:
        now = time.monotonic()
        setattr(self.away, role, max(getattr(self.away, role), now - self._answered[role]))
        self._answered[role] = now

    async def _one(self) -> None:
        shop, within = self._shop, self._deadline
        try:
            made = await shop.orders.CreateOrder(
                customer_id=self._customer, currency="EUR", lines=[NewLine(sku=self._sku, quantity=1)],
                shipping_address=HOME, deadline=within,
            )  # fmt: skip
            placed = await shop.orders.PlaceOrder(order_id=made.order_id, deadline=within)
            self._heard("commands")
            self.orders.append(made.order_id)
            token = placed.consistency_token
            await shop.orders.GetOrder(order_id=made.order_id, consistency_token=token, deadline=within)
            self._heard("views")
        except OrderstreamError as error:
            self.away.failed[error.reason or str(error.code)] += 1
            return
        until = time.monotonic() + 60
        while time.monotonic() < until:
            with suppress(OrderstreamError):
                reply = await shop.orders.GetOrder(order_id=made.order_id, deadline=within)
                if reply.order.status == OrderStatus.ORDER_STATUS_CONFIRMED:
                    self._heard("processes")
                    return
            await asyncio.sleep(0.2)
        self.away.failed["not confirmed"] += 1


@pytest.mark.long
@pytest.mark.timeout(600)
@pytest.mark.parametrize(
    ("act", "target", "deadline"),
    [(killed, 3.0, 10.0), (resigned, 3.0, 10.0), (hung, 15.0, PATIENCE)],
)
async def test_every_role_serves_again_soon(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, act: Act, target: float, deadline: float,
) -> None:  # fmt: skip
    async with (
        on_a_cluster(tmp_path, monkeypatch) as (running_stack, control),
        OrderstreamClient(running_stack.addresses) as shop,
    ):
        load, stop = Load(shop, deadline), asyncio.Event()
        await load.begin()
        loading = asyncio.create_task(load.run(stop))
        await asyncio.sleep(5)
        usual = load.away
        load.away = Away()
        await act(control)
        await asyncio.sleep(3 * target)
        stop.set()
        await loading
        print(f"\n{act.__name__}: {load.away} (before: {usual})")  # noqa: T201  # what was measured
        assert not load.away.failed
        for role in ("commands", "views", "processes"):
            assert getattr(load.away, role) <= 3 * target, role
        await control.whole()
        assert len({*load.orders}) == len(load.orders) > 0
        assert await Books(control.uri).differences(shop) == []


@pytest.mark.long
@pytest.mark.timeout(900)
async def test_without_a_quorum_for_a_minute_queries_go_on_and_commands_say_unavailable(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with (
        on_a_cluster(tmp_path, monkeypatch) as (running_stack, control),
        OrderstreamClient(running_stack.addresses) as shop,
    ):
        load, stop = Load(shop, 10.0), asyncio.Event()
        await load.begin()
        loading = asyncio.create_task(load.run(stop))
        await asyncio.sleep(3)
        stop.set()
        await loading
        await without_quorum(control)
        until = time.monotonic() + 60
        while time.monotonic() < until:
            assert (await shop.orders.GetOrder(order_id=load.orders[0], deadline=2.0)).order.order_id
            began = time.monotonic()
            with pytest.raises(OrderstreamError) as refused:
                await shop.orders.CreateOrder(customer_id=fresh_id(), currency="EUR", deadline=3.0)
            assert refused.value.reason in ("STORE_UNAVAILABLE", "DEADLINE_EXCEEDED", "")
            assert time.monotonic() - began < 6
        await control.do("restore-quorum")
        back = time.monotonic()
        again, stop = Load(shop, 30.0), asyncio.Event()
        again._customer, again._sku = load._customer, load._sku
        loading = asyncio.create_task(again.run(stop))
        await eventually(again.placed, within=60)
        commands = time.monotonic() - back
        await asyncio.sleep(10)
        stop.set()
        await loading
        print(f"\nno quorum for a minute: commands after {commands:.1f} s, then {again.away}")  # noqa: T201  # the same
        assert not again.away.failed
        assert commands <= 15
        assert again.away.views <= 15
        assert again.away.processes <= 15


@pytest.mark.long
@pytest.mark.timeout(600)
async def test_rolling_restarts_twice_round_fail_no_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with (
        on_a_cluster(tmp_path, monkeypatch) as (running_stack, control),
        OrderstreamClient(running_stack.addresses) as shop,
    ):
        load, stop = Load(shop, 10.0), asyncio.Event()
        await load.begin()
        loading = asyncio.create_task(load.run(stop))
        for _ in range(2):
            for number in range(3):
                await control.do(f"members/{number}/kill")
                await asyncio.sleep(3)
                await control.whole()
                await asyncio.sleep(2)
        stop.set()
        await loading
        print(f"\nrolling restarts: {len(load.orders)} orders, {load.away}")  # noqa: T201  # the same
        assert not load.away.failed
        assert await Books(control.uri).differences(shop) == []
