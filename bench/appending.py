"""Fast writes of histories: BatchAppend requests prepared beforehand, sent over one call, with a window in flight."""

import asyncio
import time
import uuid
from collections.abc import AsyncIterator, Sequence
from typing import Any

import grpc
from esdbclient.protos.Grpc import streams_pb2

WINDOW = 256  # appends on their way at once
BATCH_APPEND = "/event_store.client.streams.Streams/BatchAppend"


def request(stream: str, expected: int, events: Sequence[tuple[str, bytes]], metadata: bytes = b"") -> Any:
    """Events as (type, JSON), to be written after revision `expected` (-1: the stream is new)."""
    made = streams_pb2.BatchAppendReq(is_final=True)
    made.correlation_id.string = str(uuid.uuid4())
    made.options.stream_identifier.stream_name = stream.encode()
    if expected < 0:
        made.options.no_stream.SetInParent()
    else:
        made.options.stream_position = expected
    for event_type, data in events:
        message = made.proposed_messages.add(data=data, custom_metadata=metadata)
        message.id.string = str(uuid.uuid4())
        message.metadata["type"] = event_type
        message.metadata["content-type"] = "application/json"
    return made


async def append_all(uri: str, requests: Sequence[Any]) -> tuple[float, int]:
    """The seconds it took, and the position of the last event. They are carried out in order."""
    room = asyncio.Semaphore(WINDOW)

    async def send() -> AsyncIterator[Any]:
        for one in requests:
            await room.acquire()
            yield one

    address = uri.removeprefix("esdb://").partition("?")[0]
    async with grpc.aio.insecure_channel(address) as channel:
        rpc: Any = channel.stream_stream(
            BATCH_APPEND, streams_pb2.BatchAppendReq.SerializeToString, streams_pb2.BatchAppendResp.FromString
        )
        began = time.perf_counter()
        answered = last = 0
        async for answer in rpc(send()):
            assert answer.WhichOneof("result") == "success", answer
            room.release()
            answered += 1
            last = max(last, answer.success.position.commit_position)
        assert answered == len(requests)
        return time.perf_counter() - began, last
