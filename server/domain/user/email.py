"""The rules of a user's e-mail address. Whose an address is: `server/domain/email`."""

from collections.abc import Sequence

from server.domain.email.normal_form import claim_keys
from server.domain.rejection import Reason, Rejected
from server.domain.user.commands import ChangeEmail, RevokeEmailClaim
from server.domain.user.events import EmailChanged, EmailClaimRevoked, UserEvent
from server.domain.user.state import User, UserState


def has_email(state: UserState, email_hash: str) -> bool:
    """Whether the user has the address that is claimed under this hash."""
    return isinstance(state, User) and email_hash in claim_keys(state.email)


def change_email(user: User, command: ChangeEmail) -> Sequence[UserEvent]:
    if command.email == user.email:
        return []
    return [EmailChanged(user_id=user.user_id, email=command.email, previous_email=user.email, at=command.at)]


def revoke_claim(state: UserState, command: RevokeEmailClaim) -> Sequence[UserEvent]:
    if has_email(state, command.email_hash):
        raise Rejected(Reason.EMAIL_TAKEN, email_hash=command.email_hash)
    return [EmailClaimRevoked(user_id=command.user_id, email_hash=command.email_hash, at=command.at)]
