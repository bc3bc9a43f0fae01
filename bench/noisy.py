"""What a caller over its quota costs the others: p99 of a quiet caller alone, and beside a noisy one.

One command service asks who calls. The quiet caller registers products at a low, fixed rate. The noisy one sends the
same command as fast as it can, and is refused above its quota. It is a process of the lowest priority: elsewhere a
caller has a machine of its own, and takes no processor time from the service.
"""

import asyncio
import json
import os
import sys
import tempfile
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import grpc

from bench.measuring import (
    Operation,
    Result,
    Size,
    at_most,
    interleaved,
    latency_summary,
    median,
    open_loop,
    percentile,
    ratios,
    schedule,
)
from bench.processes import Meter
from bench.running import fresh_stack, pids
from bench.verified import ROLE, register_product
from client.api_keys import new_key, toml_entry

QUIET_PER_SECOND = 10
AT_ONCE = 64  # calls of the noisy caller in flight
WHAT = "p99 of a quiet caller beside a noisy one to that alone"
MAX_RATIO = 2.0
LONGER = 2  # rounds are so many times as long as elsewhere: a p99 needs calls
LOWEST = 19  # priority
BEGUN_AFTER = 2.0  # seconds, in which the noisy caller uses up what its quota lets it do at once


async def run(size: Size) -> Result:
    with tempfile.TemporaryDirectory() as directory:
        keys = {name: new_key() for name in ("quiet", "noisy")}
        file = Path(directory) / "keys.toml"
        file.write_text("".join(toml_entry(key, name, [ROLE]) for name, key in keys.items()))
        async with fresh_stack() as running:
            await running.members["projections"].stop()
            commands = running.members["commands"]
            await commands.stop()
            commands.environment = {**commands.environment, "ORDERSTREAM_API_KEYS_FILE": str(file)}
            await commands.start()
            address = commands.ready["address"]
            async with grpc.aio.insecure_channel(address) as channel, _noisy(address, keys["noisy"]) as noisy:
                return await _measured(
                    register_product(channel, keys["quiet"]), noisy, Meter(pids(running, "commands")), size
                )


class _Noisy:
    """The other process: `begin` and `end` a time of noise."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process
        self.outcomes: Counter[str] = Counter()

    async def begin(self) -> None:
        await self._say("begin")
        await asyncio.sleep(BEGUN_AFTER)

    async def end(self) -> None:
        await self._say("end")
        assert self._process.stdout is not None
        self.outcomes.update(json.loads(await self._process.stdout.readline()))

    async def _say(self, word: str) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(f"{word}\n".encode())
        await self._process.stdin.drain()


async def _measured(quiet: Operation, noisy: _Noisy, meter: Meter, size: Size) -> Result:
    due = schedule(QUIET_PER_SECOND, LONGER * size.seconds)
    taken: dict[str, list[float]] = {"alone": [], "beside": []}

    async def alone() -> float:
        now = await open_loop(quiet, due)
        taken["alone"] += now
        return percentile(now, 0.99)

    async def beside() -> float:
        await noisy.begin()
        before = sum(noisy.outcomes.values())
        meter.start()
        now = await open_loop(quiet, due)
        await noisy.end()
        meter.stop(sum(noisy.outcomes.values()) - before)
        taken["beside"] += now
        return percentile(now, 0.99)

    p99 = await interleaved({"alone": alone, "beside": beside}, size.rounds)
    refused = noisy.outcomes["RESOURCE_EXHAUSTED"] / max(1, sum(noisy.outcomes.values()))
    return Result(
        [
            at_most(
                "S2",
                "p99 of a quiet caller beside a noisy one to that alone",
                ratios(p99["beside"], p99["alone"]),
                MAX_RATIO,
            )
        ],
        {
            **{name: latency_summary(values) for name, values in taken.items()},
            "p99_ms": {name: median([1_000 * value for value in values], 2) for name, values in p99.items()},
            "noisy": dict(noisy.outcomes),
            "refused_share": round(refused, 3),
            "cpu_us_per_noisy_call": meter.per_operation()["commands"],
        },
    )


@asynccontextmanager
async def _noisy(address: str, key: str) -> AsyncIterator[_Noisy]:
    pipe = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "bench.noisy", address, key, stdin=pipe, stdout=pipe
    )
    assert process.stdin is not None
    try:
        yield _Noisy(process)
    finally:
        process.stdin.close()
        await process.wait()


async def _make_noise(address: str, key: str) -> None:
    os.nice(LOWEST)
    reader = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    async with grpc.aio.insecure_channel(address) as channel:
        register = register_product(channel, key)
        while await reader.readline():
            outcomes, stop = Counter[str](), asyncio.Event()

            async def worker(outcomes: Counter[str] = outcomes, stop: asyncio.Event = stop) -> None:
                while not stop.is_set():
                    try:
                        await register()
                    except grpc.aio.AioRpcError as error:
                        outcomes[error.code().name] += 1
                    else:
                        outcomes["OK"] += 1

            workers = [asyncio.create_task(worker()) for _ in range(AT_ONCE)]
            await reader.readline()
            stop.set()  # no call is cancelled: of hundreds at once, gRPC may not return
            await asyncio.gather(*workers)
            print(json.dumps(outcomes), flush=True)


if __name__ == "__main__":
    asyncio.run(_make_noise(*sys.argv[1:]))
