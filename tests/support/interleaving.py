"""Requests to several command services that share a store in memory, one call to the store at a time, in any order.

A schedule says which request makes the next calls, and how many. A request that it does not name any more has died
there, as with its process. Nothing waits: coroutines are driven by hand, so each schedule gives the same course again.
"""

import random
from collections.abc import AsyncIterator, Callable, Coroutine, Generator, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import count
from types import SimpleNamespace
from typing import Any

from esdbclient import NewEvent, RecordedEvent

from core.domain.rejection import CommandRejected
from core.eventstore.repository import Repository
from core.eventstore.snapshots import Snapshots
from core.eventstore.store import NO_EVENTS, EventStore
from core.eventstore.store_time import StoreTime
from core.eventstore.unchanged import UnchangedRequests
from core.failures import Contention, RevisionConflict
from server.commands import users
from server.commands.emails import EmailClaims
from server.commands.handler import CommandHandler
from server.commands.lookups import Lookups
from server.commands.services import CommandServices
from tests.support.memory_store import MemoryStore
from tests.support.orders import NOON

HANDLED = (CommandRejected, Contention, RevisionConflict)


class _Call:
    """Where a coroutine gives the turn back: before each call to the store."""

    def __await__(self) -> Generator[None, None, None]:
        yield


class SteppedStore(EventStore):
    """A service's door to the shared store: each call is one step of a schedule."""

    def __init__(self, shared: MemoryStore) -> None:
        self._shared = shared

    @property
    def session(self) -> int:
        return self._shared.session

    async def append(
        self, stream: str, expected: int, events: Sequence[NewEvent], *, session: int | None = None
    ) -> int:
        await _Call()
        return await self._shared.append(stream, expected, events, session=session)

    async def read(self, stream: str, start: int = 0, most: int | None = None) -> AsyncIterator[RecordedEvent]:
        await _Call()
        async for event in self._shared.read(stream, start, most):
            yield event

    async def newest(self, stream: str, most: int) -> list[RecordedEvent]:
        await _Call()
        return await self._shared.newest(stream, most)

    async def keep_newest(self, stream: str, event: NewEvent, *, is_first: bool) -> None:
        """Snapshots may always be lost."""

    async def now(self) -> datetime:
        await _Call()
        return await self._shared.now()

    async def close(self) -> None:
        """Nothing is open."""


@dataclass(frozen=True)
class Request:
    """A call of `service`, by its number; `method` is the full name of the RPC.

    `dies_after` so many steps, if it does. `is_refused` is expected of it, where it is made before the others.
    """

    service: int
    method: str
    message: Any
    dies_after: int | None = None
    is_refused: bool = False


@dataclass
class Shop:
    """Services of one shop. The store's clock jumps by `jump` at each look: a claim that is unused seems abandoned."""

    services: int
    jump: timedelta = timedelta(minutes=10)
    looks: Iterator[int] = field(default_factory=count)

    def __post_init__(self) -> None:
        self.store = MemoryStore(lambda: NOON + next(self.looks) * self.jump)
        self._handlers = [self._service() for _ in range(self.services)]
        # the position 0 is that of no event in a real store
        self.write("test_first", NO_EVENTS, NewEvent(type="First", data=b"{}"))

    def write(self, stream: str, expected: int, event: NewEvent) -> None:
        """To the store itself, without a service."""
        with suppress(StopIteration):
            self.store.append(stream, expected, [event]).send(None)

    def _service(self) -> Any:
        store = SteppedStore(self.store)
        repository = Repository(store, Snapshots(store, every=1_000))
        time = StoreTime(store, lambda: datetime.now(UTC), monotonic=lambda: float(10 * next(self.looks)))
        services = CommandServices(
            # not part of a schedule: what changed nothing is remembered between two steps
            CommandHandler(store, repository, UnchangedRequests(self.store), at_once=_one_after_the_other),
            Lookups(repository, time),
            EmailClaims(store, repository, time),
            timedelta(minutes=30),
            services={"users.v1.UserCommandService": users.ROUTES},
        )
        [handler] = services.handlers()
        return handler

    def restart(self, service: int) -> None:
        """The service forgets everything."""
        self._handlers[service] = self._service()

    def start(self, request: Request) -> "Running":
        details = SimpleNamespace(method=request.method, invocation_metadata=())
        method = self._handlers[request.service].service(details)
        return Running(method.unary_unary(request.message, SimpleNamespace(invocation_metadata=tuple)))

    def call(self, request: Request) -> Any:
        """From beginning to end, alone: the reply, or what it was refused with; None if it dies."""
        running = self.start(request)
        while not running.is_done and running.steps != request.dies_after:
            running.step()
        running.coroutine.close()
        return running.outcome


async def _one_after_the_other(first: Coroutine[Any, Any, Any], second: Coroutine[Any, Any, Any]) -> tuple[Any, Any]:
    try:
        return await first, await second
    finally:
        second.close()  # the request may have died in the first


@dataclass
class Running:
    """A request that is being carried out; `outcome` is the reply or the refusal once it `is_done`."""

    coroutine: Any
    is_done: bool = False
    outcome: Any = None
    steps: int = 0

    def step(self) -> None:
        """Up to the next call to the store, which is made by the next step."""
        self.steps += 1
        try:
            self.coroutine.send(None)
        except StopIteration as end:
            self.is_done, self.outcome = True, end.value
        except HANDLED as refusal:
            self.is_done, self.outcome = True, refusal


Turn = tuple[int, int]  # the number of a request, and how many steps it makes
TO_THE_END = 1_000  # steps; no request makes so many


def run(requests: Sequence[Running], schedule: Sequence[Turn], check: Callable[[], None]) -> None:
    """Carry out a schedule; `check` comes after each step. What is not done then has died."""
    for number, steps in schedule:
        for _ in range(steps):
            if requests[number].is_done:
                break
            requests[number].step()
            check()
    for one in requests:
        one.coroutine.close()


def all_schedules(requests: int, turns: int, steps: int) -> Iterator[tuple[Turn, ...]]:
    """Every schedule of up to `turns` turns, each of up to `steps` steps or to the end of its request.

    The last of the turns goes to the end only: what is checked after each step sees the shorter ones too.
    """
    if not turns:
        yield ()
        return
    lengths = (TO_THE_END,) if turns == 1 else (*range(1, steps + 1), TO_THE_END)
    for first in ((number, length) for number in range(requests) for length in lengths):
        for rest in all_schedules(requests, turns - 1, steps):
            if not rest or rest[0][0] != first[0]:
                yield (first, *rest)
    if turns == 1:
        yield ()


def some_schedules(requests: int, number: int, seed: int) -> Iterator[tuple[Turn, ...]]:
    """So many schedules by chance. At the end of each, every request may go on to its end, or may have died."""
    dice = random.Random(seed)
    for _ in range(number):
        turns = [(dice.randrange(requests), dice.randint(1, 4)) for _ in range(dice.randint(2, 24))]
        survivors = [one for one in range(requests) if dice.random() < 0.5]
        yield (*turns, *((one, TO_THE_END) for one in survivors))
