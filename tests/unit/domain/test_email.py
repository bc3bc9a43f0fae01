"""The rules of an e-mail address, one sentence each."""

from typing import Any

from core.domain.email import EMAIL
from core.domain.email.commands import ClaimEmail, ReleaseEmail, ResolveEmail
from core.domain.email.events import EmailClaimed, EmailReleased, EmailResolved
from core.domain.email.normal_form import email_hash
from core.domain.rejection import Reason
from tests.support import deciding
from tests.support.orders import ANN, NOON

KEY = email_hash("ann@example.org")
BOB = "0198c0de-0000-7000-8000-0000000000bb"
COY = "0198c0de-0000-7000-8000-0000000000cc"
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


def resolve(*holders: str, is_void: bool = False) -> ResolveEmail:
    """For Ann, against Bob."""
    return ResolveEmail(
        email_hash=KEY,
        keep_user_id=ANN,
        other_user_ids=(BOB,),
        holders=frozenset(holders),
        is_void=is_void,
        reason="Ann proved it",
        at=NOON,
    )


RESOLVED = EmailResolved(email_hash=KEY, user_id=ANN, other_user_ids=(BOB,), reason="Ann proved it", at=NOON)


def test_an_address_that_two_users_have_belongs_to_the_one_who_keeps_it_no_matter_who_claimed_it() -> None:
    for history in ((), (claimed(ANN),), (claimed(BOB),), (claimed(ANN), RELEASED)):
        given(*history).when(resolve(ANN, BOB)).then(RESOLVED)
    given(claimed(BOB), RESOLVED).when(claim(BOB)).rejected(Reason.EMAIL_TAKEN)
    given(claimed(BOB), RESOLVED).when(release(ANN)).then(RELEASED)


def test_an_address_is_resolved_among_users_who_have_it_only() -> None:
    given(claimed(ANN)).when(resolve(ANN)).rejected(Reason.EMAIL_NOT_HELD, user_id=BOB, email_hash=KEY)
    given(claimed(ANN)).when(resolve(BOB)).rejected(Reason.EMAIL_NOT_HELD, user_id=ANN)


def test_an_address_that_yet_another_user_is_about_to_have_is_not_resolved_until_its_claim_is_void() -> None:
    given(claimed(COY)).when(resolve(ANN, BOB)).rejected(Reason.EMAIL_TAKEN)
    given(claimed(COY)).when(resolve(ANN, BOB, is_void=True)).then(RESOLVED)
