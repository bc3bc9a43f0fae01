"""The identity of a log: the id of the only event in the stream `log_identity`, written by the first role that starts.

It distinguishes another log from an older copy of the same one, which has the same identity: operators want to know
which it is. The event at a stored position detects both (`core.eventstore.log.LogPoint`). A log whose identity
stream is deleted gets another identity, and its views have to be rebuilt.
"""

import asyncio
from contextlib import AbstractAsyncContextManager, suppress
from uuid import uuid4

import structlog

from core.eventstore.client import NewEvent, StreamState, WrongCurrentVersion
from core.eventstore.ensured import ensured
from core.eventstore.log import TIMEOUT, EventLog

log = structlog.get_logger()

STREAM = "log_identity"


async def identity_of(events: EventLog) -> str:
    """A UUID; "" if no role has written one yet. Raises a `StoreFailure`."""
    first = await events.stream(STREAM, 0, 1)
    return str(first[0].id) if first else ""


class LogIdentity:
    """Makes sure that the log has an identity, and logs it. `may_write`: create one if there is none."""

    def __init__(self, events: EventLog, *, may_write: bool = True) -> None:
        self._client = events.client
        self._log = events
        self._may_write = may_write
        self._known = ""
        self._is_doubted = asyncio.Event()
        self._client.when_replaced.append(self._is_doubted.set)

    def kept(self) -> AbstractAsyncContextManager[None]:
        """While this is open, the identity is checked after each new connection. The block starts after the first
        attempt.

        Raises a `StoreRefusal`.
        """
        return ensured(self._check, "the identity of the log is not known", again=self._is_doubted)

    async def ensure(self) -> str:
        """The identity; created if there is none. Raises a `StoreFailure`."""
        found = await identity_of(self._log)
        if found or not self._may_write:
            return found
        with self._client.calling(), suppress(WrongCurrentVersion):  # another role was first
            await self._client.append_to_stream(
                STREAM,
                current_version=StreamState.NO_STREAM,
                events=[NewEvent(type="LogIdentified", data=b"{}", id=uuid4())],
                timeout=TIMEOUT,
            )
        return await identity_of(self._log)

    async def _check(self) -> None:
        found = await self.ensure()
        if self._known and found != self._known:
            log.error("the event store serves another log", identity=found, before=self._known)
        elif found != self._known:
            log.info("the event store serves this log", identity=found)
        self._known = found
