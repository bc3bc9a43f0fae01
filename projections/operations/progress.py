"""The progress of a rebuild, for operators."""

import asyncio
import time
from collections import deque
from collections.abc import AsyncIterator, Iterable

from core.readmodel.checkpoints import CheckpointStore, now_micros
from core.readmodel.generations import ActiveRebuild, Outcome, ViewGenerations
from protos.operations.v1 import projections_pb2 as pb

LOOK_EVERY = 0.25  # seconds
RATE_OVER = 10.0  # seconds over which the rate is taken


class Superseded(Exception):  # it names what happened
    """The generation was dropped before it was done."""


async def progress(state: CheckpointStore, pointer: ViewGenerations) -> pb.RebuildProgress | None:
    """Of the rebuild under way, with its rate since it began; None if there is none."""
    building = pointer.building
    if building is None:
        return None
    events = await _events(state, pointer, building)
    seconds = max(1e-3, (now_micros() - building.started_at) / 1e6)
    return _to_proto(building, events, events / seconds)


async def until_the_end(state: CheckpointStore, view: str, plan_id: str) -> AsyncIterator[pb.RebuildProgress | Outcome]:
    """Progress now and then, and at last how it ended. Raises `Superseded`."""
    rebuild = _Followed(state, view, plan_id)
    while True:
        message = await rebuild.look()
        yield message
        if isinstance(message, Outcome):
            return
        await asyncio.sleep(LOOK_EVERY)


async def until_all_end(
    state: CheckpointStore, views: Iterable[str], plan_id: str
) -> AsyncIterator[tuple[str, pb.RebuildProgress | Outcome | Superseded]]:
    """The same of several views that are rebuilt under one plan, with the view of each message."""
    running = {view: _Followed(state, view, plan_id) for view in views}
    while running:
        for view, rebuild in tuple(running.items()):
            message: pb.RebuildProgress | Outcome | Superseded
            try:
                message = await rebuild.look()
            except Superseded as superseded:
                message = superseded
            if not isinstance(message, pb.RebuildProgress):
                del running[view]
            yield view, message
        if running:
            await asyncio.sleep(LOOK_EVERY)


class _Followed:
    """A rebuild, with its recent rate."""

    def __init__(self, state: CheckpointStore, view: str, plan_id: str) -> None:
        self._state = state
        self._view = view
        self._plan_id = plan_id
        self._seen: deque[tuple[float, int]] = deque()

    async def look(self) -> pb.RebuildProgress | Outcome:
        """How far it is, or how it ended. Raises `Superseded`."""
        pointer = await self._state.generations.get(self._view)
        building, outcome = pointer.building, pointer.outcome
        if outcome is not None and outcome.plan_id == self._plan_id:
            return outcome
        if building is None or building.plan_id != self._plan_id:
            raise Superseded
        events, now = await _events(self._state, pointer, building), time.monotonic()
        self._seen.append((now, events))
        while now - self._seen[0][0] > RATE_OVER:
            self._seen.popleft()
        (since, before) = self._seen[0]
        return _to_proto(building, events, (events - before) / (now - since) if now > since else 0.0)


async def _events(state: CheckpointStore, pointer: ViewGenerations, building: ActiveRebuild) -> int:
    checkpoint = await state.of_generation(pointer, building.generation)
    return 0 if checkpoint is None else checkpoint.events


def _to_proto(building: ActiveRebuild, events: int, rate: float) -> pb.RebuildProgress:
    total = max(building.total, events)
    return pb.RebuildProgress(
        generation=building.generation,
        phase=pb.RebuildPhase.Value(f"REBUILD_PHASE_{building.phase}"),
        events=events,
        total=total,
        events_per_second=rate,
        left_ms=int((total - events) / rate * 1000) if rate else 0,
        plan_id=building.plan_id,
        failure=building.failure,
    )
