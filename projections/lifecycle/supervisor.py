"""All of one view in one process: a runner for each worker of each generation, and what a rebuild needs beside them.

What is to be done stands in the view's pointer, so that any process can carry it on: this one looks at it every now and
then, starts and stops runners as it says, and takes up a rebuild where whoever had it before left it.
"""

import asyncio
import random
import time
from collections.abc import Coroutine
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any

import structlog
from pymongo.asynchronous.database import AsyncDatabase
from pymongo.errors import PyMongoError

from core.error_text import error_text
from core.eventstore import codec
from core.eventstore.connection import Client
from core.eventstore.exclusions import decoded
from core.eventstore.log import EventLog
from core.failures import ServiceFailure, UnreadableEvent
from core.readmodel.checkpoints import Fenced, ViewState, now_micros
from core.readmodel.generations import Made, Phase, Pointer, dropped, forgotten
from projections.config import Settings
from projections.engine import metrics
from projections.engine.fingerprint import stamp
from projections.engine.lag import NO_LAG, Lag, is_stalled, lag_of
from projections.engine.parked_events import Parked
from projections.engine.runner import Runner, Status
from projections.engine.shared_reads import SharedReads
from projections.engine.throttle import Pace
from projections.lifecycle.audit_log import Acts
from projections.lifecycle.owner_requests import FAILED, Request, Requests
from projections.lifecycle.rebuild import Rebuild, Superseded
from projections.lifecycle.removal import remove
from projections.lifecycle.repair import Mender
from projections.verification.full import Result, Verifier
from projections.verification.sampling import Sampler
from projections.view import View

log = structlog.get_logger()

MAX_RECHECKED = 100  # parked streams of which one look finds out whether they can be read by now


@dataclass(frozen=True, slots=True)
class Running:
    runner: Runner
    task: asyncio.Task[None]


class Supervisor:
    """Runs the view until it is told to stop."""

    def __init__(
        self, view: View[Any], client: Client, database: AsyncDatabase[Any], settings: Settings, shared: SharedReads
    ) -> None:
        self.view = view
        self.code = stamp(view)
        self.pointer = Pointer(view=view.name)
        self._client = client
        self._database = database
        self._settings = settings
        self._state = ViewState(database)
        self._verifier = Verifier(client, database, at_once=settings.verify_at_once, pace=self._pace())
        self._rebuild = Rebuild(view, self._state, self._verifier, Acts(client), settings)
        self._running: dict[tuple[int, int], Running] = {}
        self._side: dict[str, asyncio.Task[None]] = {}
        self._requests = Requests(database)
        self._mender = Mender(view, database, EventLog(client.leader))
        self._shared = shared
        self._log = shared.log
        self._sampler = self.sampler()
        self._served = -1
        self._measured_at = 0.0
        self._audited_at = time.monotonic()
        self.lag = NO_LAG
        self.stalled = False
        self.differences = 0
        self._rechecked_at = float("-inf")
        self._rechecked: dict[tuple[int, int], int] = {}  # the runners' epochs at the last look at parked streams
        self._leaving_since: dict[int, float] = {}
        self._stop = asyncio.Event()
        self._nudged = asyncio.Event()

    # ------------------------------------------------------------------ what it tells

    @property
    def live(self) -> list[Runner]:
        """The runners of the live generation in this process."""
        return [x.runner for (generation, _), x in self._running.items() if generation == self.pointer.generation]

    @property
    def status(self) -> Status:
        """Of the live generation in this process: the worst of its workers."""
        told = [runner.status for runner in self.live]
        return max(told, key=WORSE.index) if told else Status.STOPPED

    @property
    def applied(self) -> int:
        return sum(runner.applied for runner in self.live)

    @property
    def events_per_second(self) -> float:
        """Of late, in this process."""
        return sum(runner.rate for runner in self.live)

    @property
    def parked_streams(self) -> int:
        """In this process."""
        return sum(runner.parked_streams for runner in self.live)

    @property
    def stalled_after(self) -> float:
        return self._settings.stalled_after

    @property
    def last_error(self) -> str:
        return next((runner.last_error for runner in self.live if runner.last_error), "")

    @property
    def astray(self) -> bool:
        """Whether a worker of the live generation in this process has found the log to be another one."""
        return any(runner.checkpoint is not None and runner.checkpoint.astray for runner in self.live)

    def runner(self, generation: int, part: int = 0) -> Runner | None:
        running = self._running.get((generation, part))
        return None if running is None else running.runner

    # ------------------------------------------------------------------ running

    def stop(self) -> None:
        """Finish the batches at work, write the checkpoints, end."""
        self._stop.set()
        self.nudge()

    def nudge(self) -> None:
        """Look now."""
        self._nudged.set()
        for running in self._running.values():
            running.runner.nudge()

    def recheck_parked(self) -> None:
        """Look now whether parked streams can be read: an operator has excluded an event."""
        self._rechecked_at = float("-inf")
        self.nudge()

    async def run(self) -> None:
        pause = self._settings.look_every
        try:
            while not self._stop.is_set():
                nudged = self._nudged.is_set()
                self._nudged.clear()
                try:
                    await self._look(anew=nudged)
                    pause = self._settings.look_every
                except (PyMongoError, ServiceFailure) as error:  # the runners tell of it and go on by themselves
                    log.warning("cannot look at the pointer", view=self.view.name, error=error_text(error))
                    pause = min(2 * pause, self._settings.longest_pause)
                except Exception:  # a defect here must not end the view for good, nor touch the others
                    log.exception("defect", view=self.view.name)
                    pause = self._settings.longest_pause
                with suppress(TimeoutError):
                    await asyncio.wait_for(self._nudged.wait(), pause)
        finally:
            for running in self._running.values():
                running.runner.stop()
            for task in self._side.values():
                task.cancel()
            await asyncio.gather(*(x.task for x in self._running.values()))
            await asyncio.gather(*self._side.values(), return_exceptions=True)

    async def _look(self, *, anew: bool) -> None:
        """`anew` if the pointer may have been changed a moment ago."""
        pointer = await self._stamped(await self._shared.pointer(self.view.name, anew=anew))
        if pointer.generation != self.pointer.generation:
            self.lag, self.stalled, self._measured_at = NO_LAG, False, 0.0  # they were another generation's
        self.pointer = pointer
        await self._match(pointer)
        building, kept = pointer.building, pointer.kept
        if building is not None and self._carries(pointer):
            self._beside("rebuild", self._rebuild.carry_on(pointer))
        if kept is not None and kept.until <= now_micros():
            await self._state.pointers.change(self.view.name, lambda now: _expired(now, kept.generation))
        self._leave(pointer)
        await self._serve(pointer)
        self._recheck()
        self._now_and_then(pointer)

    async def _stamped(self, pointer: Pointer) -> Pointer:
        """The first generation is made by whoever comes first."""
        generation = pointer.generation
        if generation in pointer.made:
            return pointer
        parts = 1 if await self._state.parts(pointer, generation) else self._settings.partitions.get(self.view.name, 1)
        made = Made(partitions=parts, code=self.code)

        def stamped(now: Pointer) -> Pointer | None:
            return None if generation in now.made else replace(now, made={**now.made, generation: made})

        return await self._state.pointers.change(self.view.name, stamped) or await self._state.pointers.get(
            self.view.name
        )

    async def _match(self, pointer: Pointer) -> None:
        """Exactly the runners that the pointer asks for."""
        wanted = {
            (generation, part)
            for generation in pointer.followed()
            if self._may_follow(pointer, generation)
            for part in range(pointer.how(generation).partitions)
        }
        leaving = [self._running.pop(key) for key in self._running.keys() - wanted]
        for running in leaving:
            running.runner.stop()
        for generation, part in sorted(wanted - self._running.keys()):
            runner = self._made(pointer, generation, part)
            task = asyncio.create_task(runner.run(), name=f"{self.view.name}.g{generation}.p{part}")
            self._running[generation, part] = Running(runner, task)
        await asyncio.gather(*(running.task for running in leaving))

    def _may_follow(self, pointer: Pointer, generation: int) -> bool:
        """Only the live one may be followed by other code than made it; what stands still is not followed at all."""
        building = pointer.building
        if building is not None and building.generation == generation and building.phase in STANDING:
            return False
        return generation == pointer.generation or not self._strange(pointer, generation)

    def _strange(self, pointer: Pointer, generation: int) -> bool:
        return pointer.how(generation).code not in ("", self.code)

    def _made(self, pointer: Pointer, generation: int, part: int) -> Runner:
        building = pointer.building
        fills = building is not None and building.generation == generation
        return Runner(
            self.view,
            self._log,
            self._database,
            self._settings,
            generation=generation,
            part=part,
            parts=pointer.how(generation).partitions,
            pace=self._pace() if fills else None,
            stranger=self._strange(pointer, generation),
        )

    def _pace(self) -> Pace:
        return Pace(lambda: self._state.pointers.get(self.view.name))

    def _carries(self, pointer: Pointer) -> bool:
        """Whether the rebuild is this process's: it owns the first worker, or there is none yet and the code is its."""
        building = pointer.building
        assert building is not None, "there is a rebuild to carry on"
        if building.phase is Phase.SEEDING:
            return not self._strange(pointer, building.generation)
        runner = self.runner(building.generation)
        return runner is not None and runner.owns

    def _now_and_then(self, pointer: Pointer) -> None:
        """What the owner of the live generation does beside it."""
        first, now = self.runner(pointer.generation), time.monotonic()
        metrics.ASTRAY.labels(self.view.name).set(int(self.astray))
        if first is None or not first.owns:
            self.lag, self.stalled = NO_LAG, False
            return
        if now - self._measured_at >= self._settings.measure_every:
            self._measured_at = now
            self._beside("measurement", self._measure(pointer))
        every = self._settings.verify_every if self.view.own_streams else self._settings.verify_wholly_every
        if self._settings.verify_every and now - self._audited_at >= every and first.status is Status.LIVE:
            self._audited_at = now
            self._beside("audit", self._audit())

    async def _measure(self, pointer: Pointer) -> None:
        if len(self.live) == pointer.how(pointer.generation).partitions and all(one.is_level for one in self.live):
            head = max(one.checkpoint.position for one in self.live if one.checkpoint is not None)
            self.lag, self.stalled = Lag(0, 0.0, head), False
        else:
            checkpoint = await self._state.of_generation(pointer, pointer.generation)
            self.lag = await lag_of(self._log, self.view, checkpoint)
            self.stalled = is_stalled(checkpoint, self.lag, self._settings.stalled_after)
        building = pointer.building
        filled = None if building is None else await self._state.of_generation(pointer, building.generation)
        done = filled.events / max(building.total, filled.events, 1) if building and filled else 0.0
        metrics.tell(self.view.name, self.lag, stalled=self.stalled, rebuilt=done)

    async def _audit(self) -> None:
        """Look at some documents, in time at all of them; a view whose documents share streams is folded as a whole."""
        if self._sampler is not None:
            result = await self._sampler.check(self._settings.verify_documents)
        else:
            verifying = self._verifier.verify([self.view])
            [result] = [message async for message in verifying if isinstance(message, Result)]
        metrics.VERIFIED.labels(self.view.name).inc(result.documents)
        wrong = len(result.keys)
        if not wrong:
            return
        self.differences += wrong
        metrics.DIFFERENCES.labels(self.view.name).inc(wrong)
        for found in result.listed:
            log.error("document differs", view=self.view.name, key=found.key, field=found.field)
        if self._settings.heal:
            await self._heal(sorted(result.keys))

    async def _heal(self, keys: list[str]) -> None:
        generation = self.pointer.generation
        for part in range(self.pointer.how(generation).partitions):
            runner = self.runner(generation, part)
            if runner is not None and runner.owns:
                own = tuple(key for key in keys if runner.share.has(key))
                request = Request(id="", view=self.view.name, generation=generation, part=part, keys=own)
                state, told = await self._mender.mend(runner, request)
                log.warning("healed", view=self.view.name, state=state, told=told)

    def sampler(self) -> Sampler | None:
        """None for a view whose documents share streams."""
        return Sampler(self.view, self._client, self._database) if self.view.own_streams else None

    async def _serve(self, pointer: Pointer) -> None:
        """Do what operators have asked of the owner, if that is this process."""
        if pointer.asked == self._served:
            return
        waiting = await self._requests.waiting(self.view.name)
        for request in waiting:
            runner = self.runner(request.generation, request.part)
            if runner is not None and runner.owns:
                self._beside("request", self._mend(runner, request))
                return
            if request.generation not in pointer.followed():
                await self._requests.answer(request, FAILED, "that generation is no longer there")
        if not waiting:
            self._served = pointer.asked
            await self._requests.tidy()

    async def _mend(self, runner: Runner, request: Request) -> None:
        state, told = await self._mender.mend(runner, request)
        await self._requests.answer(request, state, told)
        log.warning("mended", view=self.view.name, state=state, told=told)

    def _recheck(self) -> None:
        """Take in parked streams that can be read by now: when a runner becomes the owner, it may be newer code
        than the one that parked them; and every now and then, since an operator may have excluded an event.
        """
        owning = {key: one.runner for key, one in self._running.items() if one.runner.owns}
        epochs = {key: runner.epoch for key, runner in owning.items()}
        now = time.monotonic()
        if epochs == self._rechecked and now - self._rechecked_at < self._settings.measure_every:
            return
        self._rechecked, self._rechecked_at = epochs, now
        for (generation, part), runner in owning.items():
            if runner.lot.first:
                self._beside(f"recheck.g{generation}.p{part}", self._take_in_readable(runner, generation, part))

    async def _take_in_readable(self, runner: Runner, generation: int, part: int) -> None:
        unread = await runner.lot.unread()
        if len(unread) > MAX_RECHECKED:
            unread = random.sample(unread, MAX_RECHECKED)  # so that in time each is looked at
        streams = tuple([one.stream for one in unread if await self._is_readable(one)])
        if streams:
            request = Request(id="", view=self.view.name, generation=generation, part=part, streams=streams)
            state, told = await self._mender.mend(runner, request)
            log.warning("parked streams can be read now", view=self.view.name, state=state, told=told)

    async def _is_readable(self, parked: Parked) -> bool:
        if codec.is_of_the_store(parked.event_type):
            return True
        found = await self._log.stream(parked.stream, parked.revision, 1) or []
        try:
            return bool(await decoded(found, self._log))
        except UnreadableEvent:
            return False

    def _leave(self, pointer: Pointer) -> None:
        """Remove what nobody may come back to, once readers that had seen the pointer before are gone."""
        first = self.runner(pointer.generation)
        now = time.monotonic()
        self._leaving_since = {one: self._leaving_since.get(one, now) for one in pointer.dropping}
        for generation, since in self._leaving_since.items():
            if now - since >= self._settings.grace_of_readers and first is not None and first.owns:
                self._beside("removal", self._remove(pointer, generation))
                return

    async def _remove(self, pointer: Pointer, generation: int) -> None:
        await remove(self._state.documents(self.view.name, generation), self._pace())
        await self._state.forget(pointer, generation)
        await self._state.pointers.change(self.view.name, lambda now: forgotten(now, generation))
        log.warning("generation removed", view=self.view.name, generation=generation)

    def _beside(self, name: str, work: Coroutine[Any, Any, None]) -> None:
        """Do it beside the runners, unless it is being done; a failure is told and tried again at the next look."""
        if name in self._side and not self._side[name].done():
            work.close()
            return
        self._side[name] = asyncio.create_task(self._tried(name, work), name=f"{self.view.name}.{name}")

    async def _tried(self, name: str, work: Coroutine[Any, Any, None]) -> None:
        try:
            await work
        except (PyMongoError, ServiceFailure) as error:
            log.warning("begins anew", work=name, view=self.view.name, error=error_text(error))
            await asyncio.sleep(self._settings.longest_pause)
        except (Superseded, Fenced) as lost:
            log.warning("given up", work=name, view=self.view.name, reason=str(lost))
        except Exception:  # a defect: told, and not the end of the view
            log.exception("defect", view=self.view.name, work=name)
            await asyncio.sleep(self._settings.longest_pause)


STANDING = (Phase.SEEDING, Phase.FAILED)  # while nothing follows the log for it
WORSE = (Status.STANDBY, Status.LIVE, Status.CATCHING_UP, Status.PAUSED, Status.STOPPED, Status.FAILING)


def _expired(now: Pointer, generation: int) -> Pointer | None:
    return dropped(now, generation) if now.kept is not None and now.kept.generation == generation else None
