"""What has happened to an e-mail address. Field for field the newest messages of protos/users/v1/events.proto."""

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


EmailEvent = EmailClaimed | EmailReleased
