"""The connection to a node that serves: looked after, and replaced by one to another node if it does not.

Every `LOOK_EVERY` seconds, and after each failed call, a task asks the node for its state. If the node does not answer,
or is not the leader any more, the task searches until it finds another one (`core.eventstore.discovery`). Meanwhile
callers wait a short time, and then fail with `ServiceUnavailable`.
"""

import asyncio
import gc
from collections.abc import Callable, Sequence

import structlog

from core.background import set_within
from core.backoff import Backoff
from core.eventstore import tls
from core.eventstore.address import Address
from core.eventstore.client import AbortedByServer, AsyncESDBConnection, NodeIsNotLeader, ServiceUnavailable
from core.eventstore.discovery import PREFERENCES, Ask, Discovery, NoAnswer
from core.failures import StoreRefusal, StoreTlsFailed

log = structlog.get_logger()

DIAGNOSE_EVERY = 5.0  # seconds between two checks whether TLS is the reason why no node answers
LOOK_EVERY = 2.0  # seconds between two checks whether the node still serves
ANSWER_WITHIN = 2.0  # seconds for the answer, and for asking all known nodes
FIRST_PAUSE, MAX_PAUSE = 0.1, 1.0  # seconds between two searches
WAIT_WITHIN = 3.0  # seconds after a loss during which calls wait for another node
CLOSE_WITHIN = 1.0  # seconds for calls in flight on a replaced connection


class NodeConnection:
    """`open_` makes a channel to a node, `ask` has the members listed over it, `adopt` receives each new one.

    `generation` increases with each new connection. `when_replaced` is called after that: new calls use the new one.
    """

    def __init__(
        self,
        address: Address,
        open_: Callable[[str], AsyncESDBConnection],
        ask: Ask[AsyncESDBConnection],
        adopt: Callable[[AsyncESDBConnection], None],
    ) -> None:
        self.generation = 0
        self.when_replaced: list[Callable[[], None]] = []
        self.trouble = "not connected yet"  # why no node serves; "" while one serves
        self._address = address
        self._open = open_
        self._adopt = adopt
        self._refusal: StoreRefusal | None = None  # the same, if waiting does not help
        self._known: Sequence[str] = address.hosts
        self._doubted_leader = ""
        self._serves = False
        self._is_settled = asyncio.Event()  # set while a node serves, and while a refusal is known
        self._is_doubted = asyncio.Event()
        self._lost_at = 0.0
        self._diagnosed_until = 0.0
        self._diagnosing: asyncio.Task[StoreTlsFailed | None] | None = None
        self._keeper: asyncio.Task[None] | None = None
        self._closing: set[asyncio.Task[None]] = set()
        self._stays = not address.discover
        self._discovery = Discovery(open_, _closed, ask, PREFERENCES[address.node_preference], stays=self._stays)

    def start(self) -> None:
        self._lost_at = asyncio.get_running_loop().time()
        self._connection = self._open(self._known[0])
        self._adopt(self._connection)
        self._is_doubted.set()
        self._keeper = asyncio.create_task(self._keep())

    async def close(self) -> None:
        ending = [task for task in (self._keeper, self._diagnosing) if task is not None]
        for task in ending:
            task.cancel()
        await asyncio.gather(*ending, return_exceptions=True)
        await asyncio.gather(_closed(self._connection), *self._closing)

    async def ready(self) -> None:
        """Wait for a node; fail at once if none has served for longer than `WAIT_WITHIN`.

        Raises `ServiceUnavailable`, and a `StoreRefusal` if waiting for a node does not help.
        """
        if self._serves:
            return
        left = self._lost_at + WAIT_WITHIN - asyncio.get_running_loop().time()
        await set_within(self._is_settled, max(left, 0.0))
        if self._refusal is not None:
            raise self._refusal.with_traceback(None)
        if not self._serves:
            raise ServiceUnavailable(self.trouble)

    def failed(self, generation: int, cause: BaseException | None) -> None:
        """A call on a connection has failed: check the node."""
        if isinstance(cause, AbortedByServer):  # a former leader that does not know it yet
            self._doubted_leader = self._connection.grpc_target
        self.doubt(generation, str(cause), is_lost=isinstance(cause, NodeIsNotLeader | ServiceUnavailable))

    def doubt(self, generation: int, why: str, *, is_lost: bool = True) -> None:
        """Check whether the node still serves; if `is_lost`, calls wait for the result."""
        if generation != self.generation:
            return  # it was another connection
        if is_lost:
            self._lose(why)
        self._is_doubted.set()

    def _lose(self, why: str, refusal: StoreRefusal | None = None) -> None:
        if self._serves:
            self._lost_at = asyncio.get_running_loop().time()
            self._serves = False
        self.trouble, self._refusal = why, refusal
        if refusal is None:
            self._is_settled.clear()
        else:
            self._is_settled.set()

    async def _keep(self) -> None:
        while True:
            await set_within(self._is_doubted, LOOK_EVERY)
            self._is_doubted.clear()
            try:
                if self.generation == 0 or not await self._still_serves():
                    await self._reconnect()
            except Exception as error:  # a defect; without this task the connection would never be restored
                log.exception("the connection to the event store is not looked after")
                self._lose(f"{type(error).__name__}: {error}")
                await asyncio.sleep(MAX_PAUSE)
                self._is_doubted.set()
            else:
                self._doubted_leader = self.trouble = ""
                self._serves, self._refusal = True, None
                self._is_settled.set()

    async def _still_serves(self) -> bool:
        target = self._connection.grpc_target
        try:
            if await self._discovery.suits(target, self._connection):
                return target != self._doubted_leader
            self._lose(f"{target} is not what is looked for")
        except NoAnswer as failure:  # it may be slow: calls still use it until others have been asked
            log.warning("a node of the event store does not answer", node=target, error=str(failure))
        return False

    async def _reconnect(self) -> None:
        """Search until there is a node. The log, and `trouble`, say how long it takes."""
        backoff, begun = Backoff(FIRST_PAUSE, MAX_PAUSE), asyncio.get_running_loop().time()
        while True:
            try:
                found = await self._discovery.find(self._known, ANSWER_WITHIN, {self._doubted_leader})
                break
            except NoAnswer as failure:
                refusal = failure.refusal or (None if failure.has_answered else self._tls_failure())
                if refusal is not None and self._refusal is None:
                    log.error("the event store refuses this process", error=refusal.complaint)
                self._lose(refusal.complaint if refusal else str(failure), refusal)
            await backoff.rest()
        # the configured addresses stay known, whatever a node lists
        given = self._address.hosts
        self._known = given if found.address in given and self._stays else tuple(dict.fromkeys((*given, *found.known)))
        old, self._connection = self._connection, found.channel
        self._adopt(found.channel)
        self.generation += 1
        for notify in self.when_replaced:
            notify()
        closing = asyncio.create_task(_closed(old) if self.generation == 1 else _replaced(old))
        self._closing.add(closing)
        closing.add_done_callback(self._closing.discard)
        seconds = round(asyncio.get_running_loop().time() - begun, 3)
        log.info("connected to the event store", node=found.address, generation=self.generation, seconds=seconds)

    def _tls_failure(self) -> StoreTlsFailed | None:
        """Why no node answers, if TLS is the known reason.

        It is checked from time to time, beside the search: each check is another handshake.
        """
        now = asyncio.get_running_loop().time()
        if self._diagnosing is None or (self._diagnosing.done() and now >= self._diagnosed_until):
            self._diagnosed_until = now + DIAGNOSE_EVERY
            self._diagnosing = asyncio.create_task(tls.failure_of(self._known, self._address, ANSWER_WITHIN))
        return self._diagnosing.result() if self._diagnosing.done() else None


async def _replaced(connection: AsyncESDBConnection) -> None:
    """Close a connection and release its socket.

    A socket stays open while there is a call object that used it, and gRPC's calls are garbage in cycles. A pass of the
    collector costs some tens of milliseconds; the change of the node has cost more.
    """
    await _closed(connection, CLOSE_WITHIN)
    del connection
    gc.collect()


async def _closed(connection: AsyncESDBConnection, grace: float = 0.0) -> None:
    """Let calls in flight on a connection go on for `grace` seconds, and then end them.

    gRPC does not end streaming calls with their channel. esdbclient does, and waits for each without a limit.
    """
    streaming = list(connection._grpc_streamers)  # noqa: SLF001  # docs/adr/0006
    if streaming:
        await asyncio.sleep(grace)
    stopping = [asyncio.create_task(call.stop()) for call in streaming]
    if stopping:
        _, late = await asyncio.wait(stopping, timeout=CLOSE_WITHIN)
        for task in late:
            task.cancel()
        await asyncio.gather(*stopping, return_exceptions=True)
    await connection._grpc_channel.close()  # noqa: SLF001  # docs/adr/0006
