"""Plans about parked streams: apply their events again, or skip the one that failed."""

from typing import Any

from core.failures import InvalidRequest, ServiceFailure
from core.readmodel.generations import ViewGenerations
from core.readmodel.view import View
from projections.engine.parked_events import UNREADABLE, ParkedStream
from projections.operations.planners.owner import Owner
from projections.operations.planners.standing import Standing
from projections.operations.plans import Outcome, Plan, Requester
from projections.stores import Stores
from protos.operations.v1 import projections_pb2 as pb

MAX_LISTED = 10  # parked streams in a plan


class StreamNotParked(ServiceFailure):  # it names what is the case
    reason = "STREAM_NOT_PARKED"

    def __init__(self, view: str, stream: str) -> None:
        what = f"does not hold {stream} back" if stream else "holds no stream back"
        super().__init__(f"{view} {what}", view=view, stream=stream)


def _about(parked: ParkedStream) -> str:
    failed = parked.failed
    return (
        f"{failed.stream}: {failed.event_type} at revision {failed.revision} ({failed.error}), {parked.waiting} behind"
    )


class ParkedPlanner:
    """Plans and applies them."""

    def __init__(self, stores: Stores, owner: Owner, standing: Standing) -> None:
        self._stores = stores
        self._skips = stores.skipped
        self._owner = owner
        self._standing = standing

    async def retry(self, view: View[Any], pointer: ViewGenerations, wanted: pb.RetryParked) -> Plan:
        await self._standing.require_this_log(pointer)
        parked = await self._parked(pointer, wanted.stream)
        return self._plan_retry(view, pointer, "retry", parked, [_about(one) for one in parked[:MAX_LISTED]])

    async def skip(self, view: View[Any], pointer: ViewGenerations, wanted: pb.SkipParked) -> Plan:
        if not wanted.stream:
            raise InvalidRequest({"change.skip.stream": "must be given"})
        await self._standing.require_this_log(pointer)
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
            return await self._owner.ask(view, pointer, plan.id, streams=streams, within=by.within)

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
            parked_events = self._stores.parked(pointer.view, pointer.generation, part)
            for one in await parked_events.streams():
                found.setdefault(one.failed.stream, one)
        return sorted(found.values(), key=lambda one: one.failed.position)
