"""The state of an e-mail address."""

from dataclasses import dataclass
from datetime import datetime
from typing import assert_never

from core.domain.email.events import EmailClaimed, EmailEvent, EmailReleased, EmailResolved


@dataclass(frozen=True, slots=True, kw_only=True)
class Free:
    """The address belongs to no user (any more)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Claimed:
    """Claimed by a user, who has it or is about to: `at` is the time of the last claim, by a command service's
    clock.
    """

    user_id: str
    at: datetime


EmailState = Free | Claimed


def evolve(_: EmailState, event: EmailEvent) -> EmailState:
    match event:
        case EmailClaimed() | EmailResolved():
            return Claimed(user_id=event.user_id, at=event.at)
        case EmailReleased():
            return Free()
        case _:
            assert_never(event)
