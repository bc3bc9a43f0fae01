"""The rulebook of a user: (state, command) → events."""

from collections.abc import Sequence

from server.domain.rejection import Reason, Rejected
from server.domain.user.addresses import decide_address
from server.domain.user.commands import (
    AddAddress,
    BlockUser,
    ChangeAddress,
    ChangeEmail,
    ChangeName,
    RegisterUser,
    RemoveAddress,
    SetDefaultAddress,
    UnblockUser,
    UserCommand,
)
from server.domain.user.events import EmailChanged, NameChanged, UserBlocked, UserEvent, UserRegistered, UserUnblocked
from server.domain.user.state import NoUser, User, UserState


def decide(state: UserState, command: UserCommand) -> Sequence[UserEvent]:
    match state, command:
        case NoUser(), RegisterUser():
            return [UserRegistered(user_id=command.user_id, email=command.email, name=command.name, at=command.at)]
        case User(), RegisterUser() if (state.email, state.name) == (command.email, command.name):
            return []
        case _, RegisterUser():
            raise Rejected(Reason.USER_EXISTS, user_id=command.user_id)
        case NoUser(), _:
            raise Rejected(Reason.USER_NOT_FOUND, user_id=command.user_id)

        case User(), ChangeEmail():
            return _change_email(state, command)
        case User(), ChangeName():
            same = state.name == command.name
            return [] if same else [NameChanged(user_id=state.user_id, name=command.name, at=command.at)]
        case User(), BlockUser():
            return [] if state.blocked else [UserBlocked(user_id=state.user_id, reason=command.reason, at=command.at)]
        case User(), UnblockUser():
            return [UserUnblocked(user_id=state.user_id, at=command.at)] if state.blocked else []
        case User(), (AddAddress() | ChangeAddress() | RemoveAddress() | SetDefaultAddress()):
            return decide_address(state, command)
        case _:
            raise AssertionError(f"no rule for {type(command).__name__} on {type(state).__name__}")


def _change_email(user: User, command: ChangeEmail) -> Sequence[UserEvent]:
    if command.email == user.email:
        return []
    return [EmailChanged(user_id=user.user_id, email=command.email, previous_email=user.email, at=command.at)]
