"""An event that this code cannot read stops its own order only, says so, and can be excluded by one act."""

from collections.abc import Callable
from contextlib import aclosing
from dataclasses import replace
from typing import Any

import pytest

from client.sdk import OrderstreamClient, errors
from core.eventstore import codec
from core.eventstore.store import EventStore
from protos.common.v1.types_pb2 import Money
from protos.orders.v1 import queries_pb2 as pb
from protos.orders.v1.commands_pb2 import NewLine
from protos.orders.v1.types_pb2 import ORDER_STATUS_CONFIRMED
from tests.support.buying import product, user
from tests.support.calling import HOME
from tests.support.eventually import eventually
from tests.support.newer_release import NEWER
from tests.support.orders import cancelled
from tests.support.unreadable import another_id, exclude, last_of, put, put_broken, put_newer

UNKNOWN, MALFORMED = pb.UNREAD_REASON_UNKNOWN_TYPE, pb.UNREAD_REASON_MALFORMED


async def draft(shop: OrderstreamClient, sku: str = "") -> str:
    made = await shop.orders.CreateOrder(
        customer_id=await user(shop),
        currency="EUR",
        lines=[NewLine(sku=sku or await product(shop), quantity=2)],
        shipping_address=HOME,
    )
    return str(made.order_id)


def stream_of(order_id: str) -> str:
    return f"order-{order_id}"


async def note(shop: OrderstreamClient, order_id: str, note_id: str = "n1", **more: Any) -> Any:
    return await shop.orders.AddNote(order_id=order_id, note_id=note_id, text="tea", **more)


async def excluded(shop: OrderstreamClient, stream: str, revision: int, **how: Any) -> Any:
    """By the operator's act, as the command line does it."""
    plan = await shop.exclusions.PlanExclusion(stream=stream, revision=revision, **how)
    return await shop.exclusions.ApplyExclusion(
        stream=stream, revision=revision, plan_id=plan.plan_id, reason="written by a broken tool", **how
    )


async def shown(
    shop: OrderstreamClient, order_id: str, until: Callable[[pb.GetOrderResponse], bool]
) -> pb.GetOrderResponse:
    """What the view shows of the order, once it is so."""

    async def look() -> pb.GetOrderResponse:
        try:
            return await shop.orders.GetOrder(order_id=order_id)
        except errors.NotFound:
            return pb.GetOrderResponse()

    return await eventually(look, until)


class TestCommands:
    async def test_an_unknown_type_is_answered_with_its_name_and_a_retry(
        self, shop: OrderstreamClient, log: EventStore
    ) -> None:
        order_id, other = await draft(shop), await draft(shop)
        newer = await put_newer(log, stream_of(order_id))
        with pytest.raises(errors.Unavailable) as refused:
            await note(shop, order_id)
        assert refused.value.reason == "EVENT_TYPE_UNKNOWN"
        assert refused.value.metadata == {
            "stream": stream_of(order_id),
            "revision": str(newer.stream_position),
            "event_type": NEWER,
        }
        assert "a newer version wrote" in str(refused.value)
        await note(shop, other)

    async def test_a_malformed_event_is_answered_with_what_an_operator_can_do(
        self, shop: OrderstreamClient, log: EventStore
    ) -> None:
        order_id = await draft(shop)
        broken = await put_broken(log, stream_of(order_id))
        with pytest.raises(errors.Refused) as refused:
            await note(shop, order_id)
        assert refused.value.reason == "EVENT_MALFORMED"
        remedy = f"PlanExclusion (orderstream events exclude {stream_of(order_id)} {broken.stream_position})"
        assert refused.value.metadata["remedy"] == remedy

    async def test_an_event_of_another_kind_of_aggregate_is_malformed(
        self, shop: OrderstreamClient, log: EventStore
    ) -> None:
        order_id = await draft(shop)
        await put(log, stream_of(order_id), "ProductActivated", b'{"sku": "tea", "at": "2024-01-01T00:00:00Z"}')
        with pytest.raises(errors.Refused) as refused:
            await note(shop, order_id)
        assert refused.value.reason == "EVENT_MALFORMED"

    async def test_a_product_that_cannot_be_read_stops_no_order_of_others(
        self, shop: OrderstreamClient, log: EventStore
    ) -> None:
        bad, good = await product(shop), await product(shop)
        stopped, other = await draft(shop, bad), await draft(shop, good)
        await put_newer(log, f"product-{bad}")
        await shop.products.ChangePrice(sku=good, price=Money(amount_minor=350, currency="EUR"))
        await shop.orders.PlaceOrder(order_id=other)
        with pytest.raises(errors.Unavailable) as refused:
            await shop.orders.PlaceOrder(order_id=stopped)
        assert refused.value.reason == "EVENT_TYPE_UNKNOWN"

    async def test_an_exclusion_names_stream_revision_and_event_id(
        self, shop: OrderstreamClient, log: EventStore
    ) -> None:
        order_id = await draft(shop)
        broken = await put_broken(log, stream_of(order_id))
        await exclude(log, broken, revision=broken.stream_position - 1)
        await exclude(log, broken, event_id=another_id())
        with pytest.raises(errors.Refused):
            await note(shop, order_id)
        await exclude(log, broken)
        await note(shop, order_id)

    async def test_an_event_that_can_be_read_is_never_left_out(self, shop: OrderstreamClient, log: EventStore) -> None:
        order_id = await draft(shop)
        await note(shop, order_id)
        await exclude(log, await last_of(log, stream_of(order_id)))
        await put_broken(log, stream_of(order_id))
        await exclude(log, await last_of(log, stream_of(order_id)))
        before = await last_of(log, stream_of(order_id))
        await note(shop, order_id)  # the same note: nothing to do, since the first one counts
        assert (await last_of(log, stream_of(order_id))).id == before.id


class TestReads:
    async def test_the_past_is_shown_up_to_the_event_and_says_so(
        self, shop: OrderstreamClient, log: EventStore
    ) -> None:
        order_id = await draft(shop)
        newer = await put_newer(log, stream_of(order_id))
        await put(
            log, stream_of(order_id), "OrderHeld", b'{"order_id": "x", "reason": "r", "at": "2024-01-01T00:00:00Z"}'
        )
        at = newer.stream_position
        complete = await shop.orders.GetOrder(order_id=order_id, as_of=pb.Moment(revision=at - 1))
        assert not complete.HasField("unread")
        cut = await shop.orders.GetOrder(order_id=order_id, as_of=pb.Moment(revision=at + 1))
        assert cut.order.SerializeToString() == complete.order.SerializeToString()
        assert cut.unread == pb.Unread(revision=at, event_type=NEWER, reason=UNKNOWN, events=2)
        diff = await shop.orders.DiffOrder(order_id=order_id, since=pb.Moment(revision=at - 1))
        assert (list(diff.changes), diff.unread.events) == ([], 2)
        assert [entry.unread for entry in diff.entries] == [UNKNOWN, pb.UNREAD_REASON_UNSPECIFIED]
        history = await shop.orders.GetOrderHistory(order_id=order_id)
        assert [entry.unread for entry in history.entries][at:] == [UNKNOWN, pb.UNREAD_REASON_UNSPECIFIED]

    async def test_the_view_shows_what_it_knows_and_says_so(self, shop: OrderstreamClient, log: EventStore) -> None:
        order_id = await draft(shop)
        newer = await put_newer(log, stream_of(order_id))

        at = newer.stream_position
        found = await shown(shop, order_id, lambda now: now.HasField("unread") and now.order.revision == at - 1)
        assert found.unread == pb.Unread(revision=at, event_type=NEWER, reason=UNKNOWN, events=1)

    async def test_a_list_of_orders_says_which_are_not_shown_to_their_end(
        self, shop: OrderstreamClient, log: EventStore
    ) -> None:
        order_id = await draft(shop)
        drafted = await shop.orders.GetOrder(order_id=order_id, as_of=pb.Moment(revision=0))
        customer = drafted.order.customer_id
        made = await shop.orders.CreateOrder(customer_id=customer, currency="EUR")
        newer = await put_newer(log, stream_of(order_id))

        async def listed() -> dict[str, str]:
            found = await shop.orders.ListOrders(customer_id=customer, consistency_token=made.consistency_token)
            return {order.order_id: order.unread for order in found.orders}

        reported = await eventually(listed, lambda now: any(now.values()))
        assert f"{NEWER} {newer.stream_position}@{stream_of(order_id)}" in reported[order_id]
        assert reported[made.order_id] == ""
        recent = (await shop.orders.GetCustomerOrders(customer_id=customer)).recent
        assert {order.order_id: order.unread for order in recent} == reported

    async def test_an_order_of_which_nothing_can_be_read_is_refused_with_the_reason(
        self, shop: OrderstreamClient, log: EventStore
    ) -> None:
        order_id = str(another_id())
        await put_newer(log, stream_of(order_id))
        with pytest.raises(errors.Unavailable) as refused:
            await shop.orders.GetOrder(order_id=order_id, as_of=pb.Moment(revision=0))
        assert refused.value.reason == "EVENT_TYPE_UNKNOWN"

    async def test_a_watch_reports_the_event_and_goes_on_with_other_orders(
        self, shop: OrderstreamClient, log: EventStore
    ) -> None:
        order_id, other = await draft(shop), await draft(shop)
        at = (await last_of(log, stream_of(order_id))).stream_position + 1
        async with (
            aclosing(shop.orders.WatchOrder(order_id=order_id)) as one,  # type: ignore[type-var]  # it is a generator
            aclosing(shop.orders.WatchOrders()) as all_of_them,  # type: ignore[type-var]  # the same
        ):
            first = await anext(one)
            assert (first.snapshot.revision, first.HasField("unread")) == (at - 1, False)
            async for message in all_of_them:
                if message.HasField("snapshot") and message.snapshot.complete:
                    break
            await put_newer(log, stream_of(order_id))
            await put_newer(log, stream_of(order_id))
            await note(shop, other)
            changes = [message async for message in take(one, 2)]
            assert [(x.change.order.revision, x.unread.revision, x.unread.events) for x in changes] == [
                (at - 1, at, 1),
                (at - 1, at, 2),
            ]
            assert [x.change.entry.event_type for x in changes] == [NEWER, NEWER]
            reported = [x.change async for x in take(all_of_them, 3, order_id, other)]
            assert [(x.order.order_id, x.unread.events) for x in reported] == [(order_id, 1), (order_id, 2), (other, 0)]
        async with aclosing(shop.orders.WatchOrder(order_id=order_id)) as again:  # type: ignore[type-var]  # the same
            snapshot = await anext(again)
            assert (snapshot.snapshot.revision, snapshot.unread.events) == (at - 1, 2)


class TestExclusion:
    async def test_one_act_excludes_the_event_for_commands_reads_views_and_verify(
        self, shop: OrderstreamClient, log: EventStore
    ) -> None:
        order_id = await draft(shop)
        stream = stream_of(order_id)
        broken = await put_broken(log, stream)

        async def parked() -> int:
            found = await shop.operations.ListParkedStreams(view="order_timeline", max_streams=1000)
            return sum(one.stream == stream for one in found.streams)

        await eventually(parked, lambda now: now == 1)
        done = (await excluded(shop, stream, broken.stream_position)).exclusion
        assert (done.event_type, done.actor, done.reason) == ("NoteAdded", "ann", "written by a broken tool")
        assert "MalformedEvent" in done.error
        await eventually(parked, lambda now: now == 0)

        written = await note(shop, order_id)
        assert written.revision == broken.stream_position + 1
        now = await shown(shop, order_id, lambda now: now.order.revision == written.revision)
        assert [x.note_id for x in now.order.notes] == ["n1"]
        assert not now.HasField("unread")
        past = await shop.orders.GetOrder(order_id=order_id, as_of=pb.Moment(revision=written.revision))
        assert past.order == now.order
        entries = (await shop.orders.GetOrderHistory(order_id=order_id)).entries
        assert entries[broken.stream_position].unread == pb.UNREAD_REASON_EXCLUDED
        nodes = (await shop.orders.GetOrderHistory(order_id=order_id, as_tree=True)).nodes
        reported = {node.event.entry.revision: node.event.entry.unread for node in nodes if node.event.stream == stream}
        assert reported[broken.stream_position] == pb.UNREAD_REASON_EXCLUDED, "and so in the tree of what caused what"
        checked = [x async for x in shop.operations.VerifyProjections(views=["order_detail"], deadline=60.0)]
        [result] = [x.result for x in checked if x.HasField("result")]
        assert stream not in [one.key for one in result.listed]
        assert order_id not in [one.key for one in result.listed]

    async def test_the_act_is_on_record_and_listed(self, shop: OrderstreamClient, log: EventStore) -> None:
        stream = stream_of(await draft(shop))
        broken = await put_broken(log, stream)
        await excluded(shop, stream, broken.stream_position)
        act = (await shop.operations.ListActs(max_acts=1)).acts[0].act
        assert (act.act, act.subject, act.actor) == ("ApplyExclusion", stream, "ann")
        for listed in (await shop.exclusions.ListExclusions(stream=stream), await shop.exclusions.ListExclusions()):
            assert (listed.exclusions[0].stream, listed.exclusions[0].event_id) == (stream, str(broken.id))

    async def test_what_can_be_read_or_is_excluded_or_is_not_there_is_refused(
        self, shop: OrderstreamClient, log: EventStore
    ) -> None:
        stream = stream_of(await draft(shop))
        broken = await put_broken(log, stream)
        await excluded(shop, stream, broken.stream_position)
        cases = {
            (stream, 0): "EVENT_READABLE",
            (stream, broken.stream_position): "EVENT_EXCLUDED",
            (stream, broken.stream_position + 1): "EVENT_NOT_FOUND",
            ("elsewhere-1", 0): "FIELD_INVALID",
        }
        for (name, revision), reason in cases.items():
            with pytest.raises(errors.OrderstreamError) as refused:
                await shop.exclusions.PlanExclusion(stream=name, revision=revision)
            assert refused.value.reason == reason

    async def test_an_unknown_type_is_excluded_only_if_that_is_said(
        self, shop: OrderstreamClient, log: EventStore
    ) -> None:
        order_id = await draft(shop)
        newer = await put_newer(log, stream_of(order_id))
        with pytest.raises(errors.Refused) as refused:
            await excluded(shop, stream_of(order_id), newer.stream_position)
        assert refused.value.reason == "EVENT_MAY_BE_NEWER"
        await excluded(shop, stream_of(order_id), newer.stream_position, unknown_type=True)
        await note(shop, order_id)

    async def test_a_plan_holds_until_something_else_cannot_be_read(
        self, shop: OrderstreamClient, log: EventStore
    ) -> None:
        stream = stream_of(await draft(shop))
        broken = await put_broken(log, stream)
        plan = await shop.exclusions.PlanExclusion(stream=stream, revision=broken.stream_position)
        await put_broken(log, stream)
        with pytest.raises(errors.Conflict) as refused:
            await shop.exclusions.ApplyExclusion(
                stream=stream, revision=broken.stream_position, plan_id=plan.plan_id, reason="a test"
            )
        assert refused.value.reason == "PLAN_OUTDATED"


class TestProcesses:
    async def test_an_order_that_cannot_be_read_is_visible_and_goes_on_after_the_exclusion(
        self, shop: OrderstreamClient, log: EventStore
    ) -> None:
        sku = await product(shop)
        await shop.products.ReceiveStock(sku=sku, quantity=10)
        order_id = await draft(shop, sku)
        stream, process_stream = stream_of(order_id), f"checkout-{order_id}"
        await shop.orders.PlaceOrder(order_id=order_id)

        await shown(shop, order_id, lambda now: now.order.status == ORDER_STATUS_CONFIRMED)
        broken = await put_broken(log, stream)
        await put(log, stream, *codec.encode(replace(cancelled(), order_id=order_id)))  # the process has to give back

        async def unread() -> str:
            found = [x async for page in pages(shop) for x in page.processes if x.order_id == order_id]
            return found[0].unread if found else ""

        named = f"NoteAdded {broken.stream_position}@{stream}: MalformedEvent"
        assert (await eventually(unread)).startswith(named)
        one = (await shop.processes.GetProcess(order_id=order_id)).process
        assert one.unread.startswith(named)

        async def parked() -> int:
            groups = (await shop.subscriptions.ListSubscriptions()).subscriptions
            return sum(one.parked for one in groups if one.group == "checkout")

        await eventually(parked, lambda now: now >= 1)
        delivered = await types_in(log, process_stream)
        await excluded(shop, stream, broken.stream_position)
        await eventually(lambda: types_in(log, process_stream), lambda types: "CheckoutEnded" in types)
        assert "CheckoutEnded" not in delivered
        await eventually(unread, lambda now: not now)


def pages(shop: OrderstreamClient) -> Any:
    return shop.processes.pages("ListProcesses", page_size=1000)


async def types_in(log: EventStore, stream: str) -> list[str]:
    return [event.type async for event in log.read(stream)]


async def take(messages: Any, number: int, *order_ids: str) -> Any:
    """So many messages with a change, of these orders if any are named; what was there before the watch is left out."""
    async for message in messages:
        entry = message.change.entry
        if entry.event_type in (NEWER, "NoteAdded") and (not order_ids or message.change.order.order_id in order_ids):
            yield message
            number -= 1
        if not number:
            return
