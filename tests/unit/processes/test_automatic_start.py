"""Which orders get a process by themselves."""

import pytest

from core.domain.order import ORDER
from core.eventstore.store import EventStore
from core.failures import StoreUnavailable
from server.processes.automatic_start import STREAM, AutomaticStart
from server.processes.command_sender import Cause
from tests.support.eventually import eventually
from tests.support.memory_store import MemoryStore
from tests.support.orders import created, placed
from tests.support.stored import write

WOKEN = Cause(event_id="e", correlation_id="c")


@pytest.fixture
def store() -> EventStore:
    return MemoryStore()


async def place(store: EventStore, order_id: str) -> int:
    return await write(store, ORDER.stream(order_id), created(), placed())


async def test_an_order_placed_before_the_first_start_of_the_processes_does_not(store: EventStore) -> None:
    await place(store, "older")
    await AutomaticStart(store).enable()
    await place(store, "newer")
    restarted = AutomaticStart(store)
    assert not await restarted.covers("older", WOKEN)
    assert await restarted.covers("newer", WOKEN)


async def test_the_event_that_placed_it_says_so_without_a_look_at_its_stream(store: EventStore) -> None:
    older = await place(store, "older")
    automatic = AutomaticStart(store)
    await automatic.enable()
    newer = await place(store, "newer")
    assert not await automatic.covers("unread", Cause(event_id="e", correlation_id="c", placed_at=older))
    assert await automatic.covers("unread", Cause(event_id="e", correlation_id="c", placed_at=newer))


async def test_all_services_agree_on_one_marker(store: EventStore) -> None:
    first, second = AutomaticStart(store), AutomaticStart(store)
    assert await first.enable() == await second.enable() == await AutomaticStart(store).enable()
    assert len([event async for event in store.read(STREAM)]) == 1


class TestACommandService:
    async def test_enables_it_on_a_log_without_orders(self, store: EventStore) -> None:
        async with AutomaticStart(store).enabled(only_on_a_new_log=True):
            await place(store, "first")
        assert await AutomaticStart(store).covers("first", WOKEN)

    async def test_leaves_a_log_with_orders_to_the_process_service(self, store: EventStore) -> None:
        await write(store, ORDER.stream("draft"), created())
        async with AutomaticStart(store).enabled(only_on_a_new_log=True):
            pass
        assert [event async for event in store.read(STREAM)] == []


class SometimesDown(MemoryStore):
    down = True

    async def has_any(self, category: str) -> bool:
        if self.down:
            raise StoreUnavailable("event")
        return await super().has_any(category)


async def test_a_command_service_that_starts_before_its_store_tries_again() -> None:
    store = SometimesDown()

    async def marker() -> list[str]:
        return [event.type async for event in store.read(STREAM)]

    async with AutomaticStart(store).enabled(only_on_a_new_log=True):
        assert await marker() == []
        store.down = False
        await eventually(marker)


async def test_an_order_that_was_never_placed_has_none(store: EventStore) -> None:
    await AutomaticStart(store).enable()
    await write(store, ORDER.stream("draft"), created())
    assert not await AutomaticStart(store).covers("draft", WOKEN)
