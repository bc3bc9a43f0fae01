"""The consumer of a persistent subscription group: consumers share the events; unfinished ones go to another consumer.

An event is acknowledged after its order was processed until no step was pending. The order of delivery does not
matter, nor does a repeated delivery. An event that cannot be processed, because the event store refuses our commands,
is returned after a pause; after too many deliveries the store parks it (dead letter).
"""

import asyncio
import re
from collections.abc import Callable, Sequence
from contextlib import aclosing, suppress

import structlog
from prometheus_client import Counter

from core.background import beside, ended, set_within
from core.backoff import Backoff
from core.eventstore.checkout_group import NONE, create_missing
from core.eventstore.client import RecordedEvent
from core.eventstore.persistent import ALL, Consumer, Groups
from core.failures import NotFound, ServiceFailure, StoreRefusal, words_of
from server.processes.keyed_work import KeyedWork, Work

log = structlog.get_logger()

RESTARTS = Counter("orderstream_group_restarts_total", "Times the subscription was restarted.", ["group"])

FIRST_PAUSE, MAX_PAUSE = 0.1, 5.0  # seconds between two subscriptions
REPLAY_AFTER = (
    0.0,
    5.0,
    15.0,
    60.0,
    300.0,
    1800.0,
)  # seconds after the start; consumers of older releases may still run
ASK_AFTER = 10.0  # seconds of silence after which the store is asked for pending events
RENEW_AFTER = 10.0  # seconds without a subscription, while the store answers, before an attempt is abandoned
LOOKS = 10  # checks for a subscription within that time
END_WITHIN = 1.0  # seconds for an abandoned attempt; then it ends in the background


class EventConsumer:
    """Receives every event of the log. `key_of` names the key of an event, or None for an irrelevant event, which is
    skipped, as most are. One key is processed at a time.

    `former` matches the names of the group in other releases: a new group continues at their checkpoints.
    """

    def __init__(
        self,
        groups: Groups,
        name: str,
        key_of: Callable[[RecordedEvent], str | None],
        work: Work,
        *,
        at_once: int,
        former: re.Pattern[str] = NONE,
        ask_after: float = ASK_AFTER,
        replay_after: Sequence[float] = REPLAY_AFTER,
        renew_after: float = RENEW_AFTER,
    ) -> None:
        self.name = name
        self.last_error = ""
        self._groups = groups
        self._former = former
        self._ask_after = ask_after
        self._replay_after = replay_after
        self._renew_after = renew_after
        self._consumer: Consumer | None = None
        self._is_subscribed = False
        self._following: asyncio.Task[None] | None = None
        self._given_up: set[asyncio.Task[bool]] = set()
        self._heard_at = 0.0
        self._stopping = asyncio.Event()
        self._keys = KeyedWork(name, key_of, work, at_once=at_once, stopping=self._stopping)
        self._began = asyncio.Event()

    async def ensure(self) -> None:
        """Create the group if it is missing. Raises `StorePermissionDenied` if we may not."""
        await create_missing(self._groups, self.name, self._former)

    async def _replay(self) -> None:
        """Replay the parked events several times: this process may be able to read what another one could not.

        Once is not enough. During an upgrade, consumers of the older release may still park events.
        """
        await self._began.wait()
        so_far = 0.0
        for after in self._replay_after:
            if await set_within(self._stopping, after - so_far):
                return
            so_far = after
            if not await self._replay_parked():
                return

    async def _replay_parked(self) -> bool:
        """False: another attempt does not help."""
        try:
            parked = await self._groups.parked_range(ALL, self.name)
            if len(parked):
                await self._groups.replay(ALL, self.name, parked.end)
        except (NotFound, ServiceFailure) as failure:  # they stay parked, where operators see them
            log.warning("parked events are not replayed", group=self.name, error=words_of(failure))
            return not isinstance(failure, StoreRefusal)
        return True

    async def run(self) -> None:
        """Run until stopped. After any failure of the subscription it restarts after a pause."""
        async with beside(self._replay()):
            await self._subscribe_and_work()

    async def _subscribe_and_work(self) -> None:
        backoff = Backoff(FIRST_PAUSE, MAX_PAUSE)
        while not self._stopping.is_set():
            heard_before = self._heard_at
            self.last_error = await self._attempt()
            if self._stopping.is_set():
                return
            RESTARTS.labels(self.name).inc()
            if self._heard_at > heard_before:
                backoff.reset()
            pause = backoff.pause()
            log.warning("the group subscribes again", group=self.name, error=self.last_error, pause=pause)
            await set_within(self._stopping, pause)

    async def _attempt(self) -> str:
        """Subscribe and process events until the subscription ends or fails; returns the reason."""
        following = self._following = asyncio.create_task(self._follow())
        watching = asyncio.create_task(self._watch())
        try:
            await asyncio.wait({following, watching}, return_when=asyncio.FIRST_COMPLETED)
            if following.done():
                return self._outcome(following)
            watching.result()
            return f"not subscribed for {self._renew_after:g} s, while the store answers"
        finally:
            self._following, self._is_subscribed = None, False
            watching.cancel()
            await self._give_up(following)

    def _outcome(self, following: asyncio.Task[None]) -> str:
        failure = None if following.cancelled() else following.exception()
        if failure is None:
            return "the subscription ended"
        if not isinstance(failure, ServiceFailure):
            log.error("a defect has ended the subscription", group=self.name, exc_info=failure)
        return f"{type(failure).__name__}: {words_of(failure)}"

    async def _give_up(self, following: asyncio.Task[None]) -> None:
        """Wait for an attempt for a limited time; afterwards it cannot do anything any more."""
        following.cancel()
        await asyncio.wait([following], timeout=END_WITHIN)
        if following.done():
            return
        log.error("a subscription does not end", group=self.name)
        ending = asyncio.create_task(ended(following))
        self._given_up.add(ending)
        ending.add_done_callback(self._given_up.discard)

    async def _watch(self) -> None:
        """Returns if there is no subscription, although the store has answered for `renew_after` seconds."""
        answers_since: float | None = None
        loop = asyncio.get_running_loop()
        while True:
            await asyncio.sleep(self._renew_after / LOOKS)
            if self._is_subscribed and self._consumer is not None and not self._consumer.is_replaced:
                answers_since = None
                continue
            self.last_error = self.last_error or "not subscribed"
            try:
                await self._groups.answer()
            except ServiceFailure:
                answers_since = None
                continue
            answers_since = answers_since or loop.time()
            if loop.time() - answers_since >= self._renew_after:
                return

    async def stop(self) -> None:
        """Let running work finish and be acknowledged; the other events go to another consumer at once."""
        self._stopping.set()
        await self._keys.drain()
        if self._consumer is not None:
            await self._consumer.stop()

    async def _follow(self) -> None:
        await self.ensure()
        self._began.set()
        loop = asyncio.get_running_loop()
        consumer = await self._groups.consumer_of_all(self.name)
        if self._stopping.is_set() or not self._is_current():
            await consumer.stop()  # it was abandoned, or `stop` was called before there was anything to stop
            return
        self._consumer, self._is_subscribed = consumer, True
        self._keys.deliveries_from(consumer)
        self._heard_at = loop.time()
        self.last_error = ""
        listening = asyncio.create_task(self._listen(consumer))
        try:
            async with aclosing(consumer.events()) as events:
                async for event in events:
                    if not self._is_current():
                        return
                    self._heard_at = loop.time()
                    await self._keys.take(event)
        finally:
            if self._is_current():
                self._is_subscribed = False
            listening.cancel()
            with suppress(asyncio.CancelledError):
                await listening

    def _is_current(self) -> bool:
        """Whether this task is the current attempt, and not an abandoned one."""
        return asyncio.current_task() is self._following

    async def _listen(self, consumer: Consumer) -> None:
        """A subscription can be dead and look alive: something between us and the store has lost one half of the call.

        After a silence the store is asked. One sign may be events on their way; the second in a row ends the
        subscription.
        """
        loop = asyncio.get_running_loop()
        before = ""
        while True:
            await asyncio.sleep(self._ask_after)
            sign = ""
            if loop.time() - self._heard_at >= self._ask_after and not self._keys.is_busy:
                try:
                    sign = await self._stall_reason()
                except ServiceFailure as error:
                    log.warning("the store does not report the group's state", group=self.name, error=str(error))
            if sign and before:
                log.error("the group is stalled", group=self.name, because=sign)
                self._is_subscribed = False
                await consumer.stop()  # ends the iteration, so that another one begins
                return
            before = sign

    async def _stall_reason(self) -> str:
        """The reason to consider a silent subscription stalled; "" if there is none."""
        info = await self._groups.info(ALL, self.name)
        name = self._groups.connection_name
        ours = [one.in_flight_messages for one in info.connections if one.connection_name == name]
        if not ours:
            return "the store does not have it among its consumers"
        return "events that the store has sent have not arrived" if sum(ours) else ""
