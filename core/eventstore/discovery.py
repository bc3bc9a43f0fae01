"""Discovery: which node of a cluster to connect to.

Only what a node says about itself counts. What others say about it lags behind by seconds: a dead leader is listed as
leader for up to half an hour, and two living ones for some seconds after a hung one recovers. So every known node is
asked for the list of members, all concurrently, and the one is chosen that lists *itself* in the wanted state. A node
that does not answer delays no other.
"""

import asyncio
import random
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Iterable, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Generic, TypeVar

from core.failures import StoreRefusal

Channel = TypeVar("Channel")
MAX_KNOWN = 16  # addresses


@dataclass(frozen=True, slots=True)
class Member:
    """A node as it is listed. `address` is its host and port, `state` its name in the protocol ("Leader")."""

    address: str
    state: str
    is_alive: bool


@dataclass(frozen=True, slots=True)
class Wanted:
    """The wanted states of a node, and those that are accepted while no node is in a wanted state."""

    states: frozenset[str]
    else_: frozenset[str] = frozenset()


FOLLOWERS = frozenset({"Follower", "ReadOnlyReplica"})
LEADER = Wanted(frozenset({"Leader"}))
PREFERENCES = {
    "leader": LEADER,
    "follower": Wanted(FOLLOWERS, LEADER.states),
    "readonlyreplica": Wanted(frozenset({"ReadOnlyReplica"}), frozenset({"Follower", "Leader"})),
    "random": Wanted(FOLLOWERS | LEADER.states),
}


@dataclass(frozen=True, slots=True)
class Found(Generic[Channel]):
    """A node that suits, the open channel to it, and all addresses that are known now."""

    address: str
    channel: Channel
    known: tuple[str, ...]


def own_entry(members: Sequence[Member], address: str) -> Member | None:
    """What a node that answered at an address says about itself; None if it is unclear which entry that is.

    A single node may advertise another name than it is reached by. So may every node behind a proxy.
    """
    if len(members) == 1:
        return members[0]
    return next((member for member in members if member.address == address), None)


class Rank(Enum):
    """How well a node that has answered suits."""

    SUITS = "suits"
    WILL_DO = "will do while none suits"
    NO = "no"


class NoAnswer(Exception):  # it names what happened
    """A node could not be asked, or did not answer in time.

    `refusal`: why it refuses us until an operator acts, if known. `has_answered`: whether any node that was asked
    has accepted us, though none suits.
    """

    def __init__(self, message: str, refusal: StoreRefusal | None = None, *, has_answered: bool = False) -> None:
        super().__init__(message)
        self.refusal = refusal
        self.has_answered = has_answered


Ask = Callable[[Channel], Awaitable[Sequence[Member]]]  # raises `NoAnswer`


class Discovery(Generic[Channel]):
    """Searches a node. `open_` makes a channel to an address, `close` ends it, `ask` has the members listed over it.

    `stays`: there is one address only, and it is the right one unless its node says otherwise.
    """

    def __init__(
        self,
        open_: Callable[[str], Channel],
        close: Callable[[Channel], Awaitable[None]],
        ask: Ask[Channel],
        wanted: Wanted,
        *,
        stays: bool,
    ) -> None:
        self._open = open_
        self._close = close
        self._ask = ask
        self._wanted = wanted
        self._stays = stays

    async def suits(self, address: str, channel: Channel) -> bool:
        """Whether a connected node still suits. Raises `NoAnswer`."""
        return self._rank(own_entry(await self._ask(channel), address), is_doubted=False) is not Rank.NO

    async def find(self, addresses: Iterable[str], within: float, doubted: Collection[str] = ()) -> Found[Channel]:
        """Ask all known nodes once, for at most `within` seconds. Raises `NoAnswer` if no node that answered suits.

        One of the `doubted` is chosen only if no other one claims to be in the wanted state.
        """
        around = _Round(self._open, self._ask)
        chosen: Channel | None = None
        try:
            found = await self._first_that_suits(around, [*addresses], within, doubted)
            chosen = found.channel
        finally:
            await asyncio.gather(*(self._close(one) for one in around.end() if one is not chosen))
        return found

    async def _first_that_suits(
        self, around: "_Round[Channel]", addresses: Sequence[str], within: float, doubted: Collection[str]
    ) -> Found[Channel]:
        known = dict.fromkeys(addresses)
        second_best: list[Found[Channel]] = []
        said: list[str] = []
        refusals: list[StoreRefusal] = []
        has_answered = False
        for address in random.sample(addresses, len(addresses)):
            around.ask(address)
        async for address, channel, answer in around.answers(within):
            if isinstance(answer, NoAnswer):
                said.append(f"{address}: {answer}")
                refusals += [answer.refusal] if answer.refusal else []
                continue
            has_answered = True
            own = own_entry(answer, address)
            others = [member for member in answer if member is not own]
            known |= dict.fromkeys(member.address for member in others)
            for member in filter(self._will_do, others):
                around.ask(member.address)
            found = Found(address, channel, tuple(known)[:MAX_KNOWN])
            match self._rank(own, is_doubted=address in doubted):
                case Rank.SUITS:
                    return found
                case Rank.WILL_DO:
                    second_best.append(found)
                case _:
                    said.append(f"{address}: is {'not listed' if own is None else own.state}")
        if not second_best:
            said = said or [f"no node has answered within {within:g} s"]
            # a new node may not know the users yet: what one refuses, another may accept
            all_refuse = 0 < len(refusals) == around.asked
            raise NoAnswer("; ".join(said), refusals[0] if all_refuse else None, has_answered=has_answered)
        return second_best[0]

    def _rank(self, own: Member | None, *, is_doubted: bool) -> "Rank":
        """Of a node that has answered."""
        if own is None:
            return Rank.SUITS if self._stays else Rank.NO
        if own.is_alive and own.state in self._wanted.states and not is_doubted:
            return Rank.SUITS
        return Rank.WILL_DO if self._will_do(own) else Rank.NO

    def _will_do(self, member: Member) -> bool:
        return member.is_alive and member.state in self._wanted.states | self._wanted.else_


class _Round(Generic[Channel]):
    """Nodes that are asked concurrently, each once."""

    def __init__(self, open_: Callable[[str], Channel], ask: Ask[Channel]) -> None:
        self._open = open_
        self._ask = ask
        self._channels: dict[str, Channel] = {}
        self._asked: dict[asyncio.Task[Sequence[Member] | NoAnswer], str] = {}

    def ask(self, address: str) -> None:
        if address not in self._channels and len(self._channels) < MAX_KNOWN:
            channel = self._channels[address] = self._open(address)
            self._asked[asyncio.create_task(_answer(self._ask, channel))] = address

    @property
    def asked(self) -> int:
        """The number of nodes in this round."""
        return len(self._channels)

    async def answers(self, within: float) -> AsyncIterator[tuple[str, Channel, Sequence[Member] | NoAnswer]]:
        """Answers in the order of their arrival, until all nodes have answered or the time is over."""
        loop = asyncio.get_running_loop()
        until = loop.time() + within
        while self._asked:
            done, _ = await asyncio.wait(
                self._asked, timeout=max(0.0, until - loop.time()), return_when=asyncio.FIRST_COMPLETED
            )
            if not done:
                return
            for task in done:
                address = self._asked.pop(task)
                yield address, self._channels[address], task.result()

    def end(self) -> list[Channel]:
        """Stop asking; returns every channel that was opened."""
        for task in self._asked:
            task.cancel()
        return [*self._channels.values()]


async def _answer(ask: Ask[Channel], channel: Channel) -> Sequence[Member] | NoAnswer:
    try:
        return await ask(channel)
    except NoAnswer as failure:
        return failure
