"""The rules of a user's e-mail address. Whose an address is: `core/domain/email`."""

from collections.abc import Sequence

from core.domain.email.normal_form import claim_keys
from core.domain.rejection import CommandRejected, Reason
from core.domain.user.commands import ChangeEmail, RequireEmailChange, RevokeEmailClaim
from core.domain.user.events import EmailChanged, EmailChangeRequired, EmailClaimRevoked, UserEvent
from core.domain.user.state import User, UserState


def has_email(state: UserState, email_hash: str) -> bool:
    """Whether the user has the address that is claimed under this hash, and no other user keeps it."""
    return isinstance(state, User) and not state.must_change_email and email_hash in claim_keys(state.email)


def is_changed(user: User, email: str) -> bool:
    """Whether a change to this address is one. A user who must change it may set the same again once it is free."""
    return email != user.email or user.must_change_email


def change_email(user: User, command: ChangeEmail) -> Sequence[UserEvent]:
    if not is_changed(user, command.email):
        return []
    return [EmailChanged(user_id=user.user_id, email=command.email, previous_email=user.email, at=command.at)]


def revoke_claim(state: UserState, command: RevokeEmailClaim) -> Sequence[UserEvent]:
    if has_email(state, command.email_hash):
        raise CommandRejected(Reason.EMAIL_TAKEN, email_hash=command.email_hash)
    return [EmailClaimRevoked(user_id=command.user_id, email_hash=command.email_hash, at=command.at)]


def require_change(user: User, command: RequireEmailChange) -> Sequence[UserEvent]:
    if user.must_change_email:
        return []
    if not has_email(user, command.email_hash):
        raise CommandRejected(Reason.EMAIL_NOT_HELD, user_id=user.user_id, email_hash=command.email_hash)
    return [
        EmailChangeRequired(
            user_id=user.user_id,
            email_hash=command.email_hash,
            kept_by_user_id=command.kept_by_user_id,
            reason=command.reason,
            at=command.at,
        )
    ]
