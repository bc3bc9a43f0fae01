"""The rules of an e-mail address, one sentence each."""

from typing import Any

from server.domain.email import EMAIL
from server.domain.email.commands import ClaimEmail, ReleaseEmail
from server.domain.email.events import EmailClaimed, EmailReleased
from server.domain.email.normal_form import email_hash
from server.domain.rejection import Reason
from tests.support import deciding
from tests.support.orders import ANN, NOON

KEY = email_hash("ann@example.org")
BOB = "0198c0de-0000-7000-8000-0000000000bb"
LATER = NOON.replace(year=NOON.year + 100)


def given(*history: Any) -> deciding.Given[Any, Any, Any]:
    return deciding.given(EMAIL, *history)


def claim(user_id: str, at: Any = NOON, *, is_void: bool = False) -> ClaimEmail:
    return ClaimEmail(email_hash=KEY, user_id=user_id, is_void=is_void, at=at)


def claimed(user_id: str, at: Any = NOON) -> EmailClaimed:
    return EmailClaimed(email_hash=KEY, user_id=user_id, at=at)


def release(user_id: str) -> ReleaseEmail:
    return ReleaseEmail(email_hash=KEY, user_id=user_id, at=NOON)


RELEASED = EmailReleased(email_hash=KEY, user_id=ANN, at=NOON)


def test_an_address_belongs_to_the_first_user_who_claims_it() -> None:
    given().when(claim(ANN)).then(claimed(ANN))
    given(claimed(ANN)).when(claim(BOB)).rejected(Reason.EMAIL_TAKEN, email_hash=KEY)


def test_a_claim_of_the_same_user_is_an_event_so_that_no_older_release_undoes_it() -> None:
    given(claimed(ANN)).when(claim(ANN, LATER)).then(claimed(ANN, LATER))


def test_a_claim_is_taken_over_only_when_it_is_void_and_never_for_its_age() -> None:
    given(claimed(ANN)).when(claim(BOB, LATER)).rejected(Reason.EMAIL_TAKEN)
    given(claimed(ANN)).when(claim(BOB, is_void=True)).then(claimed(BOB))


def test_an_address_is_released_by_the_user_who_has_it() -> None:
    given(claimed(ANN)).when(release(ANN)).then(RELEASED)
    given(claimed(ANN)).when(release(BOB)).nothing()
    given(claimed(ANN), RELEASED).when(release(ANN)).nothing()
    given().when(release(ANN)).nothing()
    given(claimed(ANN), RELEASED).when(claim(BOB)).then(claimed(BOB))
