"""One member of a cluster: its view of all members, and how it answers calls."""

import asyncio
import uuid
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Sequence
from contextlib import aclosing
from dataclasses import dataclass, replace
from enum import Enum
from typing import Any

import grpc

from embedded.eventstore.calls import NOT_READY, Rpc, Services
from embedded.eventstore.errors import RefusalError
from embedded.eventstore.info import Member as ListedMember
from embedded.eventstore.info import cluster_info
from embedded.eventstore.members.front import Front

LEADER = "Leader"
SIZE, MAJORITY = 3, 2
FORWARDED_WITHIN = 4.3  # seconds until a real server gives up: its time-outs for prepare and commit, and 0.3


class Asks(Enum):
    """What a call wants of a member."""

    WRITE = "forwarded by a follower"
    READ = "answered by a follower, unless the caller wants the leader"
    SUBSCRIPTION = "answered by a follower"
    GROUP = "answered by the leader only"
    LEADERS_STATE = "not ready at a follower"
    MEMBERS_STATE = "answered by every member that runs, whatever its state"


BY_SERVICE = {
    "Streams": Asks.WRITE,
    "PersistentSubscriptions": Asks.GROUP,
    "Projections": Asks.LEADERS_STATE,
    "Users": Asks.WRITE,
    "Operations": Asks.MEMBERS_STATE,
    "Monitoring": Asks.MEMBERS_STATE,
    "Gossip": Asks.MEMBERS_STATE,
    "ServerFeatures": Asks.MEMBERS_STATE,
}


class When(Enum):
    """Which of many requests has to be admitted. A call that is refused earlier would be reset under its sender."""

    FIRST = "a consumer connects with it"
    EACH = "each is a write"
    END = "all are one write"


MANY = {
    "PersistentSubscriptions/Read": When.FIRST,
    "Streams/BatchAppend": When.EACH,
    "Streams/Append": When.END,
}
BY_METHOD = {
    "Streams/Read": Asks.READ,
    "Users/Details": Asks.SUBSCRIPTION,
    "PersistentSubscriptions/GetInfo": Asks.LEADERS_STATE,
    "PersistentSubscriptions/List": Asks.LEADERS_STATE,
}


@dataclass(frozen=True, slots=True)
class Entry:
    """A member as another one, or itself, lists it."""

    state: str
    is_alive: bool = True


class Member:
    """`index` of `members`, which all know each other; `elected` says which of them was elected last."""

    def __init__(
        self,
        index: int,
        members: "Sequence[Member]",
        host: str,
        front: Front,
        *,
        elected: Callable[[], int | None],
        pace: float,
    ) -> None:
        self._index, self._members, self.host = index, members, host
        self.front = front
        self._elected = elected
        self._forwarded_within = FORWARDED_WITHIN * pace
        self.entries: tuple[Entry, ...]
        self.leader: int | None = None  # the member it follows; None for the leader, and between two states
        self.must_truncate = False  # it ends once more when it is started
        self._changed = asyncio.Event()
        self.starts_again()

    def starts_again(self) -> None:
        """As a new process, which knows of no other member."""
        self.instance = uuid.uuid4().bytes
        unknown = Entry("Unknown", is_alive=False)
        self.say(tuple(Entry("Initializing") if n == self._index else unknown for n in range(SIZE)), None)

    @property
    def address(self) -> str:
        return f"{self.host}:{self.front.port}"

    @property
    def state(self) -> str:
        return self.entries[self._index].state

    @property
    def leads(self) -> bool:
        return self.state == LEADER and self._elected() == self._index

    @property
    def commits(self) -> bool:
        """Whether it takes writes: it was elected, it runs, and enough others do."""
        return self.leads and self.front.runs and sum(member.front.runs for member in self._members) >= MAJORITY

    def say(self, entries: tuple[Entry, ...], leader: int | None) -> None:
        self.entries, self.leader = entries, leader
        self.look_again()

    def look_again(self) -> None:
        """Something has changed that calls may wait for."""
        self._changed.set()
        self._changed = asyncio.Event()

    def gossip(self) -> Any:
        return cluster_info(
            ListedMember(
                host=member.host,
                port=member.front.port,
                state=entry.state,
                is_alive=entry.is_alive,
                instance=member.instance,
            )
            for member, entry in zip(self._members, self.entries, strict=True)
        )

    # -------------------------------------------------------------- calls

    def guarded(self, services: Services) -> Services:
        """The same services, as this member answers in its state."""
        guarded: Services = {}
        for service, methods in services.items():
            short = service.rpartition(".")[2]
            guarded[service] = {
                name: self._guarded(f"{short}/{name}", BY_METHOD.get(f"{short}/{name}", BY_SERVICE[short]), rpc)
                for name, rpc in methods.items()
            }
        return guarded

    def _guarded(self, method: str, asks: Asks, rpc: Rpc) -> Rpc:
        if asks is Asks.MEMBERS_STATE:
            return rpc

        async def admitted(asked: Any, context: Any) -> Any:
            wants_leader = _wants_leader(context)
            if rpc.takes_many:
                return _admitted(asked, MANY[method], lambda: self.admit(asks, wants_leader=wants_leader))
            is_subscription = asks is Asks.READ and asked.options.WhichOneof("count_option") == "subscription"
            await self.admit(Asks.SUBSCRIPTION if is_subscription else asks, wants_leader=wants_leader)
            return asked

        async def answer(asked: Any, context: Any) -> Any:
            return await rpc.handler(await admitted(asked, context), context)

        async def stream(asked: Any, context: Any) -> AsyncGenerator[Any, None]:
            async with aclosing(rpc.handler(await admitted(asked, context), context)) as messages:
                async for message in messages:
                    yield message

        return replace(rpc, handler=stream if rpc.gives_many else answer)

    async def admit(self, asks: Asks, *, wants_leader: bool) -> None:
        """Return when the call may be carried out on the log; raise what the member answers otherwise."""
        if self.state == LEADER:
            await self._admit_as_leader(asks)
            return
        if self.leader is None or asks is Asks.LEADERS_STATE:
            raise _not_ready()
        if asks is Asks.GROUP or (wants_leader and asks in {Asks.WRITE, Asks.READ}):
            leader = self._members[self.leader]
            raise RefusalError(
                grpc.StatusCode.NOT_FOUND,
                "Leader info available",
                exception="not-leader",
                leader_endpoint_host=leader.host,
                leader_endpoint_port=leader.front.port,
            )
        if asks is Asks.WRITE:
            await self._forward(self._members[self.leader])

    async def _admit_as_leader(self, asks: Asks) -> None:
        """What others do not confirm waits, until they do or this member knows that it leads no longer."""
        if asks is Asks.WRITE:
            while not self.commits:
                await self._changed.wait()
                if self.state != LEADER:
                    raise _timed_out("Request canceled by server")
        elif not self.leads and asks in {Asks.GROUP, Asks.LEADERS_STATE}:
            raise _not_ready()

    async def _forward(self, leader: "Member") -> None:
        """What is sent to one that has ended is lost; one that was stopped takes it when it goes on."""
        try:
            async with asyncio.timeout(self._forwarded_within):
                await leader.front.until_runs()
                if leader.state != LEADER:
                    raise _not_ready()
                await leader.admit(Asks.WRITE, wants_leader=True)
        except TimeoutError:
            raise _timed_out("Forwarding timeout") from None


async def _admitted(
    requests: AsyncIterator[Any], when: When, admit: Callable[[], Awaitable[None]]
) -> AsyncGenerator[Any, None]:
    is_first = True
    async for request in requests:
        if when is When.EACH or (when is When.FIRST and is_first):
            await admit()
        is_first = False
        yield request
    if when is When.END:
        await admit()


def _wants_leader(context: Any) -> bool:
    value = dict(context.invocation_metadata() or ()).get("requires-leader", "")
    return str(value).lower() == "true"


def _not_ready() -> RefusalError:
    return RefusalError(grpc.StatusCode.UNAVAILABLE, NOT_READY)


def _timed_out(why: str) -> RefusalError:
    return RefusalError(grpc.StatusCode.ABORTED, f"Operation timed out: {why}")
