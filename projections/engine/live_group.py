"""The views of one process that are level with the log, fed by one subscription.

Each event is received and decoded once. Each view takes what its own filter takes, and writes its documents; then one
write advances the checkpoints of all of them. A view that is behind catches up alone first (`catch_up.py`). One that
fails, is lost, or has something else to do leaves the others, and comes back when it is level again.
"""

import asyncio
import time
from collections import deque
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from functools import partial
from typing import Protocol

import structlog

from core.background import ended
from core.eventstore import codec
from core.eventstore.client import CaughtUp, RecordedEvent, position_of
from core.eventstore.client import Checkpoint as Passed
from core.eventstore.log import EventFilter, EventLog, LogPoint, point_of
from core.eventstore.recorded import Recorded, StreamDeleted
from core.eventstore.registry import DomainEvent
from core.eventstore.subscription import CatchUpSubscription
from core.readmodel.checkpoints import Checkpoint, CheckpointStore, Fenced
from projections.config import Settings
from projections.engine.applier import Decode
from projections.engine.lag import Lag, lag_in_memory
from projections.engine.membership import Membership
from projections.engine.points import PointFinder

log = structlog.get_logger()

REMEMBERED = 2_000  # events that were taken last, for a view that joins
PATIENCE = 2.0  # seconds that the views of a batch wait for each other
REST_FACTOR = 3  # times as long as the last batch took, before the next


class Decoding:
    """Decodes each event once, however many views take it."""

    def __init__(self) -> None:
        self._known: dict[int, Recorded[DomainEvent | StreamDeleted] | codec.CodecError] = {}

    def __call__(self, event: RecordedEvent) -> Recorded[DomainEvent | StreamDeleted]:
        known = self._known.get(position_of(event))
        if known is None:
            try:
                known = codec.recorded(event)
            except codec.CodecError as error:
                known = error
            self._known[position_of(event)] = known
        if isinstance(known, codec.CodecError):
            raise known
        return known


def _let_go(left: asyncio.Future[bool], applied: asyncio.Task[None]) -> None:
    """What a member has applied alone is done: it can catch up."""
    if left.done():
        return
    error = asyncio.CancelledError() if applied.cancelled() else applied.exception()
    if error is None:
        left.set_result(False)
    else:
        left.set_exception(error)


class Member(Protocol):
    """A part of a view, as the group sees it."""

    @property
    def held(self) -> Checkpoint:
        """Up to where it holds all that it follows, and under which epoch."""

    def follows(self, event: RecordedEvent) -> bool:
        """Whether it is behind the event, and takes events of that stream."""

    async def apply(self, events: Sequence[RecordedEvent], decode: Decode) -> None:
        """Its documents, without the checkpoint."""

    async def maintain(self) -> None:
        """What was asked for between two batches."""

    def advanced_to(self, reached: int, point: LogPoint, events: int, *, is_level: bool) -> Checkpoint:
        """The checkpoint behind a batch with so many `events` of its own."""

    def has_advanced(self, checkpoint: Checkpoint, events: int) -> None:
        """It is written."""


class LiveGroup:
    """Of one process. It follows the log while it has members."""

    def __init__(
        self,
        events: EventLog,
        store: CheckpointStore,
        membership: Membership,
        settings: Settings,
        following: EventFilter,
    ) -> None:
        self._log = events
        self._store = store
        self._membership = membership
        self._settings = settings
        self._following = following
        self._members: dict[Member, asyncio.Future[bool]] = {}
        self._joining: dict[Member, asyncio.Future[bool]] = {}
        self._leaving: set[Member] = set()
        self._recent: deque[RecordedEvent] = deque()
        self._recent_from = 0  # the position behind which `_recent` has every event
        self._source: CatchUpSubscription | None = None
        self._at_work: list[RecordedEvent] = []
        self._task: asyncio.Task[None] | None = None
        self._took = self._ended = 0.0  # the last batch, in monotonic seconds

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """At the end the subscription ends too."""
        try:
            yield
        finally:
            if self._task is not None:
                await ended(self._task)

    # ------------------------------------------------------------------ for members

    async def follow(self, member: Member) -> bool:
        """Take part until `leave`. False, and at once, if the member is behind what the group remembers.

        Raises what made it fail, and `Fenced` if it is lost.
        """
        done: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        self._joining[member] = done
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._run(member.held.position), name="live views")
        self.wake()
        try:
            return await done
        finally:
            self._forget(member)

    def leave(self, member: Member) -> None:
        """After the batch at work."""
        if member in self._members or member in self._joining:
            self._leaving.add(member)
            self.wake()

    def wake(self) -> None:
        """Write the checkpoints now, and so learn at once if a view was taken away."""
        if self._source is not None:
            self._source.wake()

    def lag_of(self, member: Member) -> Lag | None:
        """How far a member is behind; None if it is not one, or the log has events that were not delivered."""
        source = self._source
        if member not in self._members or source is None or source.misses_something:
            return None
        waiting = [event for event in (*self._at_work, *source.waiting()) if member.follows(event)]
        return lag_in_memory(waiting, member.held.position)

    def _forget(self, member: Member) -> None:
        self._members.pop(member, None)
        self._joining.pop(member, None)
        self._leaving.discard(member)

    def _end(self, member: Member, error: BaseException | None = None, *, was_in: bool = True) -> None:
        done = self._members.get(member) or self._joining.get(member)
        self._forget(member)
        if done is None or done.done():
            return
        if error is None:
            done.set_result(was_in)
        else:
            done.set_exception(error)

    # ------------------------------------------------------------------ following

    async def _run(self, position: int) -> None:
        """Until the last member has left. What ends the subscription is raised to all of them."""
        try:
            await self._follow_from(position)
        except Exception as error:  # noqa: BLE001  # it is the members' to handle; they catch up and come back
            self._end_all(error)
        except asyncio.CancelledError:
            self._end_all(asyncio.CancelledError())
            raise
        finally:
            for member in tuple(self._joining):  # it came too late for this subscription
                self._end(member, was_in=False)

    def _end_all(self, error: BaseException) -> None:
        for member in (*self._members, *self._joining):
            self._end(member, error)

    async def _follow_from(self, position: int) -> None:
        self._recent.clear()
        self._recent_from = position
        async with CatchUpSubscription(
            self._log, self._following, position, prefetched=self._settings.prefetched
        ) as source:
            self._source = source
            points = PointFinder(self._log)
            try:
                while self._joining or self._members:
                    await self._admit()
                    if self._members:
                        await self._step(source, points)
            finally:
                self._source = None

    async def _admit(self) -> None:
        """Let members go and come. One that comes is given what it lacks of the events that were taken last."""
        for member in tuple(self._leaving):
            self._end(member)
        missed: dict[Member, list[RecordedEvent]] = {}
        for member in tuple(self._joining):
            if member.held.position < self._recent_from:
                self._end(member, was_in=False)
            else:
                missed[member] = [event for event in self._recent if member.follows(event)]
        await self._apply_together(missed, codec.recorded, until_one_is_done=False)
        came = {member: len(events) for member, events in missed.items() if member in self._joining}
        self._members |= {member: self._joining.pop(member) for member in came}
        if any(came.values()):
            point = point_of(self._recent[-1])
            counts = {member: count for member, count in came.items() if count}
            await self._advance(counts, point.position, point, is_level=False)

    async def _step(self, source: CatchUpSubscription, points: PointFinder) -> None:
        await self._rest()
        waited_from = time.monotonic()
        items = await source.batch(self._settings.batch_size_live, self._settings.heartbeat, live=True)
        began = time.monotonic()
        events = [item for item in items if not isinstance(item, Passed | CaughtUp)]
        self._at_work = events
        counts = await self._apply([member for member in self._members if member not in self._leaving], events)
        reached = max((position_of(item) for item in items), default=0)
        is_silent = not items and began - waited_from >= self._settings.heartbeat
        point = await points.of_silence(source) if is_silent else await points.find(source, events, reached)
        self._remember(events)
        is_level = source.is_empty() and not source.misses_something
        await self._advance(counts, reached, point, is_level=is_level)
        self._at_work = []
        self._ended = time.monotonic()
        self._took = self._ended - began

    async def _apply(self, members: Sequence[Member], events: Sequence[RecordedEvent]) -> dict[Member, int]:
        """How many events each member has taken; one that fails leaves."""
        taken = {member: [event for event in events if member.follows(event)] for member in members}
        await self._apply_together(taken, Decoding(), until_one_is_done=True)
        return {member: len(found) for member, found in taken.items() if member in self._members}

    async def _apply_together(
        self, taken: Mapping[Member, Sequence[RecordedEvent]], decode: Decode, *, until_one_is_done: bool
    ) -> None:
        """One that fails leaves. One that keeps the others waiting goes on alone; then it catches up by itself.

        With `until_one_is_done` no member is slow while all are: then the view store is.
        """
        busy = {asyncio.create_task(one.apply(events, decode)): one for one, events in taken.items() if events}
        if not busy:
            return
        done, slow = await asyncio.wait(busy, timeout=PATIENCE)
        if not done and until_one_is_done:
            await asyncio.wait(busy, return_when=asyncio.FIRST_COMPLETED)
            done, slow = await asyncio.wait(busy, timeout=PATIENCE)
        for task in slow:
            member = busy[task]
            left = self._members.pop(member, None) or self._joining.pop(member, None)
            log.warning("a live view keeps the others waiting", part=member.held.key)
            if left is not None:
                task.add_done_callback(partial(_let_go, left))
        for task in done:
            error = asyncio.CancelledError() if task.cancelled() else task.exception()
            if error is not None:
                self._end(busy[task], error)

    async def _advance(self, counts: dict[Member, int], reached: int, point: LogPoint, *, is_level: bool) -> None:
        """One write for all. Those that were lost leave, and the others are written without them."""
        while counts:
            after = {
                member: member.advanced_to(reached, point, events, is_level=is_level)
                for member, events in counts.items()
            }
            try:
                await self._store.advance(*after.values())
            except Fenced:
                fenced = await self._store.fenced(list(after.values()))
                for member in [one for one in after if after[one].key in fenced]:
                    del counts[member]
                    self._end(member, fenced[after[member].key])
                continue
            self._membership.has_beaten()
            for member, checkpoint in after.items():
                member.has_advanced(checkpoint, counts[member])
            return

    def _remember(self, events: Sequence[RecordedEvent]) -> None:
        self._recent.extend(events)
        while len(self._recent) > REMEMBERED:
            self._recent_from = position_of(self._recent.popleft())

    async def _rest(self) -> None:
        """After a pause the next event is taken at once; in a flood they are taken together.

        The rest is some times as long as the last batch took: short while the view store is quick, so that readers see
        their writes soon, and longer the busier it is, since all views and readers share it.
        """
        rest = min(self._settings.max_batch_rest, REST_FACTOR * self._took)
        await asyncio.sleep(max(0.0, self._ended + rest - time.monotonic()))
