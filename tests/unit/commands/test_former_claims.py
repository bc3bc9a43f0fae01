"""Users whose address was never claimed, or only under the hash of a former normal form, get their claim."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta

import pytest
from esdbclient import RecordedEvent

from core.domain.email import EMAIL
from core.domain.email.events import EmailClaimed
from core.domain.email.normal_form import email_hash, former_email_hash
from core.domain.email.state import Claimed, EmailState
from core.domain.rejection import CommandRejected
from core.domain.user.events import EmailChanged, EmailChangeRequired, UserRegistered
from core.eventstore.registry import BY_EVENT, DomainEvent
from core.eventstore.repository import Repository
from core.eventstore.snapshots import Snapshots
from core.eventstore.store import NO_EVENTS
from core.eventstore.store_time import StoreTime
from server.commands.emails import EmailClaims
from server.commands.former_claims import FormerClaims, Unclaimed
from tests.support.calling import fresh_id
from tests.support.long_streams import envelope
from tests.support.memory_store import MemoryStore
from tests.support.orders import NOON
from tests.support.stored import write
from tests.support.viewing import aggregate_id, stored

ANN, BOB = "0198c0de-0000-7000-8000-0000000000a1", "0198c0de-0000-7000-8000-0000000000b2"
PLAIN, DOTTED = "ann@example.org", "Ann@example.org."


def registered(user_id: str, email: str) -> UserRegistered:
    return UserRegistered(user_id=user_id, email=email, name="Ann", at=NOON)


def claimed(user_id: str, key: str) -> EmailClaimed:
    return EmailClaimed(email_hash=key, user_id=user_id, at=NOON)


def changed(user_id: str, email: str) -> EmailChanged:
    return EmailChanged(user_id=user_id, email=email, previous_email="", at=NOON)


def must_change(user_id: str) -> EmailChangeRequired:
    return EmailChangeRequired(user_id=user_id, email_hash="00", kept_by_user_id=BOB, reason="proof", at=NOON)


class ReadTooEarly(MemoryStore):
    """What is read of the history lacks the last event, which was written meanwhile."""

    async def history(self, pattern: str, after: int) -> AsyncIterator[RecordedEvent]:
        events = [event async for event in super().history(pattern, after)]
        for event in events[:-1]:
            yield event


class Log:
    """What former releases wrote, and a service of today that starts on it."""

    def __init__(self, store: MemoryStore | None = None) -> None:
        self.store = store or MemoryStore()

    async def has(self, *events: DomainEvent) -> "Log":
        for event in events:
            stream = f"{BY_EVENT[type(event)].category}-{aggregate_id(event)}"
            newest = await self.store.newest(stream, 1)
            await write(self.store, stream, event, after=newest[0].stream_position if newest else NO_EVENTS)
        return self

    @property
    def repository(self) -> Repository:
        return Repository(self.store, Snapshots(self.store, every=500))

    @property
    def emails(self) -> EmailClaims:
        return EmailClaims(self.store, self.repository, StoreTime(self.store, lambda: datetime.now(UTC)))

    async def completed(self) -> int:
        return await FormerClaims(self.store, self.repository, self.emails, lambda: NOON + timedelta(days=1)).complete()

    async def claim(self, email: str) -> EmailState:
        return (await self.repository.load(EMAIL, EMAIL.stream(email_hash(email)))).state

    async def take(self, email: str) -> None:
        await self.emails.of(envelope(fresh_id())).reserve(email, fresh_id())


@pytest.fixture
def log() -> Log:
    return Log()


async def test_a_user_from_before_there_were_claims_gets_one(log: Log) -> None:
    await log.has(registered(ANN, PLAIN))
    await log.take("bob@example.org")
    assert await log.completed() == 1
    with pytest.raises(CommandRejected, match="EMAIL_TAKEN"):
        await log.take(PLAIN)


async def test_a_claim_under_a_former_hash_is_made_under_that_of_today_too(log: Log) -> None:
    await log.has(claimed(ANN, former_email_hash(DOTTED)), registered(ANN, DOTTED))
    assert await log.completed() == 1
    for spelling in (PLAIN, DOTTED, DOTTED.upper()):
        with pytest.raises(CommandRejected, match="EMAIL_TAKEN"):
            await log.take(spelling)


async def test_what_is_claimed_is_not_claimed_again(log: Log) -> None:
    await log.has(claimed(ANN, email_hash(PLAIN)), registered(ANN, PLAIN))
    assert await log.completed() == 0
    await log.has(registered(BOB, "bob@example.org"))
    assert [await log.completed(), await log.completed()] == [1, 0]


async def test_an_address_that_its_user_left_or_has_to_change_is_not_claimed(log: Log) -> None:
    await log.has(registered(ANN, PLAIN), claimed(ANN, email_hash("new@example.org")), changed(ANN, "new@example.org"))
    await log.has(registered(BOB, "bob@example.org"), must_change(BOB))
    assert await log.completed() == 0


async def test_an_address_that_another_user_has_claimed_stays_so_and_the_others_are_claimed(log: Log) -> None:
    await log.has(registered(ANN, PLAIN), claimed(BOB, email_hash(PLAIN)), registered(BOB, PLAIN))
    coy = fresh_id()
    await log.has(registered(coy, "coy@example.org"))
    assert await log.completed() == 1
    assert [getattr(await log.claim(email), "user_id", "") for email in (PLAIN, "coy@example.org")] == [BOB, coy]
    assert isinstance(await log.claim(PLAIN), Claimed)


async def test_a_user_who_changes_the_address_meanwhile_does_not_get_a_claim_on_the_former_one() -> None:
    log = Log(ReadTooEarly())
    await log.has(registered(ANN, PLAIN), changed(ANN, "new@example.org"))
    assert await log.completed() == 1
    assert not isinstance(await log.claim(PLAIN), Claimed)
    assert isinstance(await log.claim("new@example.org"), Claimed)


def test_only_claims_that_no_users_event_has_followed_are_kept_in_mind() -> None:
    unclaimed = Unclaimed()
    users = [fresh_id() for _ in range(10)]
    for user_id in users:
        email = f"{user_id}@example.org"
        for event in stored([claimed(user_id, email_hash(email)), registered(user_id, email)]):
            unclaimed.take(event)
    assert (unclaimed.users, unclaimed._claims) == ((), set())
