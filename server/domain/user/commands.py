"""What may be asked of a user."""

from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class RegisterUser:
    user_id: str
    email: str
    name: str
    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class ChangeEmail:
    user_id: str
    email: str
    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class ChangeName:
    user_id: str
    name: str
    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class BlockUser:
    user_id: str
    reason: str
    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class UnblockUser:
    user_id: str
    at: datetime


UserCommand = RegisterUser | ChangeEmail | ChangeName | BlockUser | UnblockUser
