"""Plans about single documents: fold one again from the log."""

from collections.abc import Collection
from typing import Any

from core.eventstore.log import EventLog
from core.failures import InvalidRequest
from core.readmodel.checkpoints import CheckpointStore
from core.readmodel.generations import ViewGenerations
from core.readmodel.view import View
from projections.operations.planners.owner import Owner
from projections.operations.planners.standing import MAX_COUNTED, Standing
from projections.operations.plans import Plan
from protos.operations.v1 import projections_pb2 as pb

MAX_HEALED = 500  # documents in one go
HEALED_WITHIN = 60.0  # seconds


class DocumentPlanner:
    """Plans and applies them."""

    def __init__(self, state: CheckpointStore, log: EventLog, owner: Owner, standing: Standing) -> None:
        self._state = state
        self._log = log
        self._owner = owner
        self._standing = standing

    async def key(self, view: View[Any], pointer: ViewGenerations, wanted: pb.RebuildKey) -> Plan:
        if not wanted.key:
            raise InvalidRequest({"change.key.key": "must be given"})
        await self._standing.require_this_log(pointer)
        if view.own_streams:
            names = [f"{category}-{wanted.key}" for category in view.categories]
            streams = [await self._log.stream(name, 0, MAX_COUNTED) for name in names]
            events = sum(len(stream or ()) for stream in streams)
        else:
            events = sum(await self._standing.events(view, pointer))
        read = "its streams" if view.own_streams else "all of the log, since its documents share streams"
        plan = Plan(
            action="key",
            view=view.name,
            facts={"generation": pointer.generation, "key": wanted.key},
            apply=lambda by: self._owner.ask(view, pointer, plan.id, keys=(wanted.key,), within=by.within),
            effects=(f"{wanted.key} is folded again from {read} and put in place between two batches",),
            to_position=await self._log.head(),
            events=events,
            documents=1,
        )
        return plan

    async def heal(self, view: View[Any], keys: Collection[str]) -> int:
        """Repair the documents that differ from the log; how many were repaired by now."""
        pointer, healed, wanted = await self._state.generations.get(view.name), 0, sorted(keys)
        if await self._standing.is_of_another_log(pointer, pointer.generation):
            return healed  # no process follows the log for it any more
        for start in range(0, len(wanted), MAX_HEALED):
            some = tuple(wanted[start : start + MAX_HEALED])
            done, _ = await self._owner.ask(view, pointer, f"heal:{some[0]}", keys=some, within=HEALED_WITHIN)
            healed += len(some) if done else 0
        return healed
