"""ProjectionService: how operators see and check the views."""

from collections.abc import AsyncIterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NoReturn

import grpc
from google.protobuf import any_pb2, timestamp_pb2
from google.rpc import error_details_pb2, status_pb2

from projections.runner import Runner, Status
from projections.verify import Progress, Result, Verifier, to_json
from projections.view import View
from protos.operations.v1 import projections_pb2 as pb
from protos.operations.v1.projections_pb2_grpc import ProjectionServiceServicer
from server.readmodel.state import Checkpoint, ViewState, now_micros

if TYPE_CHECKING:
    Context = grpc.aio.ServicerContext[Any, Any]
else:
    Context = grpc.aio.ServicerContext

SERVICE = "operations.v1.ProjectionService"
MOST_LISTED = 20


class ProjectionAdmin(ProjectionServiceServicer):
    """Answers from the runners of this process and the checkpoints in MongoDB."""

    def __init__(self, runners: Sequence[Runner], state: ViewState, verifier: Verifier) -> None:
        self._runners: Mapping[str, Runner] = {runner.view.name: runner for runner in runners}
        self._state = state
        self._verifier = verifier

    async def ListProjections(self, request: pb.ListProjectionsRequest, context: Context) -> pb.ListProjectionsResponse:
        return pb.ListProjectionsResponse(
            projections=[await self._tell(self._runners[x]) for x in sorted(self._runners)]
        )

    async def GetProjection(self, request: pb.GetProjectionRequest, context: Context) -> pb.GetProjectionResponse:
        runner = self._runners.get(request.view)
        if runner is None:
            await _no_such_view(context, request.view)
        return pb.GetProjectionResponse(projection=await self._tell(runner))

    async def VerifyProjections(
        self, request: pb.VerifyProjectionsRequest, context: Context
    ) -> AsyncIterator[pb.VerifyProjectionsResponse]:
        views: list[View[Any]] = []
        for name in request.views or sorted(self._runners):
            if name not in self._runners:
                await _no_such_view(context, name)
            views.append(self._runners[name].view)
        async for message in self._verifier.verify(views, request.max_differences or MOST_LISTED):
            yield _told(message)

    async def _tell(self, runner: Runner) -> pb.Projection:
        checkpoint = await self._state.checkpoint(runner.view.name)
        return pb.Projection(
            view=runner.view.name,
            status=pb.ProjectionStatus.Value(f"PROJECTION_STATUS_{runner.status.value}"),
            position=checkpoint.position if checkpoint else 0,
            head=await self._verifier.head(runner.view),
            lag_ms=lag_ms(checkpoint),
            events_applied=runner.applied,
            last_error=runner.last_error,
            updated_at=_timestamp(checkpoint.updated_at) if checkpoint else None,
            parked_streams=runner.parked_streams,
        )


def lag_ms(checkpoint: Checkpoint | None) -> int:
    """Since when the view may not hold the whole log; 0 while nobody has ever run it."""
    if checkpoint is None or not checkpoint.caught_up_at:
        return 0
    return max(0, (now_micros() - checkpoint.caught_up_at) // 1000)


def healthy(runner: Runner) -> bool:
    """A view that reads history or follows is; one that fails or has stopped is not."""
    return runner.status in (Status.CATCHING_UP, Status.LIVE)


def _told(message: Progress | Result) -> pb.VerifyProjectionsResponse:
    if isinstance(message, Progress):
        progress = pb.VerifyProgress(events=message.events, position=message.position, head=message.head)
        return pb.VerifyProjectionsResponse(progress=progress)
    return pb.VerifyProjectionsResponse(
        result=pb.VerifyResult(
            view=message.view,
            documents=message.documents,
            events=message.events,
            checkpoint=message.checkpoint,
            differences=message.differences,
            streams=message.streams,
            listed=[
                pb.Difference(
                    key=x.key, field=x.field, expected_json=to_json(x.expected), actual_json=to_json(x.actual)
                )
                for x in message.listed
            ],
        )
    )


def _timestamp(micros: int) -> timestamp_pb2.Timestamp:
    stamp = timestamp_pb2.Timestamp()
    stamp.FromMicroseconds(micros)
    return stamp


async def _no_such_view(context: Context, view: str) -> NoReturn:
    detail = any_pb2.Any()
    detail.Pack(error_details_pb2.ErrorInfo(reason="VIEW_NOT_FOUND", domain="orderstream", metadata={"view": view}))
    text = f"there is no view {view!r}"
    status = status_pb2.Status(code=grpc.StatusCode.NOT_FOUND.value[0], message=text, details=[detail])
    trailers = (("grpc-status-details-bin", status.SerializeToString()),)
    await context.abort(grpc.StatusCode.NOT_FOUND, text, trailers)
    raise AssertionError("abort returned")
