"""The embedded node: durable appends against the same node with a null store, single appends, reads, memory, start-up.

`python -m bench node [--quick]` prints one JSON object.
"""

import asyncio
import contextlib
import json
import statistics
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import grpc
from esdbclient import EventStoreDBClient, NewEvent, StreamState
from esdbclient.protos.Grpc import streams_pb2

from embedded.eventstore.node import node
from embedded.eventstore.records import Entry
from embedded.eventstore.writer import Head, Writer
from embedded.stack import started

WINDOW = 256  # appends on their way at once
AT_ONCE = 50_000  # requests made beforehand, so that making them is not measured
BATCH_APPEND = "/event_store.client.streams.Streams/BatchAppend"


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


def _request(number: int) -> Any:
    request = streams_pb2.BatchAppendReq(is_final=True)
    request.correlation_id.string = str(uuid.uuid4())
    request.options.stream_identifier.stream_name = f"bench-{uuid.uuid4().hex}".encode()
    request.options.no_stream.SetInParent()
    message = request.proposed_messages.add(data=b'{"number":%d,"text":"%s"}' % (number, b"x" * 200))
    message.id.string = str(uuid.uuid4())
    message.metadata["type"] = "Happened"
    message.metadata["content-type"] = "application/json"
    return request


async def pipelined(uri: str, count: int) -> float:
    """Appends per second, each to a stream of its own, over one BatchAppend call."""
    requests = [_request(number) for number in range(count)]
    room = asyncio.Semaphore(WINDOW)

    async def send() -> AsyncIterator[Any]:
        for request in requests:
            await room.acquire()
            yield request

    address = uri.removeprefix("esdb://").partition("?")[0]
    async with grpc.aio.insecure_channel(address) as channel:
        rpc: Any = channel.stream_stream(
            BATCH_APPEND, streams_pb2.BatchAppendReq.SerializeToString, streams_pb2.BatchAppendResp.FromString
        )
        begun = time.perf_counter()
        answered = 0
        async for answer in rpc(send()):
            assert answer.WhichOneof("result") == "success", answer
            room.release()
            answered += 1
        assert answered == count
        return count / (time.perf_counter() - begun)


def against_null(rounds: int, count: int, data: Path) -> dict[str, Any]:
    with started("eventstore", data) as durable, null_node() as null:
        pairs = []
        for number in range(rounds + 1):
            order = (durable, null) if number % 2 else (null, durable)
            rates = {uri: asyncio.run(pipelined(uri, count)) for uri in order}
            pairs.append((rates[durable], rates[null]))
    del pairs[0]  # the first round warms both
    ratios = [durable_rate / null_rate for durable_rate, null_rate in pairs]
    return {
        "durable_per_second": round(statistics.median(pair[0] for pair in pairs)),
        "null_per_second": round(statistics.median(pair[1] for pair in pairs)),
        "ratio": round(statistics.median(ratios), 3),
        "ratios": [round(ratio, 3) for ratio in ratios],
        "goal": 0.90,
    }


def singles(uri: str, count: int) -> dict[str, Any]:
    took = []
    with EventStoreDBClient(uri) as client:
        for number in range(count):
            event = NewEvent(type="Happened", data=b'{"number":%d}' % number)
            begun = time.perf_counter()
            client.append_to_stream(f"single-{uuid.uuid4().hex}", current_version=StreamState.NO_STREAM, events=event)
            took.append(time.perf_counter() - begun)
    took.sort()
    return {
        "per_second": round(count / sum(took)),
        "p50_ms": round(took[count // 2] * 1000, 3),
        "p99_ms": round(took[count * 99 // 100] * 1000, 3),
    }


def reads(uri: str) -> dict[str, Any]:
    with EventStoreDBClient(uri) as client:
        begun = time.perf_counter()
        events = sum(1 for _ in client.read_all())
        read = events / (time.perf_counter() - begun)
        begun = time.perf_counter()
        with client.subscribe_to_all() as subscription:
            for _ in range(events):
                next(subscription)
        return {"events": events, "read": round(read), "subscribed": round(events / (time.perf_counter() - begun))}


def at_size(events: int, data: Path) -> dict[str, Any]:
    """Read rates, start-up time and memory of a log that holds so many events."""
    with started("eventstore", data) as uri:
        for _ in range(0, events, AT_ONCE):
            asyncio.run(pipelined(uri, min(events, AT_ONCE)))
    begun = time.perf_counter()
    process = subprocess.Popen(
        [sys.executable, "-m", "embedded", "eventstore", "--port", "0", "--data", str(data)], stdout=subprocess.PIPE
    )
    assert process.stdout is not None
    ready = json.loads(process.stdout.readline())
    seconds = time.perf_counter() - begun
    try:
        figures = reads(ready["uri"])
        status = Path(f"/proc/{process.pid}/status")
        peak = [int(line.split()[1]) // 1024 for line in status.read_text().splitlines() if line.startswith("VmHWM")]
    finally:
        process.terminate()
        process.wait()
        process.stdout.close()
    return {**figures, "start_seconds": round(seconds, 3), "peak_mib": peak[0]}


def run(*, quick: bool) -> dict[str, Any]:
    """All figures; the quick form takes less than a minute."""
    with tempfile.TemporaryDirectory(prefix="orderstream-bench-") as folder:
        root = Path(folder)
        result: dict[str, Any] = {
            "pipelined": against_null(*((5, 2_000) if quick else (7, 10_000)), root / "pipelined")
        }
        with started("eventstore", root / "single") as uri:
            result["single"] = singles(uri, 500 if quick else 5_000)
        sizes = [10_000] if quick else [10_000, 100_000, 1_000_000]
        result["sizes"] = [at_size(size, root / str(size)) for size in sizes]
    return result


if __name__ == "__main__":  # the other side of the comparison, as a process of its own
    asyncio.run(_serve_null())
