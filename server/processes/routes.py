"""Operators' requests about a process, as commands: routes like those of `server.commands`."""

from collections.abc import Mapping
from datetime import UTC

from core.domain.checkout import CHECKOUT, commands
from core.domain.checkout.plan import plan
from core.domain.checkout.state import Checkout, NotStarted, StepName
from core.domain.order.limits import MAX_LINES
from core.domain.rejection import CommandRejected, Reason
from core.rpc.validation import REASON, count, known_id, time
from protos.processes.v1 import commands_pb2 as pb
from server.commands.routes import CommandContext, Route, Row, routes


async def start(
    request: pb.StartProcessRequest, order_id: str, checkout: Checkout, context: CommandContext
) -> commands.StartAsPlanned:
    found = plan(
        await context.lookups.order(order_id),
        NotStarted(),
        context.at,
        drawn={units.line_id: units.quantity for units in request.drawn},
        deadline=request.expires_at.ToDatetime(tzinfo=UTC) if request.HasField("expires_at") else None,
    )
    if found.start is None and isinstance(checkout, NotStarted):
        raise CommandRejected(Reason.PROCESS_NOT_FOUND, order_id=order_id)
    return commands.StartAsPlanned(
        order_id=order_id,
        lines=found.start.lines if found.start else (),
        deadline=found.start.deadline if found.start else context.at,
        plan_id=request.plan_id,
        current_plan_id=found.plan_id,
        at=context.at,
    )


async def compensate(
    request: pb.CompensateProcessRequest, order_id: str, _: Checkout, context: CommandContext
) -> commands.CompensateProcess:
    shipped = await context.lookups.has_shipments(order_id)
    return commands.CompensateProcess(order_id=order_id, reason=request.reason, shipped=shipped, at=context.at)


def step(value: object) -> str | None:
    return None if value in list(StepName) else f"must be one of {', '.join(StepName)}"


ROUTES = routes(
    pb,
    CHECKOUT,
    "order_id",
    {
        "StartProcess": Row(
            start,
            rules={
                "plan_id": known_id(),
                "drawn": count(0, MAX_LINES),
                "drawn[].line_id": known_id(),
                "expires_at": time,
            },
        ),
        "RetryProcess": Row(commands.RetryProcess),
        "SkipStep": Row(commands.SkipStep, rules={"step": step, "reason": REASON}),
        "CompensateProcess": Row(compensate, rules={"reason": REASON}),
    },
)
SERVICES: Mapping[str, Mapping[str, Route]] = {"processes.v1.ProcessCommandService": ROUTES}
