"""Requests that changed nothing, stored so that a repeat does not act after others have changed the aggregate.

Such a request leaves no event in its aggregate's stream. It is an event in a companion stream, `unchanged_<stream>`,
which keeps the newest `MAX_REMEMBERED`. These streams belong to the shop; deleting one loses its requests only.

A command that changes something must not pay for them, so it finds them in memory:

- The first command of a service on an aggregate reads the companion stream and the aggregate's own at the same time.
- From then on all companion streams are followed with one short read of the log every `POLL` seconds, as long as
  commands come. After `QUIET` seconds without one nothing is read, until the next command.
- What is in memory is valid for `MAX_AGE` seconds after the last such read. If following fails for longer, or a
  decision requires what the store says now, the companion stream is read.
- In another session of the store (`EventStore.session`) nothing in memory is valid: the log may be another one.

(docs/adr/0022)
"""

import asyncio
import time
from collections import OrderedDict
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace

import msgspec
import structlog

from core.background import beside
from core.backoff import Backoff
from core.eventstore.client import NewEvent, RecordedEvent, position_of
from core.eventstore.idempotency import CommandResult
from core.eventstore.log import START
from core.eventstore.store import NO_EVENTS, EventStore, SessionEnded, WrongRevision
from core.failures import Contention, LogMismatch

log = structlog.get_logger()

UNCHANGED = "unchanged_"
MAX_REMEMBERED = 1_000  # requests of one aggregate
POLL = 0.25  # seconds between two reads of what other services have written
QUIET = 5.0  # seconds without a command after which the log is not read
MAX_POLL = 5.0  # seconds between two reads that fail
MAX_AGE = 1.0  # seconds; older entries of other services' requests are not used
MAX_GAP = 30.0  # seconds; after a longer pause it is cheaper to start again than to read the log
MAX_ATTEMPTS = 10


class Stored(msgspec.Struct, frozen=True, kw_only=True):
    """A request as it is stored; `revision` and `position` are the aggregate's when it changed nothing."""

    request_id: str
    payload_hash: str
    revision: int
    position: int


@dataclass(slots=True)
class Known:
    """The known requests of one companion stream: `revision` is its last one. `read_at` is in monotonic seconds. It was
    read in `session` of the store.

    It is complete once the companion stream was read. Earlier events from the log wait in `early`.
    """

    session: int
    revision: int = NO_EVENTS
    read_at: float = float("-inf")
    is_complete: bool = False
    results: OrderedDict[str, CommandResult] = field(default_factory=OrderedDict)
    early: list[RecordedEvent] = field(default_factory=list)

    def complete(self, read: Iterable[RecordedEvent], read_at: float) -> None:
        """Add the events of a read that began at `read_at`."""
        early, self.early, self.is_complete = self.early, [], True
        for stored in (*read, *early):
            self.take(stored)
        self.read_at = max(self.read_at, read_at)

    def take(self, stored: RecordedEvent) -> None:
        if not self.is_complete:
            self.early.append(stored)
            return
        if stored.stream_position <= self.revision:
            return
        self.revision = stored.stream_position
        try:
            request = _decoder.decode(stored.data)
        except (msgspec.DecodeError, UnicodeDecodeError):
            log.warning("request ignored: it is not what we write", stream=stored.stream_name)
            return
        self.record(request)

    def record(self, request: Stored) -> None:
        result = CommandResult(request.revision, request.position, request.payload_hash, unchanged=True)
        self.results.setdefault(request.request_id, result)  # of two the first one counts
        if len(self.results) > MAX_REMEMBERED:
            self.results.popitem(last=False)


_encoder = msgspec.json.Encoder()
_decoder = msgspec.json.Decoder(Stored)


class UnchangedRequests:
    """Finds and records them. `most` is the number of aggregates in memory, `clock` gives monotonic seconds.

    `poll` is the pause between two reads of the log, in seconds.
    """

    def __init__(
        self,
        store: EventStore,
        most: int = 10_000,
        *,
        poll: float = POLL,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._store = store
        self._most = most
        self._clock = clock
        self._known: OrderedDict[str, Known] = OrderedDict()
        self._session = -1  # of the store; everything in memory was read in it
        self._position = START  # the log has been read up to it
        self._as_of = float("-inf")
        self._backoff = Backoff(2 * poll, MAX_POLL, interval=poll)
        self._asked_at = float("-inf")  # when a command last came
        self._is_asked = asyncio.Event()

    @property
    def position(self) -> int:
        """A commit position that the log had at the last read; `START` if there was none."""
        return self._position

    def cached(self, stream: str) -> Known | None:
        """The entry of an aggregate in memory, if it is valid: it has all requests up to `MAX_AGE` ago."""
        self._keep_to_session()
        self._has_command()
        known = self._known.get(stream)
        if known is None or not known.is_complete:
            return None
        if self._clock() - max(known.read_at, self._as_of) > MAX_AGE:
            return None
        self._known.move_to_end(stream)
        return known

    async def read(self, stream: str) -> Known:
        """The requests of an aggregate as the store has them now."""
        self._keep_to_session()
        self._has_command()
        read_at, known = self._clock(), self._known.get(stream)
        if known is None:
            # it is added before the read, so that events from the log meanwhile are not lost
            known = self._remember(stream, Known(self._session))
        name = unchanged_stream(stream)
        if known.is_complete:
            newer = [event async for event in self._store.read(name, known.revision + 1)]
        else:
            newer = await self._store.newest(name, MAX_REMEMBERED)
        known.complete(newer, read_at)
        return known

    async def record(self, stream: str, request_id: str, result: CommandResult, session: int) -> CommandResult:
        """Store that a request changed nothing. If it is stored already, return its first result.

        The decision was made in `session`. Raises `SessionEnded`, `Contention`.
        """
        request = Stored(
            request_id=request_id,
            payload_hash=result.payload_hash,
            revision=result.revision,
            position=result.position,
        )
        name = unchanged_stream(stream)
        # a new id each time: with a derived one, the store would accept a concurrent repeat as this request
        event = NewEvent(type="RequestUnchanged", data=_encoder.encode(request), content_type="application/json")
        known = self.cached(stream) or await self.read(stream)
        for _ in range(MAX_ATTEMPTS):
            first = known.results.get(request_id)
            if first is not None:
                return replace(first, is_repeat=True)
            expected = known.revision
            if expected == NO_EVENTS:
                await self._store.keep_at_most(name, MAX_REMEMBERED)
            try:
                await self._store.append(name, expected, [event], session=session)
            except SessionEnded:
                raise
            except WrongRevision:
                known = await self.read(stream)
                continue
            known.revision = max(known.revision, expected + 1)
            known.record(request)
            return result
        raise Contention(name, MAX_ATTEMPTS)

    def opened(self, stream: str, position: int) -> None:
        """The stream of an aggregate was just created, at this commit position.

        Its companion is later in the log. If the log was not read up to there, following it will deliver everything.
        """
        self._keep_to_session()
        self._has_command()
        if position > self._position and stream not in self._known:
            self._remember(stream, Known(self._session, is_complete=True))

    async def catch_up(self) -> None:
        """Read what the services have written since the last time."""
        session, as_of = self._keep_to_session(), self._clock()
        head = await self._store.head()
        if self._keep_to_session() != session:
            return
        if as_of - self._as_of > MAX_GAP or head < self._position:
            self._begin(head, as_of)
            return
        if head == self._position:
            self._as_of = as_of
            return
        try:
            changes = [event async for event in self._store.history(f"{UNCHANGED}.*", self._position)]
        except LogMismatch:
            self._begin(head, as_of)
            return
        if self._keep_to_session() != session:
            return
        # without an await: entries that are added to memory later are read with all of this
        for event in changes:
            known = self._known.get(event.stream_name.removeprefix(UNCHANGED))
            if known is not None:
                known.take(event)
        self._position = max(head, *map(position_of, changes), self._position)
        self._as_of = as_of

    def _has_command(self) -> None:
        self._asked_at = self._clock()
        self._is_asked.set()

    def _keep_to_session(self) -> int:
        """The store's session. Nothing of a former one is kept."""
        session = self._store.session
        if session != self._session:
            self._session = session
            self._begin(START, float("-inf"))
        return session

    def _begin(self, head: int, as_of: float) -> None:
        """Discard everything in memory: it is too old, or the log was replaced."""
        self._known.clear()
        self._position, self._as_of = head, as_of

    @asynccontextmanager
    async def following(self) -> AsyncIterator[None]:
        """While this is open, the log is followed. The block starts after the first read, if the store answers."""
        await self._try_to_catch_up()
        async with beside(self._follow()):
            yield

    async def _follow(self) -> None:
        while True:
            await self._backoff.rest()
            if self._clock() - self._asked_at > QUIET:
                self._is_asked.clear()
                await self._is_asked.wait()
            await self._try_to_catch_up()

    async def _try_to_catch_up(self) -> None:
        """A failure is harmless: commands read what they need. An outage is logged when it begins and ends."""
        try:
            await self.catch_up()
        except Exception as error:  # noqa: BLE001  # the next attempt is not far
            if not self._backoff.failures:
                log.warning("unchanged requests not followed", error=f"{type(error).__name__}: {error}")
        else:
            if self._backoff.failures:
                log.info("unchanged requests followed again", attempts=self._backoff.failures)
            self._backoff.reset()

    def _remember(self, stream: str, known: Known) -> Known:
        self._known[stream] = known
        if len(self._known) > self._most:
            self._known.popitem(last=False)
        return known


def unchanged_stream(stream: str) -> str:
    return UNCHANGED + stream
