"""Catch-up subscriptions, links and persistent subscriptions through both official Python clients."""

import asyncio
import uuid
from collections.abc import Callable
from typing import Any

import pytest
from esdbclient import CaughtUp, Checkpoint, NewEvent, StreamState
from esdbclient.exceptions import (
    AlreadyExists,
    EventStoreDBClientException,
    GrpcDeadlineExceeded,
    InternalError,
    MaximumSubscriptionsReached,
    NotFound,
    StreamIsDeleted,
)

from tests.support.eventually import eventually

WITHIN = 20.0
MANY = 1_000_000  # more events than there are
ANY = StreamState.ANY


def event(type_: str = "Happened", **more: Any) -> NewEvent:
    return NewEvent(type=type_, **{"data": b"{}", **more})


async def append(client: Any, stream: str, *types: str, **more: Any) -> int:
    new = [event(type_, **more) for type_ in types]
    return int(await client.append_to_stream(stream, current_version=ANY, events=new))


async def next_of(subscription: Any, count: int) -> list[Any]:
    return [await asyncio.wait_for(anext(subscription), WITHIN) for _ in range(count)]


async def types_of(subscription: Any, count: int) -> list[str]:
    return [item.type for item in await next_of(subscription, count)]


@pytest.fixture
def stream() -> str:
    return f"contract{uuid.uuid4().hex}-1"


@pytest.fixture
def ours(stream: str) -> dict[str, Any]:
    """A filter for this test's stream."""
    return {"filter_include": [stream], "filter_by_stream_name": True}


class TestFollowingAStream:
    async def test_history_and_then_what_comes(self, client: Any, stream: str) -> None:
        await append(client, stream, "A", "B")
        subscription = await client.subscribe_to_stream(stream, include_caught_up=True)
        first = await next_of(subscription, 3)
        assert [item.type for item in first[:2]] == ["A", "B"]
        assert isinstance(first[2], CaughtUp)
        await append(client, stream, "C")
        assert await types_of(subscription, 1) == ["C"]
        await subscription.stop()

    async def test_after_a_revision(self, client: Any, stream: str) -> None:
        await append(client, stream, "A", "B", "C")
        subscription = await client.subscribe_to_stream(stream, stream_position=1)
        assert await types_of(subscription, 1) == ["C"]
        await subscription.stop()

    async def test_from_the_end(self, client: Any, stream: str) -> None:
        await append(client, stream, "A")
        subscription = await client.subscribe_to_stream(stream, from_end=True)
        await append(client, stream, "B")
        assert await types_of(subscription, 1) == ["B"]
        await subscription.stop()

    async def test_one_that_is_not_there_yet(self, client: Any, stream: str) -> None:
        subscription = await client.subscribe_to_stream(stream, include_caught_up=True)
        assert isinstance((await next_of(subscription, 1))[0], CaughtUp)
        await append(client, stream, "A")
        assert await types_of(subscription, 1) == ["A"]
        await subscription.stop()

    async def test_one_that_is_gone_for_ever(self, client: Any, stream: str) -> None:
        await append(client, stream, "A")
        subscription = await client.subscribe_to_stream(stream)
        assert await types_of(subscription, 1) == ["A"]
        await client.tombstone_stream(stream, current_version=ANY)
        assert await types_of(subscription, 1) == ["$streamDeleted"]
        with pytest.raises(EventStoreDBClientException):
            await next_of(subscription, 1)
        with pytest.raises(EventStoreDBClientException):
            await next_of(await client.subscribe_to_stream(stream), 1)

    async def test_its_time_runs_out(self, client: Any, stream: str) -> None:
        subscription = await client.subscribe_to_stream(stream, timeout=0.3)
        with pytest.raises(GrpcDeadlineExceeded):
            await next_of(subscription, 1)

    async def test_stopped_it_is_over(self, client: Any, stream: str) -> None:
        await append(client, stream, "A", "B")
        subscription = await client.subscribe_to_stream(stream)
        await next_of(subscription, 1)
        await subscription.stop()
        with pytest.raises(StopAsyncIteration):
            await next_of(subscription, 2)


class TestFollowingEverything:
    async def test_history_and_then_what_comes_with_checkpoints(
        self, client: Any, stream: str, ours: dict[str, Any]
    ) -> None:
        before = await client.get_commit_position()
        await append(client, stream, *(f"E{n}" for n in range(5)))
        await append(client, f"other-{stream}", *("O" for _ in range(50)))
        subscription = await client.subscribe_to_all(
            commit_position=before, include_checkpoints=True, include_caught_up=True, window_size=4,
            checkpoint_interval_multiplier=2, filter_include=[f"^{stream}"], filter_by_stream_name=True,
        )  # fmt: skip
        seen: list[Any] = []
        while not isinstance(seen[-1] if seen else None, CaughtUp):
            seen += await next_of(subscription, 1)
        checkpoints = [item.commit_position or 0 for item in seen if isinstance(item, Checkpoint)]
        assert checkpoints == sorted(set(checkpoints))
        assert checkpoints[-1] <= await client.get_commit_position(filter_exclude=[])
        assert [item.type for item in seen if item.type.startswith("E")] == [f"E{n}" for n in range(5)]
        await subscription.stop()
        resumed = await client.subscribe_to_all(commit_position=checkpoints[-1], **ours)
        await append(client, stream, "next")
        assert await types_of(resumed, 1) == ["next"]
        await resumed.stop()

    async def test_after_the_position_of_an_event(self, client: Any, stream: str, ours: dict[str, Any]) -> None:
        position = await append(client, stream, "A")
        await append(client, stream, "B")
        subscription = await client.subscribe_to_all(commit_position=position, **ours)
        assert await types_of(subscription, 1) == ["B"]
        await subscription.stop()

    @pytest.mark.sends_unknown_positions
    @pytest.mark.parametrize("beside", [-1, 1])
    async def test_after_a_position_at_which_there_is_no_event(self, client: Any, stream: str, beside: int) -> None:
        position = await append(client, stream, "A")
        await append(client, stream, "B")
        subscription = await client.subscribe_to_all(commit_position=position + beside)
        with pytest.raises(EventStoreDBClientException, match="Trying to read from an invalid position"):
            await next_of(subscription, 1)

    async def test_from_the_end(self, client: Any, stream: str, ours: dict[str, Any]) -> None:
        await append(client, stream, "A")
        subscription = await client.subscribe_to_all(from_end=True, **ours)
        await append(client, stream, "B")
        assert await types_of(subscription, 1) == ["B"]
        await subscription.stop()

    async def test_unfiltered_its_first_event_is_the_stores_own(self, client: Any) -> None:
        subscription = await client.subscribe_to_all(filter_exclude=[])
        assert (await types_of(subscription, 1))[0].startswith("$")
        await subscription.stop()

    async def test_many_at_once_see_the_same(self, client: Any, stream: str, ours: dict[str, Any]) -> None:
        subscriptions = [await client.subscribe_to_all(from_end=True, **ours) for _ in range(8)]
        await append(client, stream, "A", "B")
        seen = await asyncio.gather(*(types_of(subscription, 2) for subscription in subscriptions))
        assert seen == [["A", "B"]] * 8
        for subscription in subscriptions:
            await subscription.stop()


class TestLinks:
    @pytest.mark.parametrize("name", ["$ce-{category}", "$et-{type}"])
    async def test_what_the_projections_link_is_read_and_followed(self, client: Any, stream: str, name: str) -> None:
        category, type_ = stream.partition("-")[0], f"T{uuid.uuid4().hex}"
        await append(client, stream, type_, type_)
        links = name.format(category=category, type=type_)
        subscription = await client.subscribe_to_stream(links, resolve_links=True)
        followed = await next_of(subscription, 2)
        await subscription.stop()
        read = await client.get_stream(links, resolve_links=True)
        for found in (followed, read):
            assert [(e.type, e.stream_name, e.stream_position) for e in found] == [(type_, stream, n) for n in (0, 1)]
            assert [(e.link.stream_name, e.link.type) for e in found] == [(links, "$>")] * 2
            assert [e.ack_id for e in found] == [e.link.id for e in found]
        plain = await client.get_stream(links)
        assert [e.data for e in plain] == [f"{n}@{stream}".encode() for n in (0, 1)]

    async def test_they_are_followed_among_everything(self, client: Any, stream: str) -> None:
        category = stream.partition("-")[0]
        subscription = await client.subscribe_to_all(
            from_end=True, resolve_links=True, filter_include=[rf"\$ce-{category}"], filter_by_stream_name=True
        )
        await append(client, stream, "A", "B")
        found = await next_of(subscription, 2)
        assert [(e.type, e.link.stream_name) for e in found] == [(t, f"$ce-{category}") for t in ("A", "B")]
        await subscription.stop()

    async def test_one_whose_target_went_is_left_out(self, client: Any, stream: str) -> None:
        await append(client, stream, "A", "B", "C")
        links = f"$ce-{stream.partition('-')[0]}"

        async def linked() -> int | StreamState:
            found: int | StreamState = await client.get_current_version(links)
            return found

        await eventually(linked, lambda last: last == 2, within=WITHIN)
        await client.set_stream_metadata(stream, metadata={"$tb": 2})
        assert [e.type for e in await client.get_stream(links, resolve_links=True)] == ["C"]
        await client.delete_stream(stream, current_version=ANY)
        await eventually(linked, lambda last: last == 3, within=WITHIN)  # the deletion is linked too
        [deletion] = await client.get_stream(links, resolve_links=True)
        assert (deletion.type, deletion.stream_name) == ("$metadata", f"$${stream}")
        assert len(await client.get_stream(links)) == 4

    async def test_a_link_to_nothing_is_left_out(self, client: Any, stream: str) -> None:
        await append(client, stream, "A")
        links = [f"{n}@{stream}".encode() for n in (0, 7)] + [f"0@no-{stream}".encode()]
        new = [event("$>", data=data, content_type="application/octet-stream") for data in links]
        await client.append_to_stream(f"links-{stream}", current_version=ANY, events=new)
        assert [e.type for e in await client.get_stream(f"links-{stream}", resolve_links=True)] == ["A"]
        assert len(await client.get_stream(f"links-{stream}")) == 3


class Group:
    """A persistent subscription to a stream or to everything, whichever a test is about."""

    def __init__(self, client: Any, kind: str, stream: str) -> None:
        self._client, self._kind, self._stream = client, kind, stream
        self.name = f"g{uuid.uuid4().hex}"

    @property
    def _where(self) -> dict[str, Any]:
        return {"stream_name": self._stream} if self._kind == "stream" else {}

    async def create(self, **settings: Any) -> None:
        if self._kind == "stream":
            await self._client.create_subscription_to_stream(self.name, self._stream, **settings)
        else:
            settings = {"filter_include": [self._stream], "filter_by_stream_name": True, **settings}
            await self._client.create_subscription_to_all(self.name, **settings)

    async def update(self, **settings: Any) -> None:
        method = getattr(self._client, f"update_subscription_to_{self._kind}")
        await method(group_name=self.name, **self._where, **settings)

    async def read(self, **how: Any) -> Any:
        method = getattr(self._client, f"read_subscription_to_{self._kind}")
        return await method(group_name=self.name, **self._where, **how)

    async def info(self) -> Any:
        return await self._client.get_subscription_info(self.name, **self._where)

    async def replay(self) -> None:
        await self._client.replay_parked_events(self.name, **self._where)

    async def delete(self) -> None:
        await self._client.delete_subscription(self.name, **self._where)

    async def becomes(self, until: Callable[[Any], bool]) -> None:
        await eventually(self.info, until, within=WITHIN)


@pytest.fixture(params=["stream", "all"])
def group(request: pytest.FixtureRequest, client: Any, stream: str) -> Group:
    return Group(client, request.param, stream)


SETTINGS: dict[str, Any] = {
    "resolve_links": True,
    "consumer_strategy": "RoundRobin",
    "message_timeout": 7.0,
    "max_retry_count": 3,
    "min_checkpoint_count": 4,
    "max_checkpoint_count": 44,
    "checkpoint_after": 3.0,
    "max_subscriber_count": 2,
    "live_buffer_size": 300,
    "read_batch_size": 100,
    "history_buffer_size": 400,
    "extra_statistics": True,
}


class TestGroups:
    async def test_what_was_set_is_reported(self, group: Group) -> None:
        await group.create(**SETTINGS)
        found = await group.info()
        assert {name: getattr(found, name) for name in SETTINGS} == SETTINGS
        assert found.start_from in ("0", "C:0/P:0")
        assert found.group_name == group.name

    async def test_what_is_not_set_is_the_clients_own(self, group: Group) -> None:
        await group.create()
        found = await group.info()
        assert (found.consumer_strategy, found.message_timeout, found.max_retry_count) == (
            "DispatchToSingle",
            30.0,
            10,
        )
        assert (found.max_subscriber_count, found.read_batch_size, found.history_buffer_size) == (5, 200, 500)

    async def test_an_update_changes_what_it_names_and_no_more(self, group: Group) -> None:
        await group.create(**SETTINGS)
        await group.update(max_retry_count=9)
        found = await group.info()
        assert {name: getattr(found, name) for name in SETTINGS} == {**SETTINGS, "max_retry_count": 9}

    @pytest.mark.parametrize("strategy", ["DispatchToSingle", "RoundRobin", "Pinned"])
    async def test_an_update_can_change_the_strategy(self, group: Group, strategy: str) -> None:
        await group.create()
        await group.update(consumer_strategy=strategy)
        assert (await group.info()).consumer_strategy == strategy

    async def test_they_are_listed_and_deleted(self, client: Any, group: Group) -> None:
        await group.create()
        assert group.name in {i.group_name for i in await client.list_subscriptions()}
        await group.delete()
        assert group.name not in {i.group_name for i in await client.list_subscriptions()}

    async def test_those_of_a_stream_are_listed(self, client: Any, stream: str) -> None:
        assert await client.list_subscriptions_to_stream(stream) == []
        for name in ("a", "b"):
            await client.create_subscription_to_stream(name, stream)
        assert {i.group_name for i in await client.list_subscriptions_to_stream(stream)} == {"a", "b"}

    async def test_one_that_is_there_is_not_made_again(self, group: Group) -> None:
        await group.create()
        with pytest.raises(AlreadyExists):
            await group.create()

    @pytest.mark.parametrize("what", ["info", "update", "delete", "replay"])
    async def test_one_that_is_not_there_is_not_found(self, group: Group, what: str) -> None:
        with pytest.raises(NotFound):
            await getattr(group, what)()

    async def test_one_that_is_not_there_cannot_be_read(self, group: Group) -> None:
        with pytest.raises(NotFound):
            await next_of(await group.read(), 1)

    async def test_a_batch_larger_than_the_buffer_is_refused(self, group: Group) -> None:
        with pytest.raises(InternalError):
            await group.create(read_batch_size=500, history_buffer_size=500)
        with pytest.raises(NotFound):
            await group.info()

    @pytest.mark.sends_unknown_positions
    async def test_a_position_beyond_the_end_is_refused(self, client: Any) -> None:
        with pytest.raises(InternalError):
            await client.create_subscription_to_all(f"g{uuid.uuid4()}", commit_position=2**60)

    @pytest.mark.sends_unknown_positions
    async def test_one_from_where_no_event_is_is_made_and_drops_its_consumers(self, client: Any, stream: str) -> None:
        position = await append(client, stream, "A")
        await append(client, stream, "B")
        group = Group(client, "all", stream)
        await group.create(commit_position=position + 1)
        assert (await group.info()).start_from == f"C:{position + 1}/P:{position + 1}"
        with pytest.raises(EventStoreDBClientException, match="was dropped"):
            await next_of(await group.read(), 1)


class TestConsuming:
    async def test_events_before_and_after_its_making(self, client: Any, group: Group, stream: str) -> None:
        await append(client, stream, "A", "B")
        await group.create()
        consumer = await group.read()
        await append(client, stream, "C")
        for wanted in ("A", "B", "C"):
            [found] = await next_of(consumer, 1)
            assert (found.type, found.retry_count) == (wanted, 0)
            await consumer.ack(found)
        await group.becomes(lambda i: i.total_in_flight_messages == 0)
        await consumer.stop()

    async def test_only_what_comes_after_its_making(self, client: Any, group: Group, stream: str) -> None:
        await append(client, stream, "A")
        await group.create(from_end=True)
        await append(client, stream, "B")
        consumer = await group.read()
        assert await types_of(consumer, 1) == ["B"]
        await consumer.stop()

    async def test_from_an_event_on(self, client: Any, stream: str) -> None:
        await append(client, stream, "A")
        position = await append(client, stream, "B")
        await append(client, stream, "C")
        to_stream, to_all = Group(client, "stream", stream), Group(client, "all", stream)
        await to_stream.create(stream_position=1)
        await to_all.create(commit_position=position)
        for group in (to_stream, to_all):
            consumer = await group.read()
            assert await types_of(consumer, 2) == ["B", "C"]
            await consumer.stop()

    async def test_what_was_not_acknowledged_comes_first_again(self, client: Any, group: Group, stream: str) -> None:
        await append(client, stream, "A", "B", "C")
        await group.create()
        consumer = await group.read()
        first = await next_of(consumer, 2)
        await consumer.ack(first[0])
        await group.becomes(lambda i: i.total_in_flight_messages == 2)  # or stopping could overtake the answer
        await consumer.stop()
        again = await group.read()
        assert await types_of(again, 2) == ["B", "C"]
        await again.stop()

    @pytest.mark.parametrize("action", ["retry", "unknown"])
    async def test_a_failed_event_comes_again_until_it_is_parked(
        self, client: Any, group: Group, stream: str, action: str
    ) -> None:
        await append(client, stream, "A")
        await group.create(max_retry_count=2)
        consumer = await group.read()
        for retries in range(3):
            [found] = await next_of(consumer, 1)
            assert (found.type, found.retry_count) == ("A", retries)
            await consumer.nack(found, action)
        await group.becomes(lambda i: i.parked_message_count == 1)
        await consumer.stop()

    @pytest.mark.parametrize("action", ["skip", "stop"])
    async def test_a_skipped_event_is_gone(self, client: Any, group: Group, stream: str, action: str) -> None:
        await append(client, stream, "A", "B")
        await group.create()
        consumer = await group.read()
        await consumer.nack((await next_of(consumer, 1))[0], action)
        assert await types_of(consumer, 1) == ["B"]
        await group.becomes(lambda i: i.total_in_flight_messages == 1)
        assert (await group.info()).parked_message_count == 0
        await consumer.stop()

    async def test_parked_events_come_again_when_they_are_replayed(
        self, client: Any, group: Group, stream: str
    ) -> None:
        await append(client, stream, "A", "B")
        await group.create()
        consumer = await group.read()
        for found in await next_of(consumer, 2):
            await consumer.nack(found, "park")
        await group.becomes(lambda i: i.parked_message_count == 2)
        await group.replay()
        for wanted, found in zip(("A", "B"), await next_of(consumer, 2), strict=True):
            assert (found.type, found.stream_name) == (wanted, stream)
            await consumer.ack(found)
        await group.becomes(lambda i: (i.parked_message_count, i.total_in_flight_messages) == (0, 0))
        await consumer.stop()

    async def test_an_event_that_nobody_answers_for_comes_again(self, client: Any, group: Group, stream: str) -> None:
        await append(client, stream, "A")
        await group.create(message_timeout=0.5)
        consumer = await group.read()
        first, again = await next_of(consumer, 2)
        assert (first.id, again.id, again.retry_count) == (first.id, first.id, 1)
        await consumer.stop()

    async def test_links_lead_to_what_they_name(self, client: Any, stream: str) -> None:
        await append(client, stream, "A", "B")
        group = Group(client, "stream", f"$ce-{stream.partition('-')[0]}")
        await group.create(resolve_links=True)
        consumer = await group.read()
        found = await next_of(consumer, 2)
        assert [(e.type, e.stream_name) for e in found] == [("A", stream), ("B", stream)]
        for each in found:
            await consumer.ack(each)
        await group.becomes(lambda i: i.total_in_flight_messages == 0)
        await consumer.stop()

    async def test_with_room_for_one_each_waits_for_the_one_before(
        self, client: Any, group: Group, stream: str
    ) -> None:
        await append(client, stream, *(f"E{n}" for n in range(5)))
        await group.create()
        consumer = await group.read(event_buffer_size=1, max_ack_batch_size=1)
        for number in range(5):
            [found] = await next_of(consumer, 1)
            assert found.type == f"E{number}"
            assert (await group.info()).total_in_flight_messages == 1
            await consumer.ack(found)
        await consumer.stop()

    async def test_an_event_that_may_not_fail_is_parked_at_once(self, client: Any, group: Group, stream: str) -> None:
        await append(client, stream, "A", "B")
        await group.create(max_retry_count=0)
        consumer = await group.read()
        await consumer.nack((await next_of(consumer, 1))[0], "retry")
        assert await types_of(consumer, 1) == ["B"]
        await group.becomes(lambda i: i.parked_message_count == 1)
        await consumer.stop()

    async def test_one_made_again_has_nothing_parked_and_starts_again(
        self, client: Any, group: Group, stream: str
    ) -> None:
        await append(client, stream, "A", "B")
        await group.create()
        consumer = await group.read()
        for found in await next_of(consumer, 2):
            await consumer.nack(found, "park")
        await group.becomes(lambda i: i.parked_message_count == 2)
        await consumer.stop()
        await group.delete()
        await group.create()
        assert (await group.info()).parked_message_count == 0
        again = await group.read()
        assert await types_of(again, 2) == ["A", "B"]
        await again.stop()

    async def test_an_update_can_move_its_start_as_long_as_nothing_was_kept(
        self, client: Any, group: Group, stream: str
    ) -> None:
        await append(client, stream, "A", "B")
        await group.create(min_checkpoint_count=MANY, max_checkpoint_count=MANY)  # what others wrote counts too
        await group.update(from_end=True)
        assert (await group.info()).start_from in ("-1", "C:-1/P:-1")
        await append(client, stream, "C")
        consumer = await group.read()
        assert await types_of(consumer, 1) == ["C"]
        await consumer.stop()

    async def test_no_more_consumers_than_it_may_have(self, group: Group) -> None:
        await group.create(max_subscriber_count=1)
        consumer = await group.read()
        with pytest.raises(MaximumSubscriptionsReached):
            await next_of(await group.read(), 1)
        await consumer.stop()
        await group.becomes(lambda i: i.total_in_flight_messages == 0)

    @pytest.mark.parametrize("act", ["update", "delete"])
    async def test_consumers_are_dropped_when_it_changes(
        self, client: Any, group: Group, stream: str, act: str
    ) -> None:
        await append(client, stream, "A")
        await group.create()
        consumer = await group.read()
        assert await types_of(consumer, 1) == ["A"]
        await getattr(group, act)()
        with pytest.raises(EventStoreDBClientException):
            await next_of(consumer, 1)

    async def test_two_consumers_share_by_turns(self, client: Any, group: Group, stream: str) -> None:
        await group.create(consumer_strategy="RoundRobin")
        consumers = [await group.read() for _ in range(2)]
        await append(client, stream, *(f"E{n}" for n in range(10)))
        seen = await asyncio.gather(*(types_of(consumer, 5) for consumer in consumers))
        assert sorted(seen[0] + seen[1]) == [f"E{n}" for n in range(10)]
        for consumer in consumers:
            await consumer.stop()

    async def test_a_tombstoned_source_ends_nothing(self, client: Any, stream: str) -> None:
        group = Group(client, "stream", stream)
        await append(client, stream, "A")
        await group.create()
        consumer = await group.read()
        await consumer.ack((await next_of(consumer, 1))[0])
        await client.tombstone_stream(stream, current_version=ANY)
        with pytest.raises(StreamIsDeleted):
            await client.get_stream(stream)
        [end] = await next_of(consumer, 1)
        assert (end.type, end.stream_name) == ("$streamDeleted", stream)
        await consumer.ack(end)
        await group.becomes(lambda i: i.total_in_flight_messages == 0)
        await consumer.stop()
