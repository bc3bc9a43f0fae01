"""Retry and skip of a parked stream in every view in which it is parked: one plan, and one answer."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from core.failures import LogMismatch
from core.readmodel.view import View
from projections.operations.changes import ChangePlanner
from projections.operations.planners.parked import StreamNotParked
from projections.operations.plans import Outcome, Plan, Requester, plan_id, require_current
from protos.operations.v1 import projections_pb2 as pb

ACTIONS = ("retry", "skip")


@dataclass(frozen=True, slots=True)
class Plans:
    """One plan for each view in which the stream is parked. Views of `another_log` are skipped."""

    plans: Sequence[Plan]
    another_log: Sequence[str]

    @property
    def id(self) -> str:
        return plan_id("everywhere", plans=[plan.id for plan in self.plans])

    @property
    def views(self) -> list[str]:
        return [plan.view for plan in self.plans]

    def to_proto(self) -> pb.PlanProjectionResponse:
        left_out = [f"{view} is skipped, it was made from another log: rebuild it" for view in self.another_log]
        return pb.PlanProjectionResponse(
            plan_id=self.id,
            from_position=min(plan.from_position for plan in self.plans),
            to_position=max(plan.to_position for plan in self.plans),
            events=sum(plan.events for plan in self.plans),
            documents=sum(plan.documents for plan in self.plans),
            queries=sorted({query for plan in self.plans for query in plan.queries}),
            effects=[*(f"{plan.view}: {effect}" for plan in self.plans for effect in plan.effects), *left_out],
        )


class Everywhere:
    """Plans and applies over several views."""

    def __init__(self, views: Sequence[View[Any]], changes: ChangePlanner) -> None:
        self._views = views
        self._changes = changes

    async def plan(self, change: pb.ProjectionChange) -> Plans:
        """Raises `StreamNotParked` if the stream is parked in no view."""
        plans, another_log = [], []
        for view in self._views:
            try:
                plans.append(await self._changes.plan(view, change))
            except StreamNotParked:
                continue
            except LogMismatch:
                another_log.append(view.name)
        if not plans:
            raise StreamNotParked("no view", getattr(change, str(change.WhichOneof("action"))).stream)
        return Plans(plans, another_log)

    async def apply(self, change: pb.ProjectionChange, by: Requester) -> tuple[Outcome, list[str]]:
        """Apply it in all views at once; the outcomes, and the views. Raises `PlanOutdated`."""
        plans = await self.plan(change)
        require_current(by.plan_id, plans.id)
        outcomes = await asyncio.gather(*(self._changes.carry_out(plan, by) for plan in plans.plans))
        messages = [f"{view}: {text}" for view, (_, texts) in zip(plans.views, outcomes, strict=True) for text in texts]
        return (all(done for done, _ in outcomes), messages), plans.views
