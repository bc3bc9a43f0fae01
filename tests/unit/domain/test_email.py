"""The rules of an e-mail address, one sentence each."""

from datetime import timedelta
from typing import Any

import pytest

from server.domain.email import EMAIL
from server.domain.email.commands import ClaimEmail, ReleaseEmail
from server.domain.email.decide import ABANDONED_AFTER, email_hash
from server.domain.email.events import EmailClaimed, EmailReleased
from server.domain.rejection import Reason
from tests.support import deciding
from tests.support.orders import ANN, NOON

KEY = email_hash("ann@example.org")
BOB = "0198c0de-0000-7000-8000-0000000000bb"
SOON, LATE = NOON + ABANDONED_AFTER - timedelta(seconds=1), NOON + ABANDONED_AFTER


def given(*history: Any) -> deciding.Given[Any, Any, Any]:
    return deciding.given(EMAIL, *history)


def claim(user_id: str, at: Any = NOON, *, in_use: bool = False) -> ClaimEmail:
    return ClaimEmail(email_hash=KEY, user_id=user_id, in_use=in_use, at=at)


def claimed(user_id: str, at: Any = NOON) -> EmailClaimed:
    return EmailClaimed(email_hash=KEY, user_id=user_id, at=at)


def release(user_id: str) -> ReleaseEmail:
    return ReleaseEmail(email_hash=KEY, user_id=user_id, at=NOON)


RELEASED = EmailReleased(email_hash=KEY, user_id=ANN, at=NOON)


def test_an_address_is_the_first_ones_who_claims_it() -> None:
    given().when(claim(ANN)).then(claimed(ANN))
    given(claimed(ANN)).when(claim(BOB, in_use=True)).rejected(Reason.EMAIL_TAKEN, email_hash=KEY)


def test_a_claim_of_the_same_user_is_news_so_that_no_older_release_undoes_it() -> None:
    given(claimed(ANN)).when(claim(ANN, SOON)).then(claimed(ANN, SOON))


def test_an_address_in_use_is_never_taken_over() -> None:
    given(claimed(ANN)).when(claim(BOB, LATE, in_use=True)).rejected(Reason.EMAIL_TAKEN)


def test_a_claim_that_was_not_used_is_kept_for_a_while_and_taken_over_then() -> None:
    given(claimed(ANN)).when(claim(BOB, SOON)).rejected(Reason.EMAIL_TAKEN)
    given(claimed(ANN)).when(claim(BOB, LATE)).then(claimed(BOB, LATE))


def test_an_address_is_released_by_who_has_it() -> None:
    given(claimed(ANN)).when(release(ANN)).then(RELEASED)
    given(claimed(ANN)).when(release(BOB)).nothing()
    given(claimed(ANN), RELEASED).when(release(ANN)).nothing()
    given().when(release(ANN)).nothing()
    given(claimed(ANN), RELEASED).when(claim(BOB)).then(claimed(BOB))


@pytest.mark.parametrize("spelling", ["ANN@Example.org", "ann@example.org", "\uff41nn@example.org"])
def test_spellings_of_one_mailbox_are_one_address(spelling: str) -> None:
    assert email_hash(spelling) == KEY
    assert email_hash("anne@example.org") != KEY
