"""One user per e-mail address: under races, across crashes, and never lost for ever."""

import asyncio
import random
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import NamedTuple

import grpc
import pytest

from protos.users.v1 import commands_pb2 as pb
from server.app import serving
from server.commands.emails import EmailClaims
from server.commands.handler import CommandHandler
from server.config import Settings
from server.domain.email import EMAIL
from server.domain.email.decide import ABANDONED_AFTER, email_hash
from server.domain.email.state import Claimed
from server.domain.rejection import Rejected
from server.domain.user import USER
from server.domain.user.commands import ChangeEmail
from server.domain.user.state import User
from server.eventstore.repository import Repository
from server.eventstore.snapshots import Snapshots
from server.eventstore.store import EventStore
from tests.support.calling import DEADLINE, HOME, Shop, fresh_email, fresh_id, refusal, shop_at
from tests.support.long_streams import envelope
from tests.support.orders import NOON

LATER = NOON + ABANDONED_AFTER


class Side(NamedTuple):
    """A command side of its own, that can be stopped between any two steps."""

    repository: Repository
    handler: CommandHandler
    emails: EmailClaims


@pytest.fixture
def side(log: EventStore) -> Side:
    repository = Repository(log, Snapshots(log, every=500))
    return Side(repository, CommandHandler(log, repository), EmailClaims(log, repository))


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


async def test_a_claim_whose_maker_died_before_using_it_is_taken_over_in_time(side: Side, shop: Shop) -> None:
    email, dead = fresh_email(), fresh_id()
    claims = side.emails.of(envelope(fresh_id()))
    await claims.take(email, dead)  # and nothing more

    hurried = side.emails.of(envelope(fresh_id()))
    with pytest.raises(Rejected, match="EMAIL_TAKEN"):
        await hurried.take(email, fresh_id())
    patient = side.emails.of(replace(envelope(fresh_id()), at=LATER))
    await patient.take(email, bob := fresh_id())
    claim = (await side.repository.load(EMAIL, EMAIL.stream(email_hash(email)), max_age=0)).state
    assert claim == Claimed(user_id=bob, at=LATER)


async def test_an_address_left_by_somebody_who_died_before_releasing_it_is_taken_over_in_time(
    side: Side, shop: Shop
) -> None:
    email = fresh_email()
    ann = await register(shop, email)

    async def leave(_: object) -> ChangeEmail:
        return ChangeEmail(user_id=ann, email=fresh_email(), at=NOON)

    await side.handler.handle(USER, ann, envelope(fresh_id()), leave)  # without a word to the claims
    claim = (await side.repository.load(EMAIL, EMAIL.stream(email_hash(email)), max_age=0)).state
    assert isinstance(claim, Claimed)
    in_five_minutes = replace(envelope(fresh_id()), at=claim.at + ABANDONED_AFTER)
    await side.emails.of(in_five_minutes).take(email, fresh_id())


async def test_an_address_in_use_is_not_taken_over_however_old_its_claim(side: Side, shop: Shop) -> None:
    email = fresh_email()
    await register(shop, email)
    a_century_later = replace(envelope(fresh_id()), at=NOON.replace(year=NOON.year + 100))
    with pytest.raises(Rejected, match="EMAIL_TAKEN"):
        await side.emails.of(a_century_later).take(email, fresh_id())


async def test_a_release_decided_before_a_newer_claim_does_not_undo_it(side: Side) -> None:
    email, ann = fresh_email(), fresh_id()
    leaving, returning = side.emails.of(envelope(fresh_id())), side.emails.of(envelope(fresh_id()))
    await leaving.take(email, ann)
    leaving = side.emails.of(envelope(fresh_id()))
    await leaving.leave(email, ann)
    await returning.take(email, ann)
    await leaving.done()
    with pytest.raises(Rejected, match="EMAIL_TAKEN"):
        await side.emails.of(envelope(fresh_id())).take(email, fresh_id())


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
