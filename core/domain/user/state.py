"""The state of a user."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import assert_never

from core.domain.address import Address
from core.domain.user.events import (
    AddressAdded,
    AddressChanged,
    AddressRemoved,
    DefaultAddressSet,
    EmailChanged,
    EmailChangeRequired,
    EmailClaimRevoked,
    NameChanged,
    UserBlocked,
    UserEvent,
    UserRegistered,
    UserUnblocked,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class NoUser:
    """Before the first event."""


@dataclass(frozen=True, slots=True, kw_only=True)
class User:
    """`addresses` are by their ids, the oldest first; `default_address` is the id of one, "" while there is none.

    While the user `must_change_email`, another user keeps the address.
    """

    user_id: str
    email: str
    name: str
    blocked: bool = False
    addresses: Mapping[str, Address] = field(default_factory=dict)
    default_address: str = ""
    must_change_email: bool = False


UserState = NoUser | User


def evolve(state: UserState, event: UserEvent) -> UserState:  # noqa: C901  # one arm per event type
    match state, event:
        case NoUser(), UserRegistered():
            return User(user_id=event.user_id, email=event.email, name=event.name)
        case User(), EmailChanged():
            return replace(state, email=event.email, must_change_email=False)
        case User(), EmailChangeRequired():
            return replace(state, must_change_email=True)
        case User(), NameChanged():
            return replace(state, name=event.name)
        case User(), UserBlocked():
            return replace(state, blocked=True)
        case User(), UserUnblocked():
            return replace(state, blocked=False)
        case User(), AddressAdded() | AddressChanged():
            return replace(state, addresses={**state.addresses, event.address_id: event.address})
        case User(), AddressRemoved():
            left = {key: address for key, address in state.addresses.items() if key != event.address_id}
            return replace(state, addresses=left)
        case User(), DefaultAddressSet():
            return replace(state, default_address=event.address_id)
        case _, (
            UserRegistered()
            | EmailChanged()
            | NameChanged()
            | UserBlocked()
            | UserUnblocked()
            | EmailClaimRevoked()
            | EmailChangeRequired()
            | AddressAdded()
            | AddressChanged()
            | AddressRemoved()
            | DefaultAddressSet()
        ):
            return state  # it changes nothing, or is a step that decide never takes: history is true
        case _:
            assert_never(event)
