"""What the owner of a view regularly checks in the live generation: how far it is, and whether documents are right."""

import time
from typing import Any

import structlog

from core.readmodel.generations import ViewGenerations
from core.readmodel.view import View
from projections.config import Settings
from projections.engine import metrics
from projections.engine.lag import NO_LAG, is_stalled, lag_of
from projections.engine.part import Status
from projections.lifecycle.background_work import BackgroundWork
from projections.lifecycle.owner_requests import Request
from projections.lifecycle.repair import DocumentRepair
from projections.lifecycle.view_runners import ViewRunners
from projections.stores import Stores
from projections.verification.full import Result, Verifier
from projections.verification.sampling import Sampler

log = structlog.get_logger()


class LiveChecks:
    """`lag` and `stalled` are of the last measurement, `differences` counts all wrong documents that were found."""

    def __init__(
        self,
        view: View[Any],
        stores: Stores,
        settings: Settings,
        runners: ViewRunners,
        work: BackgroundWork,
        *,
        verifier: Verifier,
        repair: DocumentRepair,
    ) -> None:
        self._view = view
        self._stores = stores
        self._settings = settings
        self._runners = runners
        self._work = work
        self._verifier = verifier
        self._repair = repair
        self._sampler = self.sampler()
        self._generation = ViewGenerations(view=view.name).generation
        self._measured_at = 0.0
        self._audited_at = time.monotonic()
        self.stalled_after = settings.stalled_after
        self.lag = NO_LAG
        self.stalled = False
        self.differences = 0

    def sampler(self) -> Sampler | None:
        """None for a view whose documents share streams."""
        return Sampler(self._view, self._stores) if self._view.own_streams else None

    def switch_to(self, generation: int) -> None:
        """The live generation; what was measured of another one is forgotten."""
        if generation != self._generation:
            self._generation = generation
            self.lag, self.stalled, self._measured_at = NO_LAG, False, 0.0

    def run_due(self, pointer: ViewGenerations) -> None:
        """Begin the checks that are due."""
        first, now = self._runners.owned(pointer.generation), time.monotonic()
        metrics.LOG_MISMATCH.labels(self._view.name).set(int(self._runners.log_mismatch))
        if first is None:
            self.lag, self.stalled = NO_LAG, False
            return
        if now - self._measured_at >= self._settings.measure_every:
            self._measured_at = now
            self._work.spawn("measurement", self._measure, pointer)
        every = self._settings.verify_every if self._view.own_streams else self._settings.full_verify_every
        if self._settings.verify_every and now - self._audited_at >= every and first.status is Status.LIVE:
            self._audited_at = now
            self._work.spawn("audit", self._audit)

    async def _measure(self, pointer: ViewGenerations) -> None:
        known, after, state = self._runners.lag(pointer), self.stalled_after, self._stores.checkpoints
        if known is not None:
            self.lag = known
            self.stalled = any(is_stalled(one.checkpoint, known, after) for one in self._runners.live)
        else:
            checkpoint = await state.of_generation(pointer, pointer.generation)
            self.lag = await lag_of(self._stores.log, self._view, checkpoint)
            self.stalled = is_stalled(checkpoint, self.lag, after)
        building = pointer.building
        filled = None if building is None else await state.of_generation(pointer, building.generation)
        done = filled.events / max(building.total, filled.events, 1) if building and filled else 0.0
        metrics.report(self._view.name, self.lag, stalled=self.stalled, rebuilt=done)

    async def _audit(self) -> None:
        """Check some documents, in time all of them; a view whose documents share streams is folded completely."""
        if self._sampler is not None:
            result = await self._sampler.check(self._settings.verify_documents)
        else:
            verifying = self._verifier.verify([self._view])
            [result] = [message async for message in verifying if isinstance(message, Result)]
        metrics.VERIFIED.labels(self._view.name).inc(result.documents)
        wrong = len(result.keys)
        if not wrong:
            return
        self.differences += wrong
        metrics.DIFFERENCES.labels(self._view.name).inc(wrong)
        for found in result.listed:
            log.error("document differs", view=self._view.name, key=found.key, field=found.field)
        if self._settings.heal:
            await self._heal(sorted(result.keys))

    async def _heal(self, keys: list[str]) -> None:
        for (generation, part), runner in self._runners.all_owned().items():
            if generation == self._generation:
                own = tuple(key for key in keys if runner.partition.owns(key))
                request = Request(id="", view=self._view.name, generation=generation, part=part, keys=own)
                state, outcome = await self._repair.repair(runner, request)
                log.warning("healed", view=self._view.name, state=state, outcome=outcome)
