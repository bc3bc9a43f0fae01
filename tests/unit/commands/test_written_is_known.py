"""What a service has written is in its cache: its next command on the same aggregate reads nothing of the stream."""

import asyncio

import pytest

from core.domain.user import USER
from core.domain.user.state import User
from tests.support.memory_store import MemoryStore
from tests.support.services import Seconds, Service

ANN = "0198c0de-0000-7000-8000-0000000000a1"
STREAM = USER.stream(ANN)


@pytest.fixture
def shared() -> MemoryStore:
    return MemoryStore()


@pytest.fixture
async def one(shared: MemoryStore) -> Service:
    """A service that follows the category of users, as one does that drafts orders."""
    service = Service(shared, Seconds())
    await service.follow()
    await service.repository.catch_up(USER, max_age=0)
    return service


async def test_an_aggregate_that_was_just_created_is_not_read_again(one: Service) -> None:
    await one.register(ANN)
    one.door.calls.clear()
    await one.rename(ANN, "Anna")
    assert one.door.calls == [f"append {STREAM}"]


async def test_what_others_write_to_it_afterwards_is_followed(one: Service, shared: MemoryStore) -> None:
    await one.register(ANN)
    await Service(shared, Seconds()).rename(ANN, "Bea")
    await one.repository.catch_up(USER, max_age=0)
    state = (await one.repository.load(USER, STREAM)).state
    assert isinstance(state, User)
    assert state.name == "Bea"


async def test_what_others_have_written_to_it_before_the_answer_came_is_not_missed(
    one: Service, shared: MemoryStore
) -> None:
    one.door.answer_turns = 1_000
    registering = asyncio.create_task(one.register(ANN))
    for _ in range(100):  # turns of the loop
        await asyncio.sleep(0)
    assert shared.recorded
    await Service(shared, Seconds()).rename(ANN, "Bea")
    one.clock.passes(1)
    await one.repository.catch_up(USER, max_age=0)
    assert not registering.done()
    await registering
    state = (await one.repository.load(USER, STREAM)).state
    assert isinstance(state, User)
    assert state.name == "Bea"
