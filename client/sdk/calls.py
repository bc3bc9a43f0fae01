"""The calls of the client: one RPC as a method, with request ids, deadlines and retries."""

import asyncio
import random
import time
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import grpc
from google.protobuf.descriptor import FileDescriptor, MethodDescriptor
from google.protobuf.message_factory import GetMessageClass
from uuid_utils import uuid7

from client.sdk.credentials import Token
from client.sdk.errors import OrderstreamError, Unreachable, from_rpc_error

FIRST_PAUSE, MAX_PAUSE = 0.05, 1.0  # seconds between attempts
WORTH_A_RETRY = {grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.CANCELLED}  # by a server that stops
REASONS_WORTH_A_RETRY = {"CONTENTION", "SERVER_BUSY", "CALLER_LIMITED"}
REASONS_WORTH_A_RESUME = {"WATCH_TOO_SLOW", "TOO_MANY_WATCHES", "SERVER_BUSY", "CALLER_LIMITED"}
GIVE_UP_AFTER = 60.0  # seconds
Headers = tuple[tuple[str, str], ...]
RETRY = ("x-orderstream-retry", "1")  # lets the server check whether an earlier attempt was executed


@dataclass(slots=True)
class Session:
    """The consistency token of the last command, kept for the queries after it."""

    consistency_token: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Caller:
    """What all calls of a client share: channels and addresses by role. `deadline` is in seconds, for all attempts."""

    channels: Mapping[str, grpc.aio.Channel]
    addresses: Mapping[str, str]
    headers: Mapping[str, str]
    deadline: float
    session: Session | None
    token: Token | None = None


class Context:
    """The RPCs of one context, by their names: fields as keywords, the reply's message as result.

    `files` has their proto files, by the role of the server that answers. The typed signatures are in
    `contexts.pyi`, generated from the same files.
    """

    files: ClassVar[Mapping[str, FileDescriptor]]

    def __init__(self, caller: Caller) -> None:
        self._methods: dict[str, _Method] = {
            method.name: _kind(method)(role, method, caller)
            for role, method in (
                (role, method)
                for role, file in self.files.items()
                for service in file.services_by_name.values()
                for method in service.methods
            )
        }

    def __getattr__(self, name: str) -> Any:
        try:
            return self._methods[name]
        except KeyError:
            raise AttributeError(f"there is no RPC {name}; there are {', '.join(sorted(self._methods))}") from None

    async def pages(self, name: str, **fields: Any) -> AsyncIterator[Any]:
        """Every page of a list, one reply at a time."""
        while True:
            reply = await getattr(self, name)(**fields)
            yield reply
            if not reply.next_page_token:
                return
            fields["page_token"] = reply.next_page_token


class _Method:
    """One RPC. A command gets a request id unless one is given, and keeps it over all attempts."""

    def __init__(self, role: str, method: MethodDescriptor, caller: Caller) -> None:
        channel = caller.channels[role]
        self._role, self._address, self._name = role, caller.addresses[role], method.name
        self._session = caller.session
        self._deadline = caller.deadline
        self._headers = tuple(caller.headers.items())
        self._token = caller.token
        self._takes_token = "consistency_token" in method.input_type.fields_by_name
        self._is_command = "request_id" in method.input_type.fields_by_name
        self._request: Any = GetMessageClass(method.input_type)
        make = channel.unary_stream if method.server_streaming else channel.unary_unary
        self._call: Any = make(
            f"/{method.containing_service.full_name}/{method.name}",
            request_serializer=self._request.SerializeToString,
            response_deserializer=GetMessageClass(method.output_type).FromString,
        )

    def _failure(self, error: grpc.aio.AioRpcError) -> OrderstreamError:
        return from_rpc_error(error, self._role, self._address, self._name)

    async def _authorization(self) -> Headers:
        return () if self._token is None else await self._token.headers()

    def _is_worth_another_token(self, failure: OrderstreamError, shown: Headers) -> bool:
        if failure.code is not grpc.StatusCode.UNAUTHENTICATED or self._token is None:
            return False
        return self._token.can_be_renewed(shown)

    def _build(self, fields: dict[str, Any]) -> Any:
        if self._is_command and not fields.get("request_id"):
            fields = {**fields, "request_id": str(uuid7())}
        if self._session is not None and self._takes_token and not fields.get("consistency_token"):
            fields = {**fields, "consistency_token": self._session.consistency_token}
        return self._request(**fields)


class _Unary(_Method):
    async def __call__(self, *, deadline: float | None = None, **fields: Any) -> Any:
        """The reply; raises a leaf of `OrderstreamError`. `deadline` is in seconds, for all attempts.

        An absent server is waited for no longer than the client's own deadline.
        """
        request = self._build(fields)
        began = time.monotonic()
        until = began + (self._deadline if deadline is None else deadline)
        pause, headers = FIRST_PAUSE, self._headers
        earlier: OrderstreamError | None = None
        renewed = False
        while True:
            shown = await self._authorization()
            try:
                reply = await self._call(
                    request, timeout=max(0.001, until - time.monotonic()), metadata=(*headers, *shown)
                )
            except grpc.aio.AioRpcError as error:
                failure = self._failure(error)
                if not renewed and self._is_worth_another_token(failure, shown):
                    renewed = True
                    continue
                give_up_at = min(until, began + self._deadline) if isinstance(failure, Unreachable) else until
                if not _is_worth_a_retry(failure) or time.monotonic() + pause >= give_up_at:
                    raise _most_reporting(failure, earlier) from error
                earlier = failure
            else:
                if self._session is not None and self._is_command:
                    self._session.consistency_token = reply.consistency_token
                return reply
            headers = (*self._headers, RETRY) if self._is_command else self._headers
            pause = await _rested(pause)


def _is_worth_a_retry(failure: OrderstreamError) -> bool:
    return failure.code in WORTH_A_RETRY or failure.reason in REASONS_WORTH_A_RETRY


def _most_reporting(failure: OrderstreamError, earlier: OrderstreamError | None) -> OrderstreamError:
    """A last attempt without time left says less than the one before it."""
    is_late = isinstance(failure, Unreachable) and failure.code is grpc.StatusCode.DEADLINE_EXCEEDED
    return earlier if is_late and earlier is not None else failure


async def _rested(pause: float) -> float:
    """Pause for about so many seconds; returns the pause before the attempt after the next."""
    await asyncio.sleep(pause * random.uniform(0.5, 1.0))  # noqa: S311  # jitter
    return min(pause * 2, MAX_PAUSE)


def _kind(method: MethodDescriptor) -> type[_Method]:
    if not method.server_streaming:
        return _Unary
    return _Watching if "resume_token" in method.input_type.fields_by_name else _Streaming


class _Watching(_Method):
    async def __call__(self, *, deadline: float | None = None, **fields: Any) -> AsyncIterator[Any]:
        """The messages as they arrive. The call resumes by itself if the connection or the server ends it.

        Raises a leaf of `OrderstreamError`; a temporary failure only after
        `GIVE_UP_AFTER` seconds without any message, or the client's deadline if there was none yet. No deadline unless
        one is given. There may be a second snapshot:
        it replaces everything before.
        """
        request = self._build(fields)
        until = None if deadline is None else time.monotonic() + deadline
        alive, patience, pause = time.monotonic(), min(self._deadline, GIVE_UP_AFTER), FIRST_PAUSE
        renewed = False
        while True:
            shown = await self._authorization()
            call = self._call(request, timeout=_left(until), metadata=(*self._headers, *shown))
            try:
                async for message in call:
                    alive, patience, pause = time.monotonic(), GIVE_UP_AFTER, FIRST_PAUSE
                    renewed = False
                    request.resume_token = message.resume_token or request.resume_token
                    yield message
            except grpc.aio.AioRpcError as error:
                failure = self._failure(error)
                if not renewed and self._is_worth_another_token(failure, shown):
                    renewed = True
                    continue
                worth_it = failure.code in WORTH_A_RETRY or failure.reason in REASONS_WORTH_A_RESUME
                if not worth_it or time.monotonic() - alive > patience:
                    raise failure from error
            finally:
                call.cancel()
            pause = await _rested(pause)


def _left(until: float | None) -> float | None:
    return None if until is None else max(0.001, until - time.monotonic())


class _Streaming(_Method):
    async def __call__(self, *, deadline: float | None = None, **fields: Any) -> AsyncIterator[Any]:
        """The messages as they arrive; raises a leaf of `OrderstreamError`. No deadline unless one is given.

        A call that could not start is retried, within the client's deadline; one that broke off after its
        first message is not.
        """
        request, has_begun, pause = self._build(fields), False, FIRST_PAUSE
        until = None if deadline is None else time.monotonic() + deadline
        give_up_at = time.monotonic() + (self._deadline if deadline is None else deadline)
        renewed = False
        while True:
            shown = await self._authorization()
            try:
                async for message in self._call(request, timeout=_left(until), metadata=(*self._headers, *shown)):
                    has_begun = True
                    yield message
            except grpc.aio.AioRpcError as error:
                failure = self._failure(error)
                if not renewed and not has_begun and self._is_worth_another_token(failure, shown):
                    renewed = True
                    continue
                again = _is_worth_a_retry(failure) and not has_begun and time.monotonic() + pause < give_up_at
                if not again:
                    raise failure from error
            else:
                return
            pause = await _rested(pause)
