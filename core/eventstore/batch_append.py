"""Appends of one process over one long-lived BatchAppend call; replies are matched by correlation id.

An append costs much less than with its own call (`python -m bench node` prints both). This is only the fast path:
whatever it cannot answer, because the call broke or the store reports something other than "written" or "wrong
revision", raises `OutcomeUnknown`. The caller then repeats the append with a plain call of esdbclient and the same
event ids. The BatchAppend call itself is esdbclient's, on its connection: clusters, credentials and leaders are handled
there.

The call also proves that the log is the same as before. A log is replaced (by an older copy, for example) only while
its event store is down, which breaks every connection, and a streaming call ends with its connection. Other calls prove
nothing: between two of them gRPC may reconnect without a failure. So a call is a session, and everything that was read
while it was open belongs to the log that its appends go to.
"""

import asyncio
import itertools
from collections.abc import Sequence
from contextlib import suppress
from typing import Any
from uuid import UUID

import grpc
import structlog

from core.eventstore.client import (
    EventStoreDBClientException,
    GrpcDeadlineExceeded,
    MaximumAppendSizeExceededError,
    NewEvent,
    StreamState,
    WrongCurrentVersion,
)
from core.eventstore.connection import Client

log = structlog.get_logger()


class OutcomeUnknown(Exception):  # it names what happened
    """The store may have written these events or not. `had_served`: it had answered other appends over the same
    call.
    """

    def __init__(self, message: str = "", *, had_served: bool = False) -> None:
        super().__init__(message)
        self.had_served = had_served


class BatchAppender:
    """Bounded by the callers: each waits for its own answer."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._call: _Call | None = None
        self._session = 0
        self._is_closed = False
        client.when_replaced.append(self._leave)

    @property
    def session(self) -> int:
        """The number of the open call; a broken one is replaced first."""
        with suppress(OutcomeUnknown):  # the client is closed: no session lasts
            self._open_call()
        return self._session

    async def append(
        self, stream: str, current_version: int | StreamState, events: Sequence[NewEvent], timeout: float
    ) -> int:
        """The commit position of the last event.

        Raises `WrongCurrentVersion`, `MaximumAppendSizeExceededError`, `OutcomeUnknown`, `GrpcDeadlineExceeded`.
        """
        return await self._open_call().append(stream, current_version, events, timeout)

    async def close(self) -> None:
        self._is_closed = True
        if self._call is not None:
            await self._call.close()

    def _open_call(self) -> "_Call":
        if self._call is None or self._call.broken:
            self._session += 1
            if self._is_closed:
                raise OutcomeUnknown
            self._call = _Call(self._client)
        return self._call

    def _leave(self) -> None:
        """The connection was replaced: callers that wait for an answer over the former one repeat their appends."""
        if self._call is not None:
            self._call.end()
            self._call = None


class _Call:
    """One BatchAppend call until it breaks."""

    def __init__(self, client: Client) -> None:
        # esdbclient has no public name for what it appends with (docs/adr/0006); its version is pinned
        self._streams = client._connection.streams  # noqa: SLF001
        metadata = self._streams._metadata(client._call_metadata, requires_leader=True)  # noqa: SLF001
        self._outgoing: asyncio.Queue[Any] = asyncio.Queue()
        self._pending: dict[UUID, asyncio.Future[Any]] = {}
        self._ids = itertools.count(1)
        self._opened_at = self._last_answer = asyncio.get_running_loop().time()
        self.broken = False
        self._closing = False
        try:
            self._rpc = self._streams._stub.BatchAppend(metadata=metadata, credentials=client._call_credentials)  # noqa: SLF001
        except grpc.aio.UsageError as error:  # the channel is closed; esdbclient opens another one when it needs it
            raise OutcomeUnknown from error
        self._tasks = [asyncio.create_task(self._write()), asyncio.create_task(self._read())]

    async def append(
        self, stream: str, current_version: int | StreamState, events: Sequence[NewEvent], timeout: float
    ) -> int:
        loop = asyncio.get_running_loop()
        correlation_id = UUID(int=next(self._ids))
        answer = self._pending[correlation_id] = loop.create_future()
        asked = loop.time()
        try:
            self._outgoing.put_nowait(
                self._streams._construct_batch_append_req(stream, current_version, events, correlation_id, timeout)  # noqa: SLF001
            )
            async with asyncio.timeout(timeout):
                response = await answer
        except TimeoutError as error:
            if self._last_answer < asked:
                self.end()  # a call that does not answer is of no use to later appends
            raise GrpcDeadlineExceeded from error
        finally:
            self._pending.pop(correlation_id, None)
        try:
            return self._streams._convert_batch_append_resp(response, stream, current_version)  # noqa: SLF001
        except (WrongCurrentVersion, MaximumAppendSizeExceededError):
            raise
        except EventStoreDBClientException as error:
            raise OutcomeUnknown from error

    async def close(self) -> None:
        self._closing = True
        self.end()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _write(self) -> None:
        try:
            while True:
                await self._rpc.write(await self._outgoing.get())
        except (grpc.RpcError, grpc.aio.UsageError, asyncio.InvalidStateError):
            pass  # as in _read
        finally:
            self.end()

    async def _read(self) -> None:
        loop = asyncio.get_running_loop()
        try:
            async for response in self._rpc:
                self._last_answer = loop.time()
                waiting = self._pending.get(_id_of(response.correlation_id))
                if waiting is not None and not waiting.done():
                    waiting.set_result(response)
        except (grpc.RpcError, grpc.aio.UsageError):
            pass  # callers get `OutcomeUnknown`, and the cause when they repeat the append
        finally:
            self.end()

    def end(self) -> None:
        had_served = self._last_answer > self._opened_at
        if (self._pending or had_served) and not self.broken and not self._closing:
            log.warning(
                "the call that appends go over is broken; the next append opens another", pending=len(self._pending)
            )
        self.broken = True
        self._rpc.cancel()
        for task in self._tasks:
            task.cancel()
        for waiting in self._pending.values():
            if not waiting.done():
                waiting.set_exception(OutcomeUnknown("the call is broken", had_served=had_served))


def _id_of(correlation_id: Any) -> UUID:
    if correlation_id.WhichOneof("value") == "string":
        return UUID(correlation_id.string)
    halves = correlation_id.structured
    mask = (1 << 64) - 1
    return UUID(int=(halves.most_significant_bits & mask) << 64 | (halves.least_significant_bits & mask))
