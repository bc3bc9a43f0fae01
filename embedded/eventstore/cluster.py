"""A stand-in for a cluster of three nodes: three gRPC ports with gossip over one log.

    async with cluster(pace=0.1) as c:
        c.uri                # "esdb://127.0.0.1:p1,127.0.0.1:p2,127.0.0.1:p3?Tls=false"
        c.addresses          # ("127.0.0.1:p1", …), as gossip lists them
        c.leader             # index of the member that accepts appends; None while there is none
        c.states             # the reported states, e.g. ("Leader", "Follower", "Follower"); "" if it does not run
        await c.kill(n)      # as SIGKILL: connections are reset, the port refuses others
        await c.hang(n)      # as SIGSTOP: connections are accepted, and no byte passes
        await c.resume(n)    # as SIGCONT; a leader that was replaced meanwhile is a second leader for 2.7 s, then ends
        await c.start(n)     # one that has ended; after two leaders it has to be started twice
        await c.resign()     # the leader resigns
        await c.two_leaders()        # hang, wait for the election, resume
        await c.lose_quorum()        # a follower ends, and the leader; `restore_quorum()` starts them again
        await c.settled()    # when everything that follows from the acts so far has happened

An act returns as soon as it has been done to the member: the reactions of the others follow in the time that
three real nodes needed (`members.timelines`), multiplied by `pace`. `kill` and `hang` are done at once; the other acts
wait until the reactions to earlier acts have happened. An impossible act raises `ActError`.

There is one log: no member lags behind, and nothing that was acknowledged is lost.
"""

import asyncio
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Coroutine, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

from embedded.eventstore.calls import Services, one_to_one
from embedded.eventstore.errors import ActError
from embedded.eventstore.info import advertised
from embedded.eventstore.members import timelines
from embedded.eventstore.members.front import Front
from embedded.eventstore.members.member import LEADER, MAJORITY, SIZE
from embedded.eventstore.members.member_set import Cast, MemberSet
from embedded.eventstore.members.timelines import Timeline
from embedded.eventstore.operations import MESSAGES
from embedded.eventstore.security.settings import Security
from embedded.eventstore.serving import Server, Store, followed_log, guard_of, stop

Scene = tuple[Timeline, Cast]
Sleep = Callable[[float], Awaitable[None]]


class Cluster:
    """See the module. `fronts` are the ports of its members, `host` what gossip calls them."""

    def __init__(
        self, store: Store, fronts: Sequence[Front], host: str, pace: float, sleep: Sleep | None, *, tls: bool = False
    ) -> None:
        self._store, self._tls = store, tls
        self._sleep = sleep or (lambda seconds: asyncio.sleep(seconds * pace))
        self._members = MemberSet(fronts, host, pace, new_leader=self._restart_groups)
        self._turn = asyncio.Lock()  # one timeline is played after the other
        self._playing: set[asyncio.Task[None]] = set()
        self._failure: BaseException | None = None
        self._queued = 0  # timelines that are to be played after this one, of acts that have been done already

    async def _restart_groups(self) -> None:
        """The groups of a leader end with it; another one takes them up at their checkpoints."""
        await self._store.persistent.restart(None, None)

    @property
    def addresses(self) -> tuple[str, ...]:
        return tuple(member.address for member in self._members.all)

    @property
    def uri(self) -> str:
        return f"esdb://{','.join(self.addresses)}?Tls={str(self._tls).lower()}"

    @property
    def leader(self) -> int | None:
        return self._members.leader

    @property
    def states(self) -> tuple[str, ...]:
        return tuple(member.state if member.front.runs else "" for member in self._members.all)

    def services_of(self, n: int) -> Services:
        """As member `n` answers them."""
        member = self._members.all[n]
        services = self._store.services(member.gossip)

        async def resign(_request: object, _context: object) -> Any:
            if self.leader == n:
                await self.resign()
            return MESSAGES["StopOptions"]()

        services["event_store.client.operations.Operations"]["ResignNode"] = one_to_one(resign)
        return member.guarded(services)

    # -------------------------------------------------------------- acts

    async def kill(self, n: int) -> None:
        """End it. What was on its way may have been written, or not."""
        if not self._members.all[n].front.is_open:
            raise ActError(f"member {n} has ended already")
        self._members.end(n)
        await self._queue(lambda: self._after_end(n))

    async def hang(self, n: int) -> None:
        """Stop its process: it answers nothing, and nothing that it is sent is written."""
        if not self._members.all[n].front.runs:
            raise ActError(f"member {n} does not run")
        hang = self._members.hang(n)
        await self._queue(lambda: self._after_hang(n), lambda: self._members.notice(n, hang))

    async def resume(self, n: int) -> None:
        """Let a hung one go on."""
        front = self._members.all[n].front
        if not front.is_open or front.runs:
            raise ActError(f"member {n} is not hung")
        if self._members.unnoticed.pop(n, None):
            self._members.go_on(n)
        else:
            await self._in_turn(lambda: self._resumed(n))

    async def start(self, n: int) -> None:
        """Start one that has ended, on the same port."""
        await self._in_turn(lambda: self._started(n))

    async def resign(self) -> None:
        """The leader resigns in favour of another member."""
        await self._in_turn(self._resigned)

    async def two_leaders(self) -> None:
        """The leader hangs, another one is elected, the old one goes on: both are listed as living leaders."""
        old = self._needed_leader()
        await self.hang(old)
        await self.settled()
        await self.resume(old)

    async def lose_quorum(self) -> None:
        """End the leader and, unless one has ended before, a follower."""
        leader = self._needed_leader()
        followers = [n for n in self._members.running() if n != leader]
        if len(followers) >= MAJORITY:
            await self.kill(followers[0])
            await self.settled()
        await self.kill(leader)

    async def restore_quorum(self) -> None:
        """Start all that have ended, those that have diverged twice."""
        for n, member in enumerate(self._members.all):
            for _ in range(2):
                if not member.front.is_open:
                    await self.start(n)
                    await self.settled()

    async def settled(self) -> None:
        """Wait until nothing more follows from the acts so far."""
        while self._playing:
            await asyncio.wait(self._playing)
        if self._failure is not None:
            raise self._failure

    async def close(self) -> None:
        for task in self._playing:
            task.cancel()
        await self.settled()

    # -------------------------------------------------------------- what follows from them

    def _after_end(self, n: int) -> Scene:
        if self._members.elected is None:
            timeline = timelines.LEADER_ENDED if self._members.has_majority else timelines.NO_QUORUM
            return timeline, self._members.cast({"L": n})
        timeline = timelines.FOLLOWER_ENDED if self._members.is_known_majority(n) else timelines.LEADER_ALONE
        return timeline, self._members.cast({"L": self._members.elected, "F": n})

    def _after_hang(self, n: int) -> Scene:
        if self._members.elected is None:
            self._members.unnoticed.pop(n, None)
            return timelines.NOTHING, {}
        if self._members.elected == n:
            timeline = timelines.LEADER_HANGS if self._members.has_majority else timelines.LEADER_HANGS_ALONE
            return timeline, self._members.cast({"L": n})
        timeline = timelines.FOLLOWER_HANGS if self._members.is_known_majority(n) else timelines.FOLLOWERS_HANG
        return timeline, self._members.cast({"L": self._members.elected, "F": n})

    async def _resumed(self, n: int) -> Scene:
        member = self._members.all[n]
        if not member.front.is_open:
            raise ActError(f"member {n} has ended meanwhile")
        self._members.go_on(n)
        if self._members.elected == n:
            return timelines.LEADER_GOES_ON, self._members.cast({"L": n})
        if self._members.elected is None:
            return timelines.NOTHING, {}
        if member.state != LEADER:
            return timelines.FOLLOWER_GOES_ON, self._members.cast({"L": self._members.elected, "F": n})
        member.must_truncate = True
        return timelines.TWO_LEADERS, self._members.cast({"L": n, "F": self._members.elected})

    async def _started(self, n: int) -> Scene:
        member = self._members.all[n]
        if member.front.is_open:
            raise ActError(f"member {n} has not ended")
        member.starts_again()
        await member.front.open()
        if member.must_truncate:
            member.must_truncate = False
            return timelines.ENDS_AGAIN, self._members.cast({"F": n})
        if self.leader is not None:
            return timelines.JOINS, self._members.cast({"L": self.leader, "F": n})
        return timelines.FINDS_NO_LEADER, self._members.cast({"F": n})

    async def _resigned(self) -> Scene:
        leader = self._needed_leader()
        if not self._members.has_majority:
            raise ActError("no other member runs that could lead")
        return timelines.LEADER_RESIGNS, self._members.cast({"L": leader})

    def _needed_leader(self) -> int:
        if self.leader is None:
            raise ActError("there is no leader")
        return self.leader

    # -------------------------------------------------------------- playing it

    def _follow(self, play: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(play)
        self._playing.add(task)
        task.add_done_callback(self._played)

    def _played(self, task: "asyncio.Task[None]") -> None:
        self._playing.discard(task)
        if not task.cancelled() and task.exception() is not None:
            self._failure = task.exception()

    async def _queue(self, choose: Callable[[], Scene], begins: Callable[[], bool] = lambda: True) -> None:
        """Have played what `choose` gives then, after all that was to be played before.

        `begins` is asked at the first step.
        """
        self._queued += 1
        self._follow(self._later(choose, begins))
        await asyncio.sleep(0)  # it has its place now

    async def _later(self, choose: Callable[[], Scene], begins: Callable[[], bool]) -> None:
        async with self._turn:
            self._queued -= 1
            timeline, cast = choose()
            await self._play(timeline, cast, self._members.away(), begins)
            await self._agree()

    async def _in_turn(self, begin: Callable[[], Awaitable[Scene]]) -> None:
        """Begin after all that was to be played before; the rest is played by itself."""
        async with AsyncExitStack() as stack:
            await stack.enter_async_context(self._turn)
            timeline, cast = await begin()
            away = self._members.away()
            await self._play(tuple(step for step in timeline if not step.at), cast, away)
            self._follow(self._rest(tuple(step for step in timeline if step.at), cast, away, stack.pop_all()))

    async def _rest(self, steps: Timeline, cast: Cast, away: Collection[int], turn: AsyncExitStack) -> None:
        async with turn:
            await self._play(steps, cast, away)
            await self._agree()

    async def _agree(self) -> None:
        """What members do that an act has found in the middle of something: elect a leader, follow it."""
        if self._queued:
            return  # they may be alive again after the rest of the timeline, which leads here again
        leader, running = self._members.elected, self._members.running()
        is_led = leader is not None and (leader in running or leader in self._members.unnoticed)
        if len(running) >= MAJORITY and not is_led:
            first, second = sorted(running, key=lambda n: self._members.all[n].state == "Unknown")[:MAJORITY]
            await self._play(timelines.ELECTION, self._members.cast({"L": second, "F": first}), self._members.away())
        for n, member in enumerate(self._members.all):
            follows = member.state == "Follower" and member.leader == self.leader
            if member.front.runs and self.leader not in {None, n} and not follows:
                await self._play(timelines.JOINS, self._members.cast({"L": self.leader, "F": n}), self._members.away())

    async def _play(
        self, steps: Timeline, cast: Cast, away: Collection[int], begins: Callable[[], bool] = lambda: True
    ) -> None:
        at = 0.0
        for step in steps:
            await self._sleep(step.at - at)
            at = step.at
            if step is steps[0] and not begins():
                return
            await self._members.show(step, cast, away)


@asynccontextmanager
async def cluster(
    directory: Path | None = None,
    *,
    host: str = "127.0.0.1",
    ports: Sequence[int] = (0, 0, 0),
    advertise: str = "",
    pace: float = 1.0,
    sleep: Sleep | None = None,
    system_projections: bool = False,
    like_24_10: bool = False,
    security: Security | None = None,
) -> AsyncIterator[Cluster]:
    """Three members over the log in `directory` (None: one that goes with them); the first one leads.

    `ports` are those of the members; 0 takes a free one. `advertise` is the host that gossip names; without it the one
    they listen on. `pace` multiplies the times in which members notice and agree; `sleep` waits for them in another
    way, for tests that look at each moment. The rest is as for a node.

    Raises `LogError` for an unusable directory, `CertificateError` for an unusable certificate and `PortError` for a
    taken port.
    """
    credentials = None if security is None else security.credentials()
    async with AsyncExitStack() as stack:
        log, feed = await stack.enter_async_context(followed_log(directory))
        sockets = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="orderstream-")))
        behind = [f"{sockets}/{n}" for n in range(SIZE)]
        fronts = []
        for port, path in zip(ports, behind, strict=True):
            fronts.append(front := Front(host, port, path))
            stack.push_async_callback(front.close)
        guard = await guard_of(log, security)
        store = Store(log, feed, system_projections=system_projections, like_24_10=like_24_10, guard=guard)
        servers = [Server(guard, credentials) for _ in behind]
        stack.push_async_callback(stop, store, servers)
        name = advertise or (host if host == "127.0.0.1" else advertised(host))
        made = Cluster(store, fronts, name, pace, sleep, tls=credentials is not None)
        for n, (server, path) in enumerate(zip(servers, behind, strict=True)):
            server.bind(f"unix:{path}")
            await server.start(made.services_of(n))
        for front in fronts:
            await front.open()
        stack.push_async_callback(made.close)
        yield made
