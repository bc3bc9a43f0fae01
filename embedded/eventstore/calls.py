"""Calls and handlers: what is read before a handler, what ends a call, and how its failure is reported."""

import asyncio
import logging
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Iterator
from contextlib import aclosing, contextmanager
from dataclasses import dataclass
from typing import Any, TypeAlias

import grpc
from google.protobuf.message import DecodeError

from embedded.eventstore.errors import MAX_OF_DETAIL, DamagedRecordError, HandlerError, RefusalError, shortened

log = logging.getLogger(__name__)

NO_TIME = 0.002  # seconds; who leaves less for an answer will not see it
OVER_WITHIN = 1.0  # seconds, until a call without time is refused if its deadline has not ended it
MAX_MESSAGE = 16 * 1024 * 1024 - 10_000  # bytes
TOO_LARGE = "Received message exceeds the maximum configured message size."
THROWN = "Exception was thrown by handler."
NOT_READY = "Server Is Not Ready"

Answering = Callable[[Any, Any], Awaitable[Any]]
Streaming = Callable[[Any, Any], AsyncGenerator[Any, None]]
Admitting = Callable[[Any], Awaitable[Any]]  # of the context of a call
Taking = Callable[[AsyncIterator[Any]], Awaitable[Any]]
Handler: TypeAlias = "grpc.RpcMethodHandler[Any, Any]"


@dataclass(frozen=True, slots=True)
class Rpc:
    """How a method is carried out.

    `handler` takes one request, or if `takes_many` all as they arrive, and gives one answer, or if `gives_many` a
    stream. `request` is the class of the requests; without it they are bytes.
    """

    handler: Callable[[Any, Any], Any]
    request: Any
    takes_many: bool
    gives_many: bool


Services = dict[str, dict[str, Rpc]]  # by the name of the service, and of the method


class Calls:
    """Makes handlers of RPCs, and knows which of their calls are open."""

    def __init__(self) -> None:
        self._open: set[asyncio.Task[Any]] = set()
        self._ending = False

    def refuse(self) -> None:
        """Take no more of them: the node stops."""
        self._ending = True

    def end(self) -> None:
        """End those that are open with UNAVAILABLE, which their callers see too when a real node stops.

        A real one resets their connections after five seconds. "Server Is Not Ready" is what it says meanwhile to new
        calls, and clients try again after it.
        """
        self._ending = True
        for task in tuple(self._open):
            task.cancel()

    def handlers(self, services: Services) -> dict[str, dict[str, Handler]]:
        return {
            service: {
                name: (self._streaming if rpc.gives_many else self._answering)(
                    rpc.handler, rpc.request, _every if rpc.takes_many else _only
                )
                for name, rpc in methods.items()
            }
            for service, methods in services.items()
        }

    def _answering(self, handler: Answering, request: Any, take: Taking) -> Handler:
        async def call(requests: AsyncIterator[Any], context: Any) -> Any:
            try:
                with self._while_open():
                    await _refuse_without_time(context)
                    return await handler(await take(requests), context)
            except Exception as error:  # noqa: BLE001  # every failure leaves as the protocol's
                await _abort(context, error)

        return grpc.stream_unary_rpc_method_handler(call, _reading(request), _encode)

    def _streaming(self, handler: Streaming, request: Any, take: Taking) -> Handler:
        async def call(requests: AsyncIterator[Any], context: Any) -> AsyncIterator[Any]:
            try:
                with self._while_open():
                    await _refuse_without_time(context)
                    # what the handler holds, it lets go at once
                    async with aclosing(handler(await take(requests), context)) as messages:
                        async for message in messages:
                            yield message
            except Exception as error:  # noqa: BLE001  # every failure leaves as the protocol's
                await _abort(context, error)

        return grpc.stream_stream_rpc_method_handler(call, _reading(request), None)

    @contextmanager
    def _while_open(self) -> Iterator[None]:
        if self._ending:
            raise RefusalError(grpc.StatusCode.UNAVAILABLE, NOT_READY)
        task = asyncio.current_task()
        assert task is not None
        self._open.add(task)
        try:
            yield
        except asyncio.CancelledError:
            if self._ending:
                raise RefusalError(grpc.StatusCode.UNAVAILABLE, NOT_READY) from None
            raise
        finally:
            self._open.discard(task)


class Routes(grpc.GenericRpcHandler):
    """Finds the handler of a call, whatever the case of its name.

    `admit` is awaited before a call without a handler is answered; it raises what its caller is answered instead.
    """

    def __init__(self, services: dict[str, dict[str, Handler]], admit: Admitting | None = None) -> None:
        self._unimplemented = {what: _unimplemented(what, admit) for what in ("Method", "Service")}
        self._methods = {
            f"/{service}/{name}".lower(): handler
            for service, methods in services.items()
            for name, handler in methods.items()
        }
        self._services = {service.lower() for service in services}

    def service(self, handler_call_details: grpc.HandlerCallDetails) -> Handler:
        method = str(handler_call_details.method).lower()
        found = self._methods.get(method)
        if found is not None:
            return found
        known = method.strip("/").partition("/")[0] in self._services
        return self._unimplemented["Method" if known else "Service"]


def _unimplemented(what: str, admit: Admitting | None) -> Handler:
    async def call(_requests: AsyncIterator[Any], context: Any) -> Any:
        if admit is not None:
            try:
                await admit(context)
            except Exception as error:  # noqa: BLE001  # every failure leaves as the protocol's
                await _abort(context, error)
        await context.abort(grpc.StatusCode.UNIMPLEMENTED, f"{what} is unimplemented.")

    return grpc.stream_unary_rpc_method_handler(call)


def one_to_one(handler: Answering, request: Any = None) -> Rpc:
    return Rpc(handler, request, takes_many=False, gives_many=False)


def many_to_one(handler: Answering, request: Any = None) -> Rpc:
    return Rpc(handler, request, takes_many=True, gives_many=False)


def one_to_many(handler: Streaming, request: Any = None) -> Rpc:
    return Rpc(handler, request, takes_many=False, gives_many=True)


def many_to_many(handler: Streaming, request: Any = None) -> Rpc:
    return Rpc(handler, request, takes_many=True, gives_many=True)


async def _every(requests: AsyncIterator[Any]) -> AsyncIterator[Any]:
    return requests


async def _only(requests: AsyncIterator[Any]) -> Any:
    """The one request, once the client has closed its side.

    Were the call answered before, it would be reset, and a client that closes it in a frame of its own could take that
    for a failure. More than one is passed over.
    """
    first = await anext(requests, None)
    if first is None:
        raise RefusalError(grpc.StatusCode.INTERNAL, "Incomplete message.")
    async for _ in requests:
        pass
    return first


async def _refuse_without_time(context: Any) -> None:
    """A call that leaves no time for an answer is not carried out.

    Its caller's clock ends it meanwhile, as every caller expects; an answer at once would race with that.
    """
    left = context.time_remaining()
    if left is not None and left < NO_TIME:
        await asyncio.sleep(OVER_WITHIN)
        raise RefusalError(grpc.StatusCode.DEADLINE_EXCEEDED, "Deadline Exceeded")


class _Unusable:
    """Stands for a message that cannot be taken: reading a field of it fails as the protocol says."""

    def __init__(self, error: Exception) -> None:
        self._error = error

    def __getattr__(self, name: str) -> Any:
        raise self._error


def _reading(kind: Any) -> Callable[[bytes], Any] | None:
    def read(raw: bytes) -> Any:
        if len(raw) > MAX_MESSAGE:
            return _Unusable(RefusalError(grpc.StatusCode.RESOURCE_EXHAUSTED, TOO_LARGE))
        try:
            return kind.FromString(raw)
        except DecodeError:  # if this were not caught, the client would get the name of a Python class
            return _Unusable(HandlerError("a message that cannot be decoded"))

    return None if kind is None else read


def _encode(message: Any) -> bytes:
    return message if isinstance(message, bytes) else bytes(message.SerializeToString())


async def _abort(context: Any, error: Exception) -> None:
    match error:
        case grpc.aio.AbortError():
            raise error
        case RefusalError():
            await context.abort(error.code, error.detail, error.trailers)
        case DamagedRecordError():
            log.error("%s", error)
            await context.abort(grpc.StatusCode.DATA_LOSS, shortened(str(error), MAX_OF_DETAIL))
        case HandlerError() | UnicodeDecodeError() | DecodeError():
            await context.abort(grpc.StatusCode.UNKNOWN, THROWN)
        case _:
            log.error("unexpected", exc_info=error)
            await context.abort(grpc.StatusCode.UNKNOWN, THROWN)
