"""Calls to a node that has users, made by one of them, and what they are answered."""

import asyncio
import base64
import json
import uuid
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any, NamedTuple

import grpc
from esdbclient.protos.Grpc import persistent_pb2, shared_pb2, streams_pb2

from embedded.eventstore.node import node
from embedded.eventstore.security.settings import Security
from tests.contract.eventstore.recorded.newer import message

SERVICES = "/event_store.client."
STREAMS = f"{SERVICES}streams.Streams/"
GROUPS = f"{SERVICES}persistent_subscriptions.PersistentSubscriptions/"
USERS = f"{SERVICES}users.Users/"
GOSSIP = f"{SERVICES}gossip.Gossip/Read"
WITHIN = 10.0  # seconds
JSON = "application/json"
ADMIN_PASSWORD, OPS_PASSWORD = "of the admin", "of the operator"
SECURITY = Security(admin_password=ADMIN_PASSWORD, ops_password=OPS_PASSWORD)
EMPTY = shared_pb2.Empty
Header = tuple[tuple[str, str], ...]


class Answer(NamedTuple):
    """How a call ended: the name of a status, its text, and the trailer `exception`."""

    code: str
    detail: str = ""
    exception: str = ""


OK = Answer("OK")
DENIED = Answer("PERMISSION_DENIED", "Access Denied", "access-denied")
UNAUTHENTICATED = Answer("UNAUTHENTICATED", "Unauthenticated")


def basic(login: str, password: str) -> Header:
    return (("authorization", "Basic " + base64.b64encode(f"{login}:{password}".encode()).decode()),)


class Caller:
    """One user of a node, or with an empty `header` nobody."""

    def __init__(self, channel: grpc.aio.Channel, header: Header = ()) -> None:
        self._channel, self._header = channel, header

    def as_user(self, login: str, password: str) -> "Caller":
        return Caller(self._channel, basic(login, password))

    def with_header(self, value: str) -> "Caller":
        return Caller(self._channel, (("authorization", value),))

    async def ask(self, method: str, answer: Any, *requests: Any) -> list[Any]:
        """All answers. Raises what ended the call, if that is an error."""
        return [found async for found in self._call(method, answer, iter(requests))]

    async def first(self, method: str, answer: Any, request: Any, *, stays_open: bool = False) -> Any:
        """The first answer to a call that has no end. With `stays_open` the sender's side has none either."""

        async def sent() -> AsyncIterator[Any]:
            yield request
            if stays_open:
                await asyncio.Event().wait()

        call = self._call(method, answer, sent())
        async for found in call:
            call.cancel()
            return found
        raise AssertionError("the call has ended without an answer")

    def _call(self, method: str, answer: Any, requests: Any) -> Any:
        rpc: Any = self._channel.stream_stream(method, lambda m: m.SerializeToString(), answer.FromString)
        return rpc(requests, metadata=self._header, timeout=WITHIN)

    async def answered(self, method: str, *requests: Any) -> Answer:
        """How the call ends."""
        try:
            await self.ask(method, EMPTY, *requests)
        except grpc.aio.AioRpcError as error:
            return answer_of(error)
        return OK

    # -------------------------------------------------------------- streams

    async def append(self, stream: str, *, type_: str = "Happened", data: Any = None) -> Answer:
        return await self.answered(STREAMS + "Append", *appending(stream, type_=type_, data=data))

    async def read(self, stream: str) -> Answer:
        return await self.answered(STREAMS + "Read", reading(stream))

    async def delete(self, stream: str) -> Answer:
        return await self.answered(STREAMS + "Delete", deleting(stream))

    async def write_acl(self, stream: str, acl: Any) -> Answer:
        return await self.append(f"$${stream}", type_="$metadata", data={"$acl": acl})

    async def events(self, stream: str) -> list[tuple[str, bytes]]:
        """Type and data of all events of a stream."""
        found = await self.ask(STREAMS + "Read", streams_pb2.ReadResp, reading(stream))
        records = [response.event.event for response in found if response.HasField("event")]
        return [(record.metadata["type"], record.data) for record in records]

    async def batches(self, *streams: str) -> AsyncIterator[Any]:
        """The answers of one BatchAppend. Each batch is sent when the caller of this has taken the answer before."""
        taken = asyncio.Semaphore(1)

        async def sent() -> AsyncIterator[Any]:
            for stream in streams:
                await taken.acquire()
                yield batch(stream)

        async for answer in self._call(STREAMS + "BatchAppend", streams_pb2.BatchAppendResp, sent()):
            yield answer
            taken.release()

    # -------------------------------------------------------------- users

    async def create_user(self, login: str, password: str, *groups: str) -> Answer:
        return await self._user("Create", login_name=login, password=password, full_name=login.title(), groups=groups)

    async def update_user(self, login: str, *groups: str) -> Answer:
        return await self._user("Update", login_name=login, full_name=login.title(), groups=groups)

    async def delete_user(self, login: str) -> Answer:
        return await self._user("Delete", login_name=login)

    async def disable_user(self, login: str) -> Answer:
        return await self._user("Disable", login_name=login)

    async def enable_user(self, login: str) -> Answer:
        return await self._user("Enable", login_name=login)

    async def change_password(self, login: str, current: str, new: str) -> Answer:
        return await self._user("ChangePassword", login_name=login, current_password=current, new_password=new)

    async def reset_password(self, login: str, new: str) -> Answer:
        return await self._user("ResetPassword", login_name=login, new_password=new)

    async def details(self, login: str = "") -> list[Any]:
        """Of one user, or of all."""
        request = message("UserReq")(options=message("UserOptions")(login_name=login))
        found = await self.ask(USERS + "Details", message("DetailsResp"), request)
        return [response.user_details for response in found]

    async def _user(self, method: str, **options: Any) -> Answer:
        kind = method if method.endswith("Password") else "User"
        request = message(f"{kind}Req")(options=message(f"{kind}Options")(**options))
        return await self.answered(USERS + method, request)


def answer_of(error: grpc.aio.AioRpcError) -> Answer:
    trailers = {str(key): str(value) for key, value in error.trailing_metadata() or ()}
    return Answer(error.code().name, str(error.details()), trailers.get("exception", ""))


def appending(stream: str, *, type_: str = "Happened", data: Any = None) -> Sequence[Any]:
    first, second = streams_pb2.AppendReq(), streams_pb2.AppendReq()
    first.options.stream_identifier.stream_name = stream.encode()
    first.options.any.SetInParent()
    event = second.proposed_message
    event.id.string = str(uuid.uuid4())
    event.metadata.update({"type": type_, "content-type": JSON})
    event.data = json.dumps(data or {}).encode()
    return first, second


def batch(stream: str) -> Any:
    request = streams_pb2.BatchAppendReq(is_final=True)
    request.correlation_id.string = str(uuid.uuid4())
    request.options.stream_identifier.stream_name = stream.encode()
    request.options.any.SetInParent()
    event = request.proposed_messages.add()
    event.id.string = str(uuid.uuid4())
    event.metadata.update({"type": "Happened", "content-type": JSON})
    return request


def deleting(stream: str, request: Callable[[], Any] = streams_pb2.DeleteReq) -> Any:
    made = request()
    made.options.stream_identifier.stream_name = stream.encode()
    made.options.any.SetInParent()
    return made


def reading(stream: str | None, *, subscribe: bool = False, through_filter: bool = False) -> Any:
    """From the start; of `$all` if `stream` is None, and then one event."""
    request = streams_pb2.ReadReq()
    options = request.options
    if stream is None:
        options.all.start.SetInParent()
    else:
        options.stream.stream_identifier.stream_name = stream.encode()
        options.stream.start.SetInParent()
    if subscribe:
        options.subscription.SetInParent()
    else:
        options.count = 1 if stream is None else 99
    if through_filter:
        options.filter.stream_identifier.prefix.append("order-")
        options.filter.max, options.filter.checkpointIntervalMultiplier = 32, 1
    else:
        options.no_filter.SetInParent()
    options.uuid_option.string.SetInParent()
    return request


def creating_group(group: str, stream: str | None) -> Any:
    """On `$all` if `stream` is None; from the end on."""
    request = persistent_pb2.CreateReq()
    options = request.options
    options.group_name = group
    if stream is None:
        options.all.end.SetInParent()
        options.all.no_filter.SetInParent()
    else:
        options.stream.stream_identifier.stream_name = stream.encode()
        options.stream.end.SetInParent()
    settings = options.settings
    settings.max_retry_count, settings.history_buffer_size, settings.live_buffer_size = 1, 20, 20
    settings.read_batch_size, settings.max_checkpoint_count, settings.min_checkpoint_count = 10, 10, 1
    settings.message_timeout_ms = settings.checkpoint_after_ms = 1_000
    settings.consumer_strategy = "RoundRobin"
    return request


def about_group(request: Callable[[], Any], group: str, stream: str | None) -> Any:
    """A request about a group that there is."""
    made = request()
    made.options.group_name = group
    if stream is None:
        made.options.all.SetInParent()
    else:
        made.options.stream_identifier.stream_name = stream.encode()
    return made


@asynccontextmanager
async def calling(address: str, credentials: grpc.ChannelCredentials | None = None) -> AsyncIterator[Caller]:
    """Nobody, over a channel of its own."""
    channel = (
        grpc.aio.insecure_channel(address) if credentials is None else grpc.aio.secure_channel(address, credentials)
    )
    async with channel:
        yield Caller(channel)


@asynccontextmanager
async def secure_node(**options: Any) -> AsyncIterator[tuple[Caller, Caller]]:
    """A node with users over plain text, in this process: its administrator, and nobody."""
    async with node(None, security=SECURITY, **options) as address, calling(address) as nobody:
        yield nobody.as_user("admin", ADMIN_PASSWORD), nobody
