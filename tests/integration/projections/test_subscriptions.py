"""What operators see of subscription groups and do with them, over a real log."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any
from uuid import uuid4

import grpc
import pytest
from esdbclient import NewEvent, StreamState

from core.eventstore.checkout_group import SETTINGS
from core.eventstore.connection import Client
from core.eventstore.log import EventLog
from core.eventstore.persistent import ALL, Groups
from core.security.ports import ports_of
from projections.app import call_guard
from projections.config import Settings
from projections.lifecycle.audit_log import STREAM, AuditLog
from projections.operations.subscription_service import SubscriptionAdmin
from protos.operations.v1 import subscriptions_pb2 as pb
from protos.operations.v1.subscriptions_pb2_grpc import (
    SubscriptionServiceStub,
    add_SubscriptionServiceServicer_to_server,
)
from tests.support.calling import refusal
from tests.support.eventually import eventually

DEADLINE = 20.0


@pytest.fixture
async def operators(client: Client) -> AsyncIterator[Any]:
    server = grpc.aio.server(interceptors=[call_guard(Settings(), ports_of(Settings()))])
    port = server.add_insecure_port("127.0.0.1:0")
    add_SubscriptionServiceServicer_to_server(SubscriptionAdmin(Groups(EventLog(client)), AuditLog(client)), server)
    await server.start()
    async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
        yield SubscriptionServiceStub(channel)
    await server.stop(None)


@pytest.fixture
def stream() -> str:
    return f"work-{uuid4()}"


async def add(client: Client, stream: str, count: int) -> None:
    events = [NewEvent(type=f"T{n}", data=b"{}") for n in range(count)]
    await client.append_to_stream(stream, current_version=StreamState.ANY, events=events)


async def park(client: Client, stream: str, count: int, group: str = "g") -> None:
    """The group gives up so many events, in order."""
    async with await client.read_subscription_to_stream(group, stream) as consumer:
        for _ in range(count):
            await consumer.nack(await anext(consumer), "park")
        await parked(client, stream, count, group)


async def parked(client: Client, stream: str, count: int, group: str = "g") -> None:
    async def so_many() -> bool:
        return bool((await Groups(EventLog(client)).one(stream, group)).info.parked_message_count == count)

    await eventually(so_many, within=DEADLINE)


CREATE, RESET, DELETE = pb.GROUP_CHANGE_CREATE, pb.GROUP_CHANGE_RESET, pb.GROUP_CHANGE_DELETE


async def changed(operators: Any, change: Any, **place: Any) -> Any:
    """Plan it and do it; the plan and the reply."""
    plan = await operators.PlanChange(pb.PlanChangeRequest(change=change, **place), timeout=DEADLINE)
    request = pb.ApplyChangeRequest(plan_id=plan.plan_id, change=change, reason="a test", **place)
    return plan, await operators.ApplyChange(request, timeout=DEADLINE)


async def test_a_group_is_created_reset_and_deleted_and_each_is_recorded(
    operators: Any, client: Client, stream: str
) -> None:
    await add(client, stream, 5)
    place: dict[str, Any] = {"source": stream, "group": "made"}
    plan, reply = await changed(operators, CREATE, **place)
    assert (plan.start, plan.events, plan.HasField("subscription")) == (0, 5, False)
    assert reply.subscription.max_retry_count == SETTINGS["max_retry_count"]
    again = pb.PlanChangeRequest(change=CREATE, **place)
    refused = await refusal(operators.PlanChange(again, timeout=DEADLINE))
    assert (refused.code, refused.reason) == (grpc.StatusCode.ALREADY_EXISTS, "SUBSCRIPTION_EXISTS")

    await park(client, stream, 2, "made")
    plan, reply = await changed(operators, RESET, **place, start=3)
    assert (plan.subscription.parked, plan.start, plan.events) == (2, 3, 2)
    async with await client.read_subscription_to_stream("made", stream) as consumer:
        assert (await anext(consumer)).stream_position == 3

    plan, reply = await changed(operators, DELETE, **place)
    assert not reply.HasField("subscription")
    asked = pb.GetSubscriptionRequest(source=stream, group="made")
    gone = await refusal(operators.GetSubscription(asked, timeout=DEADLINE))
    assert gone.reason == "SUBSCRIPTION_NOT_FOUND"
    acts = [one.act.act for one in await AuditLog(client).latest(3)]
    assert acts == ["DeleteSubscription", "ResetSubscription", "CreateSubscription"]


async def test_a_group_on_all_begins_with_the_event_at_or_before_any_position(
    operators: Any, client: Client, stream: str
) -> None:
    await add(client, stream, 3)
    second = [event async for event in client.events_of_stream(stream)][1]
    assert second.commit_position is not None
    typed = second.commit_position + 1  # no event lies there
    place = {"source": ALL, "group": f"all-{uuid4()}"}
    plan, _ = await changed(operators, CREATE, **place, start=typed)
    assert plan.start == second.commit_position
    async with await client.read_subscription_to_all(place["group"]) as consumer:
        assert (await anext(consumer)).id == second.id
    plan, _ = await changed(operators, RESET, **place, from_end=True)
    assert plan.events == 0
    await changed(operators, DELETE, **place)


async def test_a_plan_for_a_group_is_refused_when_more_is_parked(operators: Any, client: Client, given_up: str) -> None:
    plan = await operators.PlanChange(pb.PlanChangeRequest(change=DELETE, source=given_up, group="g"), timeout=DEADLINE)
    await add(client, given_up, 1)
    await park_more(client, given_up)
    request = pb.ApplyChangeRequest(plan_id=plan.plan_id, change=DELETE, source=given_up, group="g", reason="a test")
    assert (await refusal(operators.ApplyChange(request, timeout=DEADLINE))).reason == "PLAN_OUTDATED"


async def park_more(client: Client, stream: str) -> None:
    async with await client.read_subscription_to_stream("g", stream) as consumer:
        await consumer.nack(await anext(consumer), "park")
        await parked(client, stream, 6)


@pytest.fixture
async def given_up(client: Client, stream: str) -> str:
    """A group that has parked five events."""
    await add(client, stream, 5)
    await client.create_subscription_to_stream("g", stream)
    await park(client, stream, 5)
    return stream


async def test_a_group_reports_its_lag(client: Client, operators: Any, stream: str) -> None:
    await add(client, stream, 3)
    await client.create_subscription_to_stream("g", stream, max_retry_count=4)
    reported = (await operators.GetSubscription(pb.GetSubscriptionRequest(source=stream, group="g"))).subscription
    assert (reported.lag, reported.consumers, reported.parked, reported.max_retry_count) == (3, 0, 0, 4)
    async with await client.read_subscription_to_stream("g", stream) as consumer:
        for _ in range(2):
            await consumer.ack(await anext(consumer))

        async def one_is_left() -> bool:
            now = (await operators.GetSubscription(pb.GetSubscriptionRequest(source=stream, group="g"))).subscription
            return (now.lag, now.consumers, now.in_flight) == (1, 1, 1)

        await eventually(one_is_left, within=DEADLINE)


async def test_a_group_of_everything_is_replayed_too(client: Client, operators: Any, stream: str) -> None:
    group = f"everything-{uuid4()}"
    await client.create_subscription_to_all(
        group, from_end=True, filter_include=[f"{stream}.*"], filter_by_stream_name=True
    )
    await add(client, stream, 2)
    async with await client.read_subscription_to_all(group) as consumer:
        for _ in range(2):
            await consumer.nack(await anext(consumer), "park")
        await parked(client, ALL, 2, group)
        plan = await operators.PlanReplay(pb.PlanReplayRequest(source=ALL, group=group, limit=1))
        assert [(x.revision, x.stream) for x in plan.sample] == [(0, stream)]
        request = pb.ApplyReplayRequest(plan_id=plan.plan_id, source=ALL, group=group, limit=1, reason="once more")
        await operators.ApplyReplay(request)
        again = await asyncio.wait_for(anext(consumer), DEADLINE)
        assert (again.stream_name, again.stream_position) == (stream, 0)
        await consumer.ack(again)


async def test_every_group_is_listed_by_source_and_name(client: Client, operators: Any, stream: str) -> None:
    for group in ("b", "a"):
        await client.create_subscription_to_stream(group, stream)
    name = f"everything-{uuid4()}"
    await client.create_subscription_to_all(name, from_end=True)
    reported = (await operators.ListSubscriptions(pb.ListSubscriptionsRequest())).subscriptions
    names = [(x.source, x.group) for x in reported]
    assert names == sorted(names)
    assert {(ALL, name), (stream, "a"), (stream, "b")} <= set(names)


async def test_what_is_parked_is_listed_page_by_page(client: Client, operators: Any, given_up: str) -> None:
    request = pb.ListParkedEventsRequest(source=given_up, group="g", page_size=2)
    pages = []
    while True:
        page = await operators.ListParkedEvents(request)
        pages.append([(x.number, x.revision, x.stream, x.type) for x in page.events])
        assert all(x.parked_at.seconds and x.event_id for x in page.events)
        if not page.next_page_token:
            break
        request.page_token = page.next_page_token
    assert pages == [[(n, n, given_up, f"T{n}") for n in numbers] for numbers in ((0, 1), (2, 3), (4,))]


async def test_an_event_that_is_gone_is_reported_as_such(client: Client, operators: Any, given_up: str) -> None:
    await client.set_stream_metadata(given_up, metadata={"$tb": 2})
    reported = await operators.ListParkedEvents(pb.ListParkedEventsRequest(source=given_up, group="g"))
    assert [(x.revision, x.type) for x in reported.events] == [(0, ""), (1, ""), (2, "T2"), (3, "T3"), (4, "T4")]


async def test_a_plan_reports_what_a_replay_would_do_and_changes_nothing(
    client: Client, operators: Any, given_up: str
) -> None:
    plan = await operators.PlanReplay(pb.PlanReplayRequest(source=given_up, group="g", limit=2))
    assert (plan.events, plan.left, [x.revision for x in plan.sample]) == (2, 3, [0, 1])
    assert 0 < plan.oldest_parked_at.seconds <= plan.newest_parked_at.seconds
    await parked(client, given_up, 5)


async def test_a_plan_is_applied_up_to_its_limit_and_recorded(client: Client, operators: Any, given_up: str) -> None:
    where: dict[str, Any] = {"source": given_up, "group": "g", "limit": 2}
    plan = await operators.PlanReplay(pb.PlanReplayRequest(**where))
    request = pb.ApplyReplayRequest(plan_id=plan.plan_id, reason="the bug is fixed", **where)
    done = await operators.ApplyReplay(request, metadata=(("x-orderstream-actor", "ann"),))
    assert (done.events, done.subscription.parked) == (2, 3)
    async with await client.read_subscription_to_stream("g", given_up) as consumer:
        again = [await anext(consumer) for _ in range(2)]
        assert [event.stream_position for event in again] == [0, 1]
        for event in again:
            await consumer.ack(event)
    record = (await client.get_stream(STREAM, backwards=True, limit=1))[0].data
    for word in (b"ApplyReplay", b"ann", b"the bug is fixed", plan.plan_id.encode(), f"{given_up}::g".encode()):
        assert word in record


async def test_a_plan_is_refused_when_the_world_has_changed(client: Client, operators: Any, given_up: str) -> None:
    plan = await operators.PlanReplay(pb.PlanReplayRequest(source=given_up, group="g"))
    await add(client, given_up, 1)
    async with await client.read_subscription_to_stream("g", given_up) as consumer:
        await consumer.nack(await anext(consumer), "park")
        await parked(client, given_up, 6)
    request = pb.ApplyReplayRequest(plan_id=plan.plan_id, source=given_up, group="g", reason="again")
    refused = await refusal(operators.ApplyReplay(request))
    assert (refused.code, refused.reason) == (grpc.StatusCode.ABORTED, "PLAN_OUTDATED")
    current = await operators.PlanReplay(pb.PlanReplayRequest(source=given_up, group="g"))
    assert refused.metadata == {"plan_id": plan.plan_id, "current": current.plan_id}
    await parked(client, given_up, 6)


async def test_a_plan_is_applied_once(client: Client, operators: Any, given_up: str) -> None:
    plan = await operators.PlanReplay(pb.PlanReplayRequest(source=given_up, group="g"))
    request = pb.ApplyReplayRequest(plan_id=plan.plan_id, source=given_up, group="g", reason="again")
    await operators.ApplyReplay(request)
    assert (await refusal(operators.ApplyReplay(request))).reason == "PLAN_OUTDATED"


async def test_a_restart_drops_consumers_and_delivers_again_what_was_in_flight(
    client: Client, operators: Any, stream: str
) -> None:
    await add(client, stream, 1)
    await client.create_subscription_to_stream("g", stream)
    async with await client.read_subscription_to_stream("g", stream) as consumer:
        assert (await anext(consumer)).stream_position == 0
        done = await operators.RestartSubscriptions(pb.RestartSubscriptionsRequest(reason="it hangs"))
        assert stream in {x.source for x in done.subscriptions}
        with pytest.raises(Exception, match="was dropped"):
            await asyncio.wait_for(anext(consumer), DEADLINE)
    async with await client.read_subscription_to_stream("g", stream) as consumer:
        assert (await asyncio.wait_for(anext(consumer), DEADLINE)).stream_position == 0


@pytest.mark.parametrize("method", ["GetSubscription", "ListParkedEvents", "PlanReplay", "ApplyReplay"])
async def test_a_group_that_is_not_there_is_not_found(operators: Any, stream: str, method: str) -> None:
    request: Any = getattr(pb, f"{method}Request")(source=stream, group="g")
    if method == "ApplyReplay":
        request.reason = "why not"
    refused = await refusal(getattr(operators, method)(request))
    assert (refused.code, refused.reason) == (grpc.StatusCode.NOT_FOUND, "SUBSCRIPTION_NOT_FOUND")
    assert refused.metadata == {"source": stream, "group": "g"}


@pytest.mark.parametrize(
    ("method", "wrong", "fields"),
    [
        ("GetSubscription", {}, ("source", "group")),
        ("ListParkedEvents", {"source": "s", "group": "g", "page_size": -1}, ("page_size",)),
        ("PlanReplay", {"source": "s", "group": "g", "limit": -1}, ("limit",)),
        ("ApplyReplay", {"source": "s", "group": "g", "limit": -1, "reason": "again"}, ("limit",)),
    ],
)
async def test_bad_input_is_reported_field_by_field(
    operators: Any, method: str, wrong: dict[str, Any], fields: tuple[str, ...]
) -> None:
    refused = await refusal(getattr(operators, method)(getattr(pb, f"{method}Request")(**wrong)))
    assert (refused.code, refused.reason) == (grpc.StatusCode.INVALID_ARGUMENT, "FIELD_INVALID")
    assert set(refused.fields) == set(fields)


async def test_a_page_token_of_another_group_is_refused(client: Client, operators: Any, given_up: str) -> None:
    page = await operators.ListParkedEvents(pb.ListParkedEventsRequest(source=given_up, group="g", page_size=1))
    await client.create_subscription_to_stream("other", given_up)
    request = pb.ListParkedEventsRequest(source=given_up, group="other", page_token=page.next_page_token)
    refused = await refusal(operators.ListParkedEvents(request))
    assert (refused.code, refused.reason) == (grpc.StatusCode.INVALID_ARGUMENT, "PAGE_TOKEN_INVALID")
