"""ProjectionService: how operators see and check the views."""

import asyncio
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any, NoReturn

import structlog
from google.protobuf import timestamp_pb2

from projections.answering import Context, answering, refuse
from projections.runner import Runner, Status
from projections.snapshots import SnapshotVerifier
from projections.verify import Progress, Result, Verifier, to_json
from projections.view import View
from protos.operations.v1 import projections_pb2 as pb
from protos.operations.v1.projections_pb2_grpc import ProjectionServiceServicer
from server.failures import InvalidRequest, NotFound
from server.readmodel.state import Checkpoint, ViewState, now_micros

log = structlog.get_logger()

SERVICE = "operations.v1.ProjectionService"
MOST_LISTED = 20
NOTICED_WITHIN = 2.0  # seconds


class ProjectionAdmin(ProjectionServiceServicer):
    """Answers from the runners of this process and the checkpoints in MongoDB."""

    def __init__(
        self, runners: Sequence[Runner], state: ViewState, verifier: Verifier, snapshots: SnapshotVerifier
    ) -> None:
        self._runners: Mapping[str, Runner] = {runner.view.name: runner for runner in runners}
        self._state = state
        self._verifier = verifier
        self._snapshots = snapshots

    async def ListProjections(self, request: pb.ListProjectionsRequest, context: Context) -> pb.ListProjectionsResponse:
        async with answering(context):
            told = [await self._tell(self._runners[name]) for name in sorted(self._runners)]
        return pb.ListProjectionsResponse(projections=told)

    async def GetProjection(self, request: pb.GetProjectionRequest, context: Context) -> pb.GetProjectionResponse:
        runner = await self._named(request.view, context)
        async with answering(context):
            told = await self._tell(runner)
        return pb.GetProjectionResponse(projection=told)

    async def PauseProjection(self, request: pb.PauseProjectionRequest, context: Context) -> pb.PauseProjectionResponse:
        runner = await self._named(request.view, context)
        async with answering(context):
            await self._state.pause(request.view)
            await _at_rest(runner)
            log.warning("view paused", view=request.view)
            return pb.PauseProjectionResponse(projection=await self._tell(runner))

    async def ResumeProjection(
        self, request: pb.ResumeProjectionRequest, context: Context
    ) -> pb.ResumeProjectionResponse:
        runner = await self._named(request.view, context)
        async with answering(context):
            await self._state.resume(request.view)
            log.warning("view resumed", view=request.view)
            return pb.ResumeProjectionResponse(projection=await self._tell(runner))

    async def _named(self, view: str, context: Context) -> Runner:
        runner = self._runners.get(view)
        if runner is None:
            await _no_such_view(context, view)
        return runner

    async def VerifyProjections(
        self, request: pb.VerifyProjectionsRequest, context: Context
    ) -> AsyncIterator[pb.VerifyProjectionsResponse]:
        views: list[View[Any]] = []
        for name in request.views or sorted(self._runners):
            if name not in self._runners:
                await _no_such_view(context, name)
            views.append(self._runners[name].view)
        if request.max_differences < 0:
            await refuse(context, InvalidRequest({"max_differences": "must not be negative"}))
        async with answering(context):
            async for message in self._verifier.verify(views, request.max_differences or MOST_LISTED):
                yield _told(message)
            if not request.views:
                found = await self._snapshots.verify(request.max_differences or MOST_LISTED)
                yield pb.VerifyProjectionsResponse(snapshots=_verdict(found))

    async def _tell(self, runner: Runner) -> pb.Projection:
        generation = await self._state.generation(runner.view.name)
        checkpoint = await self._state.checkpoint(runner.view.name)
        lease = await self._state.lease(runner.view.name, generation)
        status = Status.PAUSED if await self._state.paused(runner.view.name) else runner.status
        return pb.Projection(
            view=runner.view.name,
            status=pb.ProjectionStatus.Value(f"PROJECTION_STATUS_{status.value}"),
            position=checkpoint.position if checkpoint else 0,
            head=await self._verifier.head(runner.view),
            lag_ms=lag_ms(checkpoint),
            events_applied=runner.applied,
            last_error=runner.last_error,
            updated_at=_timestamp(checkpoint.updated_at) if checkpoint else None,
            parked_streams=await self._state.parked_streams(runner.view.name),
            owner=":".join(lease.owner.split(":")[:2]) if lease else "",
            epoch=lease.epoch if lease else 0,
            generation=generation,
        )


def lag_ms(checkpoint: Checkpoint | None) -> int:
    """Since when the view may not hold the whole log; 0 while nobody has ever run it."""
    if checkpoint is None or not checkpoint.caught_up_at:
        return 0
    return max(0, (now_micros() - checkpoint.caught_up_at) // 1000)


def healthy(runner: Runner) -> bool:
    """A view that reads, follows, stands by or was paused on purpose is; one that fails or has stopped is not."""
    return runner.status in (Status.CATCHING_UP, Status.LIVE, Status.STANDBY, Status.PAUSED)


async def _at_rest(runner: Runner) -> None:
    """Let the runner of this process notice a pause; one elsewhere does at its next heartbeat."""
    deadline = time.monotonic() + NOTICED_WITHIN
    while runner.status is not Status.PAUSED and time.monotonic() < deadline:
        runner.nudge()
        await asyncio.sleep(0.02)


def _told(message: Progress | Result) -> pb.VerifyProjectionsResponse:
    if isinstance(message, Progress):
        progress = pb.VerifyProgress(events=message.events, position=message.position, head=message.head)
        return pb.VerifyProjectionsResponse(progress=progress)
    return pb.VerifyProjectionsResponse(result=_verdict(message))


def _verdict(found: Result) -> pb.VerifyResult:
    return pb.VerifyResult(
        view=found.view,
        documents=found.documents,
        events=found.events,
        checkpoint=found.checkpoint,
        differences=found.differences,
        streams=found.streams,
        listed=[
            pb.Difference(key=x.key, field=x.field, expected_json=to_json(x.expected), actual_json=to_json(x.actual))
            for x in found.listed
        ],
    )


def _timestamp(micros: int) -> timestamp_pb2.Timestamp:
    stamp = timestamp_pb2.Timestamp()
    stamp.FromMicroseconds(micros)
    return stamp


async def _no_such_view(context: Context, view: str) -> NoReturn:
    await refuse(context, NotFound("VIEW_NOT_FOUND", view=view))
