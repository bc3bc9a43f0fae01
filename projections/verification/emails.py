"""Whether each e-mail address belongs to one user, by the log. Only an operator can resolve a shared one."""

from contextlib import aclosing
from dataclasses import dataclass, field
from itertools import islice

from core.eventstore.log import START, EventLog
from core.readmodel.email_holders import USERS, EmailHolders
from projections.engine.applier import Partition

MAX_PASSES = 1_024  # then a pass may be of any size: an address that very many users have is in one


@dataclass(frozen=True, slots=True)
class SharedEmail:
    """An address that several users have, the earliest first."""

    email_hash: str
    user_ids: tuple[str, ...]

    @property
    def resolve_command(self) -> str:
        return f"orderstream users resolve-email {self.email_hash} --keep USER_ID"


@dataclass(slots=True)
class EmailVerdict:
    """`users` have an address; `shared` counts the addresses that several have, `listed` has the first of them."""

    users: int = 0
    events: int = 0
    shared: int = 0
    listed: list[SharedEmail] = field(default_factory=list)


class EmailVerifier:
    """Reads the streams of all users: once, or as often as `at_once` addresses at a time take."""

    def __init__(self, log: EventLog, *, at_once: int) -> None:
        self._log = log
        self._at_once = at_once

    async def verify(self, most: int) -> EmailVerdict:
        """Lists up to `most` of the addresses that several users have."""
        parts = 1
        while (verdict := await self._verify(parts, most)) is None:
            parts *= 2
        return verdict

    async def _verify(self, parts: int, most: int) -> EmailVerdict | None:
        """In so many passes, each for a share of the addresses; None if one is too large and more would help."""
        verdict = EmailVerdict()
        for part in range(parts):
            holders = EmailHolders(Partition(part, parts).owns)
            async with aclosing(self._log.after(START, USERS)) as reading:
                async for event in reading:
                    holders.take(event)
                    if len(holders) > self._at_once and parts < MAX_PASSES:
                        return None
            shared = [SharedEmail(found[0].email_hash, tuple(x.user_id for x in found)) for found in holders.shared()]
            verdict.users += len(holders)
            verdict.events = holders.events
            verdict.shared += len(shared)
            verdict.listed += islice(shared, max(0, most - len(verdict.listed)))
        return verdict
