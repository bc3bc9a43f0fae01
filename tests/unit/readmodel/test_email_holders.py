"""Which users have which e-mail address, by the log."""

from collections.abc import Sequence

from core.domain.email.normal_form import email_hash
from core.domain.user.events import EmailChanged, EmailChangeRequired, UserBlocked, UserRegistered
from core.eventstore.registry import DomainEvent
from core.readmodel.email_holders import EmailHolders
from tests.support.orders import LATER, NOON
from tests.support.viewing import stored

KEY = email_hash("ann@example.org")


def registered(user_id: str, email: str = "ann@example.org") -> UserRegistered:
    return UserRegistered(user_id=user_id, email=email, name="Ann", at=NOON)


def changed(user_id: str, email: str) -> EmailChanged:
    return EmailChanged(user_id=user_id, email=email, previous_email="", at=LATER)


def holders(*events: DomainEvent) -> EmailHolders:
    found = EmailHolders()
    for event in stored(events):
        found.take(event)
    return found


def shared(*events: DomainEvent) -> Sequence[Sequence[str]]:
    return [[one.user_id for one in users] for users in holders(*events).shared()]


def test_users_with_spellings_of_one_address_share_it_the_earliest_first() -> None:
    events = registered("b", "b@example.org"), registered("a"), changed("b", "ANN@example.org.")
    assert shared(*events) == [["a", "b"]]
    assert [one.user_id for one in holders(*events).of(KEY)] == ["a", "b"]


def test_another_spelling_of_the_own_address_is_no_new_one() -> None:
    [holder] = holders(registered("a"), changed("a", "ANN@example.org")).of(KEY)
    assert holder.since == NOON


def test_a_user_who_left_the_address_or_has_to_change_it_does_not_have_it() -> None:
    required = EmailChangeRequired(user_id="b", email_hash=KEY, kept_by_user_id="a", reason="proof", at=LATER)
    assert shared(registered("a"), registered("b"), changed("b", "b@example.org")) == []
    assert shared(registered("a"), registered("b"), required) == []
    assert shared(registered("a"), registered("b"), required, changed("b", "c@example.org")) == []


def test_other_events_change_nothing() -> None:
    blocked = UserBlocked(user_id="a", reason="chargeback", at=LATER)
    found = holders(registered("a"), blocked)
    assert (len(found), found.events) == (1, 2)
