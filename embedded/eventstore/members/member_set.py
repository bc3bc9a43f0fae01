"""All members of a stand-in cluster: who leads, who runs, who has which role, and what they say in turn."""

from collections.abc import Awaitable, Callable, Collection, Sequence
from dataclasses import replace

from embedded.eventstore.members.front import Front
from embedded.eventstore.members.member import LEADER, MAJORITY, SIZE, Entry, Member
from embedded.eventstore.members.timelines import ROLES, Role, Says, Step

DEAD, AS_BEFORE = "(dead)", "="
Cast = dict[Role, int]  # which member has which role


class MemberSet:
    """`new_leader` is called when another member leads, or none."""

    def __init__(
        self, fronts: Sequence[Front], host: str, pace: float, *, new_leader: Callable[[], Awaitable[None]]
    ) -> None:
        self.all: list[Member] = []
        self.elected: int | None = 0
        self.unnoticed: dict[int, object] = {}  # members that hang, and no other one knows yet
        self._new_leader = new_leader
        for index, front in enumerate(fronts):
            member = Member(index, self.all, host, front, elected=lambda: self.elected, pace=pace)
            member.say((Entry(LEADER), Entry("Follower"), Entry("Follower")), None if index == 0 else 0)
            self.all.append(member)

    @property
    def leader(self) -> int | None:
        return next((n for n, member in enumerate(self.all) if member.commits), None)

    @property
    def has_majority(self) -> bool:
        """Whether enough members run to elect a leader."""
        return len(self.running()) >= MAJORITY

    def hang(self, n: int) -> object:
        """Stop a member. Returns what distinguishes this time from others, for `notice`."""
        self.all[n].front.hang()
        self.unnoticed[n] = object()
        return self.unnoticed[n]

    def is_known_majority(self, without: int) -> bool:
        """Whether the other members are enough, as far as they know."""
        known = {*self.running(), *self.unnoticed} - {without}
        return len(known) >= MAJORITY

    def notice(self, n: int, hang: object) -> bool:
        """Whether the others notice that a member hangs; it may have gone on, or ended."""
        if self.unnoticed.get(n) is not hang:
            return False
        del self.unnoticed[n]
        return True

    def running(self) -> list[int]:
        return [n for n, member in enumerate(self.all) if member.front.runs]

    def cast(self, named: Cast) -> Cast:
        """Who has which role; of those who are not named, one that runs comes first."""
        first = next(iter(named.values()))
        others = sorted(
            (n for n in range(SIZE) if n not in named.values()),
            key=lambda n: (not self.all[n].front.runs, (n - first) % SIZE),
        )
        roles = [*named, *(role for role in ROLES if role not in named)]
        return dict(zip(roles, [*named.values(), *others], strict=True))

    async def show(self, step: Step, cast: Cast, away: Collection[int]) -> None:
        for role, says in step.says.items():
            if self.all[cast[role]].front.runs:
                await self._say(cast[role], says, cast, away)
        if step.ends is not None:
            self.end(cast[step.ends])

    async def _say(self, n: int, says: Says, cast: Cast, away: Collection[int]) -> None:
        member = self.all[n]
        led = member.state == LEADER
        entries = list(member.entries)
        for role, state in zip(ROLES, says.states.split(), strict=True):
            before, name, is_dead = entries[cast[role]], state.removesuffix(DEAD), state.endswith(DEAD)
            if name == AS_BEFORE or (cast[role] in away and not is_dead):
                entries[cast[role]] = replace(before, is_alive=False)
            else:
                entries[cast[role]] = Entry(name, is_alive=not is_dead)
        member.say(tuple(entries), None if says.leader is None else cast[says.leader])
        leads = member.state == LEADER
        if leads != led and (leads or self.elected == n):
            self.elected = n if leads else None
            await self._new_leader()

    def away(self) -> Collection[int]:
        """Members that are known to have gone before a timeline begins, which may list them as living."""
        return {*range(SIZE)} - {*self.running(), *self.unnoticed}

    def go_on(self, n: int) -> None:
        self.all[n].front.resume()
        for member in self.all:
            member.look_again()

    def end(self, n: int) -> None:
        self.all[n].front.end()
        self.unnoticed.pop(n, None)
        if self.elected == n:
            self.elected = None
