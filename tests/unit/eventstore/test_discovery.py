"""The node that is chosen is one that says of itself that it suits, however others list it."""

import asyncio
from collections.abc import Sequence

import pytest

from core.eventstore.client import unauthenticated
from core.eventstore.discovery import LEADER, PREFERENCES, Discovery, Found, Member, NoAnswer, Wanted

HANGS, REFUSES, UNKNOWN_HERE = "hangs", "refuses", "does not know us"
World = dict[str, str | list[Member]]


def members(**states: str) -> list[Member]:
    """`a="Leader"`; "-Leader": the same, and not alive."""
    return [Member(address, state.lstrip("-"), not state.startswith("-")) for address, state in states.items()]


class Cluster:
    """Nodes by address, and the channels to them."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.asked: list[str] = []
        self.open: list[str] = []

    def discovery(self, wanted: Wanted = LEADER, *, stays: bool = False) -> Discovery[str]:
        return Discovery(self._opened, self._close, self._ask, wanted, stays=stays)

    def _opened(self, address: str) -> str:
        self.open.append(address)
        return address

    async def _close(self, channel: str) -> None:
        self.open.remove(channel)

    async def _ask(self, channel: str) -> Sequence[Member]:
        self.asked.append(channel)
        answer = self.world.get(channel, REFUSES)
        if answer == HANGS:
            await asyncio.Event().wait()
        if answer == UNKNOWN_HERE:
            raise NoAnswer("Unauthenticated", unauthenticated())
        if isinstance(answer, str):
            raise NoAnswer(answer)
        await asyncio.sleep(0)
        return answer


async def find(world: World, seeds: str, wanted: Wanted = LEADER, **how: object) -> Found[str]:
    cluster = Cluster(world)
    stays = bool(how.pop("stays", False))
    found = await cluster.discovery(wanted, stays=stays).find(seeds.split(), 0.2, **how)  # type: ignore[arg-type]
    assert cluster.open == [found.channel], "every other channel is closed"
    return found


THREE = members(a="Follower", b="Leader", c="Follower")


async def test_the_leader_is_found_through_any_node() -> None:
    for seeds in ("a", "b", "c", "a b c"):
        found = await find({"a": THREE, "b": THREE, "c": THREE}, seeds)
        assert found.address == "b"
        assert set(found.known) >= {"b"}


async def test_addresses_that_are_listed_are_known_from_then_on() -> None:
    assert set((await find({"a": THREE, "b": THREE}, "a")).known) == {"a", "b", "c"}


async def test_a_dead_leader_beside_a_living_one_is_no_leader() -> None:
    seen = members(a="-Leader", b="Leader", c="Follower")
    found = await find({"a": REFUSES, "b": seen, "c": seen}, "a b c")
    assert found.address == "b"


async def test_a_leader_that_is_listed_and_hangs_is_passed_over_until_there_is_another() -> None:
    cluster = Cluster({"a": HANGS, "b": members(a="Leader", b="Follower"), "c": members(a="Leader", c="Follower")})
    with pytest.raises(NoAnswer, match="b: is Follower"):
        await cluster.discovery().find(["a", "b", "c"], 0.05)
    assert cluster.open == []
    after = members(a="-Leader", b="Leader", c="Follower")
    cluster.world |= {"b": after, "c": after}
    assert (await cluster.discovery().find(["a", "b", "c"], 5.0)).address == "b", "nobody waits for the one that hangs"


async def test_a_node_that_others_list_as_leader_is_none_before_it_says_so_itself() -> None:
    with pytest.raises(NoAnswer, match="b: is PreLeader"):
        await find({"a": members(a="Follower", b="Leader"), "b": members(b="PreLeader", a="Follower")}, "a")


async def test_of_two_leaders_the_one_that_is_not_in_doubt_is_taken() -> None:
    both = members(a="Leader", b="Leader", c="Follower")
    for _ in range(5):  # whichever answers first
        assert (await find({"a": both, "b": both, "c": both}, "a b c", doubted={"a"})).address == "b"


async def test_a_leader_in_doubt_is_taken_if_no_other_claims_to_be_one() -> None:
    assert (await find({"a": THREE, "b": THREE, "c": THREE}, "a b c", doubted={"b"})).address == "b"


async def test_without_a_quorum_there_is_no_leader_and_it_is_said_why() -> None:
    left = members(a="-Leader", b="PreReplica", c="-Leader")
    with pytest.raises(NoAnswer, match="b: is PreReplica"):
        await find({"a": REFUSES, "b": left, "c": REFUSES}, "a b c")


@pytest.mark.parametrize(
    ("world", "is_refusal"),
    [
        ({"a": UNKNOWN_HERE, "b": UNKNOWN_HERE}, True),
        ({"a": UNKNOWN_HERE, "b": members(a="Follower", b="Follower")}, False),
        ({"a": UNKNOWN_HERE, "b": REFUSES}, False),
        ({"a": UNKNOWN_HERE, "b": HANGS}, False),
    ],
)
async def test_one_node_that_does_not_know_us_is_no_refusal_of_the_cluster(world: World, is_refusal: bool) -> None:
    """A new node may not have the users yet: during an election that must not keep anybody out for good."""
    with pytest.raises(NoAnswer) as failure:
        await find(world, "a b")
    assert (failure.value.refusal is not None) is is_refusal


async def test_who_prefers_followers_gets_one_and_else_the_leader() -> None:
    follower = PREFERENCES["follower"]
    assert (await find({"a": THREE, "b": THREE, "c": THREE}, "b", follower)).address in {"a", "c"}
    alone = members(a="-Follower", b="Leader", c="-Follower")
    assert (await find({"a": REFUSES, "b": alone, "c": REFUSES}, "a b c", follower)).address == "b"


async def test_a_node_that_is_alone_may_advertise_another_name() -> None:
    assert (await find({"here:1": members(there="Leader")}, "here:1")).address == "here:1"


async def test_a_single_host_stays_unless_it_says_that_it_is_not_the_leader() -> None:
    behind_a_proxy = members(a="Leader", b="Follower", c="Follower")
    assert (await find({"proxy": behind_a_proxy, "a": behind_a_proxy}, "proxy", stays=True)).address == "proxy"
    assert (await find({"a": THREE, "b": THREE}, "a", stays=True)).address == "b"


async def test_a_connected_node_is_left_when_it_is_no_longer_the_leader() -> None:
    cluster = Cluster({"a": THREE, "b": THREE, "x": REFUSES})
    assert await cluster.discovery().suits("b", "b")
    assert not await cluster.discovery().suits("a", "a")
    with pytest.raises(NoAnswer):
        await cluster.discovery().suits("x", "x")
