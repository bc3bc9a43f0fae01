"""The event store in memory that unit tests rest on has the semantics of the real one."""

from uuid import uuid4

import pytest
from esdbclient import NewEvent

from core.eventstore.log import START
from core.eventstore.store import NO_EVENTS, EventStore, WrongRevision
from tests.support.memory_store import MemoryStore


@pytest.fixture(params=["real", "in memory"])
def store(request: pytest.FixtureRequest, log: EventStore) -> EventStore:
    return log if request.param == "real" else MemoryStore()


def name() -> str:
    return f"memory_{uuid4().hex[:12]}-1"


def event(kind: str = "A") -> NewEvent:
    return NewEvent(type=kind, data=b"{}", content_type="application/json")


async def types(store: EventStore, stream: str, start: int = 0, most: int | None = None) -> list[str]:
    return [x.type async for x in store.read(stream, start, most)]


async def test_events_are_written_after_the_exact_revision_only(store: EventStore) -> None:
    stream = name()
    first = await store.append(stream, NO_EVENTS, [event("A"), event("B")])
    second = await store.append(stream, 1, [event("C")])
    assert second > first
    for wrong in (NO_EVENTS, 0, 1, 3):
        with pytest.raises(WrongRevision):
            await store.append(stream, wrong, [event("D")])
    assert await types(store, stream) == ["A", "B", "C"]
    assert await types(store, stream, 1) == ["B", "C"]
    assert await types(store, stream, 1, 1) == ["B"]


async def test_a_stream_that_does_not_exist_is_empty_and_takes_no_revision(store: EventStore) -> None:
    stream = name()
    assert await types(store, stream) == []
    assert await store.newest(stream, 1) == []
    with pytest.raises(WrongRevision):
        await store.append(stream, 0, [event()])


async def test_the_same_events_under_the_same_revision_are_written_once(store: EventStore) -> None:
    stream, pair, more = name(), [event("A"), event("B")], [event("C")]
    first = await store.append(stream, NO_EVENTS, pair)
    second = await store.append(stream, 1, more)
    assert await store.append(stream, NO_EVENTS, pair) == first
    assert await store.append(stream, 1, more) == second
    assert await types(store, stream) == ["A", "B", "C"]
    with pytest.raises(WrongRevision):
        await store.append(stream, NO_EVENTS, [event("A"), event("B")])


async def test_the_newest_come_oldest_first(store: EventStore) -> None:
    stream = name()
    await store.append(stream, NO_EVENTS, [event("A"), event("B"), event("C")])
    assert [x.type for x in await store.newest(stream, 2)] == ["B", "C"]


async def test_a_category_is_read_behind_a_position_in_the_order_of_the_log(store: EventStore) -> None:
    category = f"memory_{uuid4().hex[:12]}"
    before = await store.append(f"{category}-1", NO_EVENTS, [event("A")])
    await store.append(f"{category}-2", NO_EVENTS, [event("B")])
    last = await store.append(f"{category}-1", 0, [event("C")])
    assert [x.type async for x in store.read_category(category, before)] == ["B", "C"]
    assert [x.type async for x in store.history(f"{category}-.*", before)] == ["B", "C"]
    assert [x.type async for x in store.history(f"{category}-.*", START)] == ["A", "B", "C"]
    assert await store.head() >= last
