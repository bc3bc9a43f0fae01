"""The recheck of parked streams: whether they can be read by now, and then applied.

When a runner becomes the owner, it may be newer code than the one that parked them; and an operator may have excluded
an event.
"""

import random
import time

import structlog

from core.eventstore import codec
from core.eventstore.exclusions import decoded
from core.eventstore.log import EventLog
from core.failures import UnreadableEvent
from projections.engine.parked_events import Parked
from projections.engine.runner import Runner
from projections.lifecycle.background_work import BackgroundWork
from projections.lifecycle.owner_requests import Request
from projections.lifecycle.repair import DocumentRepair
from projections.lifecycle.view_runners import ViewRunners, Worker

log = structlog.get_logger()

MAX_RECHECKED = 100  # parked streams that are checked at once


class ParkedRecheck:
    """Of one view, whenever a runner becomes an owner, and every `every` seconds."""

    def __init__(
        self,
        view: str,
        event_log: EventLog,
        runners: ViewRunners,
        work: BackgroundWork,
        *,
        repair: DocumentRepair,
        every: float,
    ) -> None:
        self._view = view
        self._log = event_log
        self._runners = runners
        self._work = work
        self._repair = repair
        self._every = every
        self._checked_at = float("-inf")
        self._epochs: dict[Worker, int] = {}  # the runners' at the last check

    def demand(self) -> None:
        """The next look is a check."""
        self._checked_at = float("-inf")

    def run_due(self) -> None:
        owned = self._runners.all_owned()
        epochs = {worker: runner.epoch for worker, runner in owned.items()}
        now = time.monotonic()
        if epochs == self._epochs and now - self._checked_at < self._every:
            return
        self._epochs, self._checked_at = epochs, now
        for (generation, part), runner in owned.items():
            if runner.parked_events.first:
                self._work.spawn(f"recheck.g{generation}.p{part}", self._apply_readable, runner, generation, part)

    async def _apply_readable(self, runner: Runner, generation: int, part: int) -> None:
        unread = await runner.parked_events.unread()
        if len(unread) > MAX_RECHECKED:
            unread = random.sample(unread, MAX_RECHECKED)  # so that in time each is checked
        streams = tuple([one.stream for one in unread if await self._is_readable(one)])
        if streams:
            request = Request(id="", view=self._view, generation=generation, part=part, streams=streams)
            state, outcome = await self._repair.repair(runner, request)
            log.warning("parked streams can be read now", view=self._view, state=state, outcome=outcome)

    async def _is_readable(self, parked: Parked) -> bool:
        if codec.is_of_the_store(parked.event_type):
            return True
        found = await self._log.stream(parked.stream, parked.revision, 1) or []
        try:
            return bool(await decoded(found, self._log))
        except UnreadableEvent:
            return False
