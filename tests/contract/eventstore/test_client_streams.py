"""Appending, reading, deleting and describing streams through both official Python clients."""

import asyncio
import uuid
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from esdbclient import NewEvent, RecordedEvent, StreamState
from esdbclient.exceptions import (
    BadRequestError,
    DiscoveryFailed,
    EventStoreDBClientException,
    ExceptionThrownByHandler,
    FollowerNotFound,
    GrpcError,
    MaximumAppendSizeExceededError,
    NotFound,
    ReadOnlyReplicaNotFound,
    ServiceUnavailable,
    StreamIsDeleted,
    WrongCurrentVersion,
)

from tests.support.clients import KINDS, client_of

NO_STREAM, ANY, EXISTS = StreamState.NO_STREAM, StreamState.ANY, StreamState.EXISTS
Append = Callable[[Any, str, Any, list[NewEvent]], Awaitable[int]]


def event(type_: str = "Happened", **more: Any) -> NewEvent:
    return NewEvent(type=type_, **{"data": b"{}", **more})


def events(count: int, prefix: str = "E") -> list[NewEvent]:
    return [event(f"{prefix}{n}") for n in range(count)]


def types(found: Any) -> list[str]:
    return [e.type for e in found]


async def all_of(reading: Any) -> list[RecordedEvent]:
    return [e async for e in reading]


@pytest.fixture
def stream() -> str:
    return f"contract{uuid.uuid4().hex}-1"


@pytest.fixture
async def five(client: Any, stream: str) -> list[RecordedEvent]:
    """Five events E0 to E4, as they were recorded."""
    await client.append_to_stream(stream, current_version=NO_STREAM, events=events(5))
    return list(await client.get_stream(stream))


async def with_one_call(client: Any, stream: str, version: Any, new: list[NewEvent]) -> int:
    return int(await client.append_to_stream(stream, current_version=version, events=new))


async def one_by_one(client: Any, stream: str, version: Any, new: list[NewEvent]) -> int:
    """Each in a call of its own, at the version that the one before it left."""
    position = 0
    for number, each in enumerate(new):
        at = (
            version
            if version in (ANY, EXISTS) or not number
            else (number - 1 if version is NO_STREAM else version + number)
        )
        position = int(await client.append_to_stream(stream, current_version=at, events=each))
    return position


async def as_a_batch(client: Any, stream: str, version: Any, new: list[NewEvent]) -> int:
    return int(await client.append_events(stream, current_version=version, events=new))


written = pytest.mark.usefixtures("five")
ways = pytest.mark.parametrize("append", [with_one_call, one_by_one, as_a_batch])


class TestConnecting:
    async def test_gossip_names_one_leader_that_is_alive(self, server_uri: str) -> None:
        async with client_of("synchronous", server_uri) as client:  # the other one has no name for it
            [member] = await client.read_gossip()
        assert member.state == "NODE_STATE_LEADER"
        assert str(member.port) in server_uri

    @pytest.mark.parametrize("kind", KINDS)
    @pytest.mark.parametrize("preference", ["leader", "random"])
    async def test_a_node_is_discovered(self, kind: str, server_uri: str, preference: str, stream: str) -> None:
        uri = server_uri.replace("esdb://", "esdb+discover://") + f"&NodePreference={preference}"
        async with client_of(kind, uri) as client:
            assert await client.append_to_stream(stream, current_version=NO_STREAM, events=event())

    @pytest.mark.parametrize("kind", KINDS)
    @pytest.mark.parametrize(
        ("preference", "error"), [("follower", FollowerNotFound), ("readonlyreplica", ReadOnlyReplicaNotFound)]
    )
    async def test_a_role_that_nobody_has_is_not_found(
        self, kind: str, server_uri: str, preference: str, error: type[Exception]
    ) -> None:
        uri = server_uri.replace("esdb://", "esdb+discover://") + f"&NodePreference={preference}"
        with pytest.raises(error):
            async with client_of(kind, uri):
                pass

    @pytest.mark.parametrize("kind", KINDS)
    async def test_of_several_targets_the_one_that_answers_is_taken(
        self, kind: str, server_uri: str, stream: str
    ) -> None:
        target = server_uri.removeprefix("esdb://").partition("?")[0]
        async with client_of(kind, f"esdb://127.0.0.1:1,{target}?Tls=false") as client:
            assert await client.append_to_stream(stream, current_version=NO_STREAM, events=event())

    @pytest.mark.parametrize("kind", KINDS)
    async def test_a_caller_may_name_itself_and_its_connection_and_ask_often_whether_it_lives(
        self, kind: str, server_uri: str, stream: str
    ) -> None:
        target = server_uri.removeprefix("esdb://").partition("?")[0]
        more = "Tls=false&ConnectionName=tests&KeepAliveInterval=100&KeepAliveTimeout=1000&DefaultDeadline=20"
        async with client_of(kind, f"esdb://admin:changeit@{target}?{more}") as client:
            assert await client.append_to_stream(stream, current_version=NO_STREAM, events=event())
            assert len(await client.get_stream(stream)) == 1

    @pytest.mark.parametrize("kind", KINDS)
    async def test_nobody_is_reached_where_nobody_listens(self, kind: str) -> None:
        with pytest.raises(ServiceUnavailable):
            async with client_of(kind, "esdb://127.0.0.1:1?Tls=false") as client:
                await client.get_stream("any", timeout=5)

    @pytest.mark.parametrize("kind", KINDS)
    async def test_where_nobody_answers_nothing_is_discovered(self, kind: str) -> None:
        uri = "esdb+discover://127.0.0.1:1?Tls=false&MaxDiscoverAttempts=2&DiscoveryInterval=0&GossipTimeout=1"
        with pytest.raises(DiscoveryFailed):
            async with client_of(kind, uri):
                pass


class TestAppending:
    @ways
    @pytest.mark.parametrize("version", [NO_STREAM, ANY])
    async def test_a_stream_is_begun(self, client: Any, stream: str, append: Append, version: Any) -> None:
        position = await append(client, stream, version, new := events(3))
        found = await client.get_stream(stream)
        assert list(found) == new
        assert [e.stream_position for e in found] == [0, 1, 2]
        assert found[-1].commit_position == position
        assert await client.get_current_version(stream) == 2

    @ways
    @pytest.mark.parametrize("version", [4, ANY, EXISTS])
    @written
    async def test_a_stream_goes_on(self, client: Any, stream: str, append: Append, version: Any) -> None:
        await append(client, stream, version, events(2, "F"))
        assert types(await client.get_stream(stream)) == ["E0", "E1", "E2", "E3", "E4", "F0", "F1"]

    @ways
    @pytest.mark.parametrize("version", [NO_STREAM, 0, 3, 5, 100])
    @written
    async def test_at_another_version_nothing_is_written(
        self, client: Any, stream: str, append: Append, version: Any
    ) -> None:
        with pytest.raises(WrongCurrentVersion):
            await append(client, stream, version, events(2, "F"))
        assert len(await client.get_stream(stream)) == 5

    @ways
    @pytest.mark.parametrize("version", [0, EXISTS])
    async def test_a_stream_that_is_not_there_cannot_go_on(
        self, client: Any, stream: str, append: Append, version: Any
    ) -> None:
        with pytest.raises((WrongCurrentVersion, NotFound)):
            await append(client, stream, version, events(1))
        with pytest.raises(NotFound):
            await client.get_stream(stream)

    @ways
    @pytest.mark.parametrize("version", [NO_STREAM, ANY])
    async def test_the_same_again_is_written_once_and_answered_alike(
        self, client: Any, stream: str, append: Append, version: Any
    ) -> None:
        first = await append(client, stream, version, new := events(3))
        await client.append_to_stream(stream, current_version=2, events=event("later"))
        assert await append(client, stream, version, new) == first
        assert types(await client.get_stream(stream)) == ["E0", "E1", "E2", "later"]

    async def test_what_is_appended_is_read_back_as_it_was(self, client: Any, stream: str) -> None:
        new = [
            event("JSON", data=b'{"a": "\xc3\xbc"}', metadata=b'{"$correlationId": "c"}'),
            event("Bytes", data=bytes(range(256)), metadata=b"\x00", content_type="application/octet-stream"),
            event("Empty", data=b"", metadata=b"", content_type="application/octet-stream"),
            event("not JSON but called so", data=b"\xff{", metadata=b"{"),
            event("t\u00ffpe \u2603", data=b"{}"),
        ]
        await client.append_to_stream(stream, current_version=NO_STREAM, events=new)
        found = await client.get_stream(stream)
        assert [(e.type, e.data, e.metadata, e.content_type, e.id) for e in found] == [
            (e.type, e.data, e.metadata, e.content_type, e.id) for e in new
        ]
        assert all(e.recorded_at is not None for e in found)

    @pytest.mark.parametrize("name", ["with space", "ünïcode-☃", "a::b", "a@b-c", "x" * 500, "$system-like"])
    async def test_a_name_may_hold_anything(self, client: Any, name: str) -> None:
        stream = f"{name}{uuid.uuid4()}"
        await client.append_to_stream(stream, current_version=NO_STREAM, events=events(1))
        [found] = await client.get_stream(stream)
        assert found.stream_name == stream

    # the real server cannot name a stream outside ASCII in its refusal
    @pytest.mark.parametrize("name", ["with space", "a::b", "a@b-c", "x" * 500, "$system-like"])
    async def test_one_of_any_ascii_name_can_get_a_tombstone(self, client: Any, name: str) -> None:
        stream = f"{name}{uuid.uuid4()}"
        await client.append_to_stream(stream, current_version=NO_STREAM, events=events(1))
        await client.tombstone_stream(stream, current_version=0)
        with pytest.raises(StreamIsDeleted):
            await client.get_stream(stream)

    async def test_without_a_name_nothing_is_written(self, client: Any) -> None:
        # which of the two depends on the call that the client makes of it
        with pytest.raises((ExceptionThrownByHandler, BadRequestError)):
            await client.append_to_stream("", current_version=ANY, events=event())

    async def test_more_than_a_mebibyte_is_refused(self, client: Any, stream: str) -> None:
        half = event(data=b"x" * 600_000)
        with pytest.raises(MaximumAppendSizeExceededError):
            await client.append_events(stream, current_version=ANY, events=[half, event(data=half.data)])
        with pytest.raises((GrpcError, MaximumAppendSizeExceededError), match="1048576"):
            await client.append_to_stream(stream, current_version=ANY, events=event(data=b"x" * 1_100_000))
        with pytest.raises(MaximumAppendSizeExceededError):
            await client.append_events(stream, current_version=ANY, events=[event(data=b"x" * 5_000_000)])
        with pytest.raises(NotFound):
            await client.get_stream(stream)

    async def test_large_events_are_read_back_in_any_way(self, client: Any, stream: str) -> None:
        data = [bytes([number]) * 1_000_000 for number in range(20)]
        for number, each in enumerate(data):
            version = number - 1 if number else NO_STREAM
            new = event(data=each, content_type="application/octet-stream")
            await client.append_to_stream(stream, current_version=version, events=new)
        assert [e.data for e in await client.get_stream(stream)] == data
        ours: dict[str, Any] = {"filter_include": [stream], "filter_by_stream_name": True}
        assert [e.data for e in await all_of(await client.read_all(backwards=True, **ours))] == data[::-1]
        for following in (await client.subscribe_to_stream(stream), await client.subscribe_to_all(**ours)):
            assert [(await anext(following)).data for _ in data] == data
            await following.stop()

    async def test_many_events_at_once_are_one_append(self, client: Any, stream: str) -> None:
        position = await client.append_to_stream(stream, current_version=NO_STREAM, events=events(5_000))
        found = await client.get_stream(stream)
        assert types(found) == [f"E{n}" for n in range(5_000)]
        assert found[-1].commit_position == position

    async def test_without_any_time_the_deadline_has_passed(self, client: Any, stream: str) -> None:
        # the asyncio client may take a deadline that passes while it waits for a cancellation
        with pytest.raises((EventStoreDBClientException, asyncio.CancelledError)):
            await client.append_to_stream(stream, current_version=ANY, events=events(1), timeout=0)

    async def test_no_events_leave_no_stream(self, client: Any, stream: str) -> None:
        await client.append_events(stream, current_version=NO_STREAM, events=[])
        with pytest.raises(NotFound):
            await client.get_stream(stream)


class TestReadingAStream:
    @pytest.mark.parametrize(
        ("how", "wanted"),
        [
            ({}, "01234"),
            ({"limit": 2}, "01"),
            ({"stream_position": 3}, "34"),
            ({"stream_position": 1, "limit": 2}, "12"),
            ({"stream_position": 9}, ""),
            ({"backwards": True}, "43210"),
            ({"backwards": True, "limit": 2}, "43"),
            ({"backwards": True, "stream_position": 1}, "10"),
            ({"backwards": True, "stream_position": 0}, "0"),
            ({"backwards": True, "stream_position": 9}, "43210"),
            ({"limit": 9}, "01234"),
            ({"stream_position": 5}, ""),
        ],
    )
    @written
    async def test_from_anywhere_both_ways(self, client: Any, stream: str, how: dict[str, Any], wanted: str) -> None:
        numbers = [f"E{n}" for n in wanted]
        assert types(await client.get_stream(stream, **how)) == numbers
        assert types(await all_of(await client.read_stream(stream, **how))) == numbers

    async def test_one_that_is_not_there(self, client: Any, stream: str) -> None:
        with pytest.raises(NotFound):
            await client.get_stream(stream)
        with pytest.raises(NotFound):
            await all_of(await client.read_stream(stream))
        assert await client.get_current_version(stream) is NO_STREAM

    @written
    async def test_left_early_it_ends(self, client: Any, stream: str) -> None:
        reading = await client.read_stream(stream)
        assert (await anext(reading)).type == "E0"
        await reading.stop()
        with pytest.raises(StopAsyncIteration):
            await anext(reading)


class TestReadingEverything:
    async def test_forwards_from_a_position_on_and_backwards_before_it(self, client: Any, five: Any) -> None:
        third = five[2].commit_position
        ours = {"filter_include": [five[0].stream_name], "filter_by_stream_name": True}
        assert types(await all_of(await client.read_all(commit_position=third, **ours))) == ["E2", "E3", "E4"]
        backwards = await client.read_all(commit_position=third, backwards=True, **ours)
        assert types(await all_of(backwards)) == ["E1", "E0"]
        assert types(await all_of(await client.read_all(backwards=True, limit=2, **ours))) == ["E4", "E3"]

    @pytest.mark.sends_unknown_positions
    async def test_before_its_beginning_and_after_its_end_there_is_nothing(self, client: Any, five: Any) -> None:
        end = await client.get_commit_position(filter_exclude=[])
        assert end >= five[-1].commit_position
        assert await all_of(await client.read_all(commit_position=0, backwards=True)) == []
        assert await all_of(await client.read_all(commit_position=2**62, filter_exclude=[])) == []

    @pytest.mark.sends_unknown_positions
    async def test_backwards_from_beyond_its_end_is_refused(self, client: Any) -> None:
        for filtered, result in (([], "ReadAllResult"), (["Happened"], "FilteredReadAllResult")):
            with pytest.raises(EventStoreDBClientException, match=f"Unexpected {result}: Error"):
                await all_of(await client.read_all(commit_position=2**62, backwards=True, filter_exclude=filtered))

    @pytest.mark.sends_unknown_positions
    @pytest.mark.parametrize("beside", [-1, 1])
    async def test_a_position_beside_that_of_an_event_is_refused(self, client: Any, five: Any, beside: int) -> None:
        position = five[2].commit_position + beside
        for backwards in (False, True):
            for filtered, result in (([], "ReadAllResult"), (["Happened"], "FilteredReadAllResult")):
                with pytest.raises(EventStoreDBClientException, match=f"Unexpected {result}: InvalidPosition"):
                    await all_of(
                        await client.read_all(commit_position=position, backwards=backwards, filter_exclude=filtered)
                    )

    async def test_positions_rise_and_are_those_of_the_streams(self, client: Any, five: Any) -> None:
        first = await all_of(await client.read_all(filter_exclude=[], limit=100))
        last = await all_of(await client.read_all(filter_exclude=[], commit_position=five[0].commit_position))
        for read in (first, last):
            positions = [e.commit_position or 0 for e in read]
            assert positions == sorted(set(positions))
        by_id = {e.id: e.commit_position for e in last}
        assert [by_id[e.id] for e in five] == [e.commit_position for e in five]
        assert first[0].type.startswith("$")

    @pytest.mark.parametrize(
        ("how", "wanted"),
        [
            ({"filter_include": ["A.*"]}, ["Alpha", "Able"]),
            ({"filter_include": ["Alpha", "Beta"]}, ["Alpha", "Beta"]),
            ({"filter_include": ["Alp"]}, []),
            ({"filter_exclude": ["A.*", r"\$.+"]}, ["Beta", "Gamma"]),
            ({"filter_exclude": ["Alpha"]}, ["Beta", "Gamma", "Able"]),
            ({"filter_exclude": [r".*a"]}, ["Able"]),
        ],
    )
    async def test_types_are_chosen_or_left_out(
        self, client: Any, stream: str, how: dict[str, Any], wanted: list[str]
    ) -> None:
        new = [event(t) for t in ("Alpha", "Beta", "Gamma", "Able")]
        position = await client.append_to_stream(stream, current_version=NO_STREAM, events=new)
        first = (await client.get_stream(stream))[0].commit_position
        found = [e async for e in await client.read_all(commit_position=first, **how) if e.commit_position <= position]
        assert types(found) == wanted

    async def test_streams_are_chosen_or_left_out(self, client: Any, stream: str) -> None:
        for suffix in ("a", "b"):
            await client.append_to_stream(f"{stream}{suffix}", current_version=NO_STREAM, events=event(suffix))
        by_name: dict[str, Any] = {"filter_by_stream_name": True}
        chosen = await all_of(await client.read_all(filter_include=[f"{stream}b"], **by_name))
        assert types(chosen) == ["b"]
        first = (await client.get_stream(f"{stream}a"))[0].commit_position
        left = await all_of(await client.read_all(commit_position=first, filter_exclude=[f"{stream}a"], **by_name))
        assert "a" not in types(e for e in left if e.stream_name.startswith(stream))

    async def test_the_end_of_the_log_is_reported(self, client: Any, stream: str) -> None:
        position = await client.append_to_stream(stream, current_version=NO_STREAM, events=event("Last"))
        assert await client.get_commit_position(filter_include=["Last"]) == position
        assert await client.get_commit_position(filter_include=["Never"]) == 0
        before = await client.get_commit_position(filter_exclude=["Last", r"\$.+"])
        assert before != position

    async def test_an_expression_that_is_none_makes_the_handler_throw(self, client: Any) -> None:
        with pytest.raises(ExceptionThrownByHandler):
            await all_of(await client.read_all(filter_include=["("]))


class TestRemoving:
    @pytest.mark.parametrize("version", [4, ANY, EXISTS])
    @written
    async def test_a_deleted_stream_is_not_found_and_can_be_begun_again(
        self, client: Any, stream: str, version: Any
    ) -> None:
        await client.delete_stream(stream, current_version=version)
        with pytest.raises(NotFound):
            await client.get_stream(stream)
        assert await client.get_current_version(stream) is NO_STREAM
        await client.append_to_stream(stream, current_version=NO_STREAM, events=event("again"))
        [found] = await client.get_stream(stream)
        assert (found.type, found.stream_position) == ("again", 5)

    @pytest.mark.parametrize("version", [4, ANY, EXISTS])
    @written
    async def test_a_tombstone_is_for_ever(self, client: Any, stream: str, version: Any) -> None:
        await client.tombstone_stream(stream, current_version=version)
        for act in (
            client.get_stream(stream),
            client.get_current_version(stream),
            client.delete_stream(stream, current_version=ANY),
            client.tombstone_stream(stream, current_version=ANY),
            client.append_events(stream, current_version=ANY, events=events(1)),
        ):
            with pytest.raises(StreamIsDeleted):
                await act

    @pytest.mark.parametrize("way", ["delete_stream", "tombstone_stream"])
    @written
    async def test_at_another_version_it_stays(self, client: Any, stream: str, way: str) -> None:
        for version in (NO_STREAM, 3, 5):
            with pytest.raises(WrongCurrentVersion):
                await getattr(client, way)(stream, current_version=version)
        assert len(await client.get_stream(stream)) == 5

    async def test_what_is_not_there_is_not_found(self, client: Any, stream: str) -> None:
        for version in (ANY, EXISTS, 0):
            with pytest.raises(NotFound):
                await client.delete_stream(stream, current_version=version)
        for version in (EXISTS, 0):
            with pytest.raises(NotFound):
                await client.tombstone_stream(stream, current_version=version)
        await client.tombstone_stream(stream, current_version=ANY)
        with pytest.raises(StreamIsDeleted):
            await client.get_stream(stream)

    @written
    async def test_a_deleted_stream_can_be_deleted_again_and_for_ever(self, client: Any, stream: str) -> None:
        await client.delete_stream(stream, current_version=4)
        await client.delete_stream(stream, current_version=4)
        with pytest.raises(StreamIsDeleted):
            await client.delete_stream(stream, current_version=EXISTS)
        await client.tombstone_stream(stream, current_version=4)
        with pytest.raises(StreamIsDeleted):
            await client.get_stream(stream)


class TestMetadata:
    async def test_there_is_none_at_first(self, client: Any, stream: str) -> None:
        assert await client.get_stream_metadata(stream) == ({}, NO_STREAM)

    @written
    async def test_it_is_set_at_the_version_expected(self, client: Any, stream: str) -> None:
        await client.set_stream_metadata(stream, metadata={"foo": "bar"}, current_version=NO_STREAM)
        assert await client.get_stream_metadata(stream) == ({"foo": "bar"}, 0)
        await client.set_stream_metadata(stream, metadata={"foo": 1}, current_version=0)
        assert await client.get_stream_metadata(stream) == ({"foo": 1}, 1)
        with pytest.raises(WrongCurrentVersion):
            await client.set_stream_metadata(stream, metadata={}, current_version=10)
        await client.set_stream_metadata(stream, metadata={"foo": 2})
        assert await client.get_stream_metadata(stream) == ({"foo": 2}, 2)

    @pytest.mark.parametrize(
        ("metadata", "wanted"),
        [
            ({"$maxCount": 2}, ["E3", "E4"]),
            ({"$tb": 3}, ["E3", "E4"]),
            ({"$maxAge": 3600}, ["E0", "E1", "E2", "E3", "E4"]),
            ({"$maxCount": 3, "$tb": 4}, ["E4"]),
            ({"$maxCount": "no number"}, ["E0", "E1", "E2", "E3", "E4"]),
        ],
    )
    @written
    async def test_it_says_what_can_be_read(
        self, client: Any, stream: str, metadata: dict[str, Any], wanted: list[str]
    ) -> None:
        await client.set_stream_metadata(stream, metadata=metadata)
        assert types(await client.get_stream(stream)) == wanted
        assert types(await client.get_stream(stream, backwards=True)) == wanted[::-1]
        everything = await client.read_all(filter_include=[stream], filter_by_stream_name=True)
        assert len(await all_of(everything)) == 5, "what is read of everything is not limited"

    @written
    async def test_a_deleted_stream_reports_its_own(self, client: Any, stream: str) -> None:
        await client.set_stream_metadata(stream, metadata={"foo": "bar"})
        await client.delete_stream(stream, current_version=ANY)
        assert (await client.get_stream_metadata(stream))[0] == {"$tb": 2**63 - 1}
        await client.append_to_stream(stream, current_version=ANY, events=event("again"))
        assert (await client.get_stream_metadata(stream))[0] == {"$tb": 5}

    @written
    async def test_that_of_a_tombstoned_stream_is_gone(self, client: Any, stream: str) -> None:
        await client.tombstone_stream(stream, current_version=ANY)
        with pytest.raises(StreamIsDeleted):
            await client.get_stream_metadata(stream)
