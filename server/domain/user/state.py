"""What a user is."""

from dataclasses import dataclass, replace
from typing import assert_never

from server.domain.user.events import EmailChanged, NameChanged, UserBlocked, UserEvent, UserRegistered, UserUnblocked


@dataclass(frozen=True, slots=True, kw_only=True)
class NoUser:
    """Before the first event."""


@dataclass(frozen=True, slots=True, kw_only=True)
class User:
    user_id: str
    email: str
    name: str
    blocked: bool = False


UserState = NoUser | User


def evolve(state: UserState, event: UserEvent) -> UserState:
    match state, event:
        case NoUser(), UserRegistered():
            return User(user_id=event.user_id, email=event.email, name=event.name)
        case User(), EmailChanged():
            return replace(state, email=event.email)
        case User(), NameChanged():
            return replace(state, name=event.name)
        case User(), UserBlocked():
            return replace(state, blocked=True)
        case User(), UserUnblocked():
            return replace(state, blocked=False)
        case _, (UserRegistered() | EmailChanged() | NameChanged() | UserBlocked() | UserUnblocked()):
            return state  # a step that decide never takes; history is true, so it changes nothing
        case _:
            assert_never(event)
