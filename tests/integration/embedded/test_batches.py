"""BatchAppend as clients send it: in chunks, slowly, with a deadline of either form, and many at once."""

import asyncio
import time
import uuid
from collections import Counter
from typing import Any

import grpc
import pytest
from esdbclient.protos.Grpc import streams_pb2 as pb

METHOD = "/event_store.client.streams.Streams/BatchAppend"
LONGER_THAN_WITHOUT_DEADLINE = 2.5  # seconds
CONTENT = b'"' + b"x" * 1_000 + b'"'


def chunk(correlation: str, events: int, *, final: bool) -> pb.BatchAppendReq:
    request = pb.BatchAppendReq(is_final=final)
    request.correlation_id.string = correlation
    for _ in range(events):
        message = request.proposed_messages.add(data=CONTENT)
        message.id.string = str(uuid.uuid4())
        message.metadata.update({"type": "Happened", "content-type": "application/json"})
    return request


def opening(stream: str, events: int, *, final: bool, form: str = "", seconds: float = 0.0) -> pb.BatchAppendReq:
    request = chunk(str(uuid.uuid4()), events, final=final)
    request.options.stream_identifier.stream_name = stream.encode()
    request.options.any.SetInParent()
    if form == "relative":
        request.options.deadline.FromNanoseconds(round(seconds * 1e9))
    elif form == "absolute":
        request.options.deadline_21_10_0.FromNanoseconds(time.time_ns() + round(seconds * 1e9))
    return request


def opened(channel: grpc.aio.Channel) -> Any:
    return channel.stream_stream(METHOD, lambda m: m.SerializeToString(), pb.BatchAppendResp.FromString)()


def outcome(answer: pb.BatchAppendResp) -> str:
    return answer.error.message if answer.HasField("error") else "success"


@pytest.mark.parametrize("form", ["relative", "absolute"])
async def test_chunks_may_come_until_the_deadline_of_the_client(own_channel: grpc.aio.Channel, form: str) -> None:
    call, stream = opened(own_channel), f"s-{uuid.uuid4()}"
    first = opening(stream, 10, final=False, form=form, seconds=60)
    await call.write(first)
    answer = asyncio.create_task(call.read())
    done, _ = await asyncio.wait([answer], timeout=LONGER_THAN_WITHOUT_DEADLINE)
    assert not done, outcome(answer.result())
    for number in range(49):
        await call.write(chunk(first.correlation_id.string, 10, final=number == 48))
    answered = await answer
    assert (outcome(answered), answered.success.current_revision) == ("success", 499)
    call.cancel()


@pytest.mark.parametrize("form", ["relative", "absolute", ""])
async def test_chunks_that_do_not_come_in_time_are_answered(own_channel: grpc.aio.Channel, form: str) -> None:
    call = opened(own_channel)
    await call.write(opening(f"s-{uuid.uuid4()}", 1, final=False, form=form, seconds=0.2))
    assert outcome(await asyncio.wait_for(call.read(), 20)) == "Timeout"
    call.cancel()


async def test_each_append_of_a_flood_is_answered(own_channel: grpc.aio.Channel) -> None:
    call, answers = opened(own_channel), Counter[str]()

    async def send() -> None:
        for number in range(10_000):
            await call.write(opening(f"flood-{number % 50}", 1, final=True, form="absolute", seconds=60))

    sending = asyncio.create_task(send())
    for _ in range(10_000):
        answers[outcome(await call.read())] += 1
    await sending
    assert answers == {"success": 10_000}
    call.cancel()
