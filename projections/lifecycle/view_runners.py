"""The runners of one view in one process: one for each worker of each generation that is followed."""

import asyncio
from dataclasses import dataclass
from typing import Any

from core.readmodel.fingerprint import handler_fingerprint
from core.readmodel.generations import Phase, ViewGenerations
from core.readmodel.view import View
from projections.config import Settings
from projections.engine.host import Host
from projections.engine.lag import Lag, worst
from projections.engine.part import Status
from projections.engine.runner import Runner
from projections.engine.throttle import ReaderAwareThrottle

IDLE_PHASES = (Phase.SEEDING, Phase.FAILED)  # in which the generation does not follow the log
SEVERITY = (Status.STANDBY, Status.LIVE, Status.CATCHING_UP, Status.PAUSED, Status.STOPPED, Status.FAILING)

Worker = tuple[int, int]  # a generation, and a part of it


@dataclass(frozen=True, slots=True)
class _Running:
    runner: Runner
    task: asyncio.Task[None]


class ViewRunners:
    """`code` is the fingerprint of the view's handlers in this process."""

    def __init__(self, view: View[Any], host: Host, settings: Settings) -> None:
        self.code = handler_fingerprint(view)
        self._view = view
        self._host = host
        self._settings = settings
        self._running: dict[Worker, _Running] = {}
        self._live = ViewGenerations(view=view.name).generation

    # ------------------------------------------------------------------ status

    @property
    def live(self) -> list[Runner]:
        """Those of the live generation."""
        return [x.runner for (generation, _), x in self._running.items() if generation == self._live]

    @property
    def status(self) -> Status:
        """That of the live generation in this process: the worst of its workers."""
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
    def last_error(self) -> str:
        return next((runner.last_error for runner in self.live if runner.last_error), "")

    @property
    def log_mismatch(self) -> bool:
        """Whether a worker of the live generation in this process has found that the log was replaced."""
        return any(runner.checkpoint is not None and runner.checkpoint.log_mismatch for runner in self.live)

    def lag(self, pointer: ViewGenerations) -> Lag | None:
        """That of the live generation, if all parts of it are live in this process: it is known without a read."""
        if pointer.generation != self._live:
            return None
        lags = [lag for lag in map(self._host.live.lag_of, self.live) if lag is not None]
        return worst(lags) if len(lags) == pointer.info(pointer.generation).partitions else None

    def get(self, generation: int, part: int = 0) -> Runner | None:
        running = self._running.get((generation, part))
        return None if running is None else running.runner

    def owned(self, generation: int, part: int = 0) -> Runner | None:
        """None also if another process owns the part."""
        runner = self.get(generation, part)
        return runner if runner is not None and runner.owns else None

    def all_owned(self) -> dict[Worker, Runner]:
        return {worker: one.runner for worker, one in self._running.items() if one.runner.owns}

    # ------------------------------------------------------------------ running

    async def follow(self, pointer: ViewGenerations) -> None:
        """Run exactly the runners that the generations need."""
        self._live = pointer.generation
        wanted = {
            (generation, part)
            for generation in pointer.active()
            if self._may_follow(pointer, generation)
            for part in range(pointer.info(generation).partitions)
        }
        leaving = [self._running.pop(worker) for worker in self._running.keys() - wanted]
        for running in leaving:
            running.runner.stop()
        for generation, part in sorted(wanted - self._running.keys()):
            runner = self._made(pointer, generation, part)
            task = asyncio.create_task(runner.run(), name=f"{self._view.name}.g{generation}.p{part}")
            self._running[generation, part] = _Running(runner, task)
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
            self._view,
            self._host,
            self._settings,
            generation=generation,
            part=part,
            parts=pointer.info(generation).partitions,
            throttle=self.throttle() if fills else None,
            runs_other_code=self._other_code(pointer, generation),
        )

    def throttle(self) -> ReaderAwareThrottle:
        """For work that must not slow down the view's readers."""
        generations = self._host.stores.checkpoints.generations
        return ReaderAwareThrottle(lambda: generations.get(self._view.name))

    def carries(self, pointer: ViewGenerations) -> bool:
        """Whether there is a rebuild and it is this process's: it owns the first worker, or there is none yet and the
        code is its.
        """
        building = pointer.building
        if building is None:
            return False
        if building.phase is Phase.SEEDING:
            return not self._other_code(pointer, building.generation)
        return self.owned(building.generation) is not None

    def wake(self) -> None:
        for running in self._running.values():
            running.runner.wake()

    def stop(self) -> None:
        """They finish their batches and write their checkpoints."""
        for running in self._running.values():
            running.runner.stop()

    async def ended(self) -> None:
        await asyncio.gather(*(running.task for running in self._running.values()))
