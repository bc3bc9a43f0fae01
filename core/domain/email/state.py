"""Whose an e-mail address is."""

from dataclasses import dataclass
from datetime import datetime
from typing import assert_never

from core.domain.email.events import EmailClaimed, EmailEvent, EmailReleased, EmailResolved


@dataclass(frozen=True, slots=True, kw_only=True)
class Free:
    """The address belongs to no user (any more)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Claimed:
    """The user's, or about to be: `at` is when the user last claimed it, by the clock of a command service."""

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
