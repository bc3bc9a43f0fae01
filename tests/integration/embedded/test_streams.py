"""The Streams service as the unmodified esdbclient sees it; rules and tables are those of the protocol reference."""

import json
import uuid
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
from esdbclient import CaughtUp, Checkpoint, EventStoreDBClient, NewEvent, RecordedEvent, StreamState
from esdbclient.asyncio_client import AsyncEventStoreDBClient
from esdbclient.exceptions import (
    EventStoreDBClientException,
    GrpcError,
    MaximumAppendSizeExceededError,
    NotFound,
    StreamIsDeleted,
    WrongCurrentVersion,
)

NO_STREAM, ANY, EXISTS = StreamState.NO_STREAM, StreamState.ANY, StreamState.EXISTS
Client = AsyncEventStoreDBClient


@pytest.fixture
async def client(eventstore_uri: str) -> AsyncIterator[Client]:
    client = AsyncEventStoreDBClient(eventstore_uri)
    await client.connect()
    yield client
    await client.close()


def name(prefix: str = "s") -> str:
    return f"{prefix}{uuid.uuid4().hex}-1"


def event(type_: str = "Happened", data: bytes = b"{}") -> NewEvent:
    return NewEvent(type=type_, data=data)


async def stream_of(client: Client, n: int = 3) -> tuple[str, list[NewEvent]]:
    stream, events = name(), [event(f"E{i}") for i in range(n)]
    await client.append_to_stream(stream, current_version=NO_STREAM, events=events)
    return stream, events


async def types(client: Client, stream: str, **how: Any) -> list[str]:
    return [e.type async for e in await client.read_stream(stream, **how)]


class TestAppending:
    async def test_what_is_appended_is_read_back_whole(self, client: Client) -> None:
        stream = name()
        new = NewEvent(type="Größe", data=b"\x00\xff", metadata=b"{}", content_type="application/octet-stream")
        position = await client.append_to_stream(stream, current_version=NO_STREAM, events=[new])
        [read] = [e async for e in await client.read_stream(stream)]
        assert (read.type, read.data, read.metadata, read.content_type, read.id) == (
            new.type, new.data, new.metadata, new.content_type, new.id,
        )  # fmt: skip
        assert (read.stream_position, read.commit_position) == (0, position)
        assert read.recorded_at is not None

    async def test_positions_rise_and_name_the_last_event_of_an_append(self, client: Client) -> None:
        stream, _ = await stream_of(client)
        first = await client.append_to_stream(stream, current_version=2, events=[event(), event()])
        second = await client.append_to_stream(stream, current_version=4, events=event())
        assert second > first
        assert await client.get_commit_position() >= second

    @pytest.mark.parametrize("expected", [NO_STREAM, 0, 1, 7])
    async def test_a_wrong_expected_revision_writes_nothing(self, client: Client, expected: Any) -> None:
        stream, _ = await stream_of(client)
        with pytest.raises(WrongCurrentVersion):
            await client.append_to_stream(stream, current_version=expected, events=[event()])
        assert len(await types(client, stream)) == 3

    async def test_a_stream_that_must_exist_but_does_not(self, client: Client) -> None:
        with pytest.raises((NotFound, WrongCurrentVersion)):
            await client.append_to_stream(name(), current_version=EXISTS, events=[event()])

    async def test_the_same_events_at_the_same_revision_are_written_once(self, client: Client) -> None:
        stream, events = await stream_of(client)
        position = [e.commit_position async for e in await client.read_stream(stream)][-1]
        await client.append_to_stream(stream, current_version=2, events=[event("later")])
        assert await client.append_to_stream(stream, current_version=NO_STREAM, events=events) == position
        assert await client.append_to_stream(stream, current_version=0, events=events[1:]) == position
        assert await client.append_to_stream(stream, current_version=ANY, events=events) == position
        assert await types(client, stream) == ["E0", "E1", "E2", "later"]

    async def test_known_events_followed_by_a_new_one_are_a_wrong_version(self, client: Client) -> None:
        stream, events = await stream_of(client)
        for expected in (NO_STREAM, ANY):
            with pytest.raises(WrongCurrentVersion):
                await client.append_to_stream(stream, current_version=expected, events=[*events, event()])

    async def test_the_same_event_at_the_new_revision_is_written_again(self, client: Client) -> None:
        stream, events = await stream_of(client, 1)
        await client.append_to_stream(stream, current_version=0, events=events)
        assert await types(client, stream) == ["E0", "E0"]

    async def test_more_than_a_mebibyte_is_refused_whole(self, client: Client) -> None:
        stream = name()
        with pytest.raises(MaximumAppendSizeExceededError):
            await client.append_to_stream(stream, current_version=NO_STREAM, events=[event(data=b"x" * 1_048_577)])
        with pytest.raises(NotFound):
            await types(client, stream)

    async def test_the_synchronous_client_does_the_same(self, eventstore_uri: str) -> None:
        stream = name()
        with EventStoreDBClient(eventstore_uri) as client:
            client.append_to_stream(stream, current_version=NO_STREAM, events=event("one"))
            client.append_events(stream, current_version=0, events=[event("two"), event("three")])
            assert [e.type for e in client.get_stream(stream)] == ["one", "two", "three"]


class TestReading:
    @pytest.mark.parametrize(
        ("how", "wanted"),
        [
            ({}, ["E0", "E1", "E2", "E3"]),
            ({"stream_position": 2}, ["E2", "E3"]),
            ({"stream_position": 9}, []),
            ({"limit": 2}, ["E0", "E1"]),
            ({"backwards": True}, ["E3", "E2", "E1", "E0"]),
            ({"backwards": True, "stream_position": 1}, ["E1", "E0"]),
            ({"backwards": True, "stream_position": 99, "limit": 1}, ["E3"]),
        ],
    )
    async def test_a_stream_is_read_from_anywhere_both_ways(
        self, client: Client, how: dict[str, Any], wanted: list[str]
    ) -> None:
        stream, _ = await stream_of(client, 4)
        assert await types(client, stream, **how) == wanted

    async def test_a_stream_that_is_not_there_is_not_found(self, client: Client) -> None:
        with pytest.raises(NotFound):
            await types(client, name())

    async def test_all_is_read_inclusive_forwards_and_exclusive_backwards(self, client: Client) -> None:
        stream, _ = await stream_of(client, 3)
        positions = [e.commit_position async for e in await client.read_stream(stream)]
        mine: dict[str, Any] = {"filter_include": [stream], "filter_by_stream_name": True}

        async def found(**how: Any) -> list[int | None]:
            return [e.commit_position async for e in await client.read_all(**mine, **how)]

        assert await found() == positions
        assert await found(commit_position=positions[1]) == positions[1:]
        assert await found(backwards=True) == positions[::-1]
        assert await found(backwards=True, commit_position=positions[1]) == positions[:1]
        assert await found(limit=1) == positions[:1]

    async def test_a_filter_searches_type_or_stream(self, client: Client) -> None:
        kind = f"T{uuid.uuid4().hex}"
        stream = name()
        await client.append_to_stream(stream, current_version=NO_STREAM, events=[event(kind), event("Other")])
        by_type = [e.type async for e in await client.read_all(filter_include=[kind])]
        assert by_type == [kind]
        by_stream = [e.type async for e in await client.read_all(filter_include=[stream], filter_by_stream_name=True)]
        assert by_stream == [kind, "Other"]

    async def test_the_first_event_of_all_is_a_system_event(self, client: Client) -> None:
        [first] = [e async for e in await client.read_all(filter_exclude=[], limit=1)]
        assert first.type.startswith("$")

    async def test_links_are_resolved_if_asked_for(self, client: Client) -> None:
        target, _ = await stream_of(client, 2)
        links = name("links")
        new = [
            NewEvent(type="$>", data=f"{n}@{target}".encode(), content_type="application/octet-stream") for n in (1, 7)
        ]
        await client.append_to_stream(links, current_version=NO_STREAM, events=new)
        [resolved] = [e async for e in await client.read_stream(links, resolve_links=True)]
        assert (resolved.type, resolved.stream_name, resolved.stream_position) == ("E1", target, 1)
        assert resolved.link is not None
        assert resolved.link.id == new[0].id
        assert await types(client, links) == ["$>", "$>"]


class TestMetadata:
    @pytest.mark.parametrize(
        ("metadata", "wanted"),
        [({"$maxCount": 2}, ["E2", "E3"]), ({"$tb": 1}, ["E1", "E2", "E3"]), ({"$maxCount": 3, "$tb": 2}, ["E2", "E3"]),
         ({"$maxCount": "two"}, ["E0", "E1", "E2", "E3"]), ({"$maxAge": 3600}, ["E0", "E1", "E2", "E3"])],
    )  # fmt: skip
    async def test_it_hides_events_from_the_stream_but_not_from_all(
        self, client: Client, metadata: dict[str, Any], wanted: list[str]
    ) -> None:
        stream, _ = await stream_of(client, 4)
        await client.set_stream_metadata(stream, metadata=metadata, current_version=NO_STREAM)
        assert await types(client, stream) == wanted
        assert await types(client, stream, backwards=True) == wanted[::-1]
        every = [e.type async for e in await client.read_all(filter_include=[stream], filter_by_stream_name=True)]
        assert every == ["E0", "E1", "E2", "E3"]

    async def test_it_is_read_back_with_its_revision(self, client: Client) -> None:
        stream, _ = await stream_of(client)
        assert await client.get_stream_metadata(stream) == ({}, NO_STREAM)
        await client.set_stream_metadata(stream, metadata={"a": 1}, current_version=NO_STREAM)
        await client.set_stream_metadata(stream, metadata={"a": 2}, current_version=0)
        assert await client.get_stream_metadata(stream) == ({"a": 2}, 1)
        assert [json.loads(e.data) async for e in await client.read_stream(f"$${stream}")] == [{"a": 2}]


async def untouched(_: Client) -> str:
    return name()


async def with_metadata(client: Client) -> str:
    stream = name()
    await client.set_stream_metadata(stream, metadata={"a": 1}, current_version=NO_STREAM)
    return stream


async def with_events(client: Client) -> str:
    return (await stream_of(client))[0]


async def soft_deleted(client: Client) -> str:
    stream = await with_events(client)
    await client.delete_stream(stream, current_version=2)
    return stream


async def tombstoned(client: Client) -> str:
    stream = await with_events(client)
    await client.tombstone_stream(stream, current_version=2)
    return stream


class TestDeleting:
    @pytest.mark.parametrize(
        ("make", "expected", "deleting", "tombstoning"),
        [
            (untouched, NO_STREAM, NotFound, None),
            (untouched, ANY, NotFound, None),
            (untouched, EXISTS, NotFound, NotFound),
            (untouched, 3, NotFound, NotFound),
            (with_metadata, NO_STREAM, None, None),
            (with_metadata, ANY, None, None),
            (with_metadata, EXISTS, None, None),
            (with_events, NO_STREAM, WrongCurrentVersion, WrongCurrentVersion),
            (with_events, ANY, None, None),
            (with_events, EXISTS, None, None),
            (with_events, 2, None, None),
            (with_events, 1, WrongCurrentVersion, WrongCurrentVersion),
            (soft_deleted, NO_STREAM, None, None),
            (soft_deleted, ANY, None, None),
            (soft_deleted, EXISTS, StreamIsDeleted, StreamIsDeleted),
            (soft_deleted, 2, None, None),
            (soft_deleted, 1, WrongCurrentVersion, WrongCurrentVersion),
            (tombstoned, ANY, StreamIsDeleted, StreamIsDeleted),
            (tombstoned, EXISTS, StreamIsDeleted, StreamIsDeleted),
            (tombstoned, 2, StreamIsDeleted, StreamIsDeleted),
        ],
    )
    async def test_every_state_against_every_expected_revision(
        self,
        client: Client,
        make: Callable[[Client], Any],
        expected: Any,
        deleting: type[EventStoreDBClientException] | None,
        tombstoning: type[EventStoreDBClientException] | None,
    ) -> None:
        for do, refused in ((client.delete_stream, deleting), (client.tombstone_stream, tombstoning)):
            stream = await make(client)
            if refused is None:
                await do(stream, current_version=expected)
            else:
                with pytest.raises(refused):
                    await do(stream, current_version=expected)

    async def test_a_deleted_stream_is_not_found_and_goes_on_where_it_ended(self, client: Client) -> None:
        stream = await soft_deleted(client)
        with pytest.raises(NotFound):
            await types(client, stream)
        await client.append_to_stream(stream, current_version=NO_STREAM, events=[event("again")])
        [read] = [e async for e in await client.read_stream(stream)]
        assert (read.type, read.stream_position) == ("again", 3)

    async def test_setting_metadata_brings_a_deleted_stream_back_empty(self, client: Client) -> None:
        stream = await soft_deleted(client)
        metadata, version = await client.get_stream_metadata(stream)
        assert metadata == {"$tb": 2**63 - 1}
        await client.set_stream_metadata(stream, metadata={"a": 1}, current_version=version)
        assert (await client.get_stream_metadata(stream))[0] == {"a": 1, "$tb": 3}
        assert await types(client, stream) == []

    async def test_a_tombstone_is_for_ever(self, client: Client) -> None:
        stream = await tombstoned(client)
        for again in (types(client, stream), types(client, f"$${stream}")):
            with pytest.raises((StreamIsDeleted, GrpcError)):
                await again
        with pytest.raises(EventStoreDBClientException):
            await client.append_to_stream(stream, current_version=ANY, events=[event()])


class TestSubscribing:
    async def test_history_then_live_without_gap_or_double(self, client: Client) -> None:
        stream, _ = await stream_of(client, 3)
        subscription = await client.subscribe_to_stream(stream, include_caught_up=True)
        seen: list[RecordedEvent] = []
        async for item in subscription:
            seen.append(item)
            if isinstance(item, CaughtUp):
                for n in range(3, 30):
                    await client.append_to_stream(stream, current_version=n - 1, events=event(f"E{n}"))
            if item.type == "E29":
                break
        await subscription.stop()
        assert [e.type for e in seen if not isinstance(e, CaughtUp)] == [f"E{n}" for n in range(30)]

    async def test_a_filtered_subscription_reports_checkpoints_that_can_be_resumed_from(self, client: Client) -> None:
        stream, _ = await stream_of(client, 100)
        subscription = await client.subscribe_to_all(
            filter_include=[stream],
            filter_by_stream_name=True,
            include_checkpoints=True,
            include_caught_up=True,
            window_size=10,
            checkpoint_interval_multiplier=2,
        )
        items: list[RecordedEvent] = []
        async for item in subscription:
            items.append(item)
            if isinstance(item, CaughtUp):
                break
        await subscription.stop()
        checkpoints = [item.commit_position or 0 for item in items if isinstance(item, Checkpoint)]
        assert checkpoints == sorted(set(checkpoints))
        [head] = [e.commit_position async for e in await client.read_all(backwards=True, filter_exclude=[], limit=1)]
        assert head is not None
        assert checkpoints[-1] <= head
        assert len([item for item in items if item.type.startswith("E")]) == 100

        await client.append_to_stream(stream, current_version=99, events=event("next"))
        resumed = await client.subscribe_to_all(
            commit_position=checkpoints[-1], filter_include=[stream], filter_by_stream_name=True
        )
        async for item in resumed:
            assert item.type == "next"
            break
        await resumed.stop()

    async def test_a_checkpoint_is_the_position_of_an_event_that_can_be_read(self, client: Client) -> None:
        await stream_of(client, 3)
        hidden = f"$persistentsubscription-$all::{name()}-parked"  # a book-keeping stream of the node's own
        await client.append_to_stream(hidden, current_version=NO_STREAM, events=event("hidden"))
        subscription = await client.subscribe_to_all(
            filter_include=["nothing"], include_checkpoints=True, include_caught_up=True, window_size=1
        )
        seen = []
        async for item in subscription:
            seen.append(item)
            if isinstance(item, CaughtUp):
                break
        await subscription.stop()
        checkpoint = seen[-2]
        assert isinstance(checkpoint, Checkpoint)
        # the node may write more of its own meanwhile, so only what is found at that position is asked for
        [found] = [
            e
            async for e in await client.read_all(commit_position=checkpoint.commit_position, filter_exclude=[], limit=1)
        ]
        assert found.commit_position == checkpoint.commit_position

    async def test_from_the_end_only_what_comes_after_is_seen(self, client: Client) -> None:
        stream, _ = await stream_of(client, 3)
        subscription = await client.subscribe_to_all(from_end=True, filter_include=[stream], filter_by_stream_name=True)
        await client.append_to_stream(stream, current_version=2, events=event("after"))
        async for item in subscription:
            assert item.type == "after"
            break
        await subscription.stop()

    async def test_live_events_come_whatever_the_stream_keeps(self, client: Client) -> None:
        stream, _ = await stream_of(client, 3)
        await client.set_stream_metadata(stream, metadata={"$maxCount": 1})
        subscription = await client.subscribe_to_stream(stream, include_caught_up=True)
        assert (await anext(subscription)).type == "E2", "of history, what is kept"
        assert isinstance(await anext(subscription), CaughtUp)
        await client.append_to_stream(stream, current_version=2, events=[event(f"L{n}") for n in range(5)])
        assert [(await anext(subscription)).type for _ in range(5)] == [f"L{n}" for n in range(5)]
        await subscription.stop()

    async def test_a_stream_that_is_not_there_yet_can_be_waited_for(self, client: Client) -> None:
        stream = name()
        subscription = await client.subscribe_to_stream(stream)
        await client.append_to_stream(stream, current_version=NO_STREAM, events=event("first"))
        async for item in subscription:
            assert item.type == "first"
            break
        await subscription.stop()
