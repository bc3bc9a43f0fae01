"""What operators ask of a process, as commands: rows like those of `server.commands`."""

from collections.abc import Mapping

from protos.processes.v1 import commands_pb2 as pb
from server.commands.routes import Route, World
from server.domain.checkout import CHECKOUT, commands
from server.domain.checkout.state import Checkout, StepName
from server.rpc.validation import Rule, text


async def retry(_request: pb.RetryProcessRequest, order_id: str, _: Checkout, world: World) -> commands.RetryProcess:
    return commands.RetryProcess(order_id=order_id, at=world.at)


async def skip(request: pb.SkipStepRequest, order_id: str, _: Checkout, world: World) -> commands.SkipStep:
    return commands.SkipStep(order_id=order_id, step=request.step, reason=request.reason, at=world.at)


async def compensate(
    request: pb.CompensateProcessRequest, order_id: str, _: Checkout, world: World
) -> commands.CompensateProcess:
    shipped = await world.facts.has_shipments(order_id)
    return commands.CompensateProcess(order_id=order_id, reason=request.reason, shipped=shipped, at=world.at)


def step(value: object) -> str | None:
    return None if value in list(StepName) else f"must be one of {', '.join(StepName)}"


REASON: Rule = text(1, 500)
ROUTES: Mapping[str, Route] = {
    "RetryProcess": Route(
        decider=CHECKOUT,
        id_field="order_id",
        request=pb.RetryProcessRequest,
        response=pb.RetryProcessResponse,
        rules={},
        to_command=retry,
    ),
    "SkipStep": Route(
        decider=CHECKOUT,
        id_field="order_id",
        request=pb.SkipStepRequest,
        response=pb.SkipStepResponse,
        rules={"step": step, "reason": REASON},
        to_command=skip,
    ),
    "CompensateProcess": Route(
        decider=CHECKOUT,
        id_field="order_id",
        request=pb.CompensateProcessRequest,
        response=pb.CompensateProcessResponse,
        rules={"reason": REASON},
        to_command=compensate,
    ),
}
SERVICES: Mapping[str, Mapping[str, Route]] = {"processes.v1.ProcessCommandService": ROUTES}
