"""The port of a member, before something that is no gRPC server."""

import asyncio
import gc
import socket
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from embedded.eventstore.members.front import Front

FLOOD = 16 * 1024 * 1024  # bytes
ROUNDS = 5_000  # of the event loop; 600 are enough for all of it if nobody is held up


class Flood:
    """Sends as much as is taken, then ends the connection."""

    def __init__(self) -> None:
        self.taken = 0

    async def send(self, _: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        chunk = bytes(64 * 1024)
        while self.taken < FLOOD:
            writer.write(chunk)
            await writer.drain()
            self.taken += len(chunk)
        writer.close()


@pytest.fixture
async def flood(tmp_path: Path) -> AsyncIterator[tuple[Flood, Front]]:
    flood, path = Flood(), str(tmp_path / "s")
    async with await asyncio.start_unix_server(flood.send, path):
        front = Front("127.0.0.1", 0, path)
        await front.open()
        yield flood, front
        await front.close()


async def test_a_connection_to_a_server_that_has_stopped_is_reset(tmp_path: Path) -> None:
    front = Front("127.0.0.1", 0, str(tmp_path / "nobody listens here"))
    await front.open()
    reader, writer = await asyncio.open_connection("127.0.0.1", front.port)
    with pytest.raises(ConnectionResetError):
        await reader.read(1)
    writer.close()
    await front.close()


async def test_a_client_that_does_not_read_holds_up_its_server(flood: tuple[Flood, Front]) -> None:
    server, front = flood
    reader, writer = await asyncio.open_connection("127.0.0.1", front.port)
    for _ in range(ROUNDS):
        await asyncio.sleep(0)
    assert 0 < server.taken < FLOOD
    assert len(await reader.read(-1)) == FLOOD
    writer.close()
    await writer.wait_closed()


@pytest.mark.parametrize("passes", range(5))
async def test_a_connection_that_is_accepted_while_the_front_closes_leaves_no_socket(
    tmp_path: Path, passes: int
) -> None:
    front = Front("127.0.0.1", 0, str(tmp_path / "nobody listens here"))
    await front.open()
    front.hang()
    caller = socket.create_connection(("127.0.0.1", front.port))
    try:
        for _ in range(passes):  # of the loop, from not accepted yet to connected
            await asyncio.sleep(0)
        await front.close()
        gc.collect()  # an open socket warns, which fails the test
    finally:
        caller.close()
