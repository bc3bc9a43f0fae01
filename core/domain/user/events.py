"""The events of a user. Field for field the newest messages of protos/users/v1/events.proto."""

from dataclasses import dataclass
from datetime import datetime

from core.domain.address import Address


@dataclass(frozen=True, slots=True, kw_only=True)
class UserRegistered:
    user_id: str
    email: str
    name: str
    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class EmailChanged:
    """`previous_email` is empty where it was not recorded."""

    user_id: str
    email: str
    previous_email: str
    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class NameChanged:
    user_id: str
    name: str
    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class UserBlocked:
    user_id: str
    reason: str
    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class UserUnblocked:
    user_id: str
    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class AddressAdded:
    user_id: str
    address_id: str
    address: Address
    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class AddressChanged:
    user_id: str
    address_id: str
    address: Address
    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class AddressRemoved:
    user_id: str
    address_id: str
    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class DefaultAddressSet:
    """`address_id` is empty where none is left."""

    user_id: str
    address_id: str
    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class EmailClaimRevoked:
    """Also in a stream without a user: the registration that made the claim was never completed."""

    user_id: str
    email_hash: str
    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class EmailChangeRequired:
    user_id: str
    email_hash: str
    kept_by_user_id: str
    reason: str
    at: datetime


AddressEvent = AddressAdded | AddressChanged | AddressRemoved | DefaultAddressSet
EmailEvent = EmailChanged | EmailClaimRevoked | EmailChangeRequired
UserEvent = UserRegistered | EmailEvent | NameChanged | UserBlocked | UserUnblocked | AddressEvent
