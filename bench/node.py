"""The embedded node: durable appends against the same node with a null store (G3), single ones, and large logs."""

import asyncio
import contextlib
import json
import subprocess
import sys
import tempfile
import uuid
from collections.abc import Iterable, Iterator
from pathlib import Path

from esdbclient import EventStoreDBClient, NewEvent, StreamState

from bench.appending import append_all, request
from bench.large import by_size
from bench.measuring import Result, Size, at_least, interleaved, latencies, latency_summary, median, ratios
from embedded.eventstore.node import node
from embedded.eventstore.records import Entry
from embedded.eventstore.stream_heads import Head, StreamHeads
from embedded.eventstore.writer import Writer
from embedded.stack import started


class NullHeads(StreamHeads):
    def look_up(self, streams: Iterable[str]) -> None: ...

    def _read_head(self, stream: str) -> Head:  # noqa: ARG002  # it knows none
        return Head(None, -1)


class NullWriter(Writer):
    """All the rules, no store."""

    heads = NullHeads

    def begin(self) -> None: ...

    def commit(self) -> list[Entry]:
        entries, self._new, self._new_streams = self._new, [], []
        return entries

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
                {"durable": lambda: pipelined(durable, count), "null": lambda: pipelined(null, count)},
                3 * size.rounds,  # single ones lie far apart
            )
        with started("eventstore", root / "single") as uri:
            alone = await singles(uri, size.operations)
        large = await by_size(root, size.events)
    what = "pipelined durable appends over those of the same node with a null store"
    return Result(
        [at_least("G3", what, ratios(rates["durable"], rates["null"]), 0.90)],
        {
            "appends_per_second": {name: median(values) for name, values in rates.items()},
            "single": alone,
            "by_events_in_the_log": large,
        },
    )


async def singles(uri: str, count: int) -> dict[str, float]:
    """One append at a time through esdbclient."""
    with EventStoreDBClient(uri) as client:

        async def append() -> None:
            event = NewEvent(type="Happened", data=b'{"number":1}')
            client.append_to_stream(f"single-{uuid.uuid4().hex}", current_version=StreamState.NO_STREAM, events=event)

        taken = await latencies(append, count)
    return {"per_second": round(count / sum(taken)), **latency_summary(taken)}


if __name__ == "__main__":  # the other side of the comparison, as a process of its own
    asyncio.run(_serve_null())
