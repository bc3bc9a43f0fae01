"""The rules of a user, one sentence each."""

from typing import Any

import pytest

from core.domain.email.normal_form import email_hash, former_email_hash
from core.domain.rejection import Reason
from core.domain.user import USER
from core.domain.user.commands import (
    BlockUser,
    ChangeEmail,
    ChangeName,
    RegisterUser,
    RequireEmailChange,
    RevokeEmailClaim,
    UnblockUser,
)
from core.domain.user.events import (
    EmailChanged,
    EmailChangeRequired,
    EmailClaimRevoked,
    NameChanged,
    UserBlocked,
    UserRegistered,
    UserUnblocked,
)
from tests.support import deciding
from tests.support.orders import ANN, NOON


def given(*history: Any) -> deciding.Given[Any, Any, Any]:
    return deciding.given(USER, *history)


REGISTER = RegisterUser(user_id=ANN, email="ann@example.org", name="Ann", at=NOON)
BLOCK = BlockUser(user_id=ANN, reason="chargeback", at=NOON)
UNBLOCK = UnblockUser(user_id=ANN, at=NOON)
CHANGE_EMAIL = ChangeEmail(user_id=ANN, email="ann@example.com", at=NOON)
REGISTERED = UserRegistered(user_id=ANN, email="ann@example.org", name="Ann", at=NOON)
BLOCKED = UserBlocked(user_id=ANN, reason="chargeback", at=NOON)
UNBLOCKED = UserUnblocked(user_id=ANN, at=NOON)


def test_a_user_is_registered_once() -> None:
    given().when(REGISTER).then(REGISTERED)
    given(REGISTERED).when(REGISTER).nothing()
    given(REGISTERED).when(RegisterUser(user_id=ANN, email="x@example.org", name="Ann", at=NOON)).rejected(
        Reason.USER_EXISTS, user_id=ANN
    )


def test_a_name_changes_once() -> None:
    rename, renamed = ChangeName(user_id=ANN, name="Anne", at=NOON), NameChanged(user_id=ANN, name="Anne", at=NOON)
    given(REGISTERED).when(rename).then(renamed)
    given(REGISTERED, renamed).when(rename).nothing()
    given().when(rename).rejected(Reason.USER_NOT_FOUND, user_id=ANN)


def test_an_email_changes_once() -> None:
    changed = EmailChanged(user_id=ANN, email="ann@example.com", previous_email="ann@example.org", at=NOON)
    given(REGISTERED).when(CHANGE_EMAIL).then(changed)
    given(REGISTERED, changed).when(CHANGE_EMAIL).nothing()


def test_a_user_is_blocked_and_unblocked() -> None:
    given(REGISTERED).when(BLOCK).then(BLOCKED)
    given(REGISTERED, BLOCKED).when(BLOCK).nothing()
    given(REGISTERED, BLOCKED).when(UNBLOCK).then(UNBLOCKED)
    given(REGISTERED).when(UNBLOCK).nothing()


@pytest.mark.parametrize("command", [CHANGE_EMAIL, BLOCK, UNBLOCK])
def test_what_was_never_registered_is_not_found(command: Any) -> None:
    given().when(command).rejected(Reason.USER_NOT_FOUND, user_id=ANN)


def revoke(key: str) -> RevokeEmailClaim:
    return RevokeEmailClaim(user_id=ANN, email_hash=key, at=NOON)


def test_a_claim_that_a_user_does_not_use_is_revoked_by_an_event_each_time() -> None:
    key = email_hash("ann@example.com")
    revoked = EmailClaimRevoked(user_id=ANN, email_hash=key, at=NOON)
    given(REGISTERED).when(revoke(key)).then(revoked)
    given(REGISTERED, revoked).when(revoke(key)).then(revoked)


def test_a_claim_whose_registration_never_ended_is_revoked_and_the_user_may_still_be_registered() -> None:
    revoked = EmailClaimRevoked(user_id=ANN, email_hash=email_hash("ann@example.org"), at=NOON)
    given().when(revoke(email_hash("ann@example.org"))).then(revoked)
    given(revoked).when(REGISTER).then(REGISTERED)


def test_a_claim_on_the_address_that_a_user_has_is_not_revoked_also_under_its_former_hash() -> None:
    registered = UserRegistered(user_id=ANN, email="ann@example.org.", name="Ann", at=NOON)
    for key in (email_hash("ann@example.org"), former_email_hash("ann@example.org.")):
        given(registered).when(revoke(key)).rejected(Reason.EMAIL_TAKEN, email_hash=key)


BOB = "0198c0de-0000-7000-8000-0000000000bb"


def require_change(email: str) -> RequireEmailChange:
    return RequireEmailChange(
        user_id=ANN, email_hash=email_hash(email), kept_by_user_id=BOB, reason="Bob proved it", at=NOON
    )


CHANGE_REQUIRED = EmailChangeRequired(
    user_id=ANN, email_hash=email_hash("ann@example.org"), kept_by_user_id=BOB, reason="Bob proved it", at=NOON
)


def test_a_user_whose_address_another_keeps_has_to_change_it_once() -> None:
    given(REGISTERED).when(require_change("ANN@example.org")).then(CHANGE_REQUIRED)
    given(REGISTERED, CHANGE_REQUIRED).when(require_change("ann@example.org")).nothing()
    given().when(require_change("ann@example.org")).rejected(Reason.USER_NOT_FOUND)


def test_a_user_who_has_another_address_by_now_need_not_change_it() -> None:
    given(REGISTERED).when(require_change("ann@example.com")).rejected(Reason.EMAIL_NOT_HELD, user_id=ANN)


def test_a_user_who_has_to_change_the_address_may_set_the_same_once_it_is_free() -> None:
    same = ChangeEmail(user_id=ANN, email="ann@example.org", at=NOON)
    changed = EmailChanged(user_id=ANN, email="ann@example.org", previous_email="ann@example.org", at=NOON)
    given(REGISTERED, CHANGE_REQUIRED).when(same).then(changed)
    given(REGISTERED, CHANGE_REQUIRED, changed).when(same).nothing()


def test_an_address_that_a_user_has_to_change_is_not_the_users() -> None:
    key = email_hash("ann@example.org")
    revoked = EmailClaimRevoked(user_id=ANN, email_hash=key, at=NOON)
    given(REGISTERED, CHANGE_REQUIRED).when(revoke(key)).then(revoked)
