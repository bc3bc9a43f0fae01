"""The complete stack as processes of this machine: stores, services, projections. Used by `up`, `demo` and tests.

Each process prints one JSON line when it is ready; its log goes to a file under the data directory. The stores start
before the services and stop after them. If this process dies without stopping them, they end too: each child watches a
pipe that closes with us.
"""

import asyncio
import json
import os
import secrets
import signal
import socket
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Protocol

from client.sdk import Addresses

if TYPE_CHECKING:
    from client.local.secure import Secure

READY_WITHIN = 90.0  # seconds; projections wait for stores that start slowly
LONGER_THAN_STORES = 10  # times as long as the stores took, if that is more: on an overloaded machine all take longer
STOP_WITHIN = 20.0  # seconds
ENDS_WITHIN = 1.0  # seconds, after its standard output has ended
LAST_LINES = 15
OWNER_ONLY = 0o077  # the umask: directories and logs, of this process and the children, belong to our user alone
DEFAULT_PORTS = {
    "eventstore": 2113,
    "mongo": 27017,
    "commands": 50051,
    "queries": 50052,
    "projections": 50053,
    "processes": 50054,
}
FIRST_PORT, PORTS = 20_000, 12_000  # below those that Linux and macOS give to outgoing connections
ANY_PORTS = dict.fromkeys(DEFAULT_PORTS, 0)


class StackError(Exception):
    """One line that says what did not start or has ended, and what to do."""


class Child(Protocol):
    """What we use of an `asyncio.subprocess.Process`."""

    @property
    def pid(self) -> int: ...
    @property
    def stdout(self) -> asyncio.StreamReader | None: ...
    async def wait(self) -> int: ...
    def terminate(self) -> None: ...
    def kill(self) -> None: ...


# Runs `client.local.child` on an inherited pipe: a module, its arguments, its environment, a log for its stderr.
Launch = Callable[[Sequence[str], Mapping[str, str], int, IO[bytes]], Awaitable[Child]]


async def as_process(arguments: Sequence[str], environment: Mapping[str, str], pipe: int, log: IO[bytes]) -> Child:
    """As a `Launch`: by `python -m`."""
    return await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "client.local.child",
        str(pipe),
        *arguments,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=log,
        env=environment,
        pass_fds=(pipe,),
        start_new_session=True,  # Ctrl-C is for us; we stop them in order
    )


@dataclass(slots=True)
class Member:
    """One process of the stack."""

    name: str
    arguments: list[str]
    environment: Mapping[str, str]
    log: Path
    launch: Launch = as_process
    ready: dict[str, Any] = field(default_factory=dict)
    process: Child | None = None
    _pipe: int = -1

    @property
    def pid(self) -> int:
        assert self.process is not None, "it was started"
        return self.process.pid

    async def start(self, within: float = READY_WITHIN) -> None:
        """Run it and wait for its ready line. A second start uses the port of the first."""
        place = self.arguments.index("--port") + 1
        if self.arguments[place] == "0":
            self.arguments[place] = str(unused_port())
        read_end, self._pipe = os.pipe()
        log = self.log.open("ab")
        try:
            environment = {
                "ORDERSTREAM_DRAIN_DELAY": "0",
                **os.environ,
                **self.environment,
            }  # there is no load balancer here
            self.process = await self.launch(self.arguments, environment, read_end, log)
        finally:
            os.close(read_end)
            log.close()
        assert self.process.stdout is not None, "stdout is a pipe"
        try:
            async with asyncio.timeout(within):
                line = await self.process.stdout.readline()
        except TimeoutError:
            line = b""
        if not line:
            with suppress(TimeoutError):  # a signal to an ending process takes the exit code from the waiting caller
                await asyncio.wait_for(self.process.wait(), ENDS_WITHIN)
            await self.stop()
            raise StackError(f"{self.name} did not start: {self.last_words()}")
        self.ready = json.loads(line)

    async def stop(self) -> None:
        if self.process is None:
            return
        with suppress(ProcessLookupError):
            self.process.terminate()
        try:
            await asyncio.wait_for(self.process.wait(), STOP_WITHIN)
        except TimeoutError:
            self.process.kill()
            await self.process.wait()
        self._forget()

    async def kill(self) -> None:
        """Like `kill -9`."""
        assert self.process is not None, "it was started"
        os.kill(self.process.pid, signal.SIGKILL)
        await self.process.wait()
        self._forget()

    def _forget(self) -> None:
        if self._pipe >= 0:
            os.close(self._pipe)
            self._pipe = -1
        self.process = None

    def last_words(self) -> str:
        """Its last line, without the name of the program."""
        lines = self.log.read_text(errors="replace").splitlines()[-LAST_LINES:]
        said = [line.removeprefix("orderstream: ") for line in lines if line.startswith("orderstream: ")]
        return said[-1] if said else "\n".join(["its last words are", *lines, f"(all of them: {self.log})"])


@dataclass(frozen=True, slots=True)
class Stack:
    """A running stack."""

    members: dict[str, Member]
    eventstore_uri: str

    @property
    def addresses(self) -> Addresses:
        return Addresses(
            **{
                role: self.members[role].ready["address"]
                for role in ("commands", "queries", "projections", "processes")
                if role in self.members
            }
        )

    async def first_to_end(self) -> Member:
        """Wait until any process ends by itself."""
        waiting = {
            asyncio.create_task(member.process.wait()): member
            for member in self.members.values()
            if member.process is not None
        }
        try:
            done, _ = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in waiting:
                task.cancel()
        return waiting[done.pop()]


@asynccontextmanager
async def stack(
    data: Path,
    ports: Mapping[str, int] = ANY_PORTS,
    *,
    processes: bool = True,
    payments: str = "",
    metrics: bool = False,
    secure: "Secure | None" = None,
    launch: Launch = as_process,
) -> AsyncIterator[Stack]:
    """Run everything on a data directory; embedded stores unless connection strings are configured.

    Without `processes` no order is processed. `payments` is the setting for the payment provider;
    without it, that of the environment. With `metrics` each service serves its own, on a free port or
    from ORDERSTREAM_METRICS_PORT on.

    Raises `StackError` if something does not start.
    """
    async with AsyncExitStack() as running:
        running.callback(os.umask, os.umask(OWNER_ONLY))
        members = _Members(_logs_in(data), ports, launch)
        uris = {variable: os.environ.get(variable, "") for variable in STORES.values()}
        own = _stores(members, data, [store for store, variable in STORES.items() if not uris[variable]], secure)
        began = time.monotonic()
        await _start(running, own)
        within = max(READY_WITHIN, LONGER_THAN_STORES * (time.monotonic() - began))
        uris |= {STORES[store.name]: store.ready["uri"] for store in own}
        if secure is not None:
            uris |= secure.environment
        services = _services(members, uris, processes=processes, payments=payments)
        if metrics:
            _serve_metrics(services)
        await _start(running, services, within)
        yield Stack(members.by_name, uris["ORDERSTREAM_EVENTSTORE_URI"])


STORES = {"eventstore": "ORDERSTREAM_EVENTSTORE_URI", "mongo": "ORDERSTREAM_MONGO_URI"}


def _logs_in(data: Path) -> Path:
    """The directory of the logs. Raises `StackError` if nothing can be written there."""
    logs = data / "logs"
    try:
        logs.mkdir(parents=True, exist_ok=True)
        (logs / ".writable").touch()
    except OSError as error:
        raise StackError(f"cannot write to {data}: {error.strerror}; choose another directory with --data") from error
    return logs


class _Members:
    """The processes of a stack, each with its port and its log."""

    def __init__(self, logs: Path, ports: Mapping[str, int], launch: Launch) -> None:
        self._logs = logs
        self._ports = ports
        self._launch = launch
        self.by_name: dict[str, Member] = {}

    def add(self, name: str, *arguments: str, environment: Mapping[str, str]) -> Member:
        """Raises `StackError` if its port is taken."""
        port = self._ports[name]
        if port and _taken(port):
            raise StackError(f"port {port} for {name} is taken; stop what uses it, or choose with --{name}-port")
        log = self._logs / f"{name}.log"
        member = Member(name, [*arguments, "--port", str(port)], environment, log, self._launch)
        log.unlink(missing_ok=True)  # the log of a former run may be readable for others
        log.touch()
        self.by_name[name] = member
        return member


def _stores(members: _Members, data: Path, names: Iterable[str], secure: "Secure | None") -> list[Member]:
    """The embedded stores of these names."""
    options = {"eventstore": secure.eventstore_options, "mongo": secure.mongo_options} if secure else {}
    passwords = {"eventstore": secure.eventstore_environment} if secure else {}
    return [
        members.add(
            name,
            "embedded",
            name,
            "--data",
            str(data / name),
            *options.get(name, ()),
            environment=passwords.get(name, {}),
        )
        for name in names
    ]


def _services(members: _Members, uris: Mapping[str, str], *, processes: bool, payments: str) -> list[Member]:
    by_hand = {} if processes else {"ORDERSTREAM_RUN_BY_HAND": "true"}
    services = [
        members.add("commands", "server", "commands", environment={**uris, **by_hand}),
        members.add("projections", "projections", environment=uris),
        members.add("queries", "server", "queries", environment=uris),
    ]
    if processes:
        provider = {"ORDERSTREAM_PAYMENTS": payments} if payments else {}
        services.append(members.add("processes", "server", "processes", environment={**uris, **provider}))
    return services


def _serve_metrics(services: Iterable[Member]) -> None:
    """Each on its own port: a free one, or from ORDERSTREAM_METRICS_PORT on."""
    first = int(os.environ.get("ORDERSTREAM_METRICS_PORT") or 0)
    for number, service in enumerate(services):
        port = str(first + number if first else 0)
        service.environment = {**service.environment, "ORDERSTREAM_METRICS_PORT": port}


async def _start(running: AsyncExitStack, members: Iterable[Member], within: float = READY_WITHIN) -> None:
    """All concurrently; they stop concurrently too. The first failure is raised when each has started or failed."""
    members = list(members)

    async def stop() -> None:
        await asyncio.gather(*(member.stop() for member in members))

    running.push_async_callback(stop)
    for outcome in await asyncio.gather(*(member.start(within) for member in members), return_exceptions=True):
        if outcome is not None:
            raise outcome


def unused_port() -> int:
    """A port on which nothing listens, and which the system gives to no process that asks for any.

    So it is still free when a killed process restarts on it.
    """
    while True:
        port = FIRST_PORT + secrets.randbelow(PORTS)  # no seed: concurrent stacks choose other ports
        if not _taken(port):
            return port


def _taken(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return True
    return False
