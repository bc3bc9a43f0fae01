"""Requests to streams as no official client sends them by itself, and what a real server answers."""

import uuid
from typing import Any

import grpc
import pytest
from esdbclient import NewEvent, StreamState
from esdbclient.asyncio_client import AsyncEventStoreDBClient
from esdbclient.protos.Grpc import streams_pb2 as pb

STREAMS = "/event_store.client.streams.Streams/"
END = 2**64 - 1
HANDLER = "Exception was thrown by handler."
Client = AsyncEventStoreDBClient


async def asked(channel: grpc.aio.Channel, method: str, response: Any, *requests: Any) -> list[Any]:
    """All answers to these requests. Raises what ended the call, if that is an error."""
    rpc: Any = channel.stream_stream(method, lambda m: m.SerializeToString(), response.FromString)
    call = rpc(iter(requests), timeout=20)
    return [message async for message in call]


async def refused(channel: grpc.aio.Channel, method: str, response: Any, *requests: Any) -> tuple[str, str]:
    with pytest.raises(grpc.aio.AioRpcError) as failed:
        await asked(channel, method, response, *requests)
    return failed.value.code().name, str(failed.value.details())


def appending(stream: bytes, *ids: str, revision: int | None = None) -> list[Any]:
    first = pb.AppendReq()
    first.options.stream_identifier.stream_name = stream
    if revision is None:
        first.options.any.SetInParent()
    else:
        first.options.revision = revision
    requests = [first]
    for id_ in ids:
        request = pb.AppendReq()
        request.proposed_message.id.string = id_
        request.proposed_message.metadata.update({"type": "Happened", "content-type": "application/json"})
        requests.append(request)
    return requests


def reading(stream: bytes, revision: int | None = 0, *, compatibility: int = 0, count: int = 99) -> Any:
    request = pb.ReadReq()
    options = request.options
    options.stream.stream_identifier.stream_name = stream
    if revision is None:
        options.stream.end.SetInParent()
    else:
        options.stream.revision = revision
    options.count = count
    options.no_filter.SetInParent()
    options.uuid_option.string.SetInParent()
    options.control_option.compatibility = compatibility
    return request


def removing(kind: Any, stream: bytes, revision: int | None = None) -> Any:
    request = kind()
    request.options.stream_identifier.stream_name = stream
    if revision is None:
        request.options.any.SetInParent()
    else:
        request.options.revision = revision
    return request


def new_id() -> str:
    return str(uuid.uuid4())


async def append(channel: grpc.aio.Channel, *requests: Any) -> Any:
    [reply] = await asked(channel, STREAMS + "Append", pb.AppendResp, *requests)
    return reply


class TestExpecting:
    async def test_the_end_is_expecting_no_stream(self, own_channel: grpc.aio.Channel) -> None:
        first = appending(b"s-1", new_id(), revision=END)
        assert (await append(own_channel, *first)).success.current_revision == 0
        assert (await append(own_channel, *first)).success.current_revision == 0, "a repeat"
        wrong = (await append(own_channel, *appending(b"s-1", new_id(), revision=END))).wrong_expected_version
        assert wrong.current_revision == 0
        assert wrong.expected_revision == wrong.expected_revision_20_6_0 == END

    async def test_the_end_of_what_is_removed(self, own_channel: grpc.aio.Channel) -> None:
        await append(own_channel, *appending(b"s-1", new_id()))
        refusal = await refused(
            own_channel, STREAMS + "Delete", pb.DeleteResp, removing(pb.DeleteReq, b"s-1", revision=END)
        )
        assert refusal[1].endswith("Expected version: -1, Actual version: 0")
        request = removing(pb.TombstoneReq, b"none-1", revision=END)
        assert len(await asked(own_channel, STREAMS + "Tombstone", pb.TombstoneResp, request)) == 1

    @pytest.mark.parametrize(
        ("method", "request_", "response"),
        [("Append", pb.AppendReq, pb.AppendResp), ("Delete", pb.DeleteReq, pb.DeleteResp),
         ("Tombstone", pb.TombstoneReq, pb.TombstoneResp)],
    )  # fmt: skip
    async def test_nothing_at_all(
        self, own_channel: grpc.aio.Channel, method: str, request_: Any, response: Any
    ) -> None:
        request = request_()
        request.options.stream_identifier.stream_name = b"s-1"
        name = f"EventStore.Client.Streams.{method}Req+Types+Options+ExpectedStreamRevisionOneofCase"
        refusal = await refused(own_channel, STREAMS + method, response, request)
        assert refusal == ("INVALID_ARGUMENT", f"'None' is not a valid {name}")


class TestAppending:
    async def test_an_id_may_have_blanks_around_it(self, own_channel: grpc.aio.Channel) -> None:
        id_ = new_id()
        await append(own_channel, *appending(b"s-1", f" {id_.upper()} "))
        [event] = await asked(own_channel, STREAMS + "Read", pb.ReadResp, reading(b"s-1"))
        assert event.event.event.id.string == id_

    async def test_a_message_without_content_after_the_options(self, own_channel: grpc.aio.Channel) -> None:
        refusal = await refused(own_channel, STREAMS + "Append", pb.AppendResp, *appending(b"s-1"), pb.AppendReq())
        assert refusal == ("UNKNOWN", HANDLER)

    async def test_no_events_have_a_position_of_their_own_that_can_be_read_from(
        self, own_channel: grpc.aio.Channel, own_client: Client
    ) -> None:
        await append(own_channel, *appending(b"s-1", new_id()))
        empty = [(await append(own_channel, *appending(b"s-1"))).success for _ in range(2)]
        assert [success.current_revision for success in empty] == [0, 0]
        places = [success.position.commit_position for success in empty]
        await append(own_channel, *appending(b"s-2", new_id()))
        events = [e async for e in await own_client.read_all(filter_exclude=[])]
        at = [e.commit_position or 0 for e in events]
        assert at[-2] < places[0] < places[1] < at[-1], "and none of them is shown"
        found = [e async for e in await own_client.read_all(filter_exclude=[], commit_position=places[0])]
        assert [e.stream_name for e in found] == ["s-2"]


class TestNames:
    async def test_bytes_that_are_not_utf_8_are_replaced(self, own_channel: grpc.aio.Channel) -> None:
        await append(own_channel, *appending(b"s-\xff\xfe", new_id()))
        [event] = await asked(own_channel, STREAMS + "Read", pb.ReadResp, reading(b"s-\xff\xfe"))
        assert event.event.event.stream_identifier.stream_name.decode() == "s-\ufffd\ufffd"

    async def test_the_metadata_of_no_stream_can_be_read_and_not_written(self, own_channel: grpc.aio.Channel) -> None:
        [found] = await asked(own_channel, STREAMS + "Read", pb.ReadResp, reading(b"$$"))
        assert found.stream_not_found.stream_identifier.stream_name == b"$$"
        refusal = await refused(own_channel, STREAMS + "Delete", pb.DeleteResp, removing(pb.DeleteReq, b"$$"))
        assert refusal[1].endswith("Stream: $$, Expected version: -2, Actual version: -1")
        written = await refused(own_channel, STREAMS + "Append", pb.AppendResp, *appending(b"$$"))
        assert written == ("UNKNOWN", HANDLER)

    @pytest.mark.parametrize("name", ["/Event_Store.Client.Streams.Streams/Read", STREAMS.lower() + "read"])
    async def test_of_methods_are_found_in_any_case(self, own_channel: grpc.aio.Channel, name: str) -> None:
        await append(own_channel, *appending(b"s-1", new_id()))
        assert len(await asked(own_channel, name, pb.ReadResp, reading(b"s-1"))) == 1

    @pytest.mark.parametrize(
        ("name", "what"), [(STREAMS + "Nope", "Method"), ("/grpc.health.v1.Health/Check", "Service")]
    )
    async def test_of_methods_that_are_not_there(self, own_channel: grpc.aio.Channel, name: str, what: str) -> None:
        refusal = await refused(own_channel, name, pb.ReadResp, pb.ReadReq())
        assert refusal == ("UNIMPLEMENTED", f"{what} is unimplemented.")


class TestReading:
    @pytest.mark.parametrize("revision", [None, END])
    @pytest.mark.parametrize("stream", [b"s-1", b"none-1"])
    async def test_forwards_from_the_end_fails(
        self, own_channel: grpc.aio.Channel, stream: bytes, revision: int | None
    ) -> None:
        await append(own_channel, *appending(b"s-1", new_id()))
        refusal = await refused(own_channel, STREAMS + "Read", pb.ReadResp, reading(stream, revision))
        assert refusal == ("UNKNOWN", "Unexpected ReadStreamResult: Error")

    @pytest.mark.parametrize(
        ("metadata", "where", "wanted"),
        [
            ({"$tb": 3}, (0, 3), ["first 3", 3, 4, 5, "last 7"]),
            ({"$tb": 3}, (1, 99), [3, 4, 5, 6, 7, "last 7"]),
            ({"$maxCount": 2}, (0, 1), ["first 6", 6, "last 7"]),
            ({"$tb": 8}, (0, 3), ["first 8", "last 7"]),
            ({"$tb": 100}, (0, 3), ["first 100", "first 8", "last 7"]),
            ({}, (8, 9), ["last 7"]),
            ({}, (20, 9), ["first 8", "last 7"]),
        ],
    )
    async def test_newer_clients_learn_where_a_stream_goes_on_that_has_nothing_in_the_first_page(
        self, own_client: Client, own_channel: grpc.aio.Channel, metadata: Any, where: tuple[int, int], wanted: Any
    ) -> None:
        await append(own_channel, *appending(b"s-1", *(new_id() for _ in range(8))))
        await own_client.set_stream_metadata("s-1", metadata=metadata)
        request = reading(b"s-1", where[0], compatibility=1, count=where[1])
        seen: list[Any] = []
        for message in await asked(own_channel, STREAMS + "Read", pb.ReadResp, request):
            kind = message.WhichOneof("content")
            shown = message.event.event.stream_revision
            seen.append(shown if kind == "event" else f"{kind.partition('_')[0]} {getattr(message, kind)}")
        assert seen == wanted

    async def test_an_age_beyond_the_calendar_makes_a_stream_unreadable(
        self, own_client: Client, own_channel: grpc.aio.Channel
    ) -> None:
        await append(own_channel, *appending(b"s-1", new_id()))
        await own_client.set_stream_metadata("s-1", metadata={"$maxAge": 99_999_999_999})
        refusal = await refused(own_channel, STREAMS + "Read", pb.ReadResp, reading(b"s-1"))
        assert refusal == ("UNKNOWN", "Unexpected ReadStreamResult: Error")

    async def test_an_empty_choice_of_ids_gives_them_in_two_halves(self, own_channel: grpc.aio.Channel) -> None:
        await append(own_channel, *appending(b"s-1", new_id()))
        request = reading(b"s-1")
        request.options.uuid_option.ClearField("string")
        request.options.uuid_option.SetInParent()
        [event] = await asked(own_channel, STREAMS + "Read", pb.ReadResp, request)
        assert event.event.event.id.HasField("structured")

    async def test_a_request_that_says_too_little_is_refused(self, own_channel: grpc.aio.Channel) -> None:
        async def refusal(*without: str, direction: int = 0) -> tuple[str, str]:
            request = reading(b"s-1")
            for field in without:
                request.options.ClearField(field)
            request.options.read_direction = direction
            return await refused(own_channel, STREAMS + "Read", pb.ReadResp, request)

        options = "EventStore.Client.Streams.ReadReq+Types+Options"
        source = f"'None' is not a valid {options}+StreamOptionOneofCase"
        ids = f" `uuidOption` is a required argument of type {options}+Types+UUIDOption"
        together = "The combination of (Stream, {}, {}, {}) is invalid."
        assert await refusal("stream") == ("INVALID_ARGUMENT", source)
        assert await refusal("uuid_option") == ("INVALID_ARGUMENT", ids)
        assert (await refusal("count"))[1] == together.format("None", "Forwards", "NoFilter")
        assert (await refusal("no_filter", direction=1))[1] == together.format("Count", "Backwards", "None")
        assert (await refusal(direction=5))[1] == together.format("Count", "5", "NoFilter")
        assert await refused(own_channel, STREAMS + "Read", pb.ReadResp, pb.ReadReq()) == ("UNKNOWN", HANDLER)

    async def test_a_filter_that_says_too_little_is_shown(self, own_channel: grpc.aio.Channel) -> None:
        request = reading(b"s-1")
        options = request.options
        options.all.start.SetInParent()
        options.filter.count.SetInParent()
        options.filter.checkpointIntervalMultiplier = 1
        kind = "EventStore.Client.Streams.ReadReq+Types+Options+Types+FilterOptions"
        shown = """'{ "count": { }, "checkpointIntervalMultiplier": 1 }' is not a valid """
        refusal = await refused(own_channel, STREAMS + "Read", pb.ReadResp, request)
        assert refusal == ("INVALID_ARGUMENT", shown + kind)
        options.filter.ClearField("window")
        options.filter.event_type.prefix.append("A")
        refusal = await refused(own_channel, STREAMS + "Read", pb.ReadResp, request)
        assert refusal == ("INVALID_ARGUMENT", f"'None' is not a valid {kind}+WindowOneofCase")


async def test_a_link_to_minus_one_leads_to_the_last_event(own_client: Client) -> None:
    events = [NewEvent(type=f"E{n}", data=b"{}") for n in range(3)]
    await own_client.append_to_stream("s-1", current_version=StreamState.NO_STREAM, events=events)
    links = [NewEvent(type="$>", data=d, content_type="application/octet-stream") for d in (b"-1@s-1", b"-2@s-1")]
    await own_client.append_to_stream("links", current_version=StreamState.NO_STREAM, events=links)
    found = [e.type async for e in await own_client.read_stream("links", resolve_links=True)]
    assert found[0] == "E2"
