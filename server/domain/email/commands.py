"""What may be asked of an e-mail address."""

from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class ClaimEmail:
    """`in_use`: whether the user who holds it, if another one does, has this address now."""

    email_hash: str
    user_id: str
    in_use: bool
    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class ReleaseEmail:
    email_hash: str
    user_id: str
    at: datetime


EmailCommand = ClaimEmail | ReleaseEmail
