"""What is answered fits into one message of gRPC."""

import pytest

from core.domain.address import LENGTHS
from core.domain.money import MAX_AMOUNT
from core.domain.order.limits import MAX_ENTRIES, MAX_LINES, MAX_UNITS
from core.domain.order.notes import MAX_NOTE_LENGTH
from core.failures import ReplyTooLarge
from core.rpc.call_guard import MAX_REPLY, _sendable
from protos.common.v1.types_pb2 import Address, Money
from protos.orders.v1 import queries_pb2 as pb
from protos.orders.v1 import types_pb2 as types
from server.queries.paging import MAX_PAGE, fitting

ID, LONG_ID, REASON = "i" * 64, "i" * 80, "r" * 500
MONEY = Money(amount_minor=MAX_AMOUNT, currency="EUR")
UNITS = types.LineQuantity(line_id=ID, quantity=MAX_UNITS)
DAMAGED = types.RETURN_CONDITION_DAMAGED
PARCELS, RETURNS = MAX_ENTRIES["shipments"], MAX_ENTRIES["returns"]
IN_PARCEL, IN_RETURN = MAX_ENTRIES["lines_of_shipments"] // PARCELS, MAX_ENTRIES["lines_of_returns"] // RETURNS


def payments() -> types.Payments:
    held = types.Authorisation(
        authorisation_id=ID,
        status=types.AUTHORISATION_STATUS_LAPSED,
        amount=MONEY,
        failure_reason=REASON,
        lapsed=MONEY,
    )
    drawn = types.Capture(capture_id=LONG_ID, authorisation_id=ID, amount=MONEY)
    back = types.Refund(
        refund_id=LONG_ID,
        status=types.REFUND_STATUS_FAILED,
        amount=MONEY,
        reason=REASON,
        failure_reason=REASON,
        return_id=ID,
    )
    return types.Payments(
        authorisations=[held] * MAX_ENTRIES["authorisations"],
        captures=[drawn] * MAX_ENTRIES["captures"],
        refunds=[back] * MAX_ENTRIES["refunds"],
    )


def largest_order() -> types.Order:
    """With as much of everything as an order takes, in ASCII; what came back, in both conditions."""
    line = types.OrderLine(
        line_id=ID, sku=ID, name="n" * 200, quantity=MAX_UNITS, unit_price=MONEY, line_total=MONEY, discount=MONEY
    )
    back = types.ReturnedLine(line_id=ID, sku=ID, quantity=MAX_UNITS, condition=DAMAGED)
    parcel = types.Shipment(
        shipment_id=ID,
        status=types.SHIPMENT_STATUS_RETURNED,
        lines=[UNITS] * IN_PARCEL,
        carrier="c" * 100,
        tracking_number="t" * 100,
        reason=REASON,
        returned=[back] * 2 * IN_PARCEL,
    )
    came = types.ReceivedLine(line_id=ID, sku=ID, quantity=MAX_UNITS, condition=DAMAGED, amount=MONEY)
    sent_back = types.Return(
        return_id=ID,
        stage=types.RETURN_STAGE_RECEIVED,
        requested=[UNITS] * IN_RETURN,
        received=[came] * 2 * IN_RETURN,
        reason=REASON,
        reject_reason=REASON,
    )
    off = types.LineCancellation(cancellation_id=ID, line_id=ID, quantity=MAX_UNITS, amount=MONEY, reason=REASON)
    return types.Order(
        order_id=ID,
        customer_id=ID,
        lines=[line] * MAX_LINES,
        shipping_address=Address(**{field: "a" * longest for field, (_, longest) in LENGTHS.items()}),
        shipments=[parcel] * PARCELS,
        cancel_reason=REASON,
        hold_reason=REASON,
        payments=payments(),
        reject_reason=REASON,
        discounts=[types.AppliedDiscount(discount_id=ID, name="d" * 100, amount=MONEY)] * MAX_ENTRIES["discounts"],
        cancellations=[off] * MAX_ENTRIES["cancellations"],
        returns=[sent_back] * RETURNS,
        notes=[types.Note(note_id=ID, text="x" * MAX_NOTE_LENGTH)] * MAX_ENTRIES["notes"],
    )


def test_the_largest_order_fits_into_one_message() -> None:
    reply = pb.GetOrderResponse(order=largest_order())
    assert MAX_REPLY // 2 < reply.ByteSize() < MAX_REPLY - 100_000
    assert _sendable(reply) is reply


def test_what_does_not_fit_is_refused_with_a_reason() -> None:
    with pytest.raises(ReplyTooLarge) as refused:
        _sendable(pb.DiffOrderResponse(entries=[pb.HistoryEntry(data_json="x" * MAX_REPLY)]))
    assert refused.value.metadata["most"] == str(MAX_REPLY)


def test_a_page_ends_where_it_is_full() -> None:
    entry = pb.HistoryEntry(data_json="x" * (MAX_PAGE // 4))
    assert fitting([entry] * 10) == 3
    assert fitting([entry] * 2) == 2
    assert fitting([]) == 0


def test_a_page_has_an_entry_even_if_that_is_large() -> None:
    assert fitting([pb.HistoryEntry(data_json="x" * MAX_PAGE)] * 2) == 1
