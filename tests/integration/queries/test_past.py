"""Orders at every moment of their past, from the log."""

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest
from google.protobuf.timestamp_pb2 import Timestamp
from hypothesis import given, settings

from client.sdk import Addresses, OrderstreamClient, errors
from core.domain.order import ORDER
from core.domain.order.events import NoteAdded, OrderEvent
from core.domain.order.notes import MAX_NOTE_LENGTH
from core.eventstore.connection import connect
from core.eventstore.consistency_token import to_token
from core.readmodel.views.order_detail import order_detail
from core.rpc.call_guard import MAX_REPLY
from protos.orders.v1.queries_pb2 import Moment
from protos.orders.v1.types_pb2 import LineQuantity, OrderStatus, ReceivedQuantity, ReturnCondition
from server.queries.mapping import order
from tests.support.buying import orders
from tests.support.calling import euros, fresh_id
from tests.support.orders import created
from tests.support.sequences import lived, sequences
from tests.support.viewing import recorded
from tests.support.views import append


async def a_life(client: OrderstreamClient) -> tuple[str, list[bytes]]:
    """An order that went from draft to delivery, back, and to its end; and what GetOrder said after every command."""
    _, [order_id], token = await orders(client, 1)
    seen = []

    async def look(token: str) -> None:
        order = (await client.orders.GetOrder(order_id=order_id, consistency_token=token)).order
        seen.append(order.SerializeToString(deterministic=True))

    await look(token)
    line_id = (await client.orders.GetOrder(order_id=order_id, consistency_token=token)).order.lines[0].line_id
    one, good = LineQuantity(line_id=line_id, quantity=1), ReturnCondition.RETURN_CONDITION_RESALEABLE
    back = ReceivedQuantity(line_id=line_id, quantity=1, condition=good)
    steps: list[tuple[str, dict[str, Any]]] = [
        ("ConfirmOrder", {}),
        ("CreateShipment", {"shipment_id": "s1", "lines": [LineQuantity(line_id=line_id, quantity=2)]}),
        ("DispatchShipment", {"shipment_id": "s1", "carrier": "DHL", "tracking_number": "1"}),
        ("ConfirmDelivery", {"shipment_id": "s1"}),
        ("RecordPaymentFailure", {"authorisation_id": "a1", "reason": "declined"}),
        ("RecordAuthorisation", {"authorisation_id": "a2", "amount": euros(700)}),
        ("CapturePayment", {"capture_id": "c1", "authorisation_id": "a2", "amount": euros(700)}),
        ("RequestReturn", {"return_id": "r1", "lines": [one], "reason": "too strong"}),
        ("ApproveReturn", {"return_id": "r1"}),
        ("ReceiveReturn", {"return_id": "r1", "lines": [back]}),
        ("RefundPayment", {"refund_id": "f1", "amount": euros(350), "reason": "came back", "return_id": "r1"}),
        ("SettleRefund", {"refund_id": "f1"}),
        ("AddNote", {"note_id": "n1", "text": "Prefers milder tea."}),
        ("CompleteOrder", {}),
    ]
    for rpc, fields in steps:
        done = await getattr(client.orders, rpc)(order_id=order_id, **fields)
        await look(done.consistency_token)
    return order_id, seen


async def test_every_revision_is_what_the_view_showed_at_that_moment(client: OrderstreamClient) -> None:
    order_id, seen = await a_life(client)
    assert len(set(seen)) == len(seen)
    for revision, shown in enumerate(seen, start=3):  # 0 to 2: created, line, address
        then = (await client.orders.GetOrder(order_id=order_id, as_of=Moment(revision=revision))).order
        assert then.revision == revision
        assert then.SerializeToString(deterministic=True) == shown


async def test_a_time_shows_what_the_log_had_by_then(client: OrderstreamClient) -> None:
    order_id, _ = await a_life(client)
    entries = (await client.orders.GetOrderHistory(order_id=order_id)).entries
    for entry in entries:
        then = (await client.orders.GetOrder(order_id=order_id, as_of=Moment(time=entry.recorded_at))).order
        by_then = [e.revision for e in entries if e.recorded_at.ToNanoseconds() <= entry.recorded_at.ToNanoseconds()]
        assert then.revision == max(by_then)
    with pytest.raises(errors.NotFound):
        await client.orders.GetOrder(order_id=order_id, as_of=Moment(time=Timestamp(seconds=1)))


async def test_a_diff_reports_the_fields_and_the_events(client: OrderstreamClient) -> None:
    order_id, _ = await a_life(client)
    diff = await client.orders.DiffOrder(order_id=order_id, since=Moment(revision=3), until=Moment(revision=6))
    received = {change.path: (change.before_json, change.after_json) for change in diff.changes}
    assert received["status"] == ('"ORDER_STATUS_PLACED"', '"ORDER_STATUS_CONFIRMED"')
    assert received["shipments[s1].carrier"] == ("", '"DHL"')
    assert not {path for path in received if path.startswith("lines")}
    assert [entry.event_type for entry in diff.entries] == ["OrderConfirmed", "ShipmentCreated", "ShipmentDispatched"]


async def test_a_diff_of_everything_begins_with_nothing(client: OrderstreamClient) -> None:
    order_id, _ = await a_life(client)
    diff = await client.orders.DiffOrder(order_id=order_id)
    assert {change.before_json for change in diff.changes} == {""}
    assert [entry.revision for entry in diff.entries] == list(range(len(diff.entries)))
    same = await client.orders.DiffOrder(order_id=order_id, since=Moment(revision=4), until=Moment(revision=4))
    assert not same.changes
    assert not same.entries


async def test_a_diff_comes_in_pages_that_together_are_the_whole(client: OrderstreamClient) -> None:
    order_id, _ = await a_life(client)
    whole = await client.orders.DiffOrder(order_id=order_id)
    pages = [page async for page in client.orders.pages("DiffOrder", order_id=order_id, page_size=7)]
    assert {len(page.changes) + len(page.entries) for page in pages[:-1]} == {7}
    assert [change for page in pages for change in page.changes] == list(whole.changes)
    assert [entry for page in pages for entry in page.entries] == list(whole.entries)


async def test_the_pages_of_a_diff_are_of_the_same_two_moments(client: OrderstreamClient) -> None:
    order_id, _ = await a_life(client)
    whole = await client.orders.DiffOrder(order_id=order_id)
    first = await client.orders.DiffOrder(order_id=order_id, page_size=1)
    await client.orders.AddNote(order_id=order_id, note_id="n2", text="Came later.")
    rest = await client.orders.DiffOrder(order_id=order_id, page_token=first.next_page_token)
    assert [*first.changes, *rest.changes] == list(whole.changes)
    assert list(rest.entries) == list(whole.entries)


async def test_a_diff_that_one_reply_cannot_hold_comes_in_several(
    client: OrderstreamClient, eventstore_uri: str
) -> None:
    order_id, log = fresh_id(), await connect(eventstore_uri)
    text = "茶" * MAX_NOTE_LENGTH
    at, notes = created().at, range(400)
    await append(log, [replace(created(), order_id=order_id)])
    for note in notes[::100]:
        some = [NoteAdded(order_id=order_id, note_id=f"n{n}", text=text, at=at) for n in range(note, note + 100)]
        await append(log, some)
    await log.close()
    pages = [page async for page in client.orders.pages("DiffOrder", order_id=order_id)]
    assert sum(page.ByteSize() for page in pages) > MAX_REPLY
    assert max(page.ByteSize() for page in pages) <= MAX_REPLY
    assert [entry.revision for page in pages for entry in page.entries] == list(range(len(notes) + 1))


async def test_moments_that_are_none_are_refused(client: OrderstreamClient) -> None:
    _, [order_id], token = await orders(client, 1)
    with pytest.raises(errors.InvalidRequest, match="last revision is 3"):
        await client.orders.GetOrder(order_id=order_id, as_of=Moment(revision=4))
    with pytest.raises(errors.InvalidRequest, match="needs a revision or a time"):
        await client.orders.GetOrder(order_id=order_id, as_of=Moment())
    with pytest.raises(errors.InvalidRequest, match=r"as_of\.time"):
        await client.orders.GetOrder(order_id=order_id, as_of=Moment(time=Timestamp(seconds=10**15)))
    with pytest.raises(errors.InvalidRequest, match="consistency_token"):
        await client.orders.GetOrder(order_id=order_id, as_of=Moment(revision=0), consistency_token="elsewhere")
    with pytest.raises(errors.InvalidRequest, match="before since"):
        await client.orders.DiffOrder(order_id=order_id, since=Moment(revision=2), until=Moment(revision=1))
    with pytest.raises(errors.NotFound):
        await client.orders.DiffOrder(order_id=fresh_id())
    order = (await client.orders.GetOrder(order_id=order_id, consistency_token=token)).order
    assert OrderStatus.Name(order.status) == "ORDER_STATUS_PLACED"


@settings(max_examples=15, deadline=None)
@given(sequences())
def test_whatever_happened_to_an_order_it_is_at_each_revision_what_its_events_until_then_fold_to(
    addresses: Addresses, eventstore_uri: str, sequence: list[Any]
) -> None:
    asyncio.run(_every_prefix(addresses, eventstore_uri, lived(sequence)))


async def _every_prefix(addresses: Addresses, eventstore_uri: str, history: Sequence[OrderEvent]) -> None:
    if not history:
        return
    order_id = fresh_id()
    events = [replace(event, order_id=order_id) for event in history]
    log = await connect(eventstore_uri)
    async with OrderstreamClient(addresses, deadline=20.0) as client:
        token = to_token(await append(log, events))
        for revision in range(len(events)):
            then = (await client.orders.GetOrder(order_id=order_id, as_of=Moment(revision=revision))).order
            document = order_detail.fold(None, recorded(events[: revision + 1]))
            assert then == order({"_id": order_id, **(document or {})})
            state = ORDER.fold(events[: revision + 1])
            assert OrderStatus.Name(then.status) == f"ORDER_STATUS_{state.status}"
        now = (await client.orders.GetOrder(order_id=order_id, consistency_token=token)).order
        assert now == then, "and the view shows the last of them"
    await log.close()
