"""The sweep over a real event store: each order with an event that should have woken its process is looked at once."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import replace
from functools import partial
from pathlib import Path

import msgspec
import pytest
from esdbclient import NewEvent, StreamState
from prometheus_client import REGISTRY

from core.domain.checkout.state import StepName
from core.domain.checkout.steps import Wait
from core.eventstore import codec
from core.eventstore.connection import Client, connect
from core.eventstore.log import EventLog, point_of
from core.eventstore.store import NO_EVENTS, EventStore
from core.eventstore.swept import STREAM, Found, SweepCheckpoint, Swept
from core.failures import EventMalformed, StoreUnavailable
from embedded.eventstore.node import node
from server.processes import sweep
from server.processes.automatic_start import AutomaticStart
from server.processes.command_sender import Cause
from server.processes.reconciler import Looked
from server.processes.sweep import Seen, Sweep, TooManyLeftError
from tests.support import orders
from tests.support.calling import fresh_id
from tests.support.eventually import eventually
from tests.support.older_log import copied
from tests.support.processes import free_port

AT_ONCE = 0.001  # seconds between rounds: no event is too young
NOT_YET = 3600.0

Make = Callable[..., "Service"]


def unreadable() -> Exception:
    return EventMalformed(stream="s", revision=0, event_type="t")


def silent() -> Exception:
    """For this order only."""
    return StoreUnavailable("event")


class Service:
    """A process service, as far as the sweep needs one. `fails` are orders at which a look fails."""

    def __init__(self, client: Client, every: float = AT_ONCE) -> None:
        self.client = client
        self.store = EventStore(EventLog(client))
        self.seen = Seen()
        self.looked_at: list[str] = []
        self.fails: dict[str, Exception] = {}
        self.tries: tuple[StepName, ...] = ()
        self.automatic = AutomaticStart(self.store)
        self.sweep = Sweep(self.store, self.look, self.seen, self.automatic, every=every, at_once=4)

    async def look(self, order_id: str, _: Cause) -> Looked:
        self.looked_at.append(order_id)
        if order_id in self.fails:
            raise self.fails[order_id]
        return Looked(tried=self.tries, waits=Wait(what="nothing"))

    async def round(self) -> list[str]:
        """Whom it looked at."""
        self.looked_at.clear()
        await self.sweep.sweep()
        return sorted(self.looked_at)

    async def kept(self) -> Swept:
        return await SweepCheckpoint(self.store).find()

    async def placed(self, order_id: str = "") -> str:
        order_id = order_id or fresh_id()
        await self.write(order_id, replace(orders.placed(), order_id=order_id))
        return order_id

    async def write(self, order_id: str, *events: object) -> int:
        encoded = [NewEvent(*codec.encode(event)) for event in events]  # type: ignore[arg-type]
        return await self.client.append_to_stream(f"order-{order_id}", current_version=StreamState.ANY, events=encoded)


@asynccontextmanager
async def log(data: Path | None = None, port: int = 0) -> AsyncIterator[Client]:
    async with node(data, port=port) as address:
        client = await connect(f"esdb://{address}?Tls=false")
        yield client
        await client.close()


@asynccontextmanager
async def serving(client: Client) -> AsyncIterator[Service]:
    service = Service(client)
    yield service
    await service.store.close()


async def answers(client: Client) -> bool:
    with suppress(StoreUnavailable):
        await EventLog(client).end()
        return True
    return False


@pytest.fixture
async def client() -> AsyncIterator[Client]:
    async with log() as client:
        yield client


@pytest.fixture
async def make(client: Client) -> AsyncIterator[Make]:
    """Makes services on the log."""
    async with AsyncExitStack() as until_the_end:

        def made(every: float = AT_ONCE) -> Service:
            service = Service(client, every)
            until_the_end.push_async_callback(service.store.close)
            return service

        yield made


@pytest.fixture
async def service(make: Make) -> Service:
    service = make()
    await service.automatic.enable()
    return service


async def test_an_order_is_looked_at_once_however_many_services_there_are(service: Service, make: Make) -> None:
    order_id, other_id = await service.placed(), await service.placed()
    await service.write(order_id, replace(orders.cancelled(), order_id=order_id))
    assert await service.round() == sorted([order_id, other_id])
    assert await service.round() == []
    another = make()
    assert await another.round() == []
    new_id = await service.placed()
    assert await another.round() == [new_id]
    assert await service.round() == []


async def test_what_the_service_has_looked_at_since_is_passed_over(service: Service) -> None:
    order_id, other_id = fresh_id(), fresh_id()
    service.seen.note(order_id, await service.write(order_id, replace(orders.placed(), order_id=order_id)))
    service.seen.note(other_id, await service.write(other_id, replace(orders.placed(), order_id=other_id)))
    await service.write(other_id, replace(orders.cancelled(), order_id=other_id))
    assert await service.round() == [other_id]


async def test_an_order_of_before_the_marker_is_not_looked_at(make: Make) -> None:
    service = make()
    await service.placed()
    await service.automatic.enable()
    order_id = await service.placed()
    assert await service.round() == [order_id]


async def test_what_is_young_is_left_to_the_group_until_the_next_round(service: Service, make: Make) -> None:
    order_id = await service.placed()
    patient = make(every=NOT_YET)
    assert await patient.round() == []
    assert (await service.kept()).position == 0
    assert await service.round() == [order_id]


async def test_more_than_a_page_is_swept_in_one_round(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sweep, "PAGE", 2)
    placed = [await service.placed() for _ in range(5)]
    assert await service.round() == sorted(placed)


@pytest.mark.parametrize("failure", [unreadable, silent])
async def test_an_order_that_cannot_be_looked_at_holds_up_no_other_and_is_tried_again(
    service: Service, make: Make, failure: Callable[[], Exception]
) -> None:
    order_id, other_id = await service.placed(), await service.placed()
    service.fails[order_id] = failure()
    assert await service.round() == sorted([order_id, other_id])
    assert (await service.kept()).left == (order_id,)
    assert await service.round() == [order_id]
    another = make()
    assert await another.round() == [order_id], "it is kept in the log"
    assert (await service.kept()).left == ()
    assert await service.round() == []


async def test_the_checkpoint_does_not_move_past_more_orders_than_are_kept_in_mind(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sweep, "MAX_LEFT", 1)
    for order_id in (await service.placed(), await service.placed()):
        service.fails[order_id] = unreadable()
    with pytest.raises(TooManyLeftError):
        await service.round()
    assert (await service.kept()).position == 0
    service.fails.clear()
    assert len(await service.round()) == 2


async def test_what_is_found_is_counted_in_the_log_by_all_services_together(service: Service, make: Make) -> None:
    before = REGISTRY.get_sample_value("orderstream_sweep_orders_total", {"outcome": "begun"}) or 0
    service.tries = (StepName.START, StepName.RESERVE_STOCK)
    await service.placed()
    await service.round()
    another = make()
    another.tries = (StepName.CAPTURE_PAYMENT,)
    await service.placed()
    await another.round()
    kept = await service.kept()
    assert (kept.begun, kept.brought_on) == (1, 1)
    assert REGISTRY.get_sample_value("orderstream_sweep_orders_total", {"outcome": "begun"}) == before + 1
    assert len([event async for event in service.store.read(STREAM)]) == 1


async def test_in_a_log_that_was_restored_it_begins_where_that_one_was_swept(tmp_path: Path) -> None:
    data, port = tmp_path / "data", free_port()
    async with log(data) as client, serving(client) as service:
        await service.automatic.enable()
        swept_before = await service.placed()
        await service.round()
    copy = copied(data)
    async with log(copy) as client, serving(client) as service:  # it goes on past where the first one will be
        again = [await service.placed() for _ in range(5)]
    async with AsyncExitStack() as until_the_end:
        async with log(data, port):
            client = await connect(f"esdb://127.0.0.1:{port}?Tls=false")
            until_the_end.push_async_callback(client.close)
            service = await until_the_end.enter_async_context(serving(client))
            lost = [await service.placed() for _ in range(3)]
            assert await service.round() == sorted(lost)
        async with log(copy, port):
            await eventually(partial(answers, client))
            assert await service.round() == sorted(again)
            assert swept_before not in service.looked_at


@pytest.mark.parametrize("known", [False, True], ids=["nobody can read it", "it is of another log"])
async def test_a_checkpoint_that_is_none_is_ignored(service: Service, *, known: bool) -> None:
    order_id, other_id = await service.placed(), await service.placed()
    last = (await service.store.newest(f"order-{other_id}", 1))[-1]
    further = await service.store.append("any", NO_EVENTS, [NewEvent("Any", b"{}")])
    data = msgspec.json.encode(Swept(position=further, event_id=fresh_id())) if known else b"{nonsense"
    await service.store.append(STREAM, NO_EVENTS, [NewEvent("ProcessesSwept", data)])
    assert await service.round() == sorted([order_id, other_id])
    assert (await service.kept()).point == point_of(last)


async def test_in_another_log_it_begins_behind_the_marker_of_that_one() -> None:
    port = free_port()
    async with AsyncExitStack() as until_the_end:
        async with log(port=port) as first, serving(first) as former:
            for _ in range(3):
                await former.placed()
            client = await connect(f"esdb://127.0.0.1:{port}?Tls=false")
            until_the_end.push_async_callback(client.close)
            service = await until_the_end.enter_async_context(serving(client))
            await service.automatic.enable()
            await service.placed()
            await service.round()
        async with log(port=port) as second, serving(second) as other:
            await other.automatic.enable()
            order_id = await other.placed()
            await eventually(partial(answers, client))
            assert await service.round() == [order_id]


async def test_nothing_that_services_find_at_the_same_time_is_lost(service: Service) -> None:
    last = point_of((await service.store.newest(f"order-{await service.placed()}", 1))[-1])
    checkpoint = SweepCheckpoint(service.store)
    await asyncio.gather(*(checkpoint.keep(last, Found(begun=1, failed={name})) for name in "abcde"))
    kept = await service.kept()
    assert (kept.point, kept.begun, kept.left) == (last, 5, ("a", "b", "c", "d", "e"))
