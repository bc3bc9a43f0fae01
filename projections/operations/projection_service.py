"""ProjectionService: how operators see and check the views."""

import asyncio
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager

import structlog
from google.protobuf import timestamp_pb2
from google.protobuf.message import Message

from core.error_text import bounded, error_text
from core.eventstore.identity import identity_of
from core.eventstore.log import EventLog
from core.failures import InvalidRequest, NotFound
from core.readmodel.checkpoints import Checkpoint, CheckpointStore, Lease, now_micros
from core.readmodel.documents import to_micros
from core.readmodel.generations import Outcome, ViewGenerations
from core.rpc.headers import actor_of
from core.rpc.typing import Context
from core.rpc.validation import reason_of
from projections.engine.lag import is_stalled, lag_of
from projections.engine.parked_events import ParkedStream
from projections.engine.part import Status
from projections.lifecycle.audit_log import AuditEntry, AuditLog
from projections.lifecycle.supervisor import Supervisor
from projections.operations.changes import ChangePlanner
from projections.operations.everywhere import ACTIONS, Everywhere
from projections.operations.planners.generations import GenerationUnavailable
from projections.operations.plans import DONE_WITHIN, Requester
from projections.operations.progress import Superseded, progress, until_the_end
from projections.operations.rebuilds import Rebuilder, looked_up, rebuild_reason
from projections.verification.emails import EmailVerdict, EmailVerifier
from projections.verification.full import Progress, Result, Verifier, to_json
from projections.verification.processes import ProcessVerdict, ProcessVerifier
from projections.verification.snapshots import SnapshotVerifier
from protos.operations.v1 import projections_pb2 as pb
from protos.operations.v1.projections_pb2_grpc import ProjectionServiceServicer

logger = structlog.get_logger()

SERVICE = "operations.v1.ProjectionService"
MOVING = (Status.CATCHING_UP, Status.LIVE, Status.FAILING, Status.STOPPED, Status.STANDBY)
MAX_ENTRIES_IN_A_REPLY = 1_000  # entries in one reply
UNLESS_ASKED_FOR = {"max_streams": 100, "max_acts": 50, "max_exclusions": 50, "max_differences": 20}
NOTICED_WITHIN = 2.0  # seconds
MAX_CALL = 3_600.0  # seconds
TO_ANSWER = 1.0  # seconds before a deadline, in which the answer is made


class ProjectionAdmin(ProjectionServiceServicer):
    """Answers from the checkpoints in MongoDB and the runners of this process; it changes pointers, and they follow."""

    def __init__(
        self,
        *,
        supervisors: Sequence[Supervisor],
        state: CheckpointStore,
        verifier: Verifier,
        snapshots: SnapshotVerifier,
        processes: ProcessVerifier,
        emails: EmailVerifier,
        changes: ChangePlanner,
        audit_log: AuditLog,
        log: EventLog,
        deadline: float,
    ) -> None:
        self._default_deadline = deadline  # seconds, of a call that brings none
        self._audit_log = audit_log
        self._log = log
        self._supervisors: Mapping[str, Supervisor] = {one.view.name: one for one in supervisors}
        self._state = state
        self._verifier = verifier
        self._snapshots = snapshots
        self._processes = processes
        self._emails = emails
        self._changes = changes
        self._everywhere = Everywhere([one.view for one in supervisors], changes)
        self._rebuilder = Rebuilder(self._supervisors, state, changes, log)

    async def ListProjections(self, request: pb.ListProjectionsRequest, context: Context) -> pb.ListProjectionsResponse:
        log = await identity_of(self._log)
        views = [self._supervisors[name] for name in sorted(self._supervisors)]
        return pb.ListProjectionsResponse(projections=await asyncio.gather(*map(self._entry, views)), log=log)

    async def GetProjection(self, request: pb.GetProjectionRequest, context: Context) -> pb.GetProjectionResponse:
        view = self._named(request.view)
        projection = await self._projection(view)
        return pb.GetProjectionResponse(projection=projection)

    async def PauseProjection(self, request: pb.PauseProjectionRequest, context: Context) -> pb.PauseProjectionResponse:
        view = self._named(request.view)
        async with self._acting("PauseProjection", request, context):
            await self._state.pause(request.view)
            await _at_rest(view)
            return pb.PauseProjectionResponse(projection=await self._projection(view))

    async def ResumeProjection(
        self, request: pb.ResumeProjectionRequest, context: Context
    ) -> pb.ResumeProjectionResponse:
        view = self._named(request.view)
        async with self._acting("ResumeProjection", request, context):
            await self._state.resume(request.view)
            view.wake()
            return pb.ResumeProjectionResponse(projection=await self._projection(view))

    def _acting(
        self, act: str, request: pb.PauseProjectionRequest | pb.ResumeProjectionRequest, context: Context
    ) -> AbstractAsyncContextManager[None]:
        return self._audit_log.recorded(
            AuditEntry(act=act, subject=request.view, actor=actor_of(context), reason=reason_of(request))
        )

    async def PlanProjection(self, request: pb.PlanProjectionRequest, context: Context) -> pb.PlanProjectionResponse:
        if _is_everywhere(request.change):
            return (await self._everywhere.plan(request.change)).to_proto()
        view = self._named(request.change.view)
        return (await self._changes.plan(view.view, request.change)).to_proto()

    async def ApplyProjection(self, request: pb.ApplyProjectionRequest, context: Context) -> pb.ApplyProjectionResponse:
        within = _time_left(context, self._default_deadline) if request.wait else DONE_WITHIN
        if _is_everywhere(request.change):
            by = Requester(actor_of(context), reason_of(request), request.plan_id, within)
            outcome, views = await self._everywhere.apply(request.change, by)
            return await self._applied(outcome, views)
        view = self._named(request.change.view)
        return await self._applied(await self._apply(view, request, context, within), [request.change.view])

    async def _applied(self, outcome: tuple[bool, list[str]], views: Sequence[str]) -> pb.ApplyProjectionResponse:
        done, messages = outcome
        entries = await asyncio.gather(*(self._entry(self._supervisors[view]) for view in views))
        return pb.ApplyProjectionResponse(
            projection=entries[0], done=done, outcome="; ".join(messages), projections=entries
        )

    async def ListParkedStreams(
        self, request: pb.ListParkedStreamsRequest, context: Context
    ) -> pb.ListParkedStreamsResponse:
        self._named(request.view)
        most = asked_for(request, "max_streams")
        parked = await self._changes.parked(await self._state.generations.get(request.view))
        return pb.ListParkedStreamsResponse(streams=[_parked(one) for one in parked[:most]], total=len(parked))

    async def ListActs(self, request: pb.ListActsRequest, context: Context) -> pb.ListActsResponse:
        if request.view:
            self._named(request.view)
        most = asked_for(request, "max_acts")
        found = await self._audit_log.latest(MAX_ENTRIES_IN_A_REPLY)
        acts = [one for one in found if request.view in ("", one.act.subject) or one.unreadable]
        return pb.ListActsResponse(acts=acts[:most])

    async def RebuildProjection(
        self, request: pb.RebuildProjectionRequest, context: Context
    ) -> AsyncIterator[pb.RebuildProjectionResponse]:
        view, name = self._named(request.change.view), request.change.view
        if request.change.WhichOneof("action") not in ("rebuild", "reset"):
            raise InvalidRequest({"change.action": "must be rebuild or reset"})
        pointer = await self._state.generations.get(name)
        if request.plan_id not in [one.plan_id for one in (pointer.building, pointer.outcome) if one is not None]:
            await self._apply(view, request, context, DONE_WITHIN)
        try:
            async for message in until_the_end(self._state, name, request.plan_id):
                yield _rebuilt(name, message)
        except Superseded:
            raise GenerationUnavailable(name, 0, "was to be rebuilt, but the new generation was dropped") from None

    async def PlanRebuilds(self, request: pb.PlanRebuildsRequest, context: Context) -> pb.PlanRebuildsResponse:
        return (await self._rebuilder.plan(allow_parked=request.allow_parked)).to_proto()

    async def RebuildAll(self, request: pb.RebuildAllRequest, context: Context) -> AsyncIterator[pb.RebuildAllResponse]:
        for name in request.views:
            self._named(name)
        async for view, message in self._rebuilder.rebuild(request, actor_of(context)):
            if isinstance(message, pb.RebuildProgress):
                yield pb.RebuildAllResponse(view=view, progress=message)
            else:
                yield pb.RebuildAllResponse(view=view, result=_result(view, message))

    async def _apply(
        self,
        view: Supervisor,
        request: pb.ApplyProjectionRequest | pb.RebuildProjectionRequest,
        context: Context,
        within: float,
    ) -> tuple[bool, list[str]]:
        by = Requester(actor_of(context), reason_of(request), request.plan_id, within)
        outcome = await self._changes.apply(view.view, request.change, by)
        view.wake()
        return outcome

    def _named(self, view: str) -> Supervisor:
        """Raises `NotFound`."""
        supervisor = self._supervisors.get(view)
        if supervisor is None:
            raise NotFound("VIEW_NOT_FOUND", view=view)
        return supervisor

    async def VerifyProjections(
        self, request: pb.VerifyProjectionsRequest, context: Context
    ) -> AsyncIterator[pb.VerifyProjectionsResponse]:
        names = request.views or sorted(self._supervisors)
        for name in names:
            self._named(name)
        if request.sample < 0:
            raise InvalidRequest({"sample": "must not be negative"})
        most = asked_for(request, "max_differences")
        if request.heal:
            subject = request.views[0] if len(request.views) == 1 else ""
            act = AuditEntry(
                act="VerifyProjections", subject=subject, actor=actor_of(context), reason=reason_of(request)
            )
            async with self._audit_log.recorded(act):
                pass  # the outcome is reported document by document, and a repeated fold is harmless
        async for message in self._checked(names, request.sample, most):
            if isinstance(message, Result) and request.heal:
                message.healed = await self._changes.heal(self._supervisors[message.view].view, message.keys)
            yield _to_proto(message)
        if not request.views and not request.sample:
            found = await self._snapshots.verify(most)
            yield pb.VerifyProjectionsResponse(snapshots=_verdict(found))
            processes = await self._processes.verify(most)
            yield pb.VerifyProjectionsResponse(processes=_processes_verdict(processes))
            emails = await self._emails.verify(most)
            yield pb.VerifyProjectionsResponse(emails=_emails_verdict(emails))

    async def _checked(self, names: Sequence[str], sample: int, most: int) -> AsyncIterator[Progress | Result]:
        views = [self._supervisors[name] for name in names]
        if not sample:
            async for message in self._verifier.verify([one.view for one in views], most):
                yield message
        for one in views if sample else ():
            sampler = one.checks.sampler()
            if sampler is not None:
                yield await sampler.check(sample, most)

    async def _entry(self, view: Supervisor) -> pb.Projection:
        """As `_projection`; a view whose state cannot be read now says why, and does not fail the others."""
        try:
            return await self._projection(view)
        except Exception as error:  # noqa: BLE001  # any failure: the other views are reported
            logger.warning("cannot describe a view", view=view.view.name, error=error_text(error))
            return pb.Projection(view=view.view.name, unavailable=error_text(error))

    async def _projection(self, view: Supervisor) -> pb.Projection:
        name = view.view.name
        pointer = await self._state.generations.get(name)
        checkpoint = await looked_up(self._log, await self._state.of_generation(pointer, pointer.generation))
        partitions = pointer.info(pointer.generation).partitions
        leases = [await self._state.lease(name, pointer.generation, part) for part in range(partitions)]
        owners = [_owner(lease) for lease in leases]
        lag = view.runners.lag(pointer) or await lag_of(self._log, view.view, checkpoint)
        status = _status(view, pointer, checkpoint)
        stalled = status in MOVING and is_stalled(checkpoint, lag, view.checks.stalled_after)
        if stalled:
            status = Status.STALLED
        log_mismatch = checkpoint is not None and checkpoint.log_mismatch
        return pb.Projection(
            view=name,
            status=pb.ProjectionStatus.Value(f"PROJECTION_STATUS_{status}"),
            position=checkpoint.trusted_position if checkpoint else 0,
            head=lag.head,
            lag_ms=lag_ms(checkpoint),
            events_applied=view.runners.applied,
            last_error=bounded(view.runners.last_error or (checkpoint.error if checkpoint else "")),
            updated_at=_timestamp(checkpoint.updated_at) if checkpoint else None,
            parked_streams=await self._state.parked_streams(name),
            owner=owners[0],
            owners=owners,
            epoch=leases[0].epoch if leases[0] else 0,
            generation=pointer.generation,
            kept_generation=pointer.kept.generation if pointer.kept else 0,
            kept_until=_timestamp(pointer.kept.until) if pointer.kept else None,
            rebuild=await progress(self._state, pointer),
            lag_events=lag.events,
            lag_seconds=lag.seconds,
            events_per_second=view.runners.events_per_second,
            partitions=partitions,
            differences=view.checks.differences,
            astray=log_mismatch,
            log_mismatch=log_mismatch,
            code_changed=pointer.info(pointer.generation).code not in ("", view.runners.code),
            rebuild_reason=rebuild_reason(view.runners.code, pointer, checkpoint, stalled=stalled),
            log=checkpoint.log if checkpoint else "",
        )


def _owner(lease: Lease | None) -> str:
    """As "host:pid"."""
    return ":".join(lease.owner.split(":")[:2]) if lease else ""


def _is_everywhere(change: pb.ProjectionChange) -> bool:
    return not change.view and change.WhichOneof("action") in ACTIONS


def _time_left(context: Context, default: float) -> float:
    """Seconds that a call may wait until it answers."""
    left = context.time_remaining()
    return max(0.0, min(default if left is None else left, MAX_CALL) - TO_ANSWER)


def _status(view: Supervisor, pointer: ViewGenerations, checkpoint: Checkpoint | None) -> Status:
    """What the owner says of itself; it may be another process."""
    if pointer.paused:
        return Status.PAUSED
    if (
        view.runners.status in (Status.CATCHING_UP, Status.LIVE, Status.FAILING)
        or checkpoint is None
        or not checkpoint.status
    ):
        return view.runners.status
    return Status(checkpoint.status)


def lag_ms(checkpoint: Checkpoint | None) -> int:
    """Since when the view may not have the complete log; 0 while no process has ever run it."""
    if checkpoint is None or not checkpoint.caught_up_at:
        return 0
    return max(0, (now_micros() - checkpoint.caught_up_at) // 1000)


def healthy(view: Supervisor) -> bool:
    """A view that reads, follows, is on standby or was paused is healthy; one that fails, stalls or has ended is
    not.
    """
    return not view.checks.stalled and view.runners.status in (
        Status.CATCHING_UP,
        Status.LIVE,
        Status.STANDBY,
        Status.PAUSED,
    )


async def _at_rest(view: Supervisor) -> None:
    """Let the runner of this process notice a pause; one elsewhere does at its next heartbeat."""
    deadline = time.monotonic() + NOTICED_WITHIN
    while view.runners.status is not Status.PAUSED and time.monotonic() < deadline:
        view.wake()
        await asyncio.sleep(0.02)


def _to_proto(message: Progress | Result) -> pb.VerifyProjectionsResponse:
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
        healed=found.healed,
        parked=found.parked,
        listed=[
            pb.Difference(key=x.key, field=x.field, expected_json=to_json(x.expected), actual_json=to_json(x.actual))
            for x in found.listed
        ],
    )


def _processes_verdict(found: ProcessVerdict) -> pb.VerifyProcessesResult:
    return pb.VerifyProcessesResult(
        orders=found.orders,
        missing=found.missing,
        swept_begun=found.swept.begun,
        swept_brought_on=found.swept.brought_on,
        swept_left=found.swept.left,
        listed=[
            pb.OrderWithoutProcess(
                order_id=one.order_id,
                status=one.status,
                placed_at=_timestamp(to_micros(one.placed_at)),
                lacks=one.lacks,
            )
            for one in found.listed
        ],
    )


def _emails_verdict(found: EmailVerdict) -> pb.VerifyEmailsResult:
    return pb.VerifyEmailsResult(
        users=found.users,
        events=found.events,
        shared=found.shared,
        listed=[
            pb.SharedEmail(email_hash=one.email_hash, user_ids=one.user_ids, resolve_command=one.resolve_command)
            for one in found.listed
        ],
    )


def _rebuilt(view: str, message: pb.RebuildProgress | Outcome) -> pb.RebuildProjectionResponse:
    if isinstance(message, pb.RebuildProgress):
        return pb.RebuildProjectionResponse(progress=message)
    return pb.RebuildProjectionResponse(result=_result(view, message))


def _result(view: str, ended: Outcome | Superseded) -> pb.RebuildResult:
    if isinstance(ended, Superseded):
        return pb.RebuildResult(view=view, failure="the new generation was dropped")
    return pb.RebuildResult(
        view=view,
        from_generation=ended.from_generation,
        to_generation=ended.to_generation,
        events=ended.events,
        documents=ended.documents,
        seconds=ended.micros / 1e6,
        verified=ended.verified,
        differences=ended.differences,
        switched=ended.switched,
        failure=ended.failure,
    )


def asked_for(request: Message, name: str) -> int:
    """How many are wanted. Raises `InvalidRequest`."""
    number = int(getattr(request, name))
    if not 0 <= number <= MAX_ENTRIES_IN_A_REPLY:
        raise InvalidRequest({name: f"must be from 0 to {MAX_ENTRIES_IN_A_REPLY}"})
    return number or UNLESS_ASKED_FOR[name]


def _parked(one: ParkedStream) -> pb.ParkedStream:
    return pb.ParkedStream(
        stream=one.failed.stream,
        revision=one.failed.revision,
        position=one.failed.position,
        event_type=one.failed.event_type,
        error=one.failed.error or "",
        waiting=one.waiting,
        parked_at=_timestamp(one.parked_at),
    )


def _timestamp(micros: int) -> timestamp_pb2.Timestamp:
    stamp = timestamp_pb2.Timestamp()
    stamp.FromMicroseconds(micros)
    return stamp
