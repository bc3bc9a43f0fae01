"""The supervisor of one view in one process: a runner for each worker of each generation, and the view's rebuild.

The required state is in the view's pointer, so that any process can continue: this one reads it regularly,
starts and stops runners accordingly, and continues a rebuild where its former owner left it.
"""

import asyncio
import random
import time
from collections.abc import Coroutine
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any

import structlog
from pymongo.errors import PyMongoError

from core.backoff import Backoff
from core.error_text import error_text
from core.eventstore import codec
from core.eventstore.exclusions import decoded
from core.failures import ServiceFailure, UnreadableEvent
from core.readmodel.checkpoints import Fenced, now_micros
from core.readmodel.fingerprint import handler_fingerprint
from core.readmodel.generations import BuildInfo, Phase, ViewGenerations, removed, retired
from core.readmodel.view import View
from projections.config import Settings
from projections.engine import metrics
from projections.engine.host import Host
from projections.engine.lag import NO_LAG, Lag, is_stalled, lag_of, worst
from projections.engine.parked_events import Parked
from projections.engine.part import Status
from projections.engine.runner import Runner
from projections.engine.throttle import ReaderAwareThrottle
from projections.lifecycle.audit_log import AuditLog
from projections.lifecycle.owner_requests import FAILED, Request
from projections.lifecycle.rebuild import RebuildProcedure, Superseded
from projections.lifecycle.removal import drop_gradually
from projections.lifecycle.repair import DocumentRepair
from projections.verification.full import Result, Verifier
from projections.verification.sampling import Sampler

log = structlog.get_logger()

MAX_RECHECKED = 100  # parked streams that are checked at once for whether they can be read by now


@dataclass(frozen=True, slots=True)
class Running:
    runner: Runner
    task: asyncio.Task[None]


class Supervisor:
    """Runs the view until it is stopped."""

    def __init__(self, view: View[Any], host: Host, settings: Settings, audit_log: AuditLog) -> None:
        self.view = view
        self.code = handler_fingerprint(view)
        self.pointer = ViewGenerations(view=view.name)
        self._settings = settings
        self._stores = stores = host.stores
        self._state = stores.checkpoints
        self._verifier = Verifier(stores, at_once=settings.verify_at_once, throttle=self._throttle())
        self._rebuild = RebuildProcedure(
            view, self._state, self._verifier, audit_log, settings, membership=host.membership
        )
        self._running: dict[tuple[int, int], Running] = {}
        self._side: dict[str, asyncio.Task[None]] = {}
        self._requests = stores.requests
        self._repair = DocumentRepair(view, stores)
        self._host = host
        self._log = stores.log
        self._sampler = self.sampler()
        self._served = -1
        self._measured_at = 0.0
        self._audited_at = time.monotonic()
        self.lag = NO_LAG
        self.stalled = False
        self.differences = 0
        self._rechecked_at = float("-inf")
        self._rechecked: dict[tuple[int, int], int] = {}  # the runners' epochs at the last look at parked streams
        self._retired_since: dict[int, float] = {}
        self._stop = asyncio.Event()
        self._nudged = asyncio.Event()

    # ------------------------------------------------------------------ status

    @property
    def live(self) -> list[Runner]:
        """The runners of the live generation in this process."""
        return [x.runner for (generation, _), x in self._running.items() if generation == self.pointer.generation]

    @property
    def status(self) -> Status:
        """The status of the live generation in this process: the worst of its workers."""
        statuses = [runner.status for runner in self.live]
        return max(statuses, key=SEVERITY.index) if statuses else Status.STOPPED

    @property
    def applied(self) -> int:
        return sum(runner.applied for runner in self.live)

    @property
    def events_per_second(self) -> float:
        """The recent rate, in this process."""
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
    def log_mismatch(self) -> bool:
        """Whether a worker of the live generation in this process has found that the log was replaced."""
        return any(runner.checkpoint is not None and runner.checkpoint.log_mismatch for runner in self.live)

    def runner(self, generation: int, part: int = 0) -> Runner | None:
        running = self._running.get((generation, part))
        return None if running is None else running.runner

    # ------------------------------------------------------------------ running

    def stop(self) -> None:
        """Finish the running batches, write the checkpoints, end."""
        self._stop.set()
        self.wake()

    def wake(self) -> None:
        """Reconcile now."""
        self._nudged.set()
        for running in self._running.values():
            running.runner.wake()

    def recheck_parked(self) -> None:
        """Check now whether parked streams can be read: an operator has excluded an event."""
        self._rechecked_at = float("-inf")
        self.wake()

    async def run(self) -> None:
        every, longest = self._settings.poll_interval, self._settings.max_pause
        backoff = Backoff(every, longest, interval=every)
        try:
            while not self._stop.is_set():
                woken = self._nudged.is_set()
                self._nudged.clear()
                try:
                    await self._reconcile(fresh=woken)
                    backoff.reset()
                except (PyMongoError, ServiceFailure) as error:  # the runners report it and continue by themselves
                    log.warning("cannot read the generations", view=self.view.name, error=error_text(error))
                except Exception:  # a defect here must not end the view for good, nor affect the others
                    log.exception("defect", view=self.view.name)
                    backoff.exhaust()
                with suppress(TimeoutError):
                    await asyncio.wait_for(self._nudged.wait(), backoff.pause())
        finally:
            for running in self._running.values():
                running.runner.stop()
            for task in self._side.values():
                task.cancel()
            await asyncio.gather(*(x.task for x in self._running.values()))
            await asyncio.gather(*self._side.values(), return_exceptions=True)

    async def _reconcile(self, *, fresh: bool) -> None:
        """`fresh` if the generations may have changed a moment ago."""
        pointer = await self._stamped(await self._host.generations(self.view.name, fresh=fresh))
        if pointer.generation != self.pointer.generation:
            self.lag, self.stalled, self._measured_at = NO_LAG, False, 0.0  # they belong to another generation
        self.pointer = pointer
        await self._sync_runners(pointer)
        building, kept = pointer.building, pointer.kept
        if building is not None and self._carries(pointer):
            self._spawn("rebuild", self._rebuild.carry_on(pointer))
        if kept is not None and kept.until <= now_micros():
            await self._state.generations.change(self.view.name, lambda now: _expired(now, kept.generation))
        self._drop_retired(pointer)
        await self._serve_requests(pointer)
        self._recheck()
        self._run_periodic(pointer)

    async def _stamped(self, pointer: ViewGenerations) -> ViewGenerations:
        """The first generation is made by the first process."""
        generation = pointer.generation
        if generation in pointer.made:
            return pointer
        parts = 1 if await self._state.parts(pointer, generation) else self._settings.partitions.get(self.view.name, 1)
        made = BuildInfo(partitions=parts, code=self.code)

        def stamped(now: ViewGenerations) -> ViewGenerations | None:
            return None if generation in now.made else replace(now, made={**now.made, generation: made})

        return await self._state.generations.change(self.view.name, stamped) or await self._state.generations.get(
            self.view.name
        )

    async def _sync_runners(self, pointer: ViewGenerations) -> None:
        """Exactly the runners that the generations need."""
        wanted = {
            (generation, part)
            for generation in pointer.active()
            if self._may_follow(pointer, generation)
            for part in range(pointer.info(generation).partitions)
        }
        leaving = [self._running.pop(key) for key in self._running.keys() - wanted]
        for running in leaving:
            running.runner.stop()
        for generation, part in sorted(wanted - self._running.keys()):
            runner = self._made(pointer, generation, part)
            task = asyncio.create_task(runner.run(), name=f"{self.view.name}.g{generation}.p{part}")
            self._running[generation, part] = Running(runner, task)
        await asyncio.gather(*(running.task for running in leaving))

    def _may_follow(self, pointer: ViewGenerations, generation: int) -> bool:
        """Only the live one may be followed by other code than made it; a generation at rest is not followed at all."""
        building = pointer.building
        if building is not None and building.generation == generation and building.phase in IDLE_PHASES:
            return False
        return generation == pointer.generation or not self._other_code(pointer, generation)

    def _other_code(self, pointer: ViewGenerations, generation: int) -> bool:
        return pointer.info(generation).code not in ("", self.code)

    def _made(self, pointer: ViewGenerations, generation: int, part: int) -> Runner:
        building = pointer.building
        fills = building is not None and building.generation == generation
        return Runner(
            self.view,
            self._host,
            self._settings,
            generation=generation,
            part=part,
            parts=pointer.info(generation).partitions,
            throttle=self._throttle() if fills else None,
            runs_other_code=self._other_code(pointer, generation),
        )

    def _throttle(self) -> ReaderAwareThrottle:
        return ReaderAwareThrottle(lambda: self._state.generations.get(self.view.name))

    def _carries(self, pointer: ViewGenerations) -> bool:
        """Whether the rebuild is this process's: it owns the first worker, or there is none yet and the code is its."""
        building = pointer.building
        assert building is not None, "there is a rebuild to carry on"
        if building.phase is Phase.SEEDING:
            return not self._other_code(pointer, building.generation)
        runner = self.runner(building.generation)
        return runner is not None and runner.owns

    def _run_periodic(self, pointer: ViewGenerations) -> None:
        """The owner's work on the live generation beside its runner."""
        first, now = self.runner(pointer.generation), time.monotonic()
        metrics.LOG_MISMATCH.labels(self.view.name).set(int(self.log_mismatch))
        if first is None or not first.owns:
            self.lag, self.stalled = NO_LAG, False
            return
        if now - self._measured_at >= self._settings.measure_every:
            self._measured_at = now
            self._spawn("measurement", self._measure(pointer))
        every = self._settings.verify_every if self.view.own_streams else self._settings.full_verify_every
        if self._settings.verify_every and now - self._audited_at >= every and first.status is Status.LIVE:
            self._audited_at = now
            self._spawn("audit", self._audit())

    async def _measure(self, pointer: ViewGenerations) -> None:
        known = self.lag_now(pointer)
        if known is not None:
            self.lag = known
            self.stalled = any(is_stalled(one.checkpoint, known, self._settings.stalled_after) for one in self.live)
        else:
            checkpoint = await self._state.of_generation(pointer, pointer.generation)
            self.lag = await lag_of(self._log, self.view, checkpoint)
            self.stalled = is_stalled(checkpoint, self.lag, self._settings.stalled_after)
        building = pointer.building
        filled = None if building is None else await self._state.of_generation(pointer, building.generation)
        done = filled.events / max(building.total, filled.events, 1) if building and filled else 0.0
        metrics.report(self.view.name, self.lag, stalled=self.stalled, rebuilt=done)

    def lag_now(self, pointer: ViewGenerations) -> Lag | None:
        """That of the live generation, if all parts of it are live in this process: it is known without a read."""
        if pointer.generation != self.pointer.generation:
            return None
        lags = [lag for lag in map(self._host.live.lag_of, self.live) if lag is not None]
        return worst(lags) if len(lags) == pointer.info(pointer.generation).partitions else None

    async def _audit(self) -> None:
        """Check some documents, in time all of them; a view whose documents share streams is folded completely."""
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
        for part in range(self.pointer.info(generation).partitions):
            runner = self.runner(generation, part)
            if runner is not None and runner.owns:
                own = tuple(key for key in keys if runner.partition.owns(key))
                request = Request(id="", view=self.view.name, generation=generation, part=part, keys=own)
                state, outcome = await self._repair.repair(runner, request)
                log.warning("healed", view=self.view.name, state=state, outcome=outcome)

    def sampler(self) -> Sampler | None:
        """None for a view whose documents share streams."""
        return Sampler(self.view, self._stores) if self.view.own_streams else None

    async def _serve_requests(self, pointer: ViewGenerations) -> None:
        """Serve the requests of operators to the owner, if that is this process."""
        if pointer.request_count == self._served:
            return
        waiting = await self._requests.waiting(self.view.name)
        for request in waiting:
            runner = self.runner(request.generation, request.part)
            if runner is not None and runner.owns:
                self._spawn("request", self._repair_requested(runner, request))
                return
            if request.generation not in pointer.active():
                await self._requests.complete(request, FAILED, "that generation is no longer there")
        if not waiting:
            self._served = pointer.request_count
            await self._requests.purge()

    async def _repair_requested(self, runner: Runner, request: Request) -> None:
        state, outcome = await self._repair.repair(runner, request)
        await self._requests.complete(request, state, outcome)
        log.warning("repaired", view=self.view.name, state=state, outcome=outcome)

    def _recheck(self) -> None:
        """Apply parked streams that can be read by now: when a runner becomes the owner, it may be newer code
        than the one that parked them; and regularly, since an operator may have excluded an event.
        """
        owning = {key: one.runner for key, one in self._running.items() if one.runner.owns}
        epochs = {key: runner.epoch for key, runner in owning.items()}
        now = time.monotonic()
        if epochs == self._rechecked and now - self._rechecked_at < self._settings.measure_every:
            return
        self._rechecked, self._rechecked_at = epochs, now
        for (generation, part), runner in owning.items():
            if runner.parked_events.first:
                self._spawn(f"recheck.g{generation}.p{part}", self._take_in_readable(runner, generation, part))

    async def _take_in_readable(self, runner: Runner, generation: int, part: int) -> None:
        unread = await runner.parked_events.unread()
        if len(unread) > MAX_RECHECKED:
            unread = random.sample(unread, MAX_RECHECKED)  # so that in time each is checked
        streams = tuple([one.stream for one in unread if await self._is_readable(one)])
        if streams:
            request = Request(id="", view=self.view.name, generation=generation, part=part, streams=streams)
            state, outcome = await self._repair.repair(runner, request)
            log.warning("parked streams can be read now", view=self.view.name, state=state, outcome=outcome)

    async def _is_readable(self, parked: Parked) -> bool:
        if codec.is_of_the_store(parked.event_type):
            return True
        found = await self._log.stream(parked.stream, parked.revision, 1) or []
        try:
            return bool(await decoded(found, self._log))
        except UnreadableEvent:
            return False

    def _drop_retired(self, pointer: ViewGenerations) -> None:
        """Remove retired generations, after the readers that had seen the former pointer have finished."""
        first = self.runner(pointer.generation)
        now = time.monotonic()
        self._retired_since = {one: self._retired_since.get(one, now) for one in pointer.dropping}
        for generation, since in self._retired_since.items():
            if now - since >= self._settings.drop_delay and first is not None and first.owns:
                self._spawn("removal", self._remove(pointer, generation))
                return

    async def _remove(self, pointer: ViewGenerations, generation: int) -> None:
        await drop_gradually(self._state.documents(self.view.name, generation), self._throttle())
        await self._state.forget(pointer, generation)
        await self._state.generations.change(self.view.name, lambda now: removed(now, generation))
        log.warning("generation removed", view=self.view.name, generation=generation)

    def _spawn(self, name: str, work: Coroutine[Any, Any, None]) -> None:
        """Run it beside the runners, unless it is running; a failure is logged and retried at the next
        reconciliation.
        """
        if name in self._side and not self._side[name].done():
            work.close()
            return
        self._side[name] = asyncio.create_task(self._tried(name, work), name=f"{self.view.name}.{name}")

    async def _tried(self, name: str, work: Coroutine[Any, Any, None]) -> None:
        try:
            await work
        except (PyMongoError, ServiceFailure) as error:
            log.warning("restarts", work=name, view=self.view.name, error=error_text(error))
            await asyncio.sleep(self._settings.max_pause)
        except (Superseded, Fenced) as lost:
            log.warning("given up", work=name, view=self.view.name, reason=str(lost))
        except Exception:  # a defect: logged, and not the end of the view
            log.exception("defect", view=self.view.name, work=name)
            await asyncio.sleep(self._settings.max_pause)


IDLE_PHASES = (Phase.SEEDING, Phase.FAILED)  # in which the generation does not follow the log
SEVERITY = (Status.STANDBY, Status.LIVE, Status.CATCHING_UP, Status.PAUSED, Status.STOPPED, Status.FAILING)


def _expired(now: ViewGenerations, generation: int) -> ViewGenerations | None:
    return retired(now, generation) if now.kept is not None and now.kept.generation == generation else None
