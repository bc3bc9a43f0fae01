"""What may be asked of an e-mail address."""

from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class ClaimEmail:
    """`is_void`: whether the claim of another user can no longer be used. That user does not have the address, and its
    stream has an event that was written after the claim: what was decided on the claim is refused by the event store.
    """

    email_hash: str
    user_id: str
    is_void: bool
    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class ReleaseEmail:
    email_hash: str
    user_id: str
    at: datetime


EmailCommand = ClaimEmail | ReleaseEmail
