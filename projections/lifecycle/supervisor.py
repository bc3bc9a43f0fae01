"""The supervisor of one view in one process: its runners, its rebuild, and the work of its owner.

The required state is in the view's pointer, so that any process can continue: this one reads it regularly,
starts and stops runners accordingly, and continues a rebuild where its former owner left it.
"""

import asyncio
from dataclasses import replace
from typing import Any

import structlog
from pymongo.errors import PyMongoError

from core.background import set_within
from core.backoff import Backoff
from core.error_text import error_text
from core.failures import ServiceFailure
from core.readmodel.checkpoints import now_micros
from core.readmodel.generations import BuildInfo, ViewGenerations, retired
from core.readmodel.view import View
from projections.config import Settings
from projections.engine.host import Host
from projections.engine.runner import Runner
from projections.lifecycle.audit_log import AuditLog
from projections.lifecycle.background_work import BackgroundWork
from projections.lifecycle.live_checks import LiveChecks
from projections.lifecycle.owner_requests import FAILED, Request
from projections.lifecycle.rebuild import RebuildProcedure
from projections.lifecycle.recheck import ParkedRecheck
from projections.lifecycle.removal import RetiredGenerations
from projections.lifecycle.repair import DocumentRepair
from projections.lifecycle.view_runners import ViewRunners
from projections.verification.full import Verifier

log = structlog.get_logger()


class Supervisor:
    """Runs the view until it is stopped."""

    def __init__(self, view: View[Any], host: Host, settings: Settings, audit_log: AuditLog) -> None:
        stores = host.stores
        self.view = view
        self.runners = runners = ViewRunners(view, host, settings)
        self._host = host
        self._settings = settings
        self._state = stores.checkpoints
        self._requests = stores.requests
        self._served = -1
        self._stop = asyncio.Event()
        self._nudged = asyncio.Event()
        self._work = work = BackgroundWork(view.name, settings.max_pause)
        self._repair = repair = DocumentRepair(view, stores)
        verifier = Verifier(stores, at_once=settings.verify_at_once, throttle=runners.throttle())
        self._rebuild = RebuildProcedure(view, self._state, verifier, audit_log, settings, membership=host.membership)
        self.checks = LiveChecks(view, stores, settings, runners, work, verifier=verifier, repair=repair)
        self._recheck = ParkedRecheck(view.name, stores.log, runners, work, repair=repair, every=settings.measure_every)
        self._retired = RetiredGenerations(
            view.name, self._state, work, throttle=runners.throttle, drop_delay=settings.drop_delay
        )

    def stop(self) -> None:
        """Finish the running batches, write the checkpoints, end."""
        self._stop.set()
        self.wake()

    def wake(self) -> None:
        """Reconcile now."""
        self._nudged.set()
        self.runners.wake()

    def recheck_parked(self) -> None:
        """Check now whether parked streams can be read: an operator has excluded an event."""
        self._recheck.demand()
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
                await set_within(self._nudged, backoff.pause())
        finally:
            self.runners.stop()
            self._work.cancel()
            await self.runners.ended()
            await self._work.ended()

    async def _reconcile(self, *, fresh: bool) -> None:
        """`fresh` if the generations may have changed a moment ago."""
        pointer = await self._stamped(await self._host.generations(self.view.name, fresh=fresh))
        self.checks.switch_to(pointer.generation)
        await self.runners.follow(pointer)
        if self.runners.carries(pointer):
            self._work.spawn("rebuild", self._rebuild.carry_on, pointer)
        kept = pointer.kept
        if kept is not None and kept.until <= now_micros():
            await self._state.generations.change(self.view.name, lambda now: _expired(now, kept.generation))
        self._retired.drop_due(pointer, is_owner=self.runners.owned(pointer.generation) is not None)
        await self._serve_requests(pointer)
        self._recheck.run_due()
        self.checks.run_due(pointer)

    async def _stamped(self, pointer: ViewGenerations) -> ViewGenerations:
        """The first generation is made by the first process."""
        generation = pointer.generation
        if generation in pointer.made:
            return pointer
        parts = 1 if await self._state.parts(pointer, generation) else self._settings.partitions.get(self.view.name, 1)
        made = BuildInfo(partitions=parts, code=self.runners.code)

        def stamped(now: ViewGenerations) -> ViewGenerations | None:
            return None if generation in now.made else replace(now, made={**now.made, generation: made})

        return await self._state.generations.change(self.view.name, stamped) or await self._state.generations.get(
            self.view.name
        )

    async def _serve_requests(self, pointer: ViewGenerations) -> None:
        """Serve the requests of operators to the owner, if that is this process."""
        if pointer.request_count == self._served:
            return
        waiting = await self._requests.waiting(self.view.name)
        for request in waiting:
            runner = self.runners.owned(request.generation, request.part)
            if runner is not None:
                self._work.spawn("request", self._repair_requested, runner, request)
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


def _expired(now: ViewGenerations, generation: int) -> ViewGenerations | None:
    return retired(now, generation) if now.kept is not None and now.kept.generation == generation else None
