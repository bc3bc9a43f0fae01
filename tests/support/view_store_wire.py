"""A wire to the view store that can be cut, and behind which the store can be no primary for a while."""

import asyncio
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from urllib.parse import urlsplit

import bson

from tests.support.wire import Wire, laid

HEADER = struct.Struct("<iiii")  # length, request, the request that is answered, operation
MESSAGE = 2013  # OP_MSG: flags, then sections; the first one is the command
GREETINGS = {"hello", "ismaster", "isMaster"}
WRITES = {"insert", "update", "delete", "findAndModify", "createIndexes", "drop"}
NOT_PRIMARY = {"ok": 0.0, "errmsg": "not primary", "code": 10107, "codeName": "NotWritablePrimary"}


class ViewStoreWire(Wire):
    """`is_secondary`: writes are refused, as by a member that has just stepped down.

    `hangs`: it says hello, and answers nothing else. What it left without an answer stays so.
    """

    is_secondary = False
    hangs = False
    refused = 0

    async def _ask(
        self,
        reader: asyncio.StreamReader,
        there: asyncio.StreamWriter,
        back: asyncio.StreamWriter,
        calm: asyncio.Event,
    ) -> None:
        try:
            with suppress(ConnectionError, asyncio.IncompleteReadError):
                while True:
                    message = await _message(reader)
                    if calm.is_set():
                        await asyncio.Event().wait()
                    name = _command(message)
                    if self.is_secondary and name in WRITES:
                        self.refused += 1
                        back.write(_refusal(message))
                        await back.drain()
                    elif not (self.hangs and name not in GREETINGS):
                        there.write(message)
                        await there.drain()
        finally:
            there.close()


def _command(message: bytes) -> str:
    if HEADER.unpack_from(message)[3] != MESSAGE:
        return "hello"  # the first greeting of a connection has the older form
    body = message[HEADER.size + 5 :]
    return str(next(iter(bson.decode(body[: struct.unpack_from("<i", body)[0]]))))


def _refusal(message: bytes) -> bytes:
    answer = struct.pack("<IB", 0, 0) + bson.encode(NOT_PRIMARY)
    return HEADER.pack(HEADER.size + len(answer), 0, HEADER.unpack_from(message)[1], MESSAGE) + answer


async def _message(reader: asyncio.StreamReader) -> bytes:
    header = await reader.readexactly(HEADER.size)
    return header + await reader.readexactly(HEADER.unpack(header)[0] - HEADER.size)


@asynccontextmanager
async def view_store_wire(uri: str) -> AsyncIterator[tuple[ViewStoreWire, str]]:
    """The wire, and the URI to go through it instead."""
    address = urlsplit(uri)
    assert address.port is not None, "the embedded store names its port"
    async with laid(ViewStoreWire(address.port)) as between:
        yield between, address._replace(netloc=f"127.0.0.1:{between.port}").geturl()
