"""This release beside the next one, which writes an event type that this one does not know, under load."""

import asyncio
import random
from collections import Counter
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest

from client.sdk import Addresses, OrderstreamClient, errors
from protos.common.v1.types_pb2 import Money
from protos.orders.v1 import queries_pb2 as pb
from protos.orders.v1.commands_pb2 import NewLine
from protos.orders.v1.types_pb2 import ORDER_STATUS_CONFIRMED
from tests.support.buying import product, user
from tests.support.calling import HOME, fresh_id
from tests.support.eventually import eventually
from tests.support.newer_release import NEWER
from tests.support.processes import Running

NOTES, AT_ONCE = 6, 8
PATIENCE = 1.0  # seconds; a client goes on to the next server then
ROLES = {
    "commands": ("server", "commands"),
    "queries": ("server", "queries"),
    "processes": ("server", "processes"),
    "projections": ("projections",),
}


@dataclass
class Release:
    """The processes of one release, started and stopped one at a time."""

    environment: Mapping[str, str]
    module: tuple[str, ...] = ()
    running: dict[str, Running] = field(default_factory=dict)

    def start(self, *roles: str) -> None:
        with ThreadPoolExecutor() as together:
            self.running |= zip(roles, together.map(self._started, roles), strict=True)

    def _started(self, role: str) -> Running:
        return Running(*self.module, *ROLES[role], "--port", "0", environment=self.environment)

    def stop(self, *roles: str) -> None:
        with ThreadPoolExecutor() as together:
            for _ in together.map(Running.close, [self.running.pop(role) for role in roles]):
                pass

    @asynccontextmanager
    async def shop(self) -> Any:
        addresses = Addresses(**{role: one.ready["address"] for role, one in self.running.items()})
        async with OrderstreamClient(addresses, deadline=30.0) as shop:
            yield shop


@contextmanager
def release(environment: Mapping[str, str], *module: str) -> Iterator[Release]:
    """Nothing of it runs yet; what runs at the end is stopped."""
    made = Release(environment, module)
    try:
        yield made
    finally:
        made.stop(*made.running)


@pytest.fixture
def today(environment: dict[str, str]) -> Iterator[Release]:
    with release(environment) as made:
        yield made


@pytest.fixture
def newer(environment: dict[str, str]) -> Iterator[Release]:
    with release(environment, "tests.support.newer_release") as made:
        yield made


async def written(shop: OrderstreamClient, order_id: str, note_id: str, request_id: str) -> str:
    """The reason why not, "" if the note is written."""
    try:
        await shop.orders.AddNote(
            order_id=order_id, note_id=note_id, text="tea", request_id=request_id, deadline=PATIENCE
        )
    except errors.Unavailable as unavailable:
        return unavailable.reason or unavailable.code.name  # the client itself gives no reason for its deadline
    return ""


def drawn(orders: int) -> list[str]:
    """Of each order, by whom its notes are written, t(oday's) or n(ewer): in one at least the former has to pass."""
    while True:
        found = ["".join(random.choices("tn", k=NOTES)) for _ in range(orders)]
        if any("nt" in writers for writers in found):
            return found


async def bought(
    today: OrderstreamClient, newer: OrderstreamClient, what: Mapping[str, Any], writers: str, answers: Counter[str]
) -> str:
    """An order whose notes are written through both releases; where this one has to pass, the newer one is asked."""
    made = await today.orders.CreateOrder(currency="EUR", shipping_address=HOME, **what)
    for number, writer in enumerate(writers):
        request_id = fresh_id()
        shop = today if writer == "t" else newer
        reason = await written(shop, made.order_id, f"n{number}", request_id)
        answers[reason] += 1
        while reason:
            reason = await written(newer, made.order_id, f"n{number}", request_id)
    await newer.orders.PlaceOrder(order_id=made.order_id)
    return str(made.order_id)


@pytest.mark.parametrize("orders", [4, pytest.param(24, marks=pytest.mark.long)])
async def test_both_releases_beside_each_other_lose_nothing(today: Release, newer: Release, orders: int) -> None:
    today.start("commands", "queries", "processes", "projections")
    newer.start("commands", "queries")
    answers: Counter[str] = Counter()
    async with today.shop() as old, newer.shop() as new:
        customer, sku = await user(old), await product(old)
        await old.products.ReceiveStock(sku=sku, quantity=1_000)
        places, tea = asyncio.Semaphore(AT_ONCE), {"customer_id": customer, "lines": [NewLine(sku=sku, quantity=1)]}

        async def one(writers: str) -> str:
            async with places:
                return await bought(old, new, tea, writers, answers)

        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(one(writers)) for writers in drawn(orders)]
        order_ids = [task.result() for task in tasks]
        assert set(answers) <= {"", "EVENT_TYPE_UNKNOWN", "DEADLINE_EXCEEDED"}, "nothing but what can be repeated"
        assert answers["EVENT_TYPE_UNKNOWN"], "this release has met what it does not know"

        with_newer = [one for one in order_ids if await types_of(old, one) & {NEWER}]
        assert with_newer
        await old.products.ChangePrice(sku=sku, price=Money(amount_minor=400, currency="EUR"))
        untouched = await old.orders.CreateOrder(customer_id=customer, currency="EUR")
        await old.orders.AddNote(order_id=untouched.order_id, note_id="n", text="other orders go on")

        async def parked() -> int:
            found = [one.parked_streams for one in (await old_views()).projections if one.view == "order_detail"]
            return sum(found)

        async def old_views() -> Any:
            return await old.operations.ListProjections()

        await eventually(parked, lambda now: now == len(with_newer))

        async def cut() -> tuple[str, int]:
            unread = (await old.orders.GetOrder(order_id=with_newer[0])).unread
            return unread.event_type, unread.reason

        await eventually(cut, lambda now: now == (NEWER, pb.UNREAD_REASON_UNKNOWN_TYPE))
        at_all = await new.orders.GetOrder(order_id=with_newer[0], as_of=await last_moment(new, with_newer[0]))
        assert (len(at_all.order.notes), at_all.HasField("unread")) == (NOTES, False)

    newer.start("projections", "processes")
    today.stop("projections", "processes")
    async with newer.shop() as new:

        async def left() -> dict[str, str]:
            found = (await new.operations.ListProjections()).projections
            return {one.view: one.last_error for one in found if one.parked_streams}

        await eventually(left, lambda now: not now, within=60.0)
        for order_id in order_ids:

            async def shown(order_id: str = order_id) -> pb.GetOrderResponse:
                found: pb.GetOrderResponse = await new.orders.GetOrder(order_id=order_id)
                return found

            order = (await eventually(shown, lambda x: x.order.status == ORDER_STATUS_CONFIRMED, within=60.0)).order
            assert sorted(note.note_id for note in order.notes) == [f"n{number}" for number in range(NOTES)]
        checked = [x async for x in new.operations.VerifyProjections(deadline=60.0)]
        assert [(x.result.view, x.result.differences) for x in checked if x.result.differences] == []
        stock = (await new.products.GetStock(sku=sku)).stock
        assert stock.reserved == orders, "each order has its goods once"


async def types_of(shop: OrderstreamClient, order_id: str) -> set[str]:
    return {entry.event_type for entry in (await shop.orders.GetOrderHistory(order_id=order_id)).entries}


async def last_moment(shop: OrderstreamClient, order_id: str) -> pb.Moment:
    entries = (await shop.orders.GetOrderHistory(order_id=order_id)).entries
    return pb.Moment(revision=entries[-1].revision)
