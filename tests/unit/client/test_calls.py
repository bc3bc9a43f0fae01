"""What a call does about failures, against a server of gRPC's own that answers as configured."""

import asyncio
import uuid
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from queue import Queue
from threading import Event, Thread
from typing import Any, TypeAlias

import grpc
import pytest
from google.protobuf import any_pb2
from google.rpc import code_pb2, error_details_pb2, status_pb2
from grpc_status import rpc_status

from client.sdk import Addresses, OrderstreamClient, errors
from protos.operations.v1.projections_pb2 import VerifyProjectionsRequest, VerifyProjectionsResponse
from protos.users.v1.commands_pb2 import RegisterUserRequest, RegisterUserResponse
from protos.users.v1.queries_pb2 import GetUserRequest, GetUserResponse

Answer: TypeAlias = status_pb2.Status | None  # None: the reply


class Scripted(grpc.GenericRpcHandler):
    """Gives the answers in turn, the last one for ever, and keeps what was asked."""

    def __init__(self, *answers: Answer) -> None:
        self._answers = list(answers)
        self.commands: list[RegisterUserRequest] = []
        self.said_retry: list[bool] = []  # of each command
        self.queries: list[GetUserRequest] = []

    def service(self, details: grpc.HandlerCallDetails) -> Any:
        register = details.method.endswith("/RegisterUser")
        return grpc.unary_unary_rpc_method_handler(
            self._register if register else self._get,
            request_deserializer=(RegisterUserRequest if register else GetUserRequest).FromString,
            response_serializer=lambda reply: reply.SerializeToString(),
        )

    async def _register(
        self, request: RegisterUserRequest, context: grpc.aio.ServicerContext[RegisterUserRequest, RegisterUserResponse]
    ) -> RegisterUserResponse:
        self.commands.append(request)
        self.said_retry.append("x-orderstream-retry" in dict(context.invocation_metadata() or ()))
        answer = self._answers.pop(0) if len(self._answers) > 1 else self._answers[0]
        if answer is not None:
            await context.abort_with_status(rpc_status.to_status(answer))
        return RegisterUserResponse(revision=0, consistency_token="newest", user_id=request.user_id)

    async def _get(self, request: GetUserRequest, _: object) -> GetUserResponse:
        self.queries.append(request)
        return GetUserResponse()


class Streaming(grpc.GenericRpcHandler):
    """Fails each time but the last: before the first message, or after it."""

    def __init__(self, failures: int, *, begins: bool) -> None:
        self.calls = 0
        self._failures, self._begins = failures, begins

    def service(self, _: grpc.HandlerCallDetails) -> Any:
        return grpc.unary_stream_rpc_method_handler(
            self._verify,
            request_deserializer=VerifyProjectionsRequest.FromString,
            response_serializer=lambda reply: reply.SerializeToString(),
        )

    async def _verify(
        self,
        _: VerifyProjectionsRequest,
        context: grpc.aio.ServicerContext[VerifyProjectionsRequest, VerifyProjectionsResponse],
    ) -> AsyncIterator[VerifyProjectionsResponse]:
        self.calls += 1
        fails = self.calls <= self._failures
        if self._begins or not fails:
            yield VerifyProjectionsResponse()
        if fails:
            await context.abort(grpc.StatusCode.UNAVAILABLE, "it restarts")
        yield VerifyProjectionsResponse()


def failure(code: int, reason: str, *more: error_details_pb2.BadRequest, **metadata: str) -> status_pb2.Status:
    details = [error_details_pb2.ErrorInfo(reason=reason, domain="orderstream", metadata=metadata), *more]
    packed = [any_pb2.Any() for _ in details]
    for box, detail in zip(packed, details, strict=True):
        box.Pack(detail)
    return status_pb2.Status(code=code, message=f"because of {reason}", details=packed)


@asynccontextmanager
async def served(handler: grpc.GenericRpcHandler) -> AsyncIterator[str]:
    """The address at which it answers."""
    server = grpc.aio.server()
    server.add_generic_rpc_handlers((handler,))
    address = f"127.0.0.1:{server.add_insecure_port('127.0.0.1:0')}"
    await server.start()
    try:
        yield address
    finally:
        await server.stop(None)


@contextmanager
def serving(handler: grpc.GenericRpcHandler) -> Iterator[str]:
    """Its address, while it serves beside the test: the command line has a loop of its own."""
    ready, ended = Queue[str](), Event()

    async def serve() -> None:
        async with served(handler) as address:
            ready.put(address)
            await asyncio.to_thread(ended.wait)

    thread = Thread(target=asyncio.run, args=(serve(),))
    thread.start()
    try:
        yield ready.get(timeout=10)
    finally:
        ended.set()
        thread.join()


@asynccontextmanager
async def shop_that(
    handler: grpc.GenericRpcHandler, *, read_your_writes: bool = False
) -> AsyncIterator[OrderstreamClient]:
    async with (
        served(handler) as address,
        OrderstreamClient(
            Addresses(commands=address, queries=address, projections=address),
            deadline=5,
            read_your_writes=read_your_writes,
        ) as shop,
    ):
        yield shop


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        (code_pb2.INVALID_ARGUMENT, errors.InvalidRequest),
        (code_pb2.NOT_FOUND, errors.NotFound),
        (code_pb2.FAILED_PRECONDITION, errors.Refused),
        (code_pb2.ALREADY_EXISTS, errors.Refused),
        (code_pb2.RESOURCE_EXHAUSTED, errors.Refused),
        (code_pb2.ABORTED, errors.Conflict),
        (code_pb2.DEADLINE_EXCEEDED, errors.Unavailable),
        (code_pb2.INTERNAL, errors.InternalError),
    ],
)
async def test_a_status_becomes_the_error_of_its_kind_at_once(code: int, kind: type[errors.OrderstreamError]) -> None:
    handler = Scripted(failure(code, "SOME_REASON", user_id="u-1"))
    async with shop_that(handler) as shop:
        with pytest.raises(kind) as failed:
            await shop.users.RegisterUser(name="Ann")
    assert (failed.value.reason, failed.value.metadata) == ("SOME_REASON", {"user_id": "u-1"})
    assert len(handler.commands) == 1


async def test_fields_that_break_a_rule_are_named() -> None:
    bad = error_details_pb2.BadRequest()
    bad.field_violations.add(field="email", description="needs one @")
    async with shop_that(Scripted(failure(code_pb2.INVALID_ARGUMENT, "FIELD_INVALID", bad))) as shop:
        with pytest.raises(errors.InvalidRequest) as failed:
            await shop.users.RegisterUser(name="Ann")
    assert failed.value.fields == {"email": "needs one @"}


@pytest.mark.parametrize(
    "first",
    [
        failure(code_pb2.UNAVAILABLE, "STORE_UNAVAILABLE"),
        failure(code_pb2.ABORTED, "CONTENTION"),
        failure(code_pb2.CANCELLED, ""),
        failure(code_pb2.RESOURCE_EXHAUSTED, "SERVER_BUSY"),
    ],
    ids=["unavailable", "contention", "cancelled by a server that stops", "busy"],
)
async def test_a_command_is_repeated_with_the_same_request_id(first: status_pb2.Status) -> None:
    handler = Scripted(first, first, None)
    async with shop_that(handler) as shop:
        await shop.users.RegisterUser(name="Ann")
    assert len(handler.commands) == 3
    assert handler.said_retry == [False, True, True], "so that the server looks closer"
    (request_id,) = {request.request_id for request in handler.commands}
    assert uuid.UUID(request_id).version == 7


async def test_a_lost_race_over_an_expected_revision_is_not_repeated() -> None:
    handler = Scripted(failure(code_pb2.ABORTED, "REVISION_CONFLICT"), None)
    async with shop_that(handler) as shop:
        with pytest.raises(errors.Conflict):
            await shop.users.RegisterUser(name="Ann")
    assert len(handler.commands) == 1


async def test_tries_end_with_the_deadline() -> None:
    handler = Scripted(failure(code_pb2.UNAVAILABLE, "STORE_UNAVAILABLE"))
    async with shop_that(handler) as shop:
        with pytest.raises(errors.Unavailable):
            await shop.users.RegisterUser(name="Ann", deadline=0.2)
    assert 1 <= len(handler.commands) <= 10


async def test_a_stream_that_could_not_be_begun_is_tried_again() -> None:
    handler = Streaming(2, begins=False)
    async with shop_that(handler) as shop:
        assert len([message async for message in shop.operations.VerifyProjections()]) == 2
    assert handler.calls == 3


async def test_a_stream_that_is_broken_off_is_not_begun_again() -> None:
    handler = Streaming(1, begins=True)
    async with shop_that(handler) as shop:
        with pytest.raises(errors.Unavailable):
            [message async for message in shop.operations.VerifyProjections()]
    assert handler.calls == 1


async def test_a_stream_that_never_begins_ends_with_the_deadline() -> None:
    async with shop_that(Streaming(1_000, begins=False)) as shop:
        with pytest.raises(errors.Unavailable):
            [message async for message in shop.operations.VerifyProjections(deadline=0.2)]


async def test_asked_for_a_query_takes_the_token_of_the_last_command() -> None:
    handler = Scripted(None)
    async with shop_that(handler, read_your_writes=True) as shop:
        await shop.users.RegisterUser(name="Ann")
        await shop.users.GetUser(user_id="u-1")
        await shop.users.GetUser(user_id="u-1", consistency_token="mine")
    assert [query.consistency_token for query in handler.queries] == ["newest", "mine"]


async def test_an_unknown_rpc_is_reported_with_those_that_exist() -> None:
    async with shop_that(Scripted(None)) as shop:
        with pytest.raises(AttributeError, match="RegisterUser"):
            shop.users.Register  # type: ignore[attr-defined]  # noqa: B018  # the signatures refuse it too
