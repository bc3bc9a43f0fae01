"""The one connection to EventStoreDB that all parts of a role share, and how it finds a serving node.

`Client` is esdbclient's, with another way to connect. esdbclient reconnects only if a call fails before it returns,
accepts a dead leader as the leader, and lets the deadline of one caller end what all wait for. Here a task maintains
the connection (`core.eventstore.node_connection`).

No call that a node may have executed is repeated here: callers repeat what may be repeated. A node accepts a limited
number of concurrent calls on a connection, and refuses others unseen; these are repeated.
"""

import asyncio
import inspect
import re
from collections.abc import AsyncGenerator, AsyncIterator, Iterator, Mapping, Sequence
from contextlib import aclosing, asynccontextmanager, contextmanager, suppress
from typing import Any

import grpc
import structlog

from core.backoff import Backoff
from core.config import StoreSettings
from core.eventstore.address import Address, address_of, checked, parsed, read_address_of
from core.eventstore.client import (
    AsyncESDBConnection,
    AsyncEventStoreDBClient,
    EventStoreDBClientException,
    RecordedEvent,
    ServiceUnavailable,
    StreamIsDeleted,
    complete,
    gossip_pb2,
    gossip_pb2_grpc,
    is_cancelling,
    is_denied,
    permission_denied,
    shared_pb2,
    store_errors,
    unauthenticated,
)
from core.eventstore.discovery import Member, NoAnswer
from core.eventstore.node_connection import ANSWER_WITHIN, NodeConnection
from core.failures import StoreUnauthenticated, StoreUnavailable

log = structlog.get_logger()

FIRST_BACKOFF, MAX_BACKOFF = 100, 1_000  # milliseconds between two attempts at a connection; gRPC goes to minutes
CONNECT_WITHIN = 2_000  # milliseconds for one attempt
CONFIRMED_WITHIN = 5.0  # seconds for a subscription to begin
REFUSED = "RST_STREAM with error code 7"  # HTTP/2: the call was not processed
MAX_REFUSALS = 20
AFTER_REFUSAL, MAX_AFTER_REFUSAL = 0.05, 0.25  # seconds

# the right that a call of esdbclient needs: on the first stream that it names, or on the log of all
STREAM_RIGHTS = {
    "append_to_stream": "write",
    "read_stream": "read",
    "get_stream_metadata": "read the metadata of",
    "set_stream_metadata": "write the metadata of",
}
OTHER_RIGHTS = {
    "read_all": "read",
    "subscribe_to_all": "read",
    "read_subscription_to_all": "read",
    "create_subscription_to_all": "create a persistent subscription on",
    "create_subscription_to_stream": "create a persistent subscription on",
}
SERVER_FEATURES = "/event_store.client.server_features.ServerFeatures/GetSupportedMethods"
VERSION = re.compile(rb"\d+(?:\.\d+){2,}")  # in a message for which esdbclient has no class
METADATA_OF = "$$"  # prefix of the name of a stream's metadata stream
STATES = {number: name for name, number in gossip_pb2.MemberInfo.VNodeState.items()}


class Client(AsyncEventStoreDBClient):
    """Raises what esdbclient raises; `ServiceUnavailable` while no node serves, and a `StoreRefusal` that says why none
    will until an operator acts, or which right is missing.

    `generation` increases with each new connection. `when_replaced` is called after that: new calls use the new one.
    `leader` answers what a follower may not know yet; it is this client itself unless another one was given.
    """

    def __init__(self, address: Address | str, leader: "Client | None" = None) -> None:
        if isinstance(address, str):
            address = checked(parsed(address))
        super().__init__(address.without_secrets, **_authorities(address))
        if address.user_cert_file and address.user_key_file:  # esdbclient takes them out of its own address only
            self.certificate_chain = address.user_cert_file.read_bytes()
            self.private_key = address.user_key_file.read_bytes()
        self.address = address
        # TLS only: without it there are no users, and a password would be sent in clear
        self._call_credentials = self.construct_call_credentials(address.username, address.password)
        self.leader = leader or self
        self.grpc_options += _grpc_options(address)
        self._node = NodeConnection(address, self._construct_esdb_connection, self._members, self._adopt)
        self.ready = self._node.ready
        self.doubt = self._node.doubt
        self.when_replaced = self._node.when_replaced
        self._is_open = False

    @property
    def writes(self) -> bool:
        """Whether this is a connection to the leader."""
        return self.address.node_preference == "leader"

    @property
    def generation(self) -> int:
        """Of the connection; it increases with each new one."""
        return self._node.generation

    @property
    def trouble(self) -> str:
        """Why no node serves; "" while one serves."""
        return self._node.trouble

    def _adopt(self, connection: AsyncESDBConnection) -> None:
        self._connection = connection

    async def connect(self) -> None:
        """Start; waits only a short time for the first node. Raises a `StoreRefusal` if no node will serve us."""
        self._node.start()
        self._is_open = True
        try:
            with suppress(ServiceUnavailable):
                await self.ready()
        except BaseException:
            await self.close()
            raise

    async def reconnect(self, grpc_target: str | None = None) -> None:
        """For esdbclient's own methods that are not overridden here."""
        self.doubt(self.generation, f"not {grpc_target}" if grpc_target else "the connection is lost")
        await self.ready()

    async def close(self) -> None:
        if not self._is_open or self.is_closed:
            return
        self._is_closed = True
        await self._node.close()

    @contextmanager
    def calling(self) -> Iterator[None]:
        """Raises failures as `store_errors` does. After a failure the node is asked whether it still serves."""
        generation = self.generation
        try:
            with store_errors():
                yield
        except (StoreUnavailable, StoreUnauthenticated) as failure:
            self._node.failed(generation, failure.__cause__)
            raise

    # ------------------------------------------------------------ esdbclient's calls, without its way to reconnect

    async def append_to_stream(self, *args: Any, **how: Any) -> int:
        return int(await self._plainly("append_to_stream", *args, **how))

    async def read_all(self, **how: Any) -> Any:
        return await self._plainly("read_all", **how)

    async def read_stream(self, *args: Any, **how: Any) -> Any:
        return await self._plainly("read_stream", *args, **how)

    async def get_stream_metadata(self, *args: Any, **how: Any) -> Any:
        return await self._plainly("get_stream_metadata", *args, **how)

    async def set_stream_metadata(self, *args: Any, **how: Any) -> None:
        await self._plainly("set_stream_metadata", *args, **how)

    async def subscribe_to_all(self, **how: Any) -> Any:
        return await self._begun("subscribe_to_all", **how)

    async def create_subscription_to_stream(self, *args: Any, **how: Any) -> None:
        await self._plainly("create_subscription_to_stream", *args, **{"timeout": CONFIRMED_WITHIN} | how)

    async def create_subscription_to_all(self, *args: Any, **how: Any) -> None:
        await self._plainly("create_subscription_to_all", *args, **{"timeout": CONFIRMED_WITHIN} | how)

    async def read_subscription_to_all(self, *args: Any, **how: Any) -> Any:
        return await self._begun("read_subscription_to_all", *args, **how)

    async def _begun(self, name: str, *args: Any, **how: Any) -> Any:
        """A subscription has no deadline; its confirmation has."""
        try:
            async with asyncio.timeout(CONFIRMED_WITHIN):
                return await self._plainly(name, *args, **how)
        except TimeoutError as error:
            raise ServiceUnavailable(f"{name}: no answer within {CONFIRMED_WITHIN:g} s") from error

    async def _plainly(self, name: str, *args: Any, **how: Any) -> Any:
        refused: Backoff | None = None
        while True:
            await self.ready()
            try:
                return await inspect.unwrap(getattr(AsyncEventStoreDBClient, name))(self, *args, **how)
            except ServiceUnavailable as error:
                refused = await _may_ask_again(error, refused)
            except EventStoreDBClientException as error:
                _say_of_what(error, name, args, how)
                raise

    # ------------------------------------------------------------ reads

    def events_of_all(self, **how: Any) -> AsyncGenerator[RecordedEvent, None]:
        """The complete result of `read_all`; else it raises."""
        return self._complete("read_all", **how)

    def events_of_stream(self, name: str, **how: Any) -> AsyncGenerator[RecordedEvent, None]:
        """The same of `read_stream`."""
        return self._complete("read_stream", name, **how)

    async def _complete(self, method: str, *args: Any, **how: Any) -> AsyncGenerator[RecordedEvent, None]:
        refused: Backoff | None = None
        has_begun = False
        while True:
            try:
                async with aclosing(complete(await self._plainly(method, *args, **how))) as events:
                    async for event in events:
                        has_begun = True
                        yield event
            except ServiceUnavailable as error:
                if has_begun:
                    raise
                refused = await _may_ask_again(error, refused)
            except EventStoreDBClientException as error:
                _say_of_what(error, method, args, how)
                raise
            else:
                return

    # ------------------------------------------------------------ the node

    async def members(self) -> Sequence[Member]:
        """The nodes, as the connected one lists them. Raises a `StoreFailure`."""
        with self.calling():
            await self.ready()
            try:
                return await self._members(self._connection)
            except NoAnswer as failure:
                raise ServiceUnavailable(str(failure)) from failure

    async def version(self) -> str:
        """The version of the node, like "24.10.14"; "" if it does not report one. Raises a `StoreFailure`."""
        with self.calling():
            await self.ready()
        channel = self._connection._grpc_channel  # noqa: SLF001  # docs/adr/0006
        asking = channel.unary_unary(SERVER_FEATURES, request_serializer=bytes, response_deserializer=bytes)
        try:
            answer = await asking(
                b"", timeout=ANSWER_WITHIN, metadata=self._call_metadata, credentials=self._call_credentials
            )
        except grpc.aio.AioRpcError:
            return ""
        found = VERSION.search(answer)
        return found[0].decode() if found else ""

    async def _members(self, connection: AsyncESDBConnection) -> list[Member]:
        stub = gossip_pb2_grpc.GossipStub(connection._grpc_channel)  # type: ignore[no-untyped-call]  # noqa: SLF001  # docs/adr/0006
        within = min(ANSWER_WITHIN, self.address.gossip_timeout / 1_000)
        try:
            async with asyncio.timeout(within):
                answer = await stub.Read(
                    shared_pb2.Empty(),
                    timeout=within,
                    metadata=self._call_metadata,
                    credentials=self._call_credentials,
                )
        except grpc.aio.AioRpcError as error:
            refusal = unauthenticated() if error.code() is grpc.StatusCode.UNAUTHENTICATED else None
            raise NoAnswer(error.details() or error.code().name, refusal) from error
        except TimeoutError as error:
            raise NoAnswer(f"no answer within {within:g} s") from error
        except grpc.aio.UsageError as error:
            raise NoAnswer(str(error)) from error
        except asyncio.CancelledError as error:
            if is_cancelling():
                raise
            raise NoAnswer("the connection was closed") from error
        return [
            Member(
                address=f"{member.http_end_point.address}:{member.http_end_point.port}",
                state=STATES.get(member.state, f"state {member.state}"),
                is_alive=member.is_alive,
            )
            for member in answer.members
        ]


async def connect(address: Address | str, leader: Client | None = None) -> Client:
    """A client of the leader, or of the preferred node, at an address or behind a connection string.

    The first call finds out whether a node serves. A silent connection is closed after
    `keepAliveInterval` and `keepAliveTimeout`. Raises `WrongSettingError`, and a `StoreRefusal` if a node that answers
    refuses us.
    """
    with store_errors():
        client = Client(address, leader)
        await client.connect()
        return client


@asynccontextmanager
async def connected(settings: StoreSettings, *, reads: bool = False) -> AsyncIterator[Client]:
    """The client of a role; its `leader` receives the writes. If the role only `reads`, it reads from
    ORDERSTREAM_EVENTSTORE_READ_URI.

    Raises `WrongSettingError`, and a `StoreRefusal` if the store answers and denies us to read the log.
    """
    address, read_address = address_of(settings), read_address_of(settings)
    leader = await connect(address)
    try:
        await _may_read(leader)
        if not reads or read_address is None:
            yield leader
            return
        reader = await connect(read_address, leader)
        try:
            yield reader
        finally:
            await reader.close()
    finally:
        await leader.close()


async def _may_read(client: Client) -> None:
    """Every role reads the log of all. A store that does not answer yet is accepted."""
    with suppress(StoreUnavailable), client.calling():
        async with aclosing(client.events_of_all(backwards=True, limit=1, timeout=ANSWER_WITHIN)) as events:
            async for _ in events:
                return


def _say_of_what(
    error: EventStoreDBClientException, method: str, arguments: Sequence[Any], named: Mapping[str, Any]
) -> None:
    """Raise a refusal that names its subject, which esdbclient leaves out."""
    on = str(arguments[0]) if arguments and method in STREAM_RIGHTS else str(named.get("stream_name", "$all"))
    if isinstance(error, StreamIsDeleted):
        raise StreamIsDeleted(on) from error
    if is_denied(error):
        right = STREAM_RIGHTS.get(method) or OTHER_RIGHTS[method]
        if on.startswith(METADATA_OF):
            right, on = f"{right} the metadata of", on.removeprefix(METADATA_OF)
        raise permission_denied(right, on) from error


def _authorities(address: Address) -> dict[str, bytes]:
    return {} if address.ca_file is None else {"root_certificates": address.ca_file.read_bytes()}


def _grpc_options(address: Address) -> tuple[tuple[str, int], ...]:
    """gRPC's options. esdbclient passes the interval of keep-alives under a name that gRPC does not know."""
    return (
        ("grpc.keepalive_time_ms", address.keep_alive_interval),
        ("grpc.keepalive_timeout_ms", address.keep_alive_timeout),
        ("grpc.http2.ping_timeout_ms", address.keep_alive_timeout),
        ("grpc.http2.max_pings_without_data", 0),
        ("grpc.initial_reconnect_backoff_ms", FIRST_BACKOFF),
        ("grpc.max_reconnect_backoff_ms", MAX_BACKOFF),
        ("grpc.min_reconnect_backoff_ms", CONNECT_WITHIN),
        ("grpc.use_local_subchannel_pool", 1),  # a new channel is a new connection
    )


async def _may_ask_again(error: ServiceUnavailable, refused: Backoff | None) -> Backoff:
    """Pause if the call was refused unseen; else, or after the last attempt, raise it."""
    refused = refused or Backoff(AFTER_REFUSAL, MAX_AFTER_REFUSAL, attempts=MAX_REFUSALS)
    if REFUSED not in str(error) or refused.is_spent:
        raise error
    await refused.rest()
    return refused
