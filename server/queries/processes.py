"""ProcessQueryService."""

from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Any, TypeVar

from core.domain.checkout import CHECKOUT
from core.domain.checkout.plan import Plan, plan
from core.domain.decider import Decider
from core.domain.order import ORDER
from core.domain.order.limits import MAX_LINES
from core.domain.order.state import Draft, NoOrder
from core.eventstore.exclusions import readable
from core.eventstore.log import EventLog
from core.failures import NotFound
from core.rpc.typing import Context
from core.rpc.validation import Rules, check, count, known_enum, known_id, time, uuid
from protos.common.v1.types_pb2 import Money
from protos.processes.v1 import queries_pb2 as pb
from protos.processes.v1 import types_pb2 as types
from protos.processes.v1.queries_pb2_grpc import ProcessQueryServiceServicer
from server.queries import mapping
from server.queries.rows import Row, shown
from server.queries.views import Views

VIEW = "process_status"
PLAN_RULES: Rules = {
    "order_id": uuid,
    "drawn": count(0, MAX_LINES),
    "drawn[].line_id": known_id(),
    "expires_at": time,
}
S = TypeVar("S")


class ProcessQueries(ProcessQueryServiceServicer):
    """Queries about the processes of orders."""

    def __init__(self, views: Views, log: EventLog) -> None:
        self._views = views
        self._log = log

    async def GetProcess(self, request: pb.GetProcessRequest, context: Context) -> pb.GetProcessResponse:
        check(request, {"order_id": uuid})
        freshness, generation = await self._views.at_least(VIEW, request.consistency_token, context)
        found = await self._views.answered(self._views.find.one(VIEW, generation, request.order_id))
        if found is None:
            raise NotFound("PROCESS_NOT_FOUND", order_id=request.order_id)
        unread = await self._unread(generation, [found])
        return pb.GetProcessResponse(process=mapping.process(found, unread(found)), freshness=freshness)

    async def ListProcesses(self, request: pb.ListProcessesRequest, context: Context) -> pb.ListProcessesResponse:
        check(request, {"status": known_enum(types.ProcessStatus.DESCRIPTOR)})
        name = types.ProcessStatus.Name(request.status).removeprefix("PROCESS_STATUS_")
        where = {"status": name} if request.status else {}
        page = await self._views.page(VIEW, request, context, where)
        processes, not_shown = await self._processes(page.generation, page.rows)
        return pb.ListProcessesResponse(processes=processes, not_shown=not_shown, **page.fields)

    async def _processes(self, generation: int, rows: Sequence[Row]) -> tuple[list[types.Process], list[str]]:
        """With the ids of those that cannot be shown."""
        unread = await self._unread(generation, rows)
        return shown(VIEW, rows, lambda row: mapping.process(row, unread(row)))

    async def _unread(self, generation: int, rows: Sequence[Row]) -> Callable[[Row], str]:
        """The unreadable events of the orders or of their processes."""
        unread = await self._views.failed(VIEW, generation, [stream for row in rows for stream in _streams(row)])
        return lambda row: next((unread[stream] for stream in _streams(row) if stream in unread), "")

    async def PlanProcess(self, request: pb.PlanProcessRequest, context: Context) -> pb.PlanProcessResponse:
        check(request, PLAN_RULES)
        order = await self._folded(ORDER, request.order_id)
        if isinstance(order, NoOrder | Draft):
            raise NotFound("PROCESS_NOT_FOUND", order_id=request.order_id)
        found = plan(
            order,
            await self._folded(CHECKOUT, request.order_id),
            datetime.now(UTC),
            drawn={units.line_id: units.quantity for units in request.drawn},
            deadline=request.expires_at.ToDatetime(tzinfo=UTC) if request.HasField("expires_at") else None,
        )
        return _response(found)

    async def _folded(self, decider: Decider[S, Any, Any], aggregate_id: str) -> S:
        """The state that the log has now."""
        events = await self._log.complete_stream(decider.stream(aggregate_id)) or []
        return decider.fold(await readable(events, self._log))


def _streams(row: dict[str, Any]) -> tuple[str, str]:
    return ORDER.stream(row["_id"]), CHECKOUT.stream(row["_id"])


def _response(found: Plan) -> pb.PlanProcessResponse:
    return pb.PlanProcessResponse(
        plan_id=found.plan_id if found.start else "",
        steps=[
            types.PlannedStep(
                step=x.name,
                subject=x.subject,
                lines=[
                    types.CheckoutLine(line_id=line.line_id, sku=line.sku, quantity=line.quantity) for line in x.lines
                ],
                amount=None
                if x.amount is None
                else Money(amount_minor=x.amount.amount_minor, currency=x.amount.currency),
            )
            for x in found.steps
        ],
        waits_for=found.waits_for,
    )
