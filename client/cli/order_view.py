"""One order on a terminal."""

from collections.abc import Iterator

from client.cli.output import enum_name, money, out
from client.cli.tables import table
from protos.orders.v1.queries_pb2 import Unread, UnreadReason
from protos.orders.v1.types_pb2 import (
    FulfilmentStatus,
    Order,
    OrderStatus,
    PaymentStatus,
    RefundStatus,
    ReturnStage,
    ReturnStatus,
    ShipmentStatus,
)


def show_unread(unread: Unread) -> None:
    """A line that says that an order is shown as it was before an event, if it is."""
    if unread.events:
        why = enum_name(UnreadReason, unread.reason, "UNREAD_REASON_").replace("_", " ")
        event = f"revision {unread.revision} ({unread.event_type})"
        line = f"{event} cannot be read: {why}; {unread.events} events are not shown"
        out.print(line, style="yellow", highlight=False, markup=False, soft_wrap=True)


def show_order(order: Order) -> None:
    status = enum_name(OrderStatus, order.status, "ORDER_STATUS_")
    derived = [
        enum_name(FulfilmentStatus, order.fulfilment, "FULFILMENT_STATUS_"),
        enum_name(PaymentStatus, order.payment, "PAYMENT_STATUS_"),
    ]
    if order.returns:
        derived.append("returns " + enum_name(ReturnStatus, order.return_status, "RETURN_STATUS_"))
    statuses = ", ".join(derived).replace("_", " ")
    out.print(f"{order.order_id}  {status}, {statuses}, {money(order.total)}", style="bold")
    if order.hold_reason:
        out.print(f"on hold: {order.hold_reason}", style="yellow", highlight=False, markup=False, soft_wrap=True)
    lines = table(
        "line", "product", "name", "quantity", "price", "total", leave=("price", "product", "name"), texts=("name",)
    )
    for x in order.lines:
        lines.add_row(x.line_id, x.sku, x.name, str(x.quantity), money(x.unit_price), money(x.line_total))
    lines.show()
    for text in (*_prices(order), *_goods(order), *_money(order), *_notes(order)):
        out.print(text, markup=False, soft_wrap=True)


def _prices(order: Order) -> Iterator[str]:
    for discount in order.discounts:
        yield f"{discount.name}: -{money(discount.amount)}"
    for off in order.cancellations:
        yield f"cancelled, {off.quantity} of {off.line_id}: -{money(off.amount)}, {off.reason}"
    if order.HasField("shipping"):
        yield f"{order.shipping.method}: {money(order.shipping.price)}"


def _goods(order: Order) -> Iterator[str]:
    for parcel in order.shipments:
        stage = enum_name(ShipmentStatus, parcel.status, "SHIPMENT_STATUS_")
        why = f": {parcel.reason}" if parcel.reason else ""
        yield f"{parcel.shipment_id}: {stage} {parcel.carrier} {parcel.tracking_number}{why}"
    for back in order.returns:
        stage = enum_name(ReturnStage, back.stage, "RETURN_STAGE_")
        received = [(part.line_id, part.quantity) for part in back.received]
        received += [(part.line_id, part.quantity) for part in back.excess]
        parts = received or [(part.line_id, part.quantity) for part in back.requested]
        lines = ", ".join(f"{quantity} of {line_id}" for line_id, quantity in parts)
        yield f"return {back.return_id}: {stage}, {lines}: {back.reason}"
    for beyond in order.excess:
        yield f"with the customer beyond the order, {beyond.quantity} of {beyond.line_id}: {money(beyond.amount)}"


def _money(order: Order) -> Iterator[str]:
    if order.HasField("payments"):
        paid = order.payments
        sums = {"authorised": paid.authorised, "captured": paid.captured, "refunded": paid.refunded}
        if paid.owed.amount_minor:
            sums["owed to the customer"] = paid.owed
        yield ", ".join(f"{name} {money(amount)}" for name, amount in sums.items())
        for refund in paid.refunds:
            stage = enum_name(RefundStatus, refund.status, "REFUND_STATUS_")
            why = refund.failure_reason or refund.reason
            yield f"refund {refund.refund_id}: {stage}, {money(refund.amount)}: {why}"


def _notes(order: Order) -> Iterator[str]:
    for reason in (order.cancel_reason, order.reject_reason):
        if reason:
            yield f"because: {reason}"
    for note in order.notes:
        yield f"note {note.note_id}: {note.text}"
