"""One user per e-mail address: under races, across crashes, and never lost for ever."""

import asyncio
import random
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import replace
from datetime import UTC, datetime
from typing import NamedTuple

import grpc
import pytest

from core.config import Settings
from core.domain.email import EMAIL
from core.domain.email.commands import ClaimEmail
from core.domain.email.decide import ABANDONED_AFTER
from core.domain.email.normal_form import email_hash, former_email_hash
from core.domain.email.state import Claimed, Free
from core.domain.rejection import CommandRejected
from core.domain.user import USER
from core.domain.user.commands import ChangeEmail, RegisterUser
from core.domain.user.events import UserRegistered
from core.domain.user.state import User
from core.eventstore.repository import Repository
from core.eventstore.snapshots import Snapshots
from core.eventstore.store import NO_EVENTS, EventStore
from core.eventstore.store_time import StoreTime
from protos.users.v1 import commands_pb2 as pb
from server.app import serving
from server.commands.emails import EmailClaims
from server.commands.handler import CommandHandler, Envelope, new_events
from tests.support.calling import DEADLINE, HOME, Shop, fresh_email, fresh_id, refusal, shop_at
from tests.support.eventually import eventually
from tests.support.long_streams import envelope
from tests.support.orders import NOON


class InFiveMinutes(StoreTime):
    """The time of the store, as it will be when a claim of now is abandoned."""

    async def has_passed(self, time: datetime) -> bool:
        return await super().has_passed(time - ABANDONED_AFTER)


class Side(NamedTuple):
    """A command side of its own, that can be stopped between any two steps."""

    repository: Repository
    handler: CommandHandler
    emails: EmailClaims
    in_five_minutes: EmailClaims


@pytest.fixture
def side(log: EventStore) -> Side:
    repository = Repository(log, Snapshots(log, every=500))
    return Side(
        repository,
        CommandHandler(log, repository),
        EmailClaims(log, repository, StoreTime(log, wall)),
        EmailClaims(log, repository, InFiveMinutes(log, wall)),
    )


def wall() -> datetime:
    return datetime.now(UTC)


@pytest.fixture
async def two(settings: Settings, shop: Shop) -> AsyncIterator[tuple[Shop, Shop]]:
    async with serving("commands", settings, port=0) as address, shop_at(address) as other:
        yield shop, other


async def register(shop: Shop, email: str, user_id: str = "", request_id: str = "") -> str:
    request = pb.RegisterUserRequest(request_id=request_id or fresh_id(), user_id=user_id, name="Ann", email=email)
    return str((await shop.users.RegisterUser(request, timeout=DEADLINE)).user_id)


async def change(shop: Shop, user_id: str, email: str) -> None:
    request = pb.ChangeEmailRequest(request_id=fresh_id(), user_id=user_id, email=email)
    await shop.users.ChangeEmail(request, timeout=DEADLINE)


async def email_of(log: EventStore, user_id: str) -> str:
    """From the log, as it stands."""
    state = (await Repository(log, Snapshots(log, every=500)).load(USER, USER.stream(user_id))).state
    assert isinstance(state, User)
    return state.email


async def test_of_many_who_register_with_one_address_at_once_one_gets_it(two: tuple[Shop, Shop]) -> None:
    email = fresh_email()
    spellings = [email, email.upper()]
    outcomes = await asyncio.gather(
        *(register(two[n % 2], spellings[n % 2]) for n in range(30)), return_exceptions=True
    )
    assert len([outcome for outcome in outcomes if isinstance(outcome, str)]) == 1
    refused = await refusal(register(two[0], email))
    assert (refused.code, refused.reason) == (grpc.StatusCode.ALREADY_EXISTS, "EMAIL_TAKEN")
    assert refused.metadata == {"email_hash": email_hash(email)}


async def test_an_address_that_was_given_up_is_free_at_once(shop: Shop) -> None:
    email, ann, bob = fresh_email(), await shop.user(), await shop.user()
    await change(shop, ann, email)
    assert (await refusal(change(shop, bob, email))).reason == "EMAIL_TAKEN"
    await change(shop, ann, fresh_email())
    await change(shop, bob, email)


async def test_another_spelling_of_the_own_address_is_no_conflict_and_keeps_it(shop: Shop) -> None:
    email = fresh_email()
    ann, bob = await register(shop, email), await shop.user()
    await change(shop, ann, email.upper())
    assert (await refusal(change(shop, bob, email))).reason == "EMAIL_TAKEN"


async def test_a_command_that_is_refused_leaves_the_address_free(shop: Shop) -> None:
    email, ann = fresh_email(), await shop.user()
    assert (await refusal(register(shop, email, user_id=ann))).reason == "USER_EXISTS"
    stale = pb.ChangeEmailRequest(request_id=fresh_id(), user_id=ann, email=email, expected_revision=7)
    assert (await refusal(shop.users.ChangeEmail(stale, timeout=DEADLINE))).reason == "REVISION_CONFLICT"
    await register(shop, email)


async def test_a_refusal_does_not_free_an_address_that_the_user_has(shop: Shop) -> None:
    email = fresh_email()
    ann = await register(shop, email)
    another_name = pb.RegisterUserRequest(request_id=fresh_id(), user_id=ann, name="Anne", email=email)
    assert (await refusal(shop.users.RegisterUser(another_name, timeout=DEADLINE))).reason == "USER_EXISTS"
    assert (await refusal(register(shop, email))).reason == "EMAIL_TAKEN"


async def test_a_repeat_gets_the_first_answer_though_the_address_is_anothers_by_now(
    shop: Shop, settings: Settings, log: EventStore
) -> None:
    email, request_id = fresh_email(), fresh_id()
    ann = await register(shop, email, request_id=request_id)
    moved = fresh_email()
    await change(shop, ann, moved)
    bob = await register(shop, email)
    async with serving("commands", settings, port=0) as address, shop_at(address) as another:
        assert await register(another, email, request_id=request_id) == ann
    assert (await email_of(log, ann), await email_of(log, bob)) == (moved, email)


async def test_a_claim_whose_request_died_before_using_it_is_taken_over_in_time(side: Side, shop: Shop) -> None:
    email, dead = fresh_email(), fresh_id()
    await side.emails.of(envelope(fresh_id())).reserve(email, dead)  # and nothing more

    with pytest.raises(CommandRejected, match="EMAIL_TAKEN"):
        await side.emails.of(a_century_later()).reserve(email, fresh_id())  # only by the clock of the service
    await side.in_five_minutes.of(envelope(fresh_id())).reserve(email, bob := fresh_id())
    claim = (await side.repository.load(EMAIL, EMAIL.stream(email_hash(email)), max_age=0)).state
    assert isinstance(claim, Claimed)
    assert claim.user_id == bob


async def test_a_registration_that_was_given_up_for_dead_finds_its_claim_revoked(
    side: Side, shop: Shop, types_in: Callable[[str], Awaitable[list[str]]]
) -> None:
    email, ann = fresh_email(), fresh_id()

    async def slowly(_: object) -> RegisterUser:
        await side.emails.of(envelope(fresh_id())).reserve(email, ann)
        if len(await types_in(EMAIL.stream(email_hash(email)))) == 1:
            await side.in_five_minutes.of(envelope(fresh_id())).reserve(email, fresh_id())
        return RegisterUser(user_id=ann, email=email, name="Ann", at=NOON)

    with pytest.raises(CommandRejected, match="EMAIL_TAKEN"):
        await side.handler.handle(USER, ann, envelope(fresh_id()), slowly, creates_stream=True)
    assert await types_in(USER.stream(ann)) == ["EmailClaimRevoked"]


async def test_an_address_left_by_a_request_that_died_before_releasing_it_is_free_at_once(
    side: Side, shop: Shop
) -> None:
    email = fresh_email()
    ann = await register(shop, email)

    async def leave(_: object) -> ChangeEmail:
        return ChangeEmail(user_id=ann, email=fresh_email(), at=NOON)

    await side.handler.handle(USER, ann, envelope(fresh_id()), leave)  # the claims hear nothing of it
    await register(shop, email)


async def test_an_address_in_use_is_not_taken_over_however_old_its_claim(side: Side, shop: Shop) -> None:
    email = fresh_email()
    await register(shop, email)
    for claims in (side.emails, side.in_five_minutes):
        with pytest.raises(CommandRejected, match="EMAIL_TAKEN"):
            await claims.of(a_century_later()).reserve(email, fresh_id())


def a_century_later() -> Envelope:
    return replace(envelope(fresh_id()), at=NOON.replace(year=NOON.year + 100))


async def test_a_release_of_an_address_that_its_user_has_taken_back_does_not_undo_the_claim(
    side: Side, shop: Shop
) -> None:
    email = fresh_email()
    ann = await register(shop, email)
    leaving, returning = side.emails.of(envelope(fresh_id())), side.emails.of(envelope(fresh_id()))
    leaving.vacate(email, ann)
    await change(shop, ann, fresh_email())
    await returning.reserve(email, ann)
    await leaving.commit()
    with pytest.raises(CommandRejected, match="EMAIL_TAKEN"):
        await side.emails.of(envelope(fresh_id())).reserve(email, fresh_id())


async def test_a_claim_of_a_former_release_binds_under_the_hash_that_it_was_made_with(
    shop: Shop, log: EventStore
) -> None:
    """Which did not know that a trailing dot changes nothing."""
    email = f"{fresh_email()}."
    former = EMAIL.stream(former_email_hash(email))
    claimed = EMAIL.decide(
        Free(), ClaimEmail(email_hash=former_email_hash(email), user_id=fresh_id(), is_void=False, at=NOON)
    )
    await log.append(former, NO_EVENTS, new_events(former, envelope(fresh_id()), claimed))
    assert (await refusal(register(shop, email))).reason == "EMAIL_TAKEN"


async def test_other_spellings_of_an_address_are_refused(shop: Shop) -> None:
    name = fresh_email().partition("@")[0]
    await register(shop, f"{name}@m\u00fcnchen.example")
    for spelling in (
        f"{name.upper()}@M\u00dcNCHEN.example.",
        f"{name}@xn--mnchen-3ya.example",
        f"{name}@mu\u0308nchen.example",
    ):
        assert (await refusal(register(shop, spelling))).reason == "EMAIL_TAKEN"


async def test_a_storm_of_changes_through_two_workers_never_gives_one_address_to_two(
    two: tuple[Shop, Shop], log: EventStore
) -> None:
    users = [await two[0].user() for _ in range(6)]
    emails = [fresh_email() for _ in range(4)]
    dice = random.Random(7)

    async def storm(shop: Shop) -> list[str]:
        reasons = []
        for _ in range(25):
            try:
                await change(shop, dice.choice(users), dice.choice(emails))
            except grpc.aio.AioRpcError as error:
                reasons.append(error.details() or "")
        return reasons

    refused = await asyncio.gather(*(storm(two[n % 2]) for n in range(8)))
    assert {reason.partition(":")[0] for reasons in refused for reason in reasons} <= {"EMAIL_TAKEN"}
    have = [email_hash(await email_of(log, user)) for user in users]
    assert len(set(have)) == len(have)
    # and what nobody has can be had
    free = [email for email in emails if email_hash(email) not in have]
    for email in free:
        await register(two[0], email)


async def test_a_user_with_twenty_addresses_is_one_short_stream(shop: Shop, log: EventStore) -> None:
    ann = await shop.user()
    for n in range(20):
        request = pb.AddAddressRequest(
            request_id=fresh_id(), user_id=ann, address_id=f"house-{n}", address=HOME, is_default=n == 19
        )
        reply = await shop.users.AddAddress(request, timeout=DEADLINE)
    assert reply.revision == 22  # registered, twenty added, the first and the last made the default
    assert len([event async for event in log.read(USER.stream(ann))]) == 23


async def test_a_service_that_starts_claims_the_addresses_of_users_who_have_no_claim_once(
    settings: Settings, log: EventStore
) -> None:
    email, ann = f"{fresh_email()}.", fresh_id()
    registered = UserRegistered(user_id=ann, email=email, name="Ann", at=NOON)
    await log.append(USER.stream(ann), NO_EVENTS, new_events(USER.stream(ann), envelope(fresh_id()), [registered]))

    async def claims() -> list[str]:
        return [event.type async for event in log.read(EMAIL.stream(email_hash(email)))]

    for _ in range(2):
        async with serving("commands", settings, port=0) as address, shop_at(address) as shop:
            assert await eventually(claims, bool) == ["EmailClaimed"]
            assert (await refusal(register(shop, email.removesuffix(".")))).reason == "EMAIL_TAKEN"
