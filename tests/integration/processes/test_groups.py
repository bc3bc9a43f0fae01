"""Events by a subscription group: what fails comes again, what is done does not, one key at a time."""

import asyncio
import re
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, aclosing, asynccontextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from esdbclient import NewEvent, RecordedEvent, StreamState
from esdbclient.exceptions import NotFound
from prometheus_client import REGISTRY

from core import failures
from core.eventstore import persistent
from core.eventstore.checkout_group import SETTINGS
from core.eventstore.connection import Client, connect
from core.eventstore.log import EventLog
from core.eventstore.persistent import ALL, Groups
from core.failures import EventMalformed, StoreUnavailable
from embedded.eventstore.node import node
from server.processes import keyed_work
from server.processes.consumer import EventConsumer
from tests.support.eventually import eventually
from tests.support.gateway import gateway
from tests.support.processes import free_port
from tests.support.wire import wire

Work = Callable[[str, RecordedEvent, int], Awaitable[None]]


@asynccontextmanager
async def following(
    client: Client, kind: str, work: Work, *, release: str = "1", **settings: Any
) -> AsyncIterator[EventConsumer]:
    def key_of(event: RecordedEvent) -> str | None:
        return event.stream_name if event.type == kind else None

    name, former = f"g-{kind}-{release}", re.compile(f"g-{kind}-.")
    if release == "1":  # the log may be long, and nothing in it is of this kind yet
        await Groups(EventLog(client)).create_on_all(name, await EventLog(client).end(), **SETTINGS)
    group = EventConsumer(Groups(EventLog(client)), name, key_of, work, at_once=4, former=former, **settings)
    task = asyncio.create_task(group.run())
    try:
        yield group
    finally:
        await group.stop()
        await asyncio.wait_for(task, 10)


async def write(client: Client, kind: str, stream: str, number: int = 1) -> None:
    events = [NewEvent(type=kind, data=b"{}", content_type="application/json") for _ in range(number)]
    await client.append_to_stream(stream, current_version=StreamState.ANY, events=events)


def names() -> tuple[str, str]:
    unique = uuid4().hex[:12]
    return f"Kind{unique}", f"grouped_{unique}-1"


async def parked_or_waiting(client: Client, group: EventConsumer) -> int:
    info = await client.get_subscription_info(group.name)
    return info.total_in_flight_messages + info.read_buffer_count + info.retry_buffer_count + info.parked_message_count


@pytest.mark.parametrize("failure", [StoreUnavailable, ValueError])
async def test_what_fails_is_sent_back_and_comes_again_until_it_is_done(
    client: Client, failure: Callable[[str], Exception]
) -> None:
    kind, stream = names()
    seen: list[int] = []

    async def work(_: str, __: RecordedEvent, delivered_before: int) -> None:
        seen.append(delivered_before)
        if len(seen) < 3:
            raise failure("event")

    async with following(client, kind, work) as group:
        await write(client, kind, stream)
        await eventually(lambda: _now(seen), lambda now: len(now) == 3)
        await eventually(lambda: parked_or_waiting(client, group), lambda left: left == 0)
    assert seen == [0, 1, 2]


async def test_one_key_is_worked_on_at_a_time_and_others_beside_it(client: Client) -> None:
    kind, stream = names()
    at_work: set[str] = set()
    most, done, first = 0, 0, asyncio.Event()

    async def work(key: str, _: RecordedEvent, __: int) -> None:
        nonlocal most, done
        assert key not in at_work, "two at once on one key"
        at_work.add(key)
        most = max(most, len(at_work))
        if len(at_work) > 1:
            first.set()
        await asyncio.wait_for(first.wait(), 10)  # until another key is at work beside this one
        at_work.discard(key)
        done += 1

    async with following(client, kind, work) as group:
        for n in range(4):
            await write(client, kind, f"{stream}{n}", number=3)
        await eventually(lambda: parked_or_waiting(client, group), lambda left: left == 0 and done >= 4)
    assert 1 < most <= 4
    assert done <= 12, "no event was worked on twice, nor sent back"


async def test_what_was_not_finished_when_it_stopped_goes_to_the_next(client: Client) -> None:
    kind, stream = names()
    begun, seen = asyncio.Event(), []

    async def for_ever(_: str, __: RecordedEvent, ___: int) -> None:
        begun.set()
        raise StoreUnavailable("event")

    async def work(_: str, event: RecordedEvent, __: int) -> None:
        seen.append(event.stream_position)

    async with following(client, kind, for_ever):
        await write(client, kind, stream)
        await asyncio.wait_for(begun.wait(), 10)
    async with following(client, kind, work):
        await eventually(lambda: _now(seen), bool)
    assert seen == [0]


@pytest.mark.parametrize("hung_up", [True, False], ids=["forgotten by the store", "the store believes in it"])
async def test_a_subscription_that_is_dead_but_looks_alive_is_noticed(
    eventstore_uri: str, client: Client, *, hung_up: bool
) -> None:
    kind, stream = names()
    seen: list[int] = []

    async def work(_: str, event: RecordedEvent, __: int) -> None:
        seen.append(event.stream_position)

    async with gateway(eventstore_uri.removeprefix("esdb://").partition("?")[0]) as between:
        through = await connect(f"esdb://{between.address}?Tls=false")
        async with following(through, kind, work, ask_after=0.2):
            await write(client, kind, stream)
            await eventually(lambda: _now(seen), lambda now: now == [0])
            between.lose("Read", hung_up=hung_up)
            await write(client, kind, stream)
            await eventually(lambda: _now(seen), lambda now: now[-1] == 1)
        await through.close()


async def test_silence_alone_is_no_reason_to_subscribe_again(client: Client) -> None:
    kind, stream = names()
    seen: list[int] = []

    async def work(_: str, event: RecordedEvent, __: int) -> None:
        seen.append(event.stream_position)

    async def asked_again() -> bool:
        return REGISTRY.get_sample_value("orderstream_group_restarts_total", {"group": f"g-{kind}"}) is not None

    async with following(client, kind, work, ask_after=0.3):
        await write(client, kind, stream)
        await eventually(lambda: _now(seen), bool)
        with pytest.raises(AssertionError):
            await eventually(asked_again, within=1.5)


async def test_a_group_that_waits_to_send_something_back_stops_at_once(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(keyed_work, "BEFORE_SENDING_BACK", 60.0)
    monkeypatch.setattr(keyed_work, "MAX_BEFORE_SENDING_BACK", 60.0)
    kind, stream = names()
    failed = asyncio.Event()

    async def work(_: str, __: RecordedEvent, ___: int) -> None:
        failed.set()
        raise StoreUnavailable("event")

    async with following(client, kind, work) as group:
        await write(client, kind, stream)
        await failed.wait()
        async with asyncio.timeout(keyed_work.STOP_WITHIN / 2):  # long before it gives those at work up
            await group.stop()
        await eventually(lambda: parked_or_waiting(client, group), lambda left: left == 1)


async def test_a_group_of_another_release_goes_on_where_the_former_one_stands(client: Client) -> None:
    kind, stream = names()
    first: list[int] = []
    second: list[int] = []

    def noting(seen: list[int]) -> Work:
        async def work(_: str, event: RecordedEvent, __: int) -> None:
            seen.append(event.stream_position)

        return work

    async def checkpoint() -> int:
        return (await Groups(EventLog(client)).checkpoints(ALL)).get(f"g-{kind}-1", 0)

    async with following(client, kind, noting(first)):
        await write(client, kind, stream, number=20)
        last = max([event.commit_position or 0 async for event in await client.read_stream(stream)])
        await eventually(checkpoint, lambda now: now >= last, within=30)
    await write(client, kind, stream, number=1)
    async with following(client, kind, noting(second), release="2"):
        await eventually(lambda: _now(second), lambda now: 20 in now)
    assert min(second) >= 19, "what the former group has acknowledged does not come again"


@pytest.mark.parametrize("release", ["1", "2"], ids=["the same release", "a newer release"])
async def test_what_could_not_be_read_is_delivered_again_to_a_process_that_starts(client: Client, release: str) -> None:
    kind, stream = names()
    seen: list[int] = []

    async def reads_one_of_many(_: str, event: RecordedEvent, __: int) -> None:
        if event.stream_position == 0:
            raise EventMalformed(stream=stream, revision=0, event_type=kind)

    async def reads_all(_: str, event: RecordedEvent, __: int) -> None:
        seen.append(event.stream_position)

    async def parked() -> int:
        with suppress(NotFound):  # until the group is made
            return (await client.get_subscription_info(f"g-{kind}-1")).parked_message_count
        return 0

    async def checkpoint() -> int:
        return (await Groups(EventLog(client)).checkpoints(ALL)).get(f"g-{kind}-1", 0)

    async with following(client, kind, reads_one_of_many):
        await write(client, kind, stream)
        await eventually(parked, lambda number: number == 1)
        await write(client, kind, stream, number=20)
        last = max([event.commit_position or 0 async for event in await client.read_stream(stream)])
        await eventually(checkpoint, lambda now: now >= last, within=30)
    assert seen == []
    async with following(client, kind, reads_all, release=release):
        await eventually(lambda: _now(seen), lambda now: 0 in now)


async def test_what_another_process_parks_later_is_delivered_again_too(client: Client) -> None:
    """Where a release is rolled out, the older one works on beside the newer for a while."""
    kind, stream = names()
    seen: list[int] = []

    async def reads_nothing(*_: Any) -> None:
        raise EventMalformed(stream=stream, revision=0, event_type=kind)

    async def reads_all(_: str, event: RecordedEvent, __: int) -> None:
        seen.append(event.stream_position)

    async def consumers_and_parked() -> tuple[int, int]:
        with suppress(failures.NotFound):  # until the group is made
            info = (await Groups(EventLog(client)).one(ALL, f"g-{kind}-1")).info
            return len(info.connections), info.parked_message_count
        return 0, 0

    async with following(client, kind, reads_all, replay_after=(0.0, 2.0, 4.0, 8.0)):
        async with following(client, kind, reads_nothing, replay_after=()):
            await eventually(consumers_and_parked, lambda now: now == (2, 0))
            await write(client, kind, stream)
            await write(client, kind, f"{stream}2")
            await eventually(consumers_and_parked, lambda now: now == (2, 1))
        await eventually(lambda: _now(seen), lambda now: now == [0, 0])


async def test_a_subscription_over_a_connection_that_was_replaced_is_given_up(client: Client) -> None:
    kind, stream = names()
    seen: list[int] = []

    async def work(_: str, event: RecordedEvent, __: int) -> None:
        seen.append(event.stream_position)

    async def restarts() -> float:
        return REGISTRY.get_sample_value("orderstream_group_restarts_total", {"group": f"g-{kind}-1"}) or 0

    async with following(client, kind, work, renew_after=0.5):
        await write(client, kind, stream)
        await eventually(lambda: _now(seen), lambda now: now == [0])
        client._node.generation += 1
        await eventually(restarts)
        await write(client, kind, stream)
        await eventually(lambda: _now(seen), lambda now: now[-1] == 1)


async def test_what_is_of_no_interest_is_skipped_and_counted_as_that(client: Client) -> None:
    kind, stream = names()
    seen: list[int] = []

    async def work(_: str, event: RecordedEvent, __: int) -> None:
        seen.append(event.stream_position)

    def counted(outcome: str) -> float:
        labels = {"group": f"g-{kind}-1", "outcome": outcome}
        return REGISTRY.get_sample_value("orderstream_group_events_total", labels) or 0

    async with following(client, kind, work) as group:
        await write(client, f"Not{kind}", stream, number=20)
        await write(client, kind, stream)
        await eventually(lambda: _now(seen), lambda now: now == [20])
        await eventually(lambda: parked_or_waiting(client, group), lambda left: left == 0)
    assert counted("ack") == 1
    assert counted("skipped") >= 20


@pytest.mark.parametrize("times", [3, pytest.param(20, marks=pytest.mark.long)])
async def test_all_consumers_come_back_each_time_the_store_starts_again(tmp_path: Path, times: int) -> None:
    kind, stream = names()
    seen: list[int] = []
    port = free_port()

    async def work(_: str, event: RecordedEvent, __: int) -> None:
        seen.append(event.stream_position)

    async def consumers(client: Client) -> int:
        with suppress(failures.NotFound, StoreUnavailable):
            return len((await Groups(EventLog(client)).info(ALL, f"g-{kind}-1")).connections)
        return 0

    async with AsyncExitStack() as until_the_end:
        clients: list[Client] = []
        for number in range(times + 1):
            async with node(tmp_path, port=port) as address:
                while len(clients) < 3:
                    clients.append(await connect(f"esdb://{address}?Tls=false"))
                    until_the_end.push_async_callback(clients[-1].close)
                    await until_the_end.enter_async_context(following(clients[-1], kind, work))
                await eventually(partial(consumers, clients[0]), lambda now: now == 3)
                await write(clients[0], kind, stream)
                await eventually(lambda: _now(seen), partial(_holds, number))


async def test_a_group_comes_back_when_the_connection_goes_silent(eventstore_uri: str, client: Client) -> None:
    kind, stream = names()
    seen: list[int] = []

    async def work(_: str, event: RecordedEvent, __: int) -> None:
        seen.append(event.stream_position)

    async with wire(eventstore_uri.removeprefix("esdb://").partition("?")[0]) as between:
        through = await connect(f"esdb://127.0.0.1:{between.port}?Tls=false")
        async with following(through, kind, work):
            await write(client, kind, stream)
            await eventually(lambda: _now(seen), lambda now: now == [0])
            between.go_silent()

            async def seen_of_more() -> int:
                await write(client, kind, stream)  # the store gives half of them to the consumer that it believes in
                return len(seen)

            await eventually(seen_of_more, lambda number: number > 1)
        await through.close()


class StuckClient(Client):
    """Its first subscription begins never, and does not heed that it is cancelled, until `released`."""

    def __init__(self, uri: str) -> None:
        super().__init__(uri)
        self.released = asyncio.Event()
        self.subscribed = 0

    async def read_subscription_to_all(self, *args: Any, **how: Any) -> Any:
        self.subscribed += 1
        if self.subscribed == 1:
            while not self.released.is_set():
                with suppress(asyncio.CancelledError):
                    await self.released.wait()
        return await super().read_subscription_to_all(*args, **how)


async def test_an_attempt_that_comes_to_nothing_is_given_up_while_the_store_answers(eventstore_uri: str) -> None:
    kind, stream = names()
    seen: list[int] = []

    async def work(_: str, event: RecordedEvent, __: int) -> None:
        seen.append(event.stream_position)

    async def errors() -> str:
        return group.last_error

    stuck = StuckClient(eventstore_uri)
    await stuck.connect()
    async with AsyncExitStack() as until_the_end:
        until_the_end.push_async_callback(stuck.close)
        group = await until_the_end.enter_async_context(following(stuck, kind, work, renew_after=0.5))
        until_the_end.callback(stuck.released.set)
        await eventually(errors, lambda now: now.startswith("not subscribed"))
        await write(stuck, kind, stream)
        await eventually(lambda: _now(seen), lambda now: now == [0])
        assert group.last_error == ""
        stuck.released.set()
        await write(stuck, kind, stream)
        await eventually(lambda: _now(seen), lambda now: now == [0, 1])


def _holds(number: int, seen: list[int]) -> bool:
    return number in seen


async def _now(seen: list[int]) -> list[int]:
    return list(seen)


@pytest.mark.long
async def test_a_consumer_whose_acknowledgements_do_not_leave_stops_all_the_same(
    eventstore_uri: str, client: Client
) -> None:
    kind, stream = names()
    await Groups(EventLog(client)).create_on_all(f"g-{kind}", await EventLog(client).end(), **SETTINGS)
    await write(client, kind, stream)
    async with wire(eventstore_uri.removeprefix("esdb://").partition("?")[0]) as between:
        through = await connect(f"esdb://127.0.0.1:{between.port}?Tls=false")
        consumer = await Groups(EventLog(through)).consumer_of_all(f"g-{kind}")
        async with aclosing(consumer.events()) as events:
            event = await anext(events)
            between.go_silent()
            for _ in range(150_000):  # more than the connection takes before something comes back
                await consumer.ack(event)
            async with asyncio.timeout(2 * persistent.STOP_WITHIN):
                await consumer.stop()
        await through.close()
