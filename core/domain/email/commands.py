"""The commands of an e-mail address."""

from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class ClaimEmail:
    """`is_void`: whether the claim of another user can no longer be used. That user does not have the address, and its
    stream has an event that was written after the claim: the event store refuses decisions that depend on the claim.
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


@dataclass(frozen=True, slots=True, kw_only=True)
class ResolveEmail:
    """`holders` are the named users who have the address now; `is_void` as in `ClaimEmail`, if the claim belongs to
    a user who is not named.
    """

    email_hash: str
    keep_user_id: str
    other_user_ids: tuple[str, ...]
    holders: frozenset[str]
    is_void: bool
    reason: str
    at: datetime


EmailCommand = ClaimEmail | ReleaseEmail | ResolveEmail
