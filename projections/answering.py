"""How the services of operators answer: failures by one table, and the reasons that they ask for."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, NoReturn

import grpc
import structlog
from pymongo.errors import PyMongoError

from server.domain.text import as_stored
from server.error_text import error_text
from server.failures import InvalidRequest, ServiceFailure
from server.readmodel.mongo import failure_of
from server.rpc import validation
from server.rpc.errors import STATUS, status_of

if TYPE_CHECKING:
    Context = grpc.aio.ServicerContext[Any, Any]
else:
    Context = grpc.aio.ServicerContext

log = structlog.get_logger()


def require_reason(reason: str) -> str:
    """The reason as it is stored. Raises `InvalidRequest`."""
    if problem := validation.REASON(reason):
        raise InvalidRequest({"reason": problem})
    return as_stored(reason)


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
ALL_CODES = {**STATUS, **CODES}


@asynccontextmanager
async def answering(context: Context) -> AsyncIterator[None]:
    """Stores that do not answer are told as such."""
    try:
        yield
    except ServiceFailure as failure:
        await refuse(context, failure)
    except PyMongoError as error:
        kind = failure_of(error)
        log.warning("the view store fails", kind=kind.reason, error=error_text(error))
        await refuse(context, kind)


async def refuse(context: Context, failure: ServiceFailure) -> NoReturn:
    status = status_of(failure, ALL_CODES)
    code = ALL_CODES[failure.reason]
    await context.abort(code, status.message, (("grpc-status-details-bin", status.SerializeToString()),))
    raise AssertionError("abort returned")
