"""The same job by other libraries, on the same node in the same run: one new aggregate saved per command. G9.

`eventsourcing` with its EventStoreDB extension runs in a virtual environment of its own, which this makes once; Emmett
(`@event-driven-io/emmett-esdb`) where node and npm are installed. Ours is measured with the gRPC hop of the service and
without it. What cannot be installed is reported, and nothing fails.
"""

import asyncio
import json
import shutil
import sys
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path

import grpc
from uuid_utils import uuid7

from bench.commands import register_product
from bench.measuring import (
    Operation,
    Result,
    Size,
    at_least,
    interleaved,
    latencies,
    median,
    not_measured,
    percentile,
    rate,
    ratios,
)
from bench.processes import Meter
from bench.running import fresh_stack, pids
from client.local.stack import Stack
from core.config import Settings
from core.domain.user import USER, commands
from core.domain.user.state import UserState
from core.eventstore.connection import connect
from core.eventstore.log import EventLog
from core.eventstore.repository import Repository
from core.eventstore.snapshots import Snapshots
from core.eventstore.store import EventStore
from server.commands.handler import CommandHandler, Envelope

AT_ONCE = 128
HOME = Path(sys.prefix) / "bench-peer"
HERE = Path(__file__).parent
PYTHON_PEER = ("eventsourcing==9.5.6", "eventsourcing-eventstoredb==1.2.0", "kurrentdbclient==1.3.5")
NODE_PEER = ("@event-driven-io/emmett-esdb@0.20.0",)
PATIENCE = 600.0  # seconds, for installing and for one round
GOAL = "commands/s {} over those of eventsourcing-eventstoredb at 128 at once"


class NotInstalledError(Exception):
    """Why a peer is left out."""


class Peer:
    """A program of the peer's own that answers `COMMANDS AT_ONCE` on stdin with a line of JSON."""

    def __init__(self, process: asyncio.subprocess.Process, versions: Mapping[str, str]) -> None:
        self._process = process
        self.versions = versions
        self.pid = process.pid

    async def measured(self, times: int, at_once: int) -> dict[str, float]:
        """`seconds` for all, and `p50` of one."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(f"{times} {at_once}\n".encode())
        async with asyncio.timeout(PATIENCE):
            line = await self._process.stdout.readline()
        if not line:
            raise NotInstalledError("its program ended; it said why on standard error")
        return dict(json.loads(line))


async def run(size: Size) -> Result:
    async with fresh_stack() as running:
        await running.members["projections"].stop()
        return await measure(running, size)


async def measure(running: Stack, size: Size) -> Result:
    uri = running.eventstore_uri
    left_out: dict[str, str] = {}
    peers: dict[str, Peer] = {}
    async with AsyncExitStack() as stack:
        for name, starting in (("eventsourcing", _eventsourcing), ("emmett", _emmett)):
            try:
                peers[name] = await stack.enter_async_context(_started(await starting(), uri))
            except NotInstalledError as reason:
                left_out[name] = str(reason)
        channel = await stack.enter_async_context(
            grpc.aio.insecure_channel(running.members["commands"].ready["address"])
        )
        client = await connect(uri)
        stack.push_async_callback(client.close)
        store = EventStore(EventLog(client))
        stack.push_async_callback(store.close)
        ours = {"ours": register_product(channel), "ours_without_grpc": handled(store)}
        meters = {name: Meter(pids(running, "commands", "eventstore")) for name in ours}
        meters |= {name: Meter({**pids(running, "eventstore"), "peer": peer.pid}) for name, peer in peers.items()}
        few = max(10, size.operations // 10)

        async def throughput(name: str) -> float:
            times = size.operations if name in ours else max(AT_ONCE, size.operations // 3)
            meters[name].start()
            if name in ours:
                done = await rate(ours[name], times, AT_ONCE)
            else:
                done = times / (await peers[name].measured(times, AT_ONCE))["seconds"]
            meters[name].stop(times)
            return done

        async def alone(name: str) -> float:
            if name in ours:
                return percentile(await latencies(ours[name], few), 0.5)
            return (await peers[name].measured(few, 1))["p50"]

        names = [*ours, *peers]
        rates = await interleaved({name: lambda name=name: throughput(name) for name in names}, size.rounds)  # type: ignore[misc]  # bound per side
        p50 = await interleaved({name: lambda name=name: alone(name) for name in names}, size.rounds)  # type: ignore[misc]  # the same
    goals = [
        at_least("G9", GOAL.format(how), ratios(rates[name], rates["eventsourcing"]), 3.0)
        if "eventsourcing" in peers
        else not_measured("G9", GOAL.format(how), 3.0, left_out["eventsourcing"])
        for name, how in (("ours", "through the service"), ("ours_without_grpc", "without the service before it"))
    ]
    return Result(
        goals,
        {
            "per_second_at_128": {name: median(values) for name, values in rates.items()},
            "p50_ms_alone": {name: median([s * 1000 for s in values], 3) for name, values in p50.items()},
            "cpu_us_per_command": {name: meter.per_operation() for name, meter in meters.items()},
            "versions": {name: dict(peer.versions) for name, peer in peers.items()},
            "left_out": left_out,
        },
    )


def handled(store: EventStore) -> Operation:
    """Our command, without the service before it."""
    handler = CommandHandler(store, Repository(store, Snapshots(store, every=Settings().snapshot_every)))

    async def command() -> None:
        request_id, at = str(uuid7()), datetime.now(UTC)
        envelope = Envelope(
            request_id=request_id, payload_hash="0" * 64, expected_revision=None, actor="bench",
            correlation_id=request_id, traceparent="", at=at,
        )  # fmt: skip

        async def build(_: UserState) -> commands.UserCommand:
            return commands.RegisterUser(user_id=request_id, email="ann@example.org", name="Ann", at=at)

        await handler.handle(USER, request_id, envelope, build, creates_stream=True)

    return command


@asynccontextmanager
async def _started(command: Sequence[str], uri: str) -> AsyncIterator[Peer]:
    process = await asyncio.create_subprocess_exec(
        *command, uri, stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE
    )
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        line = await process.stdout.readline()
        if not line:
            raise NotInstalledError("its program did not start; it said why on standard error")
        peer = Peer(process, json.loads(line))
        await peer.measured(1, 1)  # one command, so that a peer that does not work is skipped before the rounds
        yield peer
    finally:
        process.stdin.close()
        await process.wait()


async def _eventsourcing() -> Sequence[str]:
    python = HOME / "python" / "bin" / "python"
    done = HOME / "python" / "installed"
    if not done.exists():
        await _install(sys.executable, "-m", "venv", str(HOME / "python"))
        await _install(str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *PYTHON_PEER)
        done.touch()
    return [str(python), str(HERE / "peer_program.py")]


async def _emmett() -> Sequence[str]:
    node, npm = shutil.which("node"), shutil.which("npm")
    if node is None or npm is None:
        raise NotInstalledError("node and npm are not installed")
    folder = HOME / "node"
    done = folder / "installed"
    if not done.exists():
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "package.json").write_text('{"private": true}')
        await _install(npm, "install", "--silent", "--no-fund", "--no-audit", "--prefix", str(folder), *NODE_PEER)
        done.touch()
    program = folder / "peer_program.mjs"  # beside its modules, where node looks for them
    shutil.copyfile(HERE / "peer_program.mjs", program)
    return [node, str(program)]


async def _install(*command: str) -> None:
    try:
        process = await asyncio.create_subprocess_exec(
            *command, stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.PIPE
        )
        async with asyncio.timeout(PATIENCE):
            _, said = await process.communicate()
    except (OSError, TimeoutError) as error:
        raise NotInstalledError(f"{command[0]}: {error or 'it took too long'}") from error
    if process.returncode:
        raise NotInstalledError(said.decode(errors="replace").strip().rpartition("\n")[2] or "installing failed")
