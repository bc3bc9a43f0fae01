"""The edge of every call of ours: deadline, errors, metrics, log."""

import asyncio
import time
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing
from typing import NoReturn

import grpc
import structlog
from google.protobuf.message import Message
from google.rpc import status_pb2
from prometheus_client import Counter, Histogram
from uuid_utils import uuid7

from server.domain.rejection import Rejected
from server.failures import DeadlinePassed, ServiceFailure
from server.rpc.errors import internal, status_of
from server.rpc.headers import CORRELATION_ID, headers_of
from server.rpc.typing import Context, Handler
from server.rpc.validation import LONGEST_CORRELATION_ID

log = structlog.get_logger()

CALLS = Counter("orderstream_rpc_calls_total", "Calls by method and status code.", ["method", "code"])
SECONDS = Histogram("orderstream_rpc_seconds", "Time from request to reply.", ["method"])


class Edge(grpc.aio.ServerInterceptor):
    """Wraps the handlers of our own services; health and reflection pass as they are."""

    def __init__(self, services: frozenset[str], default_deadline: float, longest_deadline: float) -> None:
        self._services = services
        self._default = default_deadline
        self._longest = longest_deadline
        self._handlers: dict[str, Handler] = {}  # made once per method: this runs for every call

    async def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable[Handler | None]],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> Handler | None:
        handler = await continuation(handler_call_details)
        method = handler_call_details.method
        if handler is None or method.split("/")[1] not in self._services:
            return handler
        if method not in self._handlers:
            self._handlers[method] = self._wrapped(method, handler)
        return self._handlers[method]

    def _wrapped(self, method: str, handler: Handler) -> Handler:
        how = {
            "request_deserializer": handler.request_deserializer,
            "response_serializer": handler.response_serializer,
        }
        # grpc.aio takes coroutines and asynchronous generators where its stubs say functions
        if handler.unary_unary is not None:
            return grpc.unary_unary_rpc_method_handler(self._guarded(method, handler.unary_unary), **how)  # type: ignore[arg-type]  # see above
        if handler.unary_stream is not None:
            return grpc.unary_stream_rpc_method_handler(self._guarded_stream(method, handler.unary_stream), **how)  # type: ignore[arg-type]  # see above
        raise NotImplementedError(f"{method}: calls that stream requests are not guarded so far")

    def _guarded(
        self, method: str, inner: Callable[[Message, Context], Awaitable[Message]]
    ) -> Callable[[Message, Context], Awaitable[Message]]:
        answered, took = CALLS.labels(method, "OK"), SECONDS.labels(method)

        async def call(request: Message, context: Context) -> Message:  # noqa: RET503  # abort raises
            started = time.perf_counter()
            # every line that this call logs, wherever, says which conversation it belongs to
            structlog.contextvars.bind_contextvars(method=method, correlation_id=_correlation_id(request, context))
            try:
                async with asyncio.timeout(self._limit(context)):
                    reply = await inner(request, context)
            except (Rejected, ServiceFailure) as failure:
                status = status_of(failure)
            except TimeoutError:
                status = status_of(DeadlinePassed())
            except asyncio.CancelledError:
                CALLS.labels(method, "CANCELLED").inc()
                raise
            except Exception as error:  # the one place where a defect ends; it is logged whole
                if isinstance(error, grpc.aio.AbortError):
                    raise
                error_id = str(uuid7())
                log.exception("internal error", error_id=error_id)
                status = internal(error_id)
            else:
                answered.inc()
                took.observe(time.perf_counter() - started)
                return reply
            seconds = time.perf_counter() - started
            took.observe(seconds)
            log.info("call refused", code=status.code, reason=status.message, seconds=round(seconds, 4))
            await abort(context, method, status)

        return call

    def _guarded_stream(
        self, method: str, inner: Callable[[Message, Context], AsyncGenerator[Message, None]]
    ) -> Callable[[Message, Context], AsyncGenerator[Message, None]]:
        """Without a deadline but the caller's own: a watch is as long as its caller wants it."""

        async def call(request: Message, context: Context) -> AsyncGenerator[Message, None]:
            structlog.contextvars.bind_contextvars(method=method, correlation_id=_correlation_id(request, context))
            try:
                async with aclosing(inner(request, context)) as replies:
                    async for reply in replies:
                        yield reply
            except (Rejected, ServiceFailure) as failure:
                status = status_of(failure)
            except asyncio.CancelledError:
                CALLS.labels(method, "CANCELLED").inc()
                raise
            except Exception:  # the one place where a defect ends; it is logged whole
                error_id = str(uuid7())
                log.exception("internal error", error_id=error_id)
                status = internal(error_id)
            else:
                CALLS.labels(method, "OK").inc()
                return
            log.info("stream ended", code=status.code, reason=status.message)
            await abort(context, method, status)

        return call

    def _limit(self, context: Context) -> float:
        remaining = context.time_remaining()
        return min(self._default if remaining is None else remaining, self._longest)


def _correlation_id(request: Message, context: Context) -> str:
    """The caller's, or the request's own id."""
    named = headers_of(context).get(CORRELATION_ID) or str(getattr(request, "request_id", ""))
    return named[:LONGEST_CORRELATION_ID]  # nothing of it has been checked yet


async def abort(context: Context, method: str, status: status_pb2.Status) -> NoReturn:
    code = next(code for code in grpc.StatusCode if code.value[0] == status.code)
    CALLS.labels(method, code.name).inc()
    await context.abort(
        code, status.message, trailing_metadata=(("grpc-status-details-bin", status.SerializeToString()),)
    )
    raise AssertionError("abort returned")
