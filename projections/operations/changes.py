"""The changes of an operator to a view: planned, and then applied if the plan would still be the same.

One row for each action. A plan depends on the generations, and on the facts that it lists.
"""

from collections.abc import Awaitable, Callable, Collection, Mapping
from typing import Any

from core.failures import InvalidRequest
from core.readmodel.generations import ViewGenerations
from core.readmodel.view import View
from projections.config import Settings
from projections.engine.parked_events import ParkedStream
from projections.lifecycle.audit_log import AuditEntry, AuditLog
from projections.operations.planners.documents import DocumentPlanner
from projections.operations.planners.generations import GenerationPlanner
from projections.operations.planners.owner import Owner
from projections.operations.planners.parked import ParkedPlanner
from projections.operations.planners.standing import Standing
from projections.operations.plans import Outcome, Plan, Requester, require_current
from projections.stores import Stores
from protos.operations.v1 import projections_pb2 as pb


class ChangePlanner:
    """Plans and applies."""

    def __init__(self, stores: Stores, audit_log: AuditLog, settings: Settings) -> None:
        log = stores.leader_log
        self._state = stores.checkpoints
        self._audit_log = audit_log
        owner, standing = Owner(stores.requests), Standing(self._state, log)
        generations = GenerationPlanner(self._state, log, standing, settings)
        self._parked = ParkedPlanner(stores, owner, standing)
        self._documents = DocumentPlanner(self._state, log, owner, standing)
        self._planners: Mapping[str, Callable[[View[Any], ViewGenerations, Any], Awaitable[Plan]]] = {
            "rebuild": generations.rebuild,
            "reset": generations.reset,
            "rollback": generations.rollback,
            "drop": generations.drop,
            "retry": self._parked.retry,
            "skip": self._parked.skip,
            "key": self._documents.key,
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

    async def parked(self, pointer: ViewGenerations) -> list[ParkedStream]:
        """The streams that are parked for the live generation, each once, the oldest first."""
        return await self._parked.parked(pointer)

    async def heal(self, view: View[Any], keys: Collection[str]) -> int:
        """Repair the documents that differ from the log; how many were repaired by now."""
        return await self._documents.heal(view, keys)
