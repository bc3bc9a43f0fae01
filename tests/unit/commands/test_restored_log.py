"""A log that was restored from an older copy under a running service: nothing is decided on what it does not hold."""

import asyncio
from typing import Any

import pytest
from esdbclient import NewEvent

from core.domain.product import PRODUCT
from core.domain.product.events import PriceChanged, ProductRegistered
from core.domain.product.state import Product
from core.domain.rejection import CommandRejected, Reason
from core.domain.user import USER
from core.domain.user.commands import ChangeName
from core.eventstore import codec
from core.eventstore.log import START
from core.eventstore.repository import Repository
from core.eventstore.snapshots import Snapshots
from core.eventstore.store import NO_EVENTS
from core.failures import StoreUnavailable
from server.commands.handler import Envelope
from tests.support.calling import fresh_id
from tests.support.memory_store import MemoryStore
from tests.support.orders import NOON, euros
from tests.support.services import Seconds, Service

ANN = "0198c0de-0000-7000-8000-0000000000a1"
STREAM = USER.stream(ANN)
LOST = "0198c0de-0000-7000-8000-0000000000f1"  # a request whose event the restored log does not hold
REPEATED = "0198c0de-0000-7000-8000-0000000000f2"


@pytest.fixture
async def shared() -> MemoryStore:
    store = MemoryStore()
    await store.append("test_first", NO_EVENTS, [NewEvent(type="First", data=b"{}")])
    return store


@pytest.fixture
async def one(shared: MemoryStore) -> Service:
    """A service that has registered Ann, at revision 0 of her stream, with everything in memory."""
    service = Service(shared, Seconds())
    await service.follow()
    await service.register(ANN)
    await service.rename(ANN, "Anna")
    await service.rename(ANN, "Ann")
    shared.restore(2)
    await service.rename(ANN, "Ann")  # changes nothing: it is read
    await service.follow()
    return service


@pytest.fixture
def other(shared: MemoryStore) -> Service:
    return Service(shared, Seconds())


async def names(shared: MemoryStore) -> list[str]:
    return [str(codec.decode(event.type, event.data)) async for event in shared.read(STREAM)]


async def test_a_lost_request_is_carried_out_again(one: Service, shared: MemoryStore) -> None:
    copy = len(shared.recorded)
    first = await one.rename(ANN, "Anna", LOST)
    assert (await one.rename(ANN, "Anna", LOST)).is_repeat
    shared.restore(copy)
    again = await one.rename(ANN, "Anna", LOST)
    assert (again.is_repeat, again.revision) == (False, first.revision)
    assert len(await names(shared)) == 2


async def test_a_lost_request_whose_stream_has_grown_past_it_is_carried_out_again(
    one: Service, other: Service, shared: MemoryStore
) -> None:
    copy = len(shared.recorded)
    await one.rename(ANN, "Anna", LOST)
    shared.restore(copy)
    await other.rename(ANN, "Bea")
    await other.rename(ANN, "Cleo")
    again = await one.rename(ANN, "Anna", LOST)
    assert (again.is_repeat, again.revision) == (False, 3)


async def test_a_decision_rests_on_the_events_of_the_restored_log(
    one: Service, other: Service, shared: MemoryStore
) -> None:
    copy = len(shared.recorded)
    await one.rename(ANN, "Anna")
    shared.restore(copy)
    await other.rename(ANN, "Bea")  # at the revision of the lost event
    assert (await one.rename(ANN, "Bea")).unchanged


async def test_an_event_with_the_same_id_at_the_same_revision_may_have_another_past(
    one: Service, other: Service, shared: MemoryStore
) -> None:
    copy = len(shared.recorded)
    await one.rename(ANN, "Bea", LOST)
    await one.rename(ANN, "Anna", REPEATED)
    shared.restore(copy)
    await shared.append("elsewhere-1", NO_EVENTS, [NewEvent(type="Happened", data=b"{}")])
    await other.rename(ANN, "Cleo")
    await other.rename(ANN, "Anna", REPEATED)
    assert not (await one.rename(ANN, "Bea", LOST)).is_repeat


async def test_a_restore_between_decision_and_append_lets_the_command_be_decided_again(
    one: Service, other: Service, shared: MemoryStore
) -> None:
    copy = len(shared.recorded)
    await one.rename(ANN, "Anna")
    seen = []

    async def while_it_is_restored(state: Any) -> ChangeName:
        seen.append(state.name)
        if len(seen) == 1:
            shared.restore(copy)
            await other.rename(ANN, "Bea")  # the expected revision is as before
        return ChangeName(user_id=ANN, name="Cleo", at=NOON)

    result = await one.handler.handle(USER, ANN, envelope(), while_it_is_restored)
    assert seen == ["Anna", "Bea"]
    assert (result.is_repeat, result.revision) == (False, 2)


async def test_a_refusal_rests_on_the_restored_log_alone(one: Service, shared: MemoryStore) -> None:
    copy, seen = len(shared.recorded), []
    await one.rename(ANN, "Anna")

    async def of_two_logs(state: Any) -> ChangeName:
        seen.append(state.name)
        if len(seen) == 2:
            shared.restore(copy)
        if state.name == "Anna":
            raise CommandRejected(Reason.USER_BLOCKED, user_id=ANN)
        return ChangeName(user_id=ANN, name="Cleo", at=NOON)

    result = await one.handler.handle(USER, ANN, envelope(), of_two_logs)
    assert (seen, result.revision) == (["Anna", "Anna", "Ann"], 1)


async def test_a_request_whose_append_lost_its_connection_is_not_reported_as_a_repeat(
    one: Service, shared: MemoryStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It may have been written by the time that the connection broke."""
    written = shared.append

    async def append(stream: str, expected: int, events: Any, *, session: int | None = None) -> int:
        position = await written(stream, expected, events, session=session)
        if session is not None:
            monkeypatch.undo()
            shared.session += 1
            await written(stream, expected, events, session=session)
        return position

    monkeypatch.setattr(shared, "append", append)
    result = await one.rename(ANN, "Anna", LOST)
    assert (result.is_repeat, result.revision) == (False, 1)
    assert (await one.rename(ANN, "Anna", LOST)).is_repeat


async def test_a_lost_request_that_changed_nothing_is_looked_at_again(
    one: Service, other: Service, shared: MemoryStore
) -> None:
    copy = len(shared.recorded)
    assert (await one.rename(ANN, "Ann", LOST)).unchanged
    shared.restore(copy)
    await other.rename(ANN, "Bea")
    again = await one.rename(ANN, "Ann", LOST)
    assert (again.unchanged, again.is_repeat) == (False, False)


async def test_an_aggregate_and_its_requests_are_of_one_log(
    one: Service, other: Service, shared: MemoryStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The log is restored after the requests were read and before the aggregate is."""
    copy = len(shared.recorded)
    assert (await one.rename(ANN, "Ann", LOST)).unchanged
    restarted, newest, slept = Service(shared, Seconds()), shared.newest, False

    async def slow(stream: str, most: int) -> Any:
        nonlocal slept
        if stream == STREAM and not slept:
            slept = True
            for _ in range(20):
                await asyncio.sleep(0)
            shared.restore(copy)
            await other.rename(ANN, "Bea")
        return await newest(stream, most)

    monkeypatch.setattr(shared, "newest", slow)
    again = await restarted.rename(ANN, "Ann", LOST)
    assert (again.unchanged, again.is_repeat) == (False, False)


async def test_following_starts_again_in_the_restored_log(one: Service, other: Service, shared: MemoryStore) -> None:
    copy = len(shared.recorded)
    await one.rename(ANN, "Anna")
    await one.follow()
    shared.restore(copy)
    await one.follow()
    assert (await other.rename(ANN, "Ann", REPEATED)).unchanged
    await one.follow()
    await one.rename(ANN, "Bea")
    assert (await one.rename(ANN, "Ann", REPEATED)).is_repeat


async def test_a_look_at_the_log_under_which_the_connection_breaks_is_not_taken_over(
    one: Service, shared: MemoryStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    read = shared.head

    async def head() -> int:
        position = await read()
        shared.session += 1
        return position

    monkeypatch.setattr(shared, "head", head)
    await one.follow()
    assert one.unchanged.position == START


async def test_what_is_known_of_a_category_is_that_of_the_restored_log(shared: MemoryStore) -> None:
    repository = Repository(shared, Snapshots(shared, every=500))
    stream = PRODUCT.stream("tea")
    await write(shared, stream, NO_EVENTS, ProductRegistered(sku="tea", name="Tea", price=euros(350), at=NOON))
    copy = len(shared.recorded)
    await repository.catch_up(PRODUCT, max_age=0)
    await repository.load(PRODUCT, stream)
    await write(shared, stream, 0, PriceChanged(sku="tea", price=euros(400), previous=euros(350), at=NOON))
    await repository.catch_up(PRODUCT, max_age=0)
    shared.restore(copy)
    await write(shared, stream, 0, PriceChanged(sku="tea", price=euros(500), previous=euros(350), at=NOON))
    await repository.catch_up(PRODUCT, max_age=60.0)
    state = (await repository.load(PRODUCT, stream, max_age=60.0)).state
    assert isinstance(state, Product)
    assert state.price == euros(500)


class KeepsSnapshots(MemoryStore):
    async def keep_newest(self, stream: str, event: NewEvent, *, is_first: bool) -> None:
        assert is_first
        await self.append(stream, NO_EVENTS, [event])


async def test_a_snapshot_of_a_lost_history_is_not_written() -> None:
    shared = KeepsSnapshots()
    snapshots = Snapshots(shared, every=2)
    repository, stream = Repository(shared, snapshots), PRODUCT.stream("tea")
    await write(shared, stream, NO_EVENTS, ProductRegistered(sku="tea", name="Tea", price=euros(350), at=NOON))
    copy = len(shared.recorded)
    await write(shared, stream, 0, PriceChanged(sku="tea", price=euros(400), previous=euros(350), at=NOON))
    await repository.load(PRODUCT, stream)  # a snapshot is due
    shared.restore(copy)
    await repository.load(PRODUCT, stream)
    async with snapshots.writing():
        await asyncio.sleep(0)
    assert [event.stream_name for event in shared.recorded] == [stream]


async def test_a_stream_under_which_the_connection_breaks_at_each_read_is_not_answered_from(
    shared: MemoryStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    repository, newest = Repository(shared, Snapshots(shared, every=500)), shared.newest

    async def breaking(stream: str, most: int) -> Any:
        shared.session += 1
        return await newest(stream, most)

    monkeypatch.setattr(shared, "newest", breaking)
    with pytest.raises(StoreUnavailable):
        await repository.load(USER, STREAM)


async def write(store: MemoryStore, stream: str, expected: int, event: Any) -> None:
    event_type, data = codec.encode(event)
    await store.append(stream, expected, [NewEvent(type=event_type, data=data)])


def envelope() -> Envelope:
    return Envelope(
        request_id=fresh_id(),
        payload_hash="",
        expected_revision=None,
        actor="ann",
        correlation_id=fresh_id(),
        traceparent="",
        at=NOON,
    )
