"""An e-mail address that a former release gave to two users is found by `verify` and settled by an operator."""

from collections.abc import AsyncIterator, Awaitable, Iterator
from typing import Any

import pytest
from esdbclient import NewEvent, StreamState

from client.sdk import Addresses, OrderstreamClient, errors
from core.domain.email.events import EmailClaimed
from core.domain.email.normal_form import email_hash
from core.domain.user.events import UserRegistered
from core.eventstore import codec
from core.eventstore.connection import Client, connect
from core.eventstore.registry import BY_EVENT, DomainEvent
from protos.operations.v1.projections_pb2 import VerifyEmailsResult
from tests.support.calling import done_before, fresh_email, fresh_id
from tests.support.orders import LATER, NOON
from tests.support.processes import own_log, running
from tests.support.viewing import aggregate_id


@pytest.fixture(scope="module")
def environment(mongo_uri: str) -> Iterator[dict[str, str]]:
    """A log of its own: what `verify` finds is what a test wrote."""
    database = f"shared_{fresh_id().replace('-', '')}"
    with own_log(mongo_uri, database, ORDERSTREAM_VERIFY_AT_ONCE="3") as environment:
        yield environment


@pytest.fixture(scope="module")
def addresses(environment: dict[str, str]) -> Iterator[Addresses]:
    with (
        running("projections", "--port", "0", environment=environment) as projections,
        running("server", "commands", "--port", "0", environment=environment) as commands,
        running("server", "queries", "--port", "0", environment=environment) as queries,
    ):
        yield Addresses(
            commands=commands.ready["address"],
            queries=queries.ready["address"],
            projections=projections.ready["address"],
        )


@pytest.fixture
async def log(environment: dict[str, str]) -> AsyncIterator[Client]:
    client = await connect(environment["ORDERSTREAM_EVENTSTORE_URI"])
    yield client
    await client.close()


async def write(log: Client, *events: DomainEvent) -> None:
    for event in events:
        stream = f"{BY_EVENT[type(event)].category}-{aggregate_id(event)}"
        await log.append_to_stream(stream, current_version=StreamState.ANY, events=[NewEvent(*codec.encode(event))])


async def two_users(log: Client, email: str) -> tuple[str, str]:
    """As a former release did it: the second took over the claim of the first."""
    ann, bob, key = fresh_id(), fresh_id(), email_hash(email)
    await write(
        log,
        EmailClaimed(email_hash=key, user_id=ann, at=NOON),
        UserRegistered(user_id=ann, email=email, name="Ann", at=NOON),
        EmailClaimed(email_hash=key, user_id=bob, at=LATER),
        UserRegistered(user_id=bob, email=email.upper(), name="Bob", at=LATER),
    )
    return ann, bob


async def verdict(client: OrderstreamClient) -> VerifyEmailsResult:
    messages = [message async for message in client.operations.VerifyProjections()]
    [emails] = [message.emails for message in messages if message.HasField("emails")]
    return emails


async def resolve(client: OrderstreamClient, email: str, keep: str, *others: str, **named: Any) -> Any:
    key = email_hash(email)
    return await client.users.ResolveEmail(
        email_hash=key, keep_user_id=keep, other_user_ids=others, reason="Ann answered our mail", **named
    )


async def reason_of(call: Awaitable[Any]) -> str:
    with pytest.raises(errors.OrderstreamError) as refused:
        await call
    return refused.value.reason


async def test_an_address_of_two_users_is_found_and_settled(client: OrderstreamClient, log: Client) -> None:
    email, before = fresh_email(), await verdict(client)
    for _ in range(5):
        await client.users.RegisterUser(name="Coy", email=fresh_email())
    ann, bob = await two_users(log, email)

    found = await verdict(client)
    assert (found.users - before.users, found.shared - before.shared) == (7, 1)
    [shared] = [one for one in found.listed if one.email_hash == email_hash(email)]
    assert list(shared.user_ids) == [ann, bob]
    assert shared.resolve_command == f"orderstream users resolve-email {email_hash(email)} --keep USER_ID"

    plan = await client.users.GetEmailHolders(email=email)
    assert plan == await client.users.GetEmailHolders(email_hash=shared.email_hash)
    assert [one.user_id for one in plan.holders] == [ann, bob]
    assert (plan.claimed_by_user_id, plan.claim_revision) == (bob, 1)

    settled = await resolve(client, email, ann, bob, expected_revision=plan.claim_revision)
    assert (await verdict(client)).shared == before.shared
    after = await client.users.GetEmailHolders(email=email)
    assert ([one.user_id for one in after.holders], after.claimed_by_user_id) == ([ann], ann)
    kept, other = [
        (await client.users.GetUser(user_id=user_id, consistency_token=settled.consistency_token)).user
        for user_id in (ann, bob)
    ]
    assert (kept.email_change_required, other.email_change_required) == (False, True)


async def test_a_user_who_has_to_change_the_address_gets_another_but_not_that_one(
    client: OrderstreamClient, log: Client
) -> None:
    email = fresh_email()
    ann, bob = await two_users(log, email)
    await resolve(client, email, ann, bob)
    assert await reason_of(client.users.ChangeEmail(user_id=bob, email=email.upper())) == "EMAIL_TAKEN"
    assert await reason_of(client.users.RegisterUser(name="Coy", email=email)) == "EMAIL_TAKEN"
    await client.orders.CreateOrder(customer_id=bob, currency="EUR")  # everything else goes on
    changed = await client.users.ChangeEmail(user_id=bob, email=fresh_email())
    shown = (await client.users.GetUser(user_id=bob, consistency_token=changed.consistency_token)).user
    assert not shown.email_change_required


async def test_settling_is_on_the_record_of_the_address_and_of_the_other_user(
    log: Client, addresses: Addresses
) -> None:
    email = fresh_email()
    ann, bob = await two_users(log, email)
    async with OrderstreamClient(addresses, actor="olga") as operator:
        await resolve(operator, email, ann, bob)
    for stream, event_type in (
        (f"useremail-{email_hash(email)}", "EmailResolved"),
        (f"user-{bob}", "EmailChangeRequired"),
    ):
        [*_, newest] = await log.get_stream(stream)
        metadata = codec.decode_metadata(newest.metadata)
        assert metadata is not None
        assert (newest.type, metadata.actor) == (event_type, "olga")
        assert b'"reason":"Ann answered our mail"' in newest.data


async def test_a_repeat_changes_nothing_and_gets_the_first_answer(client: OrderstreamClient, log: Client) -> None:
    email, request_id = fresh_email(), fresh_id()
    ann, bob = await two_users(log, email)
    first = await resolve(client, email, ann, bob, request_id=request_id)
    assert await resolve(client, email, ann, bob, request_id=request_id) == done_before(first)
    assert [event.type for event in await log.get_stream(f"user-{bob}")] == ["UserRegistered", "EmailChangeRequired"]


async def test_a_plan_that_no_longer_holds_is_refused(client: OrderstreamClient, log: Client) -> None:
    email = fresh_email()
    ann, bob = await two_users(log, email)
    assert await reason_of(resolve(client, email, ann, bob, expected_revision=0)) == "REVISION_CONFLICT"
    await client.users.ChangeEmail(user_id=bob, email=fresh_email())
    assert await reason_of(resolve(client, email, ann, bob)) == "EMAIL_NOT_HELD"


async def test_an_address_is_asked_for_in_one_way_and_settled_between_two(client: OrderstreamClient) -> None:
    for call in (
        client.users.GetEmailHolders(),
        client.users.GetEmailHolders(email="a@example.org", email_hash="0" * 64),
        client.users.GetEmailHolders(email_hash="no"),
        resolve(client, "a@example.org", ann := fresh_id(), ann),
        resolve(client, "a@example.org", ann),
    ):
        assert await reason_of(call) == "FIELD_INVALID"
