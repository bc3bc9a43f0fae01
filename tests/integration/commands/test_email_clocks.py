"""One user per e-mail address, whatever the clocks of the command services say."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from datetime import UTC, datetime, timedelta

import grpc
import pytest

from core.config import Settings
from core.domain.email.normal_form import email_hash
from core.domain.user import USER
from core.domain.user.state import User
from core.eventstore.repository import Repository
from core.eventstore.snapshots import Snapshots
from core.eventstore.store import EventStore
from protos.users.v1 import commands_pb2 as pb
from server.app import serving
from tests.support.calling import DEADLINE, Shop, fresh_email, fresh_id, refusal, shop_at

FIVE_MINUTES, TWO_HOURS = timedelta(minutes=5), timedelta(hours=2)

ShopWithClock = Callable[[timedelta], AbstractAsyncContextManager[Shop]]


@pytest.fixture
def service(settings: Settings) -> ShopWithClock:
    """A command service with a cold cache, whose clock is ahead of ours by so much."""

    @asynccontextmanager
    async def start(ahead: timedelta) -> AsyncIterator[Shop]:
        def clock() -> datetime:
            return datetime.now(UTC) + ahead

        async with serving("commands", settings, port=0, clock=clock) as address, shop_at(address) as shop:
            yield shop

    return start


async def register(shop: Shop, email: str) -> str:
    request = pb.RegisterUserRequest(request_id=fresh_id(), name="Ann", email=email)
    return str((await shop.users.RegisterUser(request, timeout=DEADLINE)).user_id)


async def change(shop: Shop, user_id: str, email: str) -> str:
    request = pb.ChangeEmailRequest(request_id=fresh_id(), user_id=user_id, email=email)
    await shop.users.ChangeEmail(request, timeout=DEADLINE)
    return user_id


async def holders(log: EventStore, user_ids: list[str]) -> Counter[str]:
    """How many of the users have each address, by the log."""
    repository = Repository(log, Snapshots(log, every=500))
    states = [(await repository.load(USER, USER.stream(user_id))).state for user_id in user_ids]
    return Counter(email_hash(state.email) for state in states if isinstance(state, User))


async def test_an_address_is_not_free_again_five_minutes_after_it_was_registered(
    settings: Settings,
) -> None:
    """Through the same service, which still remembers the claim."""
    times = [datetime.now(UTC)]
    async with serving("commands", settings, port=0, clock=lambda: times[-1]) as address, shop_at(address) as shop:
        email = fresh_email()
        await register(shop, email)
        times.append(times[-1] + FIVE_MINUTES)
        assert (await refusal(register(shop, email))).reason == "EMAIL_TAKEN"
        assert (await refusal(change(shop, await shop.user(), email))).reason == "EMAIL_TAKEN"


async def test_an_address_is_not_free_for_a_service_that_starts_later_with_a_clock_ahead(
    service: ShopWithClock,
) -> None:
    email = fresh_email()
    async with service(timedelta(0)) as shop:
        await register(shop, email)
    async with service(TWO_HOURS) as later:
        assert (await refusal(register(later, email))).reason == "EMAIL_TAKEN"


@pytest.mark.parametrize("apart", [FIVE_MINUTES, TWO_HOURS], ids=["five minutes", "two hours"])
async def test_forty_addresses_through_two_services_whose_clocks_differ_get_one_user_each(
    service: ShopWithClock, log: EventStore, apart: timedelta
) -> None:
    async with service(timedelta(0)) as shop, service(apart) as other:
        emails = [fresh_email() for _ in range(40)]
        answers = await asyncio.gather(
            *(register(one, email) for email in emails for one in (shop, other)), return_exceptions=True
        )
    users = [answer for answer in answers if isinstance(answer, str)]
    assert await holders(log, users) == Counter({email_hash(email): 1 for email in emails})


@pytest.mark.parametrize("warm", [True, False], ids=["warm caches", "cold caches"])
async def test_of_three_hundred_at_once_through_two_services_with_wrong_clocks_one_gets_it(
    service: ShopWithClock, log: EventStore, warm: bool
) -> None:
    email = fresh_email()
    async with AsyncExitStack() as services:
        shops = [await services.enter_async_context(service(ahead)) for ahead in (-TWO_HOURS, TWO_HOURS)]
        users = [await shop.user() for shop in shops for _ in range(5)]
        if warm:  # both services remember that the address had a user and is free
            await register(shops[0], email)
            for shop in shops:
                assert (await refusal(register(shop, email))).reason == "EMAIL_TAKEN"
            email = fresh_email()
            for shop in shops:
                await change(shop, users[0], email)
                await change(shop, users[0], fresh_email())
        registrations = [register(shops[n % 2], email) for n in range(290)]
        changes = [change(shops[n % 2], user, email) for n, user in enumerate(users)]
        answers = await asyncio.gather(*registrations, *changes, return_exceptions=True)
    refused = [answer for answer in answers if not isinstance(answer, str)]
    assert all(isinstance(answer, grpc.aio.AioRpcError) for answer in refused), refused
    candidates = {answer for answer in answers if isinstance(answer, str)} | set(users)
    assert (await holders(log, sorted(candidates)))[email_hash(email)] == 1
    assert len(answers) - len(refused) == 1
