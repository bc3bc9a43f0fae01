"""Messages that no client sends on purpose get the code that is due, and the node goes on."""

import asyncio
import gzip
import struct
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from esdbclient import NewEvent, StreamState
from esdbclient.asyncio_client import AsyncEventStoreDBClient
from esdbclient.exceptions import (
    AlreadyExists,
    EventStoreDBClientException,
    NotFound,
    StreamIsDeleted,
    WrongCurrentVersion,
)
from esdbclient.protos.Grpc import streams_pb2 as pb

Client = AsyncEventStoreDBClient
LONG = "x" * 100_000
UMLAUTS = "ü" * 20_000
READ = "/event_store.client.streams.Streams/Read"
HEADERS, DATA, SETTINGS = 1, 0, 4  # frames
END_OF_HEADERS, END_OF_STREAM = 4, 1
INTERNAL = b"\x0bgrpc-status\x0213"


def frame(kind: int, flags: int, stream: int, payload: bytes) -> bytes:
    return struct.pack(">I", len(payload))[1:] + bytes((kind, flags)) + struct.pack(">I", stream) + payload


def header(name: str, value: str) -> bytes:
    return b"\x00" + bytes([len(name)]) + name.encode() + bytes([len(value)]) + value.encode()


async def answer_to_compressed(address: str, body: bytes) -> bytes:
    """What a node sends back to one message that says it is compressed by gzip, until the call ends."""
    reader, writer = await asyncio.open_connection(*address.split(":"))
    headers = {
        ":method": "POST", ":scheme": "http", ":path": READ, ":authority": address, "te": "trailers",
        "content-type": "application/grpc", "grpc-encoding": "gzip",
    }  # fmt: skip
    writer.write(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + frame(SETTINGS, 0, 0, b""))
    writer.write(frame(HEADERS, END_OF_HEADERS, 1, b"".join(header(*one) for one in headers.items())))
    writer.write(frame(DATA, END_OF_STREAM, 1, b"\x01" + struct.pack(">I", len(body)) + body))
    said = b""
    try:
        async with asyncio.timeout(20):
            while b"grpc-status" not in said or b"grpc-message" not in said:
                said += await reader.read(65_536)
    finally:
        writer.close()
    return said


def reading(stream: str) -> bytes:
    request = pb.ReadReq()
    options = request.options
    options.stream.stream_identifier.stream_name = stream.encode()
    options.stream.start.SetInParent()
    options.count = 10
    options.no_filter.SetInParent()
    options.uuid_option.string.SetInParent()
    return request.SerializeToString()


@pytest.mark.parametrize(
    "damaged",
    [b"no gzip at all", gzip.compress(reading("s"))[:-9], gzip.compress(reading("s"))[:-8] + b"\0" * 8],
    ids=["no gzip", "cut off", "a wrong checksum"],
)
async def test_a_damaged_gzip_message_is_internal(own_node: str, own_client: Client, damaged: bytes) -> None:
    assert INTERNAL in await answer_to_compressed(own_node, damaged)
    assert INTERNAL not in await answer_to_compressed(own_node, gzip.compress(reading("s")))
    assert await own_client.get_commit_position() == 0


Asking = Callable[[Client, str], Awaitable[Any]]


async def _append(client: Client, stream: str) -> None:
    await client.append_to_stream(stream, current_version=StreamState.ANY, events=[NewEvent("Happened", b"{}")])


async def _of_a_deleted_stream(client: Client, stream: str) -> None:
    await _append(client, stream)
    await client.tombstone_stream(stream, current_version=StreamState.ANY)
    await client.get_stream(stream)


async def _of_another_version(client: Client, stream: str) -> None:
    await _append(client, stream)
    await client.delete_stream(stream, current_version=7)


async def _twice(client: Client, stream: str) -> None:
    await client.create_subscription_to_stream("group", stream)
    await client.create_subscription_to_stream("group", stream)


ASKED: dict[str, tuple[Asking, type[EventStoreDBClientException]]] = {
    "a stream with a tombstone": (_of_a_deleted_stream, StreamIsDeleted),
    "a wrong version": (_of_another_version, WrongCurrentVersion),
    "a group that is there": (_twice, AlreadyExists),
    "a group that is not there": (lambda c, s: c.get_subscription_info("group", s), NotFound),
    "consumers of no group": (lambda c, s: c.read_subscription_to_stream("group", s), NotFound),
    "a group of a long name": (lambda c, s: c.get_subscription_info(s, "source"), NotFound),
    "a projection": (lambda c, s: c.enable_projection(name=s), NotFound),
}


@pytest.mark.parametrize("name", [LONG, UMLAUTS], ids=["ascii", "umlauts"])
@pytest.mark.parametrize("asked", list(ASKED))
async def test_a_name_of_many_kilobytes_gets_the_code_that_is_due(own_client: Client, asked: str, name: str) -> None:
    ask, expected = ASKED[asked]
    with pytest.raises(expected):
        await ask(own_client, name)
    assert await own_client.get_commit_position() >= 0
