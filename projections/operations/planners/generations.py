"""Plans that make, choose or remove a generation: rebuild, reset, rollback, drop."""

import asyncio
import time
from collections.abc import Callable
from typing import Any

from core.eventstore.log import START, EventLog
from core.failures import InvalidRequest, ServiceFailure
from core.readmodel.checkpoints import CheckpointStore, now_micros
from core.readmodel.fingerprint import handler_fingerprint
from core.readmodel.generations import (
    ActiveRebuild,
    BuildInfo,
    Phase,
    ViewGenerations,
    rebuild_started,
    retired,
    rolled_back,
)
from core.readmodel.view import View
from projections.config import Settings
from projections.operations.planners.standing import Standing
from projections.operations.plans import BEGUN, DONE, Outcome, Plan, PlanOutdated
from protos.operations.v1 import projections_pb2 as pb

FRESH_WITHIN = 5.0  # seconds in which a kept generation has to reach the live one
LOOK_EVERY = 0.05  # seconds


class RebuildRunning(ServiceFailure):  # it names what is the case
    reason = "REBUILD_RUNNING"

    def __init__(self, view: str, building: ActiveRebuild) -> None:
        super().__init__(
            f"generation {building.generation} of {view} is being made already; wait for it, or drop it",
            view=view,
            generation=building.generation,
            plan_id=building.plan_id,
        )


class GenerationUnavailable(ServiceFailure):  # it names what is the case
    reason = "GENERATION_UNAVAILABLE"

    def __init__(self, view: str, generation: int, why: str) -> None:
        super().__init__(f"{view} {why}", view=view, generation=generation)


class RollbackStale(ServiceFailure):  # it names what is the case
    reason = "ROLLBACK_STALE"

    def __init__(self, view: str, generation: int, position: int, live_position: int) -> None:
        super().__init__(
            f"generation {generation} of {view} stands at {position}, the live one at {live_position}: no process "
            "follows the log for it, for want of the code that made it; start one, or rebuild",
            view=view,
            generation=generation,
            position=position,
            live_position=live_position,
        )


class GenerationPlanner:
    """Plans and applies them."""

    def __init__(self, state: CheckpointStore, log: EventLog, standing: Standing, settings: Settings) -> None:
        self._state = state
        self._log = log
        self._standing = standing
        self._settings = settings

    async def rebuild(self, view: View[Any], pointer: ViewGenerations, wanted: pb.Rebuild) -> Plan:
        return await self._new_generation(view, pointer, 0, allow_parked=wanted.allow_parked)

    async def reset(self, view: View[Any], pointer: ViewGenerations, wanted: pb.Reset) -> Plan:
        live = await self._state.of_generation(pointer, pointer.generation)
        if wanted.position and (live is None or wanted.position > live.trusted_position):
            reached = 0 if live is None else live.trusted_position
            raise InvalidRequest({"change.reset.position": f"must not be behind where the view is, {reached}"})
        since = await self._log.head(view.stream_filter(), wanted.position) if wanted.position else START
        return await self._new_generation(view, pointer, since, allow_parked=wanted.allow_parked)

    async def _new_generation(
        self, view: View[Any], pointer: ViewGenerations, since: int, *, allow_parked: bool
    ) -> Plan:
        if pointer.building is not None and pointer.building.phase is not Phase.FAILED:
            raise RebuildRunning(view.name, pointer.building)
        generation, code = pointer.newest + 1, handler_fingerprint(view)
        made = BuildInfo(partitions=self._settings.partitions.get(view.name, 1), code=code)
        known, lacking = await self._standing.events(view, pointer)
        documents = self._state.documents(view.name, pointer.generation)
        again = await documents.count_documents({"position": {"$gt": since}} if since else {})
        left = [f"generation {pointer.kept.generation} is removed after the switch"] if pointer.kept else []
        minutes = self._settings.keep_generation / 60
        return Plan(
            action="reset" if since else "rebuild",
            view=view.name,
            facts={
                "shape": pointer.shape,
                "to_generation": generation,
                "since": since,
                "allow_parked": allow_parked,
                "code": code,
            },
            apply=lambda by: self._begin(pointer, by.plan_id, since, known + lacking, made, allow_parked=allow_parked),
            effects=(
                f"generation {generation} is filled beside generation {pointer.generation}, which readers go on seeing",
                "it is compared with an independent fold of the log; then readers are switched over in one step",
                f"generation {pointer.generation} is kept for {minutes:,.0f} minutes for a rollback",
                *left,
            ),
            from_position=since,
            to_position=await self._log.head(),
            events=await self._standing.behind(view, since, known + lacking),
            documents=again,
        )

    async def _begin(
        self, pointer: ViewGenerations, plan: str, since: int, total: int, made: BuildInfo, *, allow_parked: bool
    ) -> Outcome:
        building = ActiveRebuild(
            generation=pointer.newest + 1,
            plan_id=plan,
            started_at=now_micros(),
            total=total,
            phase=Phase.SEEDING if since else Phase.FILLING,
            since=since,
            allow_parked=allow_parked,
        )
        await self._changed(pointer, plan, lambda now: rebuild_started(now, building, made))
        return BEGUN

    async def rollback(self, view: View[Any], pointer: ViewGenerations, _: pb.Rollback) -> Plan:
        if pointer.building is not None and pointer.building.phase is not Phase.FAILED:
            raise RebuildRunning(view.name, pointer.building)
        if pointer.kept is None:
            raise GenerationUnavailable(view.name, 0, "has no generation to go back to")
        kept = pointer.kept.generation
        if await self._standing.is_of_another_log(pointer, kept):
            raise GenerationUnavailable(view.name, kept, f"has only generation {kept}, which is of another log")
        plan = Plan(
            action="rollback",
            view=view.name,
            facts={"shape": pointer.shape, "from_generation": pointer.generation, "to_generation": kept},
            apply=lambda _: self._roll_back(pointer, plan.id),
            effects=(
                f"readers see generation {kept} again, in one step",
                f"generation {pointer.generation} is kept in its place",
            ),
            to_position=await self._log.head(),
            documents=await self._state.documents(view.name, kept).estimated_document_count(),
        )
        return plan

    async def _roll_back(self, pointer: ViewGenerations, plan: str) -> Outcome:
        assert pointer.kept is not None, "it was planned"
        live = await self._state.of_generation(pointer, pointer.generation)
        wanted = 0 if live is None else live.trusted_position
        deadline = time.monotonic() + FRESH_WITHIN
        while True:
            kept = await self._state.of_generation(pointer, pointer.kept.generation)
            reached = 0 if kept is None else kept.trusted_position
            if reached >= wanted:
                break
            if time.monotonic() > deadline:
                raise RollbackStale(pointer.view, pointer.kept.generation, reached, wanted)
            await asyncio.sleep(LOOK_EVERY)
        until = now_micros() + int(self._settings.keep_generation * 1_000_000)
        return await self._changed(pointer, plan, lambda now: rolled_back(now, until))

    async def drop(self, view: View[Any], pointer: ViewGenerations, wanted: pb.Drop) -> Plan:
        kept = 0 if pointer.kept is None else pointer.kept.generation
        building = 0 if pointer.building is None else pointer.building.generation
        generation = wanted.generation or kept
        if not generation or generation not in (kept, building):
            why = "has no generation to drop" if not generation else "has it in use, or has it no longer"
            raise GenerationUnavailable(view.name, generation, why)
        plan = Plan(
            action="drop",
            view=view.name,
            facts={"shape": pointer.shape, "generation": generation},
            apply=lambda _: self._changed(pointer, plan.id, lambda now: retired(now, generation)),
            effects=(
                f"generation {generation} is removed; no reader sees it",
                "there is nothing to roll back to then" if generation == kept else "the rebuild ends",
            ),
            documents=await self._state.documents(view.name, generation).estimated_document_count(),
        )
        return plan

    async def _changed(
        self, planned: ViewGenerations, plan: str, how: Callable[[ViewGenerations], ViewGenerations]
    ) -> Outcome:
        """Change the pointer if it is as it was when the plan was made."""

        def changed(now: ViewGenerations) -> ViewGenerations | None:
            return how(now) if now.shape == planned.shape else None

        if await self._state.generations.change(planned.view, changed) is None:
            raise PlanOutdated(plan, "")
        return DONE
