"""The node as its log grows: appends, reads, subscriptions, memory, and the duration of a start."""

import itertools
import time
import uuid
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import grpc
from esdbclient import CaughtUp
from esdbclient.asyncio_client import AsyncEventStoreDBClient
from esdbclient.protos.Grpc import streams_pb2

from bench.appending import append_all, request
from bench.processes import memory_mib
from client.local.stack import Member

IN_ONE_APPEND = 100  # events
AT_ONCE = 100_000  # events that are made ready before they are sent
DATA = b'{"number":%d,"text":"%s"}'
READ = "/event_store.client.streams.Streams/Read"


async def by_size(root: Path, sizes: Sequence[int]) -> list[dict[str, Any]]:
    """One log grows through all sizes; its file is in `root`."""
    arguments = ["embedded", "eventstore", "--data", str(root / "large"), "--port", "0"]
    node = Member("eventstore", arguments, {}, root / "large.log")
    await node.start()
    try:
        return [await _at_size(node, events, before) for before, events in itertools.pairwise((0, *sizes))]
    finally:
        await node.stop()


async def _at_size(node: Member, events: int, before: int) -> dict[str, Any]:
    uri = node.ready["uri"]
    wrote = await _write(uri, events - before)
    client = AsyncEventStoreDBClient(uri)
    await client.connect()
    try:
        read = await _rate(await client.read_all(filter_exclude=[]), events)
        followed = await _rate(await client.subscribe_to_all(filter_exclude=[], include_caught_up=True), events)
        filtered = await _rate(await client.subscribe_to_all(include_caught_up=True), events)
    finally:
        await client.close()
    undecoded = await _rate_undecoded(node.ready["address"], events)
    memory = memory_mib(node.pid)
    await node.kill()
    after_a_kill = await _start(node)
    await node.stop()
    return {
        "events": events,
        "appended_per_second": round((events - before) / wrote),
        "read_per_second": round(read),
        "read_undecoded_per_second": round(undecoded),
        "subscribed_per_second": round(followed),
        "subscribed_with_filter_per_second": round(filtered),
        "memory_mib": memory,
        "start_seconds": await _start(node),
        "start_after_a_kill_seconds": after_a_kill,
    }


async def _start(node: Member) -> float:
    began = time.perf_counter()
    await node.start()
    return round(time.perf_counter() - began, 2)


async def _write(uri: str, count: int) -> float:
    """Seconds, without the making."""
    seconds = 0.0
    for first in range(0, count, AT_ONCE):
        requests = [
            request(f"large-{uuid.uuid4().hex}", -1, [("Happened", DATA % (n, b"x" * 200)) for n in numbers])
            for numbers in _batches(first, min(first + AT_ONCE, count))
        ]
        seconds += (await append_all(uri, requests))[0]
    return seconds


def _batches(first: int, end: int) -> list[range]:
    return [range(at, min(at + IN_ONE_APPEND, end)) for at in range(first, end, IN_ONE_APPEND)]


async def _rate(items: Any, events: int) -> float:
    """Events a second, to the end of what was there when it began."""
    began, seen = time.perf_counter(), 0
    async for item in items:
        if isinstance(item, CaughtUp):
            break
        seen += 1
    seconds = time.perf_counter() - began
    await items.stop()
    assert seen >= events, f"{seen} of {events}"
    return events / seconds


async def _rate_undecoded(address: str, events: int) -> float:
    """What the node gives to a client that does nothing with it."""
    wanted = streams_pb2.ReadReq()
    options = wanted.options
    for empty in (options.all.start, options.no_filter, options.uuid_option.string):
        empty.SetInParent()
    options.count = 2**63 - 1
    async with grpc.aio.insecure_channel(address) as channel:
        read: Any = channel.unary_stream(READ, streams_pb2.ReadReq.SerializeToString)
        began = time.perf_counter()
        seen = 0
        async for _ in read(wanted):
            seen += 1
        assert seen >= events, f"{seen} of {events}"
        return events / (time.perf_counter() - began)
