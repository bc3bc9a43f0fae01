"""A request that changed nothing is a request: its repeat changes nothing, whatever others have changed since."""

import asyncio
import random
import re
from collections.abc import Coroutine, Sequence
from contextlib import suppress
from typing import Any

import pytest
from esdbclient import NewEvent

from core.domain.rejection import CommandRejected
from core.domain.user import USER
from core.eventstore.idempotency import CommandResult
from core.eventstore.log import START
from core.eventstore.registry import CATEGORIES
from core.eventstore.store import NO_EVENTS
from core.eventstore.unchanged import MAX_AGE, MAX_GAP, QUIET, UnchangedRequests, unchanged_stream
from core.failures import RequestIdReused, RevisionConflict
from tests.support.calling import fresh_id
from tests.support.memory_store import MemoryStore
from tests.support.services import Seconds, Service

ANN = "0198c0de-0000-7000-8000-0000000000a1"
STREAM = USER.stream(ANN)
COMPANION = unchanged_stream(STREAM)


@pytest.fixture
async def shared() -> MemoryStore:
    store = MemoryStore()
    # the position 0 is that of no event in a real store
    await store.append("test_first", NO_EVENTS, [NewEvent(type="First", data=b"{}")])
    return store


@pytest.fixture
def clock() -> Seconds:
    return Seconds()


@pytest.fixture
async def two(shared: MemoryStore, clock: Seconds) -> tuple[Service, Service]:
    """Two services that follow the log, with a user in memory who is called Ann."""
    one, other = Service(shared, clock), Service(shared, clock)
    for service in (one, other):
        await service.follow()
    await one.register(ANN)
    for service in (one, other):
        await service.rename(ANN, "Anna")
        await service.rename(ANN, "Ann")
        await service.follow()
        service.door.calls.clear()
    return one, other


@pytest.fixture
def one(two: tuple[Service, Service]) -> Service:
    return two[0]


@pytest.fixture
def other(two: tuple[Service, Service]) -> Service:
    return two[1]


async def name_of_ann(shared: MemoryStore) -> str:
    events = [event.data async for event in shared.read(STREAM)]
    return str(re.findall(r'"name":"(\w+)"', b" ".join(events).decode())[-1])


def done_before(first: CommandResult) -> CommandResult:
    assert not first.is_repeat
    return CommandResult(first.revision, first.position, first.payload_hash, first.unchanged, is_repeat=True)


# ---------------------------------------------------------------------------------------- a repeat is known


async def test_a_repeat_does_not_act_after_others_have_changed_the_aggregate(one: Service, shared: MemoryStore) -> None:
    request_id = fresh_id()
    first = await one.rename(ANN, "Ann", request_id)
    await one.rename(ANN, "Anne")
    assert first.unchanged
    assert await one.rename(ANN, "Ann", request_id) == done_before(first)
    assert await name_of_ann(shared) == "Anne"


async def test_it_is_known_after_a_restart(one: Service, shared: MemoryStore) -> None:
    request_id = fresh_id()
    first = await one.rename(ANN, "Ann", request_id)
    await one.rename(ANN, "Anne")
    one.restart()
    assert await one.rename(ANN, "Ann", request_id) == done_before(first)
    assert await name_of_ann(shared) == "Anne"


async def test_it_is_known_to_another_service_that_has_followed_the_log(
    one: Service, other: Service, shared: MemoryStore
) -> None:
    request_id = fresh_id()
    await other.rename(ANN, "Ann")
    first = await one.rename(ANN, "Ann", request_id)
    await other.rename(ANN, "Anne")
    await other.follow()
    assert await other.rename(ANN, "Ann", request_id) == done_before(first)
    assert await name_of_ann(shared) == "Anne"


async def test_it_is_known_to_another_service_that_could_not_follow_for_longer_than_the_limit(
    one: Service, other: Service, clock: Seconds
) -> None:
    first = await one.rename(ANN, "Ann", request_id := fresh_id())
    await other.rename(ANN, "Anne")
    clock.passes(MAX_AGE + 0.01)
    assert await other.rename(ANN, "Ann", request_id) == done_before(first)


async def test_it_is_known_at_once_to_another_service_that_has_lost_a_race(one: Service, other: Service) -> None:
    first = await one.rename(ANN, "Ann", request_id := fresh_id())
    await one.rename(ANN, "Anne")
    assert await other.rename(ANN, "Ann", request_id) == done_before(first)


async def test_it_is_known_at_once_to_another_service_if_the_caller_says_that_it_was_sent_before(
    one: Service, other: Service
) -> None:
    first = await one.rename(ANN, "Ann", request_id := fresh_id())
    await other.rename(ANN, "Anne")
    assert await other.rename(ANN, "Ann", request_id, is_retry=True) == done_before(first)


async def test_within_the_limit_another_service_may_take_an_unmarked_repeat_for_a_new_request(
    one: Service, other: Service, shared: MemoryStore
) -> None:
    """The limit that the decision record names: it acts once, and then every service knows it by its event."""
    await one.rename(ANN, "Ann", request_id := fresh_id())
    await other.rename(ANN, "Anne")
    acted = await other.rename(ANN, "Ann", request_id)
    assert not acted.unchanged
    await other.rename(ANN, "Anne")
    assert await other.rename(ANN, "Ann", request_id) == done_before(acted)
    assert await name_of_ann(shared) == "Anne"


async def test_a_repeat_before_any_change_says_that_it_is_one_and_is_written_once(
    one: Service, other: Service, shared: MemoryStore
) -> None:
    first = await one.rename(ANN, "Ann", request_id := fresh_id())
    assert await one.rename(ANN, "Ann", request_id) == done_before(first)
    assert await other.rename(ANN, "Ann", request_id) == done_before(first)
    assert len(await shared.newest(COMPANION, 100)) == 1


async def test_repeats_sent_at_once_to_two_services_are_written_once_and_get_one_answer(
    one: Service, other: Service, shared: MemoryStore
) -> None:
    request_id = fresh_id()
    answers = await asyncio.gather(*(service.rename(ANN, "Ann", request_id) for service in (one, other) * 8))
    [first] = [answer for answer in answers if not answer.is_repeat]
    assert [answer for answer in answers if answer.is_repeat] == [done_before(first)] * 15
    assert len(await shared.newest(COMPANION, 100)) == 1


async def test_a_repeat_gets_the_first_answer_although_it_expects_a_revision_that_is_gone(one: Service) -> None:
    at = (await one.rename(ANN, "Ann")).revision
    first = await one.rename(ANN, "Ann", request_id := fresh_id(), expected_revision=at)
    await one.rename(ANN, "Anne")
    assert await one.rename(ANN, "Ann", request_id, expected_revision=at) == done_before(first)
    with pytest.raises(RevisionConflict):
        await one.rename(ANN, "Ann", expected_revision=at)


async def test_another_payload_under_its_id_is_refused(one: Service, other: Service) -> None:
    await one.rename(ANN, "Ann", request_id := fresh_id())
    for service in (one, other):
        await service.follow()
        with pytest.raises(RequestIdReused):
            await service.rename(ANN, "Bob", request_id)
        service.restart()
        with pytest.raises(RequestIdReused):
            await service.rename(ANN, "Bob", request_id)


async def test_the_same_id_for_another_aggregate_is_another_request(one: Service, other: Service) -> None:
    bob = fresh_id()
    await one.register(bob, "Bob")
    await one.rename(ANN, "Ann", request_id := fresh_id())
    assert not (await one.rename(bob, "Ann", request_id)).is_repeat


@pytest.mark.parametrize("is_new", [True, False])
@pytest.mark.parametrize("recorded_at", range(0, 20, 3))
@pytest.mark.parametrize("followed_at", range(0, 20, 3))
async def test_what_the_log_brings_while_the_companion_is_read_is_not_lost(
    one: Service, other: Service, recorded_at: int, followed_at: int, *, is_new: bool
) -> None:
    """The first command of a service on an aggregate, while another service records, and the log is read."""
    user_id, request_id = fresh_id(), fresh_id()
    if not is_new:
        await one.register(user_id)

    async def after(turns: int, work: Coroutine[Any, Any, object]) -> None:
        for _ in range(turns):
            await asyncio.sleep(0)
        with suppress(CommandRejected):  # there is no such user yet
            await work

    other.door.answer_turns = 20
    first = other.register(user_id) if is_new else other.rename(user_id, "Anne")
    recording = one.rename(user_id, "Ann", request_id)
    await asyncio.gather(first, after(recorded_at, recording), after(followed_at, other.follow()))
    other.door.answer_turns = 1
    await one.rename(user_id, "Ann", request_id)
    await other.follow()
    before = await other.rename(user_id, "Bob")
    repeated = await other.rename(user_id, "Ann", request_id)
    assert repeated.is_repeat
    assert (await other.rename(user_id, "Bob")).revision == before.revision


# ---------------------------------------------------------------------------------------- what it costs


async def test_a_command_that_changes_something_costs_one_append(one: Service) -> None:
    await one.rename(ANN, "Ann")  # so there is a companion stream
    one.door.calls.clear()
    for name in ("Anne", "Anna", "Ann"):
        await one.rename(ANN, name)
    assert one.door.calls == [f"append {STREAM}"] * 3


async def test_the_first_commands_of_a_new_aggregate_cost_one_append_each(one: Service) -> None:
    user_id = fresh_id()
    await one.register(user_id)
    await one.rename(user_id, "Anne")
    await one.follow()
    await one.rename(user_id, "Anna")
    assert [call for call in one.door.calls if user_id in call] == [f"append {USER.stream(user_id)}"] * 3


async def test_the_first_command_after_a_restart_reads_the_companion_beside_the_aggregate(one: Service) -> None:
    one.restart()
    await one.rename(ANN, "Anne")
    assert sorted(one.door.calls[:2]) == [f"read {COMPANION}", f"read {STREAM}"]
    assert one.door.calls[2:] == [f"append {STREAM}"]


async def test_a_command_reads_for_itself_while_the_log_cannot_be_followed(one: Service, clock: Seconds) -> None:
    one.door.is_followed = False
    async with one.unchanged.following():
        clock.passes(MAX_AGE + 0.01)
        await one.rename(ANN, "Anne")
    assert one.door.calls[-2:] == [f"read {COMPANION}", f"append {STREAM}"]


async def test_the_log_is_read_only_while_commands_come(one: Service, other: Service, clock: Seconds) -> None:
    unchanged = UnchangedRequests(one.door, poll=0, clock=clock)
    async with unchanged.following():
        before = unchanged.position
        await other.rename(ANN, "Anne")
        await _some_turns()
        assert unchanged.position == before
        unchanged.cached(STREAM)
        await _some_turns()
        assert unchanged.position > before
        clock.passes(QUIET + 0.01)
        await _some_turns()
        before = unchanged.position
        await other.rename(ANN, "Ann")
        await _some_turns()
        assert unchanged.position == before


async def _some_turns() -> None:
    for _ in range(20):
        await asyncio.sleep(0)


async def test_after_a_long_silence_what_was_known_is_read_again(one: Service, other: Service, clock: Seconds) -> None:
    first = await one.rename(ANN, "Ann", request_id := fresh_id())
    await other.rename(ANN, "Anne")
    clock.passes(MAX_GAP + 1)
    await other.follow()
    assert await other.rename(ANN, "Ann", request_id) == done_before(first)


# ---------------------------------------------------------------------------------------- who sees it


async def test_the_aggregate_does_not_move(one: Service, shared: MemoryStore) -> None:
    before = [event.id async for event in shared.read(STREAM)]
    result = await one.rename(ANN, "Ann")
    assert result.revision == len(before) - 1
    assert [event.id async for event in shared.read(STREAM)] == before


@pytest.mark.parametrize("category", CATEGORIES)
def test_no_filter_of_a_category_takes_a_companion_stream(category: str) -> None:
    assert not re.search(f"^{category}-.*$", unchanged_stream(f"{category}-1"))
    assert unchanged_stream(f"{category}-1").partition("-")[0] not in CATEGORIES


async def test_a_step_of_a_process_that_changed_nothing_may_act_later(one: Service, shared: MemoryStore) -> None:
    request_id = fresh_id()
    assert (await one.rename(ANN, "Ann", request_id, is_step=True)).unchanged
    await one.rename(ANN, "Anne")
    assert not (await one.rename(ANN, "Ann", request_id, is_step=True)).unchanged
    assert await shared.newest(COMPANION, 1) == []


# ---------------------------------------------------------------------------------------- what the answer says


async def test_a_repeat_of_a_command_that_opened_a_stream_is_known_after_a_restart(one: Service) -> None:
    user_id, request_id = fresh_id(), fresh_id()
    first = await one.register(user_id, request_id=request_id)
    one.restart()
    await one.follow()
    assert await one.register(user_id, request_id=request_id) == done_before(first)


async def test_a_repeat_of_a_command_that_changed_something_is_known(one: Service, other: Service) -> None:
    first = await one.rename(ANN, "Anne", request_id := fresh_id())
    assert not first.unchanged
    await other.follow()
    for service in (one, other):
        assert await service.rename(ANN, "Anne", request_id) == done_before(first)


async def test_within_the_limit_a_repeat_that_the_store_recognised_may_not_say_so(one: Service, other: Service) -> None:
    """It still has no effect."""
    first = await one.rename(ANN, "Anne", request_id := fresh_id())
    assert await other.rename(ANN, "Anne", request_id) == first


# ---------------------------------------------------------------------------------------- any course of things


@pytest.mark.parametrize("seed", range(60))
async def test_no_course_of_requests_restarts_and_reads_makes_a_repeat_act(seed: int, clock: Seconds) -> None:
    """A repeat goes to any of three services. It is marked, or comes later than the limit of the decision record."""
    dice = random.Random(seed)
    shared = MemoryStore()
    await shared.append("test_first", NO_EVENTS, [NewEvent(type="First", data=b"{}")])
    services = [Service(shared, clock) for _ in range(3)]
    await services[0].register(ANN)
    answers: dict[str, tuple[str, CommandResult]] = {}

    async def new(service: Service) -> None:
        request_id, name = fresh_id(), dice.choice(("Ann", "Bob", "Coy"))
        answers[request_id] = name, await service.rename(ANN, name, request_id)

    async def repeat(service: Service) -> None:
        if answers:
            request_id = dice.choice(list(answers))
            name, first = answers[request_id]
            how = dice.choice(({"is_retry": True}, {}))
            if not how:
                clock.passes(MAX_AGE + 0.01)
                if dice.random() < 0.5:
                    await service.follow()
            assert await service.rename(ANN, name, request_id, **how) == done_before(first)

    async def restart(service: Service) -> None:
        service.restart()

    async def follow(service: Service) -> None:
        await service.follow()

    acts: Sequence[object] = (new, new, new, repeat, repeat, follow, restart)
    for _ in range(150):
        clock.passes(dice.random() * 0.2)
        await dice.choice(acts)(dice.choice(services))  # type: ignore[operator]  # one of the functions above
    assert any(first.unchanged for _, first in answers.values())
    written = [event.stream_name async for event in shared.history("u.*", START)]
    unchanged = sum(first.unchanged for _, first in answers.values())
    assert written.count(COMPANION) == unchanged
    assert written.count(STREAM) == 1 + len(answers) - unchanged
