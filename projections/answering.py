"""How the services of operators answer: failures by one table, and who is asking."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, NoReturn

import grpc
import structlog
from google.protobuf import duration_pb2
from google.rpc import error_details_pb2, status_pb2
from pymongo.errors import PyMongoError

from server.failures import InvalidRequest, ServiceFailure
from server.readmodel.mongo import failure_of
from server.rpc import validation
from server.rpc.errors import STATUS

if TYPE_CHECKING:
    Context = grpc.aio.ServicerContext[Any, Any]
else:
    Context = grpc.aio.ServicerContext

log = structlog.get_logger()

ACTOR = "x-orderstream-actor"
LONGEST_LOGGED = 500  # characters of an error


def actor_of(context: Context) -> str:
    """Who calls, as the call itself says. Raises `InvalidRequest` for one who would pass for a process or service."""
    named = str(dict(context.invocation_metadata() or ()).get(ACTOR, "anonymous"))[:200]
    if problem := validation.actor(named):
        raise InvalidRequest({ACTOR: problem})
    return named


CODES = {  # of reasons that no other service has; those of all are in `server.rpc.errors`
    "VIEW_NOT_FOUND": grpc.StatusCode.NOT_FOUND,
    "SUBSCRIPTION_NOT_FOUND": grpc.StatusCode.NOT_FOUND,
    "REBUILD_RUNNING": grpc.StatusCode.FAILED_PRECONDITION,
    "GENERATION_UNAVAILABLE": grpc.StatusCode.FAILED_PRECONDITION,
    "ROLLBACK_STALE": grpc.StatusCode.FAILED_PRECONDITION,
    "SUBSCRIPTION_EXISTS": grpc.StatusCode.ALREADY_EXISTS,
    "STREAM_NOT_PARKED": grpc.StatusCode.NOT_FOUND,
    "EVENT_NOT_FOUND": grpc.StatusCode.NOT_FOUND,
    "EVENT_READABLE": grpc.StatusCode.FAILED_PRECONDITION,
    "EVENT_EXCLUDED": grpc.StatusCode.FAILED_PRECONDITION,
    "EVENT_MAY_BE_NEWER": grpc.StatusCode.FAILED_PRECONDITION,
    "PLAN_OUTDATED": grpc.StatusCode.ABORTED,
}


@asynccontextmanager
async def answering(context: Context) -> AsyncIterator[None]:
    """Stores that do not answer are told as such."""
    try:
        yield
    except ServiceFailure as failure:
        await refuse(context, failure)
    except PyMongoError as error:
        kind = failure_of(error)
        log.warning("the view store fails", kind=kind.reason, error=str(error)[:LONGEST_LOGGED])
        await refuse(context, kind)


async def refuse(context: Context, failure: ServiceFailure) -> NoReturn:
    code = CODES.get(failure.reason) or STATUS[failure.reason]
    status = status_pb2.Status(code=code.value[0], message=str(failure))
    info = error_details_pb2.ErrorInfo(reason=failure.reason, domain="orderstream", metadata=dict(failure.metadata))
    details: list[Any] = [info]
    if isinstance(failure, InvalidRequest):
        violations = [
            error_details_pb2.BadRequest.FieldViolation(field=field, description=text)
            for field, text in failure.violations.items()
        ]
        details.append(error_details_pb2.BadRequest(field_violations=violations))
    if failure.retry_after is not None:
        delay = duration_pb2.Duration()
        delay.FromMilliseconds(int(failure.retry_after * 1000))
        details.append(error_details_pb2.RetryInfo(retry_delay=delay))
    for detail in details:
        status.details.add().Pack(detail)
    trailers = (("grpc-status-details-bin", status.SerializeToString()),)
    await context.abort(code, status.message, trailers)
    raise AssertionError("abort returned")
