"""The commands of a user."""

from dataclasses import dataclass
from datetime import datetime

from core.domain.address import Address


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


@dataclass(frozen=True, slots=True, kw_only=True)
class AddAddress:
    """`default`: it becomes the default; the first one does anyway."""

    user_id: str
    address_id: str
    address: Address
    default: bool
    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class ChangeAddress:
    user_id: str
    address_id: str
    address: Address
    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class RemoveAddress:
    user_id: str
    address_id: str
    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class SetDefaultAddress:
    user_id: str
    address_id: str
    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class RevokeEmailClaim:
    """Makes an unused claim void: a decision that depends on it can no longer be written to the user's stream."""

    user_id: str
    email_hash: str
    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class RequireEmailChange:
    """Another user keeps the address that this user has too."""

    user_id: str
    email_hash: str
    kept_by_user_id: str
    reason: str
    at: datetime


AddressCommand = AddAddress | ChangeAddress | RemoveAddress | SetDefaultAddress
EmailCommand = ChangeEmail | RevokeEmailClaim | RequireEmailChange
UserCommand = RegisterUser | EmailCommand | ChangeName | BlockUser | UnblockUser | AddressCommand
