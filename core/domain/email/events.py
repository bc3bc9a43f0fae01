"""The events of an e-mail address. Field for field the newest messages of protos/users/v1/events.proto."""

from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class EmailClaimed:
    email_hash: str
    user_id: str
    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class EmailReleased:
    email_hash: str
    user_id: str
    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class EmailResolved:
    """`user_id` keeps the address; the others have to change it."""

    email_hash: str
    user_id: str
    other_user_ids: tuple[str, ...]
    reason: str
    at: datetime


EmailEvent = EmailClaimed | EmailReleased | EmailResolved
