"""The interceptor of every call of ours: deadline, errors, metrics, log."""

import asyncio
import time
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AbstractContextManager, aclosing, contextmanager, nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NoReturn

import grpc
import structlog
from google.protobuf.message import DecodeError, Message
from google.rpc import status_pb2
from prometheus_client import Counter, Histogram
from uuid_utils import uuid7

from core.domain.rejection import CommandRejected
from core.failures import (
    AccessDenied,
    CallerLimited,
    DeadlinePassed,
    InvalidRequest,
    ReplyTooLarge,
    RequestTooLarge,
    ServerBusy,
    ServiceFailure,
    Unauthenticated,
)
from core.rpc.errors import internal, status_of
from core.rpc.headers import CORRELATION_ID, headers_of
from core.rpc.typing import Context, Handler
from core.rpc.validation import MAX_CORRELATION_ID_LENGTH, require_reason
from core.security.access import Access, policy_of, require_access
from core.security.owners import OWN
from core.security.principal import CALLER, OPS_ACT, OPS_READ

if TYPE_CHECKING:
    from core.security.authenticator import Authenticator
    from core.security.quotas import Quotas

log = structlog.get_logger()

Unreadable = RequestTooLarge | InvalidRequest
NO_QUOTA = nullcontext()
REFLECTION = "/grpc.reflection."
HEALTH_WATCH = "/grpc.health.v1.Health/Watch"
CHECK_CALLER_EVERY = 10.0  # seconds, while a stream goes on
MAX_REPLY = 4 * 1024 * 1024  # bytes that a client of gRPC accepts by default

CALLS = Counter("orderstream_rpc_calls_total", "Calls by method and status code.", ["method", "code"])
DENIED = Counter("orderstream_rpc_denied_total", "Calls of callers who may not make them.", ["method", "reason"])
SECONDS = Histogram("orderstream_rpc_seconds", "Time from request to reply.", ["method"])


@dataclass(frozen=True, slots=True, kw_only=True)
class CallLimits:
    """Deadlines in seconds (of calls without a stream), the size of a request in bytes."""

    default_deadline: float
    max_deadline: float
    max_calls: int
    max_request_size: int


class CallGuard(grpc.aio.ServerInterceptor):
    """Wraps the handlers of our own services; reflection needs a role if callers are asked. Health passes as it is,
    except that its watches are bounded, since everybody may open them.

    `known` makes a failure of ours of an exception of a library; None: it is a defect. `authenticator` finds out who
    calls; without one, no caller is asked. `quotas` limit each known caller. Raises `AccessMissing` for an RPC that
    does not say who may call it.
    """

    def __init__(
        self,
        services: frozenset[str],
        limits: CallLimits,
        known: Callable[[Exception], ServiceFailure | None] = lambda _: None,
        *,
        authenticator: "Authenticator | None" = None,
        quotas: "Quotas | None" = None,
    ) -> None:
        self._quotas = quotas
        self._access = policy_of(services)
        self._authenticator = authenticator
        self._services = services
        self._limits = limits
        self._known = known
        self._calls = self._health_watches = 0  # under way
        self._handlers: dict[str, Handler] = {}  # made once per method: this runs for every call

    async def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable[Handler | None]],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> Handler | None:
        handler = await continuation(handler_call_details)
        method = handler_call_details.method
        if handler is None or method.split("/")[1] not in self._services:
            if handler is not None and self._authenticator is not None and method.startswith(REFLECTION):
                return self._reflection(method, handler, self._authenticator)
            if handler is not None and method == HEALTH_WATCH:
                return self._health_watch(method, handler)
            return handler
        if method not in self._handlers:
            self._handlers[method] = self._wrapped(method, handler)
        return self._handlers[method]

    def _wrapped(self, method: str, handler: Handler) -> Handler:
        how = {
            "request_deserializer": self._readable(handler.request_deserializer, self._access[method]),
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
                if self._authenticator is not None:
                    await self._authorise(self._authenticator, method, self._access[method], context)
                with await self._quota(method, context), self._admitted(request):
                    async with asyncio.timeout(self._limit(context)):
                        reply = _sendable(await inner(request, context))
            except TimeoutError:
                status = status_of(DeadlinePassed())
            except asyncio.CancelledError:
                CALLS.labels(method, "CANCELLED").inc()
                raise
            except CallerLimited as limited:  # the quotas log it; the time that it took is a pause
                await abort(context, method, status_of(limited))
            except Exception as error:  # noqa: BLE001  # any failure: the caller gets an answer
                status = self._status(error)
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
        """Without a deadline but the caller's own: a watch is as long as its caller wants it, and still may have it."""

        async def call(request: Message, context: Context) -> AsyncGenerator[Message, None]:
            structlog.contextvars.bind_contextvars(method=method, correlation_id=_correlation_id(request, context))
            try:
                if self._authenticator is not None:
                    await self._authorise(self._authenticator, method, self._access[method], context)
                check_at = time.monotonic() + CHECK_CALLER_EVERY
                with await self._quota(method, context), self._admitted(request):
                    async with aclosing(inner(request, context)) as replies:
                        async for reply in replies:
                            if self._authenticator is not None and time.monotonic() >= check_at:
                                await self._authorise_again(self._authenticator, method, context)
                                check_at = time.monotonic() + CHECK_CALLER_EVERY
                            yield _sendable(reply)
            except asyncio.CancelledError:
                CALLS.labels(method, "CANCELLED").inc()
                raise
            except CallerLimited as limited:  # the quotas log it
                await abort(context, method, status_of(limited))
            except Exception as error:  # noqa: BLE001  # any failure: the caller gets an answer
                status = self._status(error)
            else:
                CALLS.labels(method, "OK").inc()
                return
            log.info("stream ended", code=status.code, reason=status.message)
            await abort(context, method, status)

        return call

    async def _authorise(self, authenticator: "Authenticator", method: str, access: Access, context: Context) -> None:
        """From here on the call knows its caller. Raises `Unauthenticated`, `AccessDenied`."""
        try:
            principal = await authenticator.principal_of(context)
            require_access(access, principal, method)
        except (Unauthenticated, AccessDenied) as refused:
            DENIED.labels(method, refused.reason).inc()
            raise
        CALLER.set(principal)
        OWN.set("" if access.role in principal.roles else principal.customer_id)

    async def _authorise_again(self, authenticator: "Authenticator", method: str, context: Context) -> None:
        """A watch ends with the token or the key that opened it; an act that was begun is reported to its end.

        Raises `Unauthenticated`, `AccessDenied`.
        """
        access, before, own = self._access[method], CALLER.get(), OWN.get()
        if access.role == OPS_ACT:
            return
        await self._authorise(authenticator, method, access, context)
        now = CALLER.get()
        if before is None or now is None or (now.name, OWN.get()) != (before.name, own):
            raise Unauthenticated("the caller has changed since the call began")

    def _reflection(self, method: str, handler: Handler, authenticator: "Authenticator") -> Handler:
        """It shows the complete contract, so it is for operators."""
        inner: Any = handler.stream_stream

        async def call(requests: AsyncIterator[Message], context: Context) -> AsyncGenerator[Message, None]:
            try:
                await self._authorise(authenticator, method, Access(OPS_READ), context)
            except (Unauthenticated, AccessDenied) as refused:
                await abort(context, method, status_of(refused))
            async for reply in inner(requests, context):
                yield reply

        return grpc.stream_stream_rpc_method_handler(
            call,
            request_deserializer=handler.request_deserializer,
            response_serializer=handler.response_serializer,
        )

    def _health_watch(self, method: str, handler: Handler) -> Handler:
        """As many as there may be calls; gRPC's own bound is for all calls together, and has room for both."""
        inner: Any = handler.unary_stream

        async def call(request: Message, context: Context) -> None:
            if self._health_watches >= self._limits.max_calls:
                await abort(context, method, status_of(ServerBusy(self._limits.max_calls)))
            self._health_watches += 1
            try:
                await inner(request, context)
            finally:
                self._health_watches -= 1

        return grpc.unary_stream_rpc_method_handler(
            call,
            request_deserializer=handler.request_deserializer,
            response_serializer=handler.response_serializer,
        )

    def _status(self, error: Exception) -> status_pb2.Status:
        """The one place where a defect ends; it is logged completely."""
        failure = error if isinstance(error, CommandRejected | ServiceFailure) else self._known(error)
        if failure is not None:
            return status_of(failure)
        error_id = str(uuid7())
        log.error("internal error", exc_info=error, error_id=error_id)
        return internal(error_id)

    def _readable(
        self, deserialize: Callable[[bytes], Message] | None, access: Access
    ) -> Callable[[bytes], Message | Unreadable]:
        """What is too large is not read. This, what is no message, and an act without a reason are refused in the call,
        for known callers.

        Here gRPC would answer by itself, to everybody.
        """
        assert deserialize is not None, "ours are all of protobuf"
        is_act = access.role == OPS_ACT

        def read(raw: bytes) -> Message | Unreadable:
            size, largest = len(raw), self._limits.max_request_size
            if size > largest:
                return RequestTooLarge(size, largest)
            try:
                request = deserialize(raw)
                if is_act and "reason" in request.DESCRIPTOR.fields_by_name:
                    require_reason(request, needed=access.needs_reason(request))
            except DecodeError:
                return InvalidRequest({"request": "is not the message of this RPC"})
            except InvalidRequest as invalid:
                return invalid
            return request

        return read

    async def _quota(self, method: str, context: Context) -> AbstractContextManager[None]:
        """The caller's share of this process. Raises `CallerLimited`, after a pause that leaves time for the answer."""
        caller = CALLER.get()
        if self._quotas is None or caller is None:
            return NO_QUOTA
        try:
            return self._quotas.admitted(caller.name, self._access[method].role)
        except CallerLimited as limited:
            await self._quotas.pause(caller.name, limited, self._limit(context) / 2)
            raise

    @contextmanager
    def _admitted(self, request: Message | Unreadable) -> Iterator[None]:
        """Counts the call while it is under way. Raises `ServerBusy`, `RequestTooLarge` and `InvalidRequest`."""
        if isinstance(request, Unreadable):
            raise request
        if self._calls >= self._limits.max_calls:
            raise ServerBusy(self._limits.max_calls)
        self._calls += 1
        try:
            yield
        finally:
            self._calls -= 1

    def _limit(self, context: Context) -> float:
        remaining = context.time_remaining()
        limits = self._limits
        return min(limits.default_deadline if remaining is None else remaining, limits.max_deadline)


def _sendable(reply: Message) -> Message:
    """Raises `ReplyTooLarge`: the caller's own gRPC would refuse it, without a reason."""
    size = reply.ByteSize()
    if size > MAX_REPLY:
        raise ReplyTooLarge(size, MAX_REPLY)
    return reply


def _correlation_id(request: Message, context: Context) -> str:
    """The caller's, or the request's own id. Nothing of it has been checked yet, and it is in every line of the log."""
    named = headers_of(context).get(CORRELATION_ID) or str(getattr(request, "request_id", ""))
    shown = named[:MAX_CORRELATION_ID_LENGTH]
    return shown if shown.isprintable() else ascii(shown)


async def abort(context: Context, method: str, status: status_pb2.Status) -> NoReturn:
    code = next(code for code in grpc.StatusCode if code.value[0] == status.code)
    CALLS.labels(method, code.name).inc()
    await context.abort(
        code, status.message, trailing_metadata=(("grpc-status-details-bin", status.SerializeToString()),)
    )
    raise AssertionError("abort returned")
