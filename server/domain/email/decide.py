"""The rulebook of an e-mail address: (state, command) → events."""

import hashlib
import unicodedata
from collections.abc import Sequence
from datetime import timedelta

from server.domain.email.commands import ClaimEmail, EmailCommand, ReleaseEmail
from server.domain.email.events import EmailClaimed, EmailEvent, EmailReleased
from server.domain.email.state import Claimed, EmailState, Free
from server.domain.rejection import Reason, Rejected

# A claim is made before the user has the address. After this long, whoever made it will not use it any more: it is
# longer than any command may take (`longest_deadline`), and than clocks of two machines are apart.
ABANDONED_AFTER = timedelta(minutes=5)


def email_hash(email: str) -> str:
    """The same for all spellings that reach the same mailbox in practice; it tells nobody the address."""
    return hashlib.sha256(unicodedata.normalize("NFKC", email).casefold().encode()).hexdigest()


def decide(state: EmailState, command: EmailCommand) -> Sequence[EmailEvent]:
    match state, command:
        case Claimed(), ClaimEmail() if state.user_id != command.user_id and _is_kept(state, command):
            raise Rejected(Reason.EMAIL_TAKEN, email_hash=command.email_hash)
        case _, ClaimEmail():
            # also where the user holds it already: a release that was decided before does not undo this claim
            return [EmailClaimed(email_hash=command.email_hash, user_id=command.user_id, at=command.at)]
        case Claimed(), ReleaseEmail() if state.user_id == command.user_id:
            return [EmailReleased(email_hash=command.email_hash, user_id=command.user_id, at=command.at)]
        case ((Free() | Claimed()), ReleaseEmail()):
            return []
        case _:
            raise AssertionError(f"no rule for {type(command).__name__} on {type(state).__name__}")


def _is_kept(claim: Claimed, command: ClaimEmail) -> bool:
    return command.in_use or command.at - claim.at < ABANDONED_AFTER
