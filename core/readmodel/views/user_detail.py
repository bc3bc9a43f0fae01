"""One user, by user id."""

from dataclasses import asdict
from typing import Any, NotRequired, TypedDict

from core.domain.user.events import (
    AddressAdded,
    AddressChanged,
    AddressRemoved,
    DefaultAddressSet,
    EmailChanged,
    EmailChangeRequired,
    EmailClaimRevoked,
    NameChanged,
    UserBlocked,
    UserRegistered,
    UserUnblocked,
)
from core.eventstore.recorded import Recorded
from core.readmodel.documents import to_micros
from core.readmodel.view import View


class UserAddress(TypedDict):
    address_id: str
    address: dict[str, str]


class UserDetail(TypedDict):
    email: str
    name: str
    blocked: bool
    block_reason: str
    registered_at: int
    updated_at: int
    revision: int
    addresses: NotRequired[list[UserAddress]]  # once there was one
    default_address: NotRequired[str]
    email_change_required: NotRequired[bool]  # once it was


user_detail: View[UserDetail] = View(
    "user_detail",
    key=lambda e: e.data.user_id,
    categories=("user",),
    answers=("users.v1.UserQueryService/GetUser",),
    own_streams=True,
)


def updated(user: UserDetail | None, e: Recorded[Any]) -> UserDetail:
    assert user is not None, f"{e.stream} has no UserRegistered before revision {e.revision}"
    return {**user, "updated_at": to_micros(e.data.at), "revision": e.revision}


@user_detail.on(UserRegistered)
def registered(_: UserDetail | None, e: Recorded[UserRegistered]) -> UserDetail:
    at = to_micros(e.data.at)
    return {
        "email": e.data.email,
        "name": e.data.name,
        "blocked": False,
        "block_reason": "",
        "registered_at": at,
        "updated_at": at,
        "revision": e.revision,
    }


@user_detail.on(EmailChanged)
def email_changed(user: UserDetail | None, e: Recorded[EmailChanged]) -> UserDetail:
    now: UserDetail = {**updated(user, e), "email": e.data.email}
    return {**now, "email_change_required": False} if "email_change_required" in now else now


@user_detail.on(EmailChangeRequired)
def email_change_required(user: UserDetail | None, e: Recorded[EmailChangeRequired]) -> UserDetail:
    return {**updated(user, e), "email_change_required": True}


@user_detail.on(NameChanged)
def name_changed(user: UserDetail | None, e: Recorded[NameChanged]) -> UserDetail:
    return {**updated(user, e), "name": e.data.name}


@user_detail.on(UserBlocked)
def blocked(user: UserDetail | None, e: Recorded[UserBlocked]) -> UserDetail:
    return {**updated(user, e), "blocked": True, "block_reason": e.data.reason}


@user_detail.on(UserUnblocked)
def unblocked(user: UserDetail | None, e: Recorded[UserUnblocked]) -> UserDetail:
    return {**updated(user, e), "blocked": False, "block_reason": ""}


@user_detail.on(EmailClaimRevoked)
def email_claim_revoked(user: UserDetail | None, e: Recorded[EmailClaimRevoked]) -> UserDetail | None:
    """Nothing of the user changes. If no user was registered there is none to show."""
    return user and updated(user, e)


@user_detail.on(AddressAdded)
def address_added(user: UserDetail | None, e: Recorded[AddressAdded]) -> UserDetail:
    new: UserAddress = {"address_id": e.data.address_id, "address": asdict(e.data.address)}
    return {**updated(user, e), "addresses": [*addresses(user), new]}


@user_detail.on(AddressChanged)
def address_changed(user: UserDetail | None, e: Recorded[AddressChanged]) -> UserDetail:
    new: UserAddress = {"address_id": e.data.address_id, "address": asdict(e.data.address)}
    return {
        **updated(user, e),
        "addresses": [new if x["address_id"] == e.data.address_id else x for x in addresses(user)],
    }


@user_detail.on(AddressRemoved)
def address_removed(user: UserDetail | None, e: Recorded[AddressRemoved]) -> UserDetail:
    return {**updated(user, e), "addresses": [x for x in addresses(user) if x["address_id"] != e.data.address_id]}


@user_detail.on(DefaultAddressSet)
def default_address_set(user: UserDetail | None, e: Recorded[DefaultAddressSet]) -> UserDetail:
    return {**updated(user, e), "default_address": e.data.address_id}


def addresses(user: UserDetail | None) -> list[UserAddress]:
    return user.get("addresses", []) if user else []
