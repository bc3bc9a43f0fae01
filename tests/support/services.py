"""Several command services on one store in memory, each with a cache of its own, that can be restarted."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from esdbclient import NewEvent, RecordedEvent

from core.domain.user import USER
from core.domain.user.commands import ChangeName, RegisterUser, UserCommand
from core.eventstore.idempotency import CommandResult
from core.eventstore.repository import Repository
from core.eventstore.snapshots import Snapshots
from core.eventstore.store import EventStore
from core.eventstore.unchanged import UnchangedRequests
from core.failures import StoreUnavailable
from server.commands.handler import CommandHandler, Envelope
from tests.support.calling import fresh_id
from tests.support.memory_store import MemoryStore
from tests.support.orders import NOON

NEVER = 10**6  # events until a snapshot is due


class Door(EventStore):
    """A service's way to the shared store. Each call is counted, and takes a turn on the way there.

    The answer takes `answer_turns`, except that of a read of the log: it takes one.
    """

    def __init__(self, shared: MemoryStore) -> None:
        self._shared = shared
        self.calls: list[str] = []
        self.is_followed = True
        self.answer_turns = 1

    async def _call(self, what: str) -> None:
        self.calls.append(what)
        await asyncio.sleep(0)

    async def _answer(self) -> None:
        for _ in range(self.answer_turns):
            await asyncio.sleep(0)

    @property
    def session(self) -> int:
        return self._shared.session

    async def append(
        self, stream: str, expected: int, events: Sequence[NewEvent], *, session: int | None = None
    ) -> int:
        await self._call(f"append {stream}")
        position = await self._shared.append(stream, expected, events, session=session)
        await self._answer()
        return position

    async def read(self, stream: str, start: int = 0, most: int | None = None) -> AsyncIterator[RecordedEvent]:
        await self._call(f"read {stream}")
        events = [event async for event in self._shared.read(stream, start, most)]
        await self._answer()
        for event in events:
            yield event

    async def newest(self, stream: str, most: int) -> list[RecordedEvent]:
        await self._call(f"read {stream}")
        events = await self._shared.newest(stream, most)
        await self._answer()
        return events

    async def keep_at_most(self, stream: str, most: int) -> None:
        await self._call(f"limit {stream}")
        await self._shared.keep_at_most(stream, most)

    async def history(self, pattern: str, after: int) -> AsyncIterator[RecordedEvent]:
        await self._call(f"follow {pattern}")
        if not self.is_followed:
            raise StoreUnavailable("event")
        events = [event async for event in self._shared.history(pattern, after)]
        await asyncio.sleep(0)
        for event in events:
            yield event

    async def read_category(self, category: str, after: int) -> AsyncIterator[RecordedEvent]:
        async for event in self.history(f"{category}-.*", after):
            yield event

    async def head(self) -> int:
        await self._call("head")
        head = await self._shared.head()
        await asyncio.sleep(0)
        return head

    async def now(self) -> datetime:
        return await self._shared.now()

    async def close(self) -> None:
        """Nothing is open."""


@dataclass
class Service:
    """One command service; `clock` gives monotonic seconds."""

    shared: MemoryStore
    clock: "Seconds"
    door: Door = field(init=False)
    unchanged: UnchangedRequests = field(init=False)
    repository: Repository = field(init=False)
    handler: CommandHandler = field(init=False)

    def __post_init__(self) -> None:
        self.restart()

    def restart(self) -> None:
        """It forgets everything."""
        self.door = Door(self.shared)
        self.unchanged = UnchangedRequests(self.door, clock=self.clock)
        self.repository = Repository(self.door, Snapshots(self.door, every=NEVER), clock=self.clock)
        self.handler = CommandHandler(self.door, self.repository, self.unchanged)

    async def follow(self) -> None:
        await self.unchanged.catch_up()

    async def register(self, user_id: str, name: str = "Ann", request_id: str = "") -> CommandResult:
        command = RegisterUser(user_id=user_id, email="ann@example.org", name=name, at=NOON)
        return await self.send(user_id, command, request_id, creates_stream=True)

    async def rename(self, user_id: str, name: str, request_id: str = "", **envelope: Any) -> CommandResult:
        return await self.send(user_id, ChangeName(user_id=user_id, name=name, at=NOON), request_id, **envelope)

    async def send(
        self, user_id: str, command: UserCommand, request_id: str = "", *, creates_stream: bool = False, **fields: Any
    ) -> CommandResult:
        known: dict[str, Any] = {
            "request_id": request_id or fresh_id(),
            "payload_hash": repr(command),
            "expected_revision": None,
            "actor": "ann",
            "correlation_id": fresh_id(),
            "traceparent": "",
            "at": NOON,
        }

        async def as_it_is(_: object) -> UserCommand:
            return command

        return await self.handler.handle(
            USER, user_id, Envelope(**known | fields), as_it_is, creates_stream=creates_stream
        )


class Seconds:
    """A clock that the test sets forward."""

    def __init__(self) -> None:
        self._now = 1_000.0

    def __call__(self) -> float:
        return self._now

    def passes(self, seconds: float) -> None:
        self._now += seconds
