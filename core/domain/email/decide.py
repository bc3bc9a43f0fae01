"""The rulebook of an e-mail address: (state, command) → events."""

from collections.abc import Sequence
from datetime import timedelta

from core.domain.email.commands import ClaimEmail, EmailCommand, ReleaseEmail, ResolveEmail
from core.domain.email.events import EmailClaimed, EmailEvent, EmailReleased, EmailResolved
from core.domain.email.state import Claimed, EmailState, Free
from core.domain.rejection import CommandRejected, Reason

# A claim is made before the user has the address. It may be made void after this long, by the event store's time:
# longer than any command may take (`max_deadline`), so that no command loses its claim. That no two users have one
# address does not depend on it.
ABANDONED_AFTER = timedelta(minutes=5)


def decide(state: EmailState, command: EmailCommand) -> Sequence[EmailEvent]:
    match state, command:
        case Claimed(), ClaimEmail() if state.user_id != command.user_id and not command.is_void:
            raise CommandRejected(Reason.EMAIL_TAKEN, email_hash=command.email_hash)
        case _, ClaimEmail():
            # also if the user has it already: a release that was decided before does not undo this claim
            return [EmailClaimed(email_hash=command.email_hash, user_id=command.user_id, at=command.at)]
        case Claimed(), ReleaseEmail() if state.user_id == command.user_id:
            return [EmailReleased(email_hash=command.email_hash, user_id=command.user_id, at=command.at)]
        case ((Free() | Claimed()), ReleaseEmail()):
            return []
        case _, ResolveEmail():
            return _resolve(state, command)
        case _:
            raise AssertionError(f"no rule for {type(command).__name__} on {type(state).__name__}")


def _resolve(state: EmailState, command: ResolveEmail) -> Sequence[EmailEvent]:
    named = (command.keep_user_id, *command.other_user_ids)
    for user_id in named:
        if user_id not in command.holders:
            raise CommandRejected(Reason.EMAIL_NOT_HELD, user_id=user_id, email_hash=command.email_hash)
    if isinstance(state, Claimed) and state.user_id not in named and not command.is_void:
        raise CommandRejected(Reason.EMAIL_TAKEN, email_hash=command.email_hash)
    return [
        EmailResolved(
            email_hash=command.email_hash,
            user_id=command.keep_user_id,
            other_user_ids=command.other_user_ids,
            reason=command.reason,
            at=command.at,
        )
    ]
