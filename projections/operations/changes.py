"""The changes of an operator to a view: planned, and then applied if the plan would still be the same.

One row for each action. A plan depends on the generations, and on the facts that it lists.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from pymongo.asynchronous.database import AsyncDatabase

from core.eventstore.log import START, EventLog
from core.failures import InvalidRequest, LogMismatch, ServiceFailure, StoreFailure
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
from core.readmodel.views import VIEWS_BY_NAME
from core.rpc.validation import require_reason
from projections.config import Settings
from projections.engine.applier import Partition
from projections.engine.parked_events import UNREADABLE, ParkedEvents, ParkedStream, SkippedEvents
from projections.lifecycle.audit_log import AuditEntry, AuditLog
from projections.lifecycle.owner_requests import OwnerRequests, Request
from projections.operations.plans import PlanOutdated, plan_id, require_current
from protos.operations.v1 import projections_pb2 as pb

MAX_COUNTED = 1_000  # events that a view lacks
MAX_EXACT = 10_000  # events that a plan counts one by one
FRESH_WITHIN = 5.0  # seconds in which a kept generation has to reach the live one
LOOK_EVERY = 0.05  # seconds
MAX_LISTED = 10  # parked streams in a plan
MAX_HEALED = 500  # documents in one go
HEALED_WITHIN = 60.0  # seconds
DONE_WITHIN = 5.0  # seconds that a call waits for the owner


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


class StreamNotParked(ServiceFailure):  # it names what is the case
    reason = "STREAM_NOT_PARKED"

    def __init__(self, view: str, stream: str) -> None:
        what = f"does not hold {stream} back" if stream else "holds no stream back"
        super().__init__(f"{view} {what}", view=view, stream=stream)


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


@dataclass(frozen=True, slots=True)
class Requester:
    """The requester of a change, and the reason. `plan_id` identifies it: its own plan, or that of several together."""

    actor: str
    reason: str
    plan_id: str
    within: float = DONE_WITHIN  # seconds that the call waits for the owner


Outcome = tuple[bool, list[str]]  # whether all is done by now, and the outcome

BEGUN: Outcome = (False, ["it has begun"])
DONE: Outcome = (True, [])


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """The effects of a change. `facts` are all that it depends on; `apply` does it, and raises if they have changed."""

    action: str
    view: str
    facts: Mapping[str, object]
    apply: Callable[[Requester], Awaitable[Outcome]]
    effects: tuple[str, ...]
    from_position: int = 0
    to_position: int = 0
    events: int = 0
    documents: int = 0
    id: str = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "id", plan_id(self.action, view=self.view, **self.facts))

    @property
    def queries(self) -> Sequence[str]:
        """The RPCs that answer from the view."""
        view = VIEWS_BY_NAME.get(self.view)  # an exclusion is of all views
        return () if view is None else view.answers

    def to_proto(self) -> pb.PlanProjectionResponse:
        return pb.PlanProjectionResponse(
            plan_id=self.id,
            from_position=self.from_position,
            to_position=self.to_position,
            events=self.events,
            documents=self.documents,
            queries=self.queries,
            effects=self.effects,
        )


def _about(parked: ParkedStream) -> str:
    failed = parked.failed
    return (
        f"{failed.stream}: {failed.event_type} at revision {failed.revision} ({failed.error}), {parked.waiting} behind"
    )


class ChangePlanner:
    """Plans and applies."""

    def __init__(self, database: AsyncDatabase[Any], log: EventLog, audit_log: AuditLog, settings: Settings) -> None:
        self._database = database
        self._state = CheckpointStore(database)
        self._requests = OwnerRequests(database)
        self._skips = SkippedEvents(database)
        self._log = log
        self._audit_log = audit_log
        self._settings = settings
        self._planners: Mapping[str, Callable[[View[Any], ViewGenerations, Any], Awaitable[Plan]]] = {
            "rebuild": self._rebuild,
            "reset": self._reset,
            "rollback": self._rollback,
            "drop": self._drop,
            "retry": self._retry,
            "skip": self._skip,
            "key": self._key,
        }

    async def plan(self, view: View[Any], change: pb.ProjectionChange) -> Plan:
        """Raises the reason against it, if there is one."""
        action = change.WhichOneof("action")
        if action is None:
            raise InvalidRequest({"change.action": "must be given"})
        pointer = await self._state.generations.get(view.name)
        return await self._planners[action](view, pointer, getattr(change, action))

    async def apply(self, view: View[Any], change: pb.ProjectionChange, by: Requester) -> Outcome:
        """Apply it. Raises `PlanOutdated` if the plan would not be the same now; a rebuild continues after the
        return.
        """
        by = replace(by, reason=require_reason(by.reason))
        plan = await self.plan(view, change)
        require_current(by.plan_id, plan.id)
        return await self.carry_out(plan, by)

    async def carry_out(self, plan: Plan, by: Requester) -> Outcome:
        """Apply the plan, and record it. Raises `PlanOutdated`."""
        act = AuditEntry(
            act=f"{plan.action.title()}Projection",
            subject=plan.view,
            actor=by.actor,
            reason=by.reason,
            plan_id=by.plan_id,
            details={**plan.facts, "events": plan.events, "documents": plan.documents},
        )
        async with self._audit_log.recorded(act):
            return await plan.apply(by)

    # ------------------------------------------------------------------ actions

    async def _rebuild(self, view: View[Any], pointer: ViewGenerations, wanted: pb.Rebuild) -> Plan:
        return await self._new_generation(view, pointer, 0, allow_parked=wanted.allow_parked)

    async def _reset(self, view: View[Any], pointer: ViewGenerations, wanted: pb.Reset) -> Plan:
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
        known, lacking = await self._events(view, pointer)
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
            events=await self._behind(view, since, known + lacking),
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

    async def _rollback(self, view: View[Any], pointer: ViewGenerations, _: pb.Rollback) -> Plan:
        if pointer.building is not None and pointer.building.phase is not Phase.FAILED:
            raise RebuildRunning(view.name, pointer.building)
        if pointer.kept is None:
            raise GenerationUnavailable(view.name, 0, "has no generation to go back to")
        kept = pointer.kept.generation
        if await self._is_of_another_log(pointer, kept):
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

    async def _drop(self, view: View[Any], pointer: ViewGenerations, wanted: pb.Drop) -> Plan:
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

    async def _retry(self, view: View[Any], pointer: ViewGenerations, wanted: pb.RetryParked) -> Plan:
        await self._require_this_log(pointer)
        parked = await self._parked(pointer, wanted.stream)
        return self._plan_retry(view, pointer, "retry", parked, [_about(one) for one in parked[:MAX_LISTED]])

    async def _skip(self, view: View[Any], pointer: ViewGenerations, wanted: pb.SkipParked) -> Plan:
        if not wanted.stream:
            raise InvalidRequest({"change.skip.stream": "must be given"})
        await self._require_this_log(pointer)
        [parked] = await self._parked(pointer, wanted.stream)
        failed = parked.failed
        left_out = f"{failed.event_type} {failed.revision}@{failed.stream} is skipped for good"
        elsewhere = (
            "commands, processes and queries about the past still meet it: "
            f"`orderstream events exclude {failed.stream} {failed.revision}` leaves it out for everything"
            if UNREADABLE.match(failed.error or "")
            else "commands, processes and queries about the past go on with it: they can read it"
        )
        effects = [f"{left_out}, in rebuilds too", _about(parked), elsewhere]
        return self._plan_retry(view, pointer, "skip", [parked], effects)

    def _plan_retry(
        self, view: View[Any], pointer: ViewGenerations, action: str, parked: list[ParkedStream], effects: list[str]
    ) -> Plan:
        events = [position for one in parked for position in one.positions]

        async def apply(by: Requester) -> Outcome:
            if action == "skip":
                await self._skips.add(view.name, parked[0].failed, by.actor, by.reason)
            streams = tuple(one.failed.stream for one in parked)
            return await self._ask(view, pointer, plan.id, streams=streams, within=by.within)

        plan = Plan(
            action=action,
            view=view.name,
            facts={"generation": pointer.generation, "positions": events},
            apply=apply,
            effects=(
                *effects,
                "their documents are folded again from the log and put in place; the view goes on meanwhile",
            ),
            from_position=min(events),
            to_position=max(events),
            events=len(events),
            documents=len(parked),
        )
        return plan

    async def _key(self, view: View[Any], pointer: ViewGenerations, wanted: pb.RebuildKey) -> Plan:
        if not wanted.key:
            raise InvalidRequest({"change.key.key": "must be given"})
        await self._require_this_log(pointer)
        if view.own_streams:
            names = [f"{category}-{wanted.key}" for category in view.categories]
            streams = [await self._log.stream(name, 0, MAX_COUNTED) for name in names]
            events = sum(len(stream or ()) for stream in streams)
        else:
            events = sum(await self._events(view, pointer))
        read = "its streams" if view.own_streams else "all of the log, since its documents share streams"
        plan = Plan(
            action="key",
            view=view.name,
            facts={"generation": pointer.generation, "key": wanted.key},
            apply=lambda by: self._ask(view, pointer, plan.id, keys=(wanted.key,), within=by.within),
            effects=(f"{wanted.key} is folded again from {read} and put in place between two batches",),
            to_position=await self._log.head(),
            events=events,
            documents=1,
        )
        return plan

    async def _ask(
        self,
        view: View[Any],
        pointer: ViewGenerations,
        plan: str,
        *,
        streams: tuple[str, ...] = (),
        keys: tuple[str, ...] = (),
        within: float,
    ) -> Outcome:
        """Requests to the owner of the view: in every generation for streams, in the live one for keys."""
        generations = pointer.active() if streams else (pointer.generation,)
        requests = [
            Request(
                id=f"{plan}:{now_micros()}:{generation}:{part}",
                view=view.name,
                generation=generation,
                part=part,
                streams=streams,
                keys=tuple(key for key in keys if Partition(part, parts).owns(key)),
            )
            for generation in generations
            for parts in (pointer.info(generation).partitions,)
            for part in range(parts)
        ]
        requests = [one for one in requests if one.streams or one.keys]
        await self._requests.submit(requests)
        live = [one.id for one in requests if one.generation == pointer.generation]
        return await self._requests.wait(live, within)

    async def heal(self, view: View[Any], keys: Collection[str]) -> int:
        """Repair the documents that differ from the log; how many were repaired by now."""
        pointer, healed, wanted = await self._state.generations.get(view.name), 0, sorted(keys)
        if await self._is_of_another_log(pointer, pointer.generation):
            return healed  # no process follows the log for it any more
        for start in range(0, len(wanted), MAX_HEALED):
            some = tuple(wanted[start : start + MAX_HEALED])
            done, _ = await self._ask(view, pointer, f"heal:{some[0]}", keys=some, within=HEALED_WITHIN)
            healed += len(some) if done else 0
        return healed

    # ------------------------------------------------------------------ helpers

    async def _is_of_another_log(self, pointer: ViewGenerations, generation: int) -> bool:
        found = await self._state.of_generation(pointer, generation)
        return found is not None and found.log_mismatch

    async def _require_this_log(self, pointer: ViewGenerations) -> None:
        """Raises `LogMismatch` if the live generation is of another log: only another generation can be right."""
        if await self._is_of_another_log(pointer, pointer.generation):
            raise LogMismatch(pointer.view)

    async def _parked(self, pointer: ViewGenerations, stream: str) -> list[ParkedStream]:
        """Of the live generation. Raises `StreamNotParked`."""
        parked = [one for one in await self.parked(pointer) if stream in ("", one.failed.stream)]
        if not parked:
            raise StreamNotParked(pointer.view, stream)
        return parked

    async def parked(self, pointer: ViewGenerations) -> list[ParkedStream]:
        """The streams that are parked for the live generation, each once, the oldest first."""
        found: dict[str, ParkedStream] = {}
        for part in range(pointer.info(pointer.generation).partitions):
            parked_events = ParkedEvents(self._database, pointer.view, pointer.generation, part)
            for one in await parked_events.streams():
                found.setdefault(one.failed.stream, one)
        return sorted(found.values(), key=lambda one: one.failed.position)

    async def _changed(
        self, planned: ViewGenerations, plan: str, how: Callable[[ViewGenerations], ViewGenerations]
    ) -> Outcome:
        """Change the pointer if it is as it was when the plan was made."""

        def changed(now: ViewGenerations) -> ViewGenerations | None:
            return how(now) if now.shape == planned.shape else None

        if await self._state.generations.change(planned.view, changed) is None:
            raise PlanOutdated(plan, "")
        return DONE

    async def _behind(self, view: View[Any], since: int, about: int) -> int:
        """How many events of the view lie behind a position: counted, or `about` so many if they are too many."""
        try:
            counted = await self._log.count_after(since, view.stream_filter(), MAX_EXACT)
        except StoreFailure:  # it would have had to read too many events of others
            return about
        return counted if counted < MAX_EXACT else max(counted, about)

    async def _events(self, view: View[Any], pointer: ViewGenerations) -> tuple[int, int]:
        """How many events the live generation has applied, and how many it lacks (counted up to a thousand)."""
        live = await self._state.of_generation(pointer, pointer.generation)
        if live is None or live.log_mismatch:
            return 0, await self._log.count_after(0, view.stream_filter(), MAX_COUNTED)
        try:
            return live.events, await self._log.count_after(live.position, view.stream_filter(), MAX_COUNTED)
        except LogMismatch:  # a paused view has not detected that the log was replaced
            return 0, await self._log.count_after(START, view.stream_filter(), MAX_COUNTED)
