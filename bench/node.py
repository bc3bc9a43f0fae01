"""The embedded node: durable appends against the same node with a null store (G3), reads, memory, start-up."""

import asyncio
import contextlib
import json
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from esdbclient import EventStoreDBClient, NewEvent, StreamState

from bench.appending import append_all, request
from bench.measuring import Result, Size, at_least, interleaved, latencies, median, ratios, told
from bench.processes import memory_mib
from embedded.eventstore.node import node
from embedded.eventstore.records import Entry
from embedded.eventstore.writer import Head, Writer
from embedded.stack import started

AT_ONCE = 50_000  # requests made beforehand, so that making them is not measured


class NullWriter(Writer):
    """All the rules, no store."""

    def begin(self) -> None: ...

    def commit(self) -> list[Entry]:
        entries, self._new = self._new, []
        return entries

    def _read_head(self, stream: str) -> Head:  # noqa: ARG002  # it knows none
        return Head(None, -1)

    def _flush(self) -> None:
        self._rows, self._stream_rows = [], []


async def _serve_null() -> None:
    async with node(None, writer=NullWriter) as address:
        print(json.dumps({"uri": f"esdb://{address}?Tls=false"}), flush=True)
        await asyncio.to_thread(sys.stdin.read)


@contextlib.contextmanager
def null_node() -> Iterator[str]:
    with subprocess.Popen(
        [sys.executable, "-m", "bench.node"], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        yield json.loads(process.stdout.readline())["uri"]
        process.stdin.close()
        process.wait()


async def pipelined(uri: str, count: int) -> float:
    """Appends per second, each to a stream of its own, over one BatchAppend call."""
    requests = [
        request(f"bench-{uuid.uuid4().hex}", -1, [("Happened", b'{"number":%d,"text":"%s"}' % (number, b"x" * 200))])
        for number in range(count)
    ]
    seconds, _ = await append_all(uri, requests)
    return count / seconds


async def run(size: Size) -> Result:
    with tempfile.TemporaryDirectory(prefix="orderstream-bench-") as folder:
        root = Path(folder)
        with started("eventstore", root / "pipelined") as durable, null_node() as null:
            count = 3 * size.operations
            rates = await interleaved(
                {"durable": lambda: pipelined(durable, count), "null": lambda: pipelined(null, count)}, size.rounds
            )
        with started("eventstore", root / "single") as uri:
            alone = await singles(uri, size.operations)
        sizes = [await at_size(events, root / str(events)) for events in size.events]
    what = "pipelined durable appends over those of the same node with a null store"
    return Result(
        [at_least("G3", what, ratios(rates["durable"], rates["null"]), 0.90)],
        {
            "appends_per_second": {name: median(values) for name, values in rates.items()},
            "single": alone,
            "sizes": sizes,
        },
    )


async def singles(uri: str, count: int) -> dict[str, float]:
    """One append at a time through esdbclient."""
    with EventStoreDBClient(uri) as client:

        async def append() -> None:
            event = NewEvent(type="Happened", data=b'{"number":1}')
            client.append_to_stream(f"single-{uuid.uuid4().hex}", current_version=StreamState.NO_STREAM, events=event)

        taken = await latencies(append, count)
    return {"per_second": round(count / sum(taken)), **told(taken)}


def reads(uri: str) -> dict[str, Any]:
    """Events per second, read and subscribed to."""
    with EventStoreDBClient(uri) as client:
        began = time.perf_counter()
        events = sum(1 for _ in client.read_all())
        read = events / (time.perf_counter() - began)
        began = time.perf_counter()
        with client.subscribe_to_all() as subscription:
            for _ in range(events):
                next(subscription)
        return {"events": events, "read": round(read), "subscribed": round(events / (time.perf_counter() - began))}


async def at_size(events: int, data: Path) -> dict[str, Any]:
    """Read rates, start-up time and memory of a log that holds so many events."""
    with started("eventstore", data) as uri:
        for _ in range(0, events, AT_ONCE):
            await pipelined(uri, min(events, AT_ONCE))
    began = time.perf_counter()
    process = subprocess.Popen(  # noqa: ASYNC220  # nothing else runs in this loop
        [sys.executable, "-m", "embedded", "eventstore", "--port", "0", "--data", str(data)], stdout=subprocess.PIPE
    )
    assert process.stdout is not None
    ready = json.loads(process.stdout.readline())
    seconds = time.perf_counter() - began
    try:
        figures = reads(ready["uri"])
        memory = memory_mib(process.pid)
    finally:
        process.terminate()
        process.wait()
        process.stdout.close()
    return {**figures, "start_seconds": round(seconds, 3), "memory_mib": memory}


if __name__ == "__main__":  # the other side of the comparison, as a process of its own
    asyncio.run(_serve_null())
