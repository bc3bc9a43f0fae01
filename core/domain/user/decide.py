"""The rulebook of a user: (state, command) → events."""

from collections.abc import Sequence

from core.domain.rejection import CommandRejected, Reason
from core.domain.user.addresses import decide_address
from core.domain.user.commands import (
    AddAddress,
    BlockUser,
    ChangeAddress,
    ChangeEmail,
    ChangeName,
    RegisterUser,
    RemoveAddress,
    RequireEmailChange,
    RevokeEmailClaim,
    SetDefaultAddress,
    UnblockUser,
    UserCommand,
)
from core.domain.user.email import change_email, require_change, revoke_claim
from core.domain.user.events import NameChanged, UserBlocked, UserEvent, UserRegistered, UserUnblocked
from core.domain.user.state import NoUser, User, UserState


def decide(state: UserState, command: UserCommand) -> Sequence[UserEvent]:  # noqa: C901  # one arm per command
    match state, command:
        case NoUser(), RegisterUser():
            return [UserRegistered(user_id=command.user_id, email=command.email, name=command.name, at=command.at)]
        case User(), RegisterUser() if (state.email, state.name) == (command.email, command.name):
            return []
        case _, RegisterUser():
            raise CommandRejected(Reason.USER_EXISTS, user_id=command.user_id)
        case _, RevokeEmailClaim():
            return revoke_claim(state, command)
        case NoUser(), _:
            raise CommandRejected(Reason.USER_NOT_FOUND, user_id=command.user_id)

        case User(), ChangeEmail():
            return change_email(state, command)
        case User(), RequireEmailChange():
            return require_change(state, command)
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
