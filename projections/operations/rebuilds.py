"""The views that have to be rebuilt, and the act that rebuilds all of them.

Each rebuild is recorded in the pointer of its view, under the plan of the act. So it continues without the caller, and
a caller that asks again with the same plan finds the rebuilds that were begun.
"""

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, replace

from core.eventstore.log import EventLog
from core.readmodel.checkpoints import Checkpoint, CheckpointStore
from core.readmodel.generations import Outcome, Phase, ViewGenerations
from core.rpc.validation import reason_of
from projections.engine.lag import is_stalled, lag_of
from projections.lifecycle.supervisor import Supervisor
from projections.operations.changes import ChangePlanner
from projections.operations.plans import Plan, Requester, plan_id, require_current
from projections.operations.progress import Superseded, until_all_end
from protos.operations.v1 import projections_pb2 as pb


def rebuild_reason(code: str, pointer: ViewGenerations, checkpoint: Checkpoint | None, *, stalled: bool) -> str:
    """Why the live generation has to be rebuilt by this code; "" if it need not be, or is being rebuilt."""
    building = pointer.building
    if building is not None and building.phase is not Phase.FAILED:
        return ""
    if checkpoint is not None and checkpoint.log_mismatch:
        return "made from another log"
    if pointer.info(pointer.generation).code not in ("", code):
        return "made by other code"
    if building is not None:
        return "its rebuild failed"
    return "stalled" if stalled else ""


async def looked_up(log: EventLog, checkpoint: Checkpoint | None) -> Checkpoint | None:
    """The checkpoint compared with the log as it is now: a view that is paused, or not run, has not detected a
    mismatch.
    """
    if checkpoint is None or checkpoint.log_mismatch or await log.is_of_this_log(checkpoint.point):
        return checkpoint
    return replace(checkpoint, log_mismatch=True)


@dataclass(frozen=True, slots=True)
class Rebuilds:
    """A plan for several views: for each, why it is rebuilt and its own plan.

    Those that are `paused`, and those that are being rebuilt already, are skipped.
    """

    plans: Sequence[tuple[str, Plan]]
    paused: Sequence[str]
    rebuilding: Sequence[str]

    @property
    def id(self) -> str:
        return plan_id("rebuild all", views={plan.view: plan.id for _, plan in self.plans})

    def to_proto(self) -> pb.PlanRebuildsResponse:
        views = [
            pb.ViewToRebuild(
                view=plan.view, reason=reason, events=plan.events, documents=plan.documents, queries=plan.queries
            )
            for reason, plan in self.plans
        ]
        return pb.PlanRebuildsResponse(plan_id=self.id, views=views, paused=self.paused, rebuilding=self.rebuilding)


class Rebuilder:
    """Of the views of this process, by name."""

    def __init__(
        self, supervisors: Mapping[str, Supervisor], state: CheckpointStore, changes: ChangePlanner, log: EventLog
    ) -> None:
        self._supervisors = supervisors
        self._state = state
        self._changes = changes
        self._log = log

    async def plan(self, *, allow_parked: bool) -> Rebuilds:
        plans, paused, rebuilding = [], [], []
        for name in sorted(self._supervisors):
            pointer = await self._state.generations.get(name)
            reason = await self._reason(self._supervisors[name], pointer)
            if pointer.building is not None and not reason:
                rebuilding.append(name)
            elif reason and pointer.paused:
                paused.append(name)
            elif reason:
                change = pb.ProjectionChange(view=name, rebuild=pb.Rebuild(allow_parked=allow_parked))
                plans.append((reason, await self._changes.plan(self._supervisors[name].view, change)))
        return Rebuilds(plans, paused, rebuilding)

    async def rebuild(
        self, request: pb.RebuildAllRequest, actor: str
    ) -> AsyncIterator[tuple[str, pb.RebuildProgress | Outcome | Superseded]]:
        """Begin what is not begun yet, then report the progress of each view. Raises `PlanOutdated`."""
        begun = [name for name in sorted(self._supervisors) if await self._is_begun(name, request.plan_id)]
        if not begun or not set(request.views) <= set(begun):
            begun += await self._begin(request, Requester(actor, reason_of(request), request.plan_id), begun)
        async for message in until_all_end(self._state, begun, request.plan_id):
            yield message

    async def _begin(self, request: pb.RebuildAllRequest, by: Requester, begun: Sequence[str]) -> list[str]:
        """Begin the views of the plan that are not; their names."""
        rebuilds = await self.plan(allow_parked=request.allow_parked)
        if not begun:
            require_current(request.plan_id, rebuilds.id)
        plans = [plan for _, plan in rebuilds.plans if plan.view in request.views]
        for plan in plans:
            await self._changes.carry_out(plan, by)
            self._supervisors[plan.view].wake()
        return [plan.view for plan in plans]

    async def _is_begun(self, name: str, plan: str) -> bool:
        pointer = await self._state.generations.get(name)
        return plan in [one.plan_id for one in (pointer.building, pointer.outcome) if one is not None]

    async def _reason(self, view: Supervisor, pointer: ViewGenerations) -> str:
        checkpoint = await looked_up(self._log, await self._state.of_generation(pointer, pointer.generation))
        lag = await lag_of(self._log, view.view, checkpoint)
        stalled = not pointer.paused and is_stalled(checkpoint, lag, view.checks.stalled_after)
        return rebuild_reason(view.runners.code, pointer, checkpoint, stalled=stalled)
