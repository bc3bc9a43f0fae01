"""Maps documents to messages."""

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

from google.protobuf.timestamp_pb2 import Timestamp

from core.readmodel.documents import PaymentSums, discount_amounts, fulfilment, payment, returned, to_micros
from core.readmodel.email_holders import Holder
from core.readmodel.order_owed import excess, owed_minor
from core.readmodel.views.order_list import row_returns
from protos.common.v1.types_pb2 import Address, Money
from protos.orders.v1 import queries_pb2 as orders_queries
from protos.orders.v1 import types_pb2 as orders
from protos.processes.v1 import types_pb2 as processes
from protos.products.v1 import types_pb2 as products
from protos.users.v1 import queries_pb2 as users_queries
from protos.users.v1 import types_pb2 as users

Document = dict[str, Any]


def timestamp(micros: int | None) -> Timestamp | None:
    if micros is None:
        return None
    stamp = Timestamp()
    stamp.FromMicroseconds(micros)
    return stamp


def order(document: Document) -> orders.Order:
    currency, lines, parcels = document["currency"], document["lines"], document["shipments"]
    cancellations, returns = document.get("cancellations", []), document.get("returns", [])
    units = _units(lines) - _units(cancellations)
    gone = sum(x["amount_minor"] for x in cancellations)
    discounts, shipping = document.get("discounts", []), document.get("shipping")
    goods = _goods(lines)
    off = discount_amounts(goods, discounts)
    total = _money(goods - sum(off) - gone + (shipping["price_minor"] if shipping else 0), currency)
    return orders.Order(
        order_id=document["_id"],
        customer_id=document["customer_id"],
        status=_order_status(document["status"]),
        fulfilment=_fulfilment(
            _by_line(lines) - _by_line(cancellations), [(_by_line(x["lines"]), x["status"]) for x in parcels]
        ),
        currency=currency,
        lines=[_line(line, currency) for line in lines],
        total=total,
        shipping_address=Address(**document["address"]) if document["address"] else None,
        shipments=[_shipment(parcel) for parcel in parcels],
        created_at=timestamp(document["created_at"]),
        placed_at=timestamp(document["placed_at"]),
        updated_at=timestamp(document["updated_at"]),
        expires_at=timestamp(document["expires_at"]),
        cancel_reason=document["cancel_reason"],
        hold_reason=document.get("hold_reason", ""),
        revision=document["revision"],
        payment=_payment(total, _sums(document.get("payments")), document["placed_at"]),
        payments=_payments(document["payments"], currency, owed_minor(document, total.amount_minor))
        if "payments" in document
        else None,
        reject_reason=document.get("reject_reason", ""),
        goods_total=_money(goods, currency),
        discount_total=_money(sum(off), currency),
        discounts=[
            orders.AppliedDiscount(
                discount_id=x["discount_id"],
                name=x["name"],
                amount=_money(amount, currency),
            )
            for x, amount in zip(discounts, off, strict=True)
        ],
        shipping=None
        if shipping is None
        else orders.ShippingMethod(method=shipping["method"], price=_money(shipping["price_minor"], currency)),
        cancelled_total=_money(gone, currency),
        cancellations=[_cancellation(x, currency) for x in cancellations],
        return_status=_return_status(units, sum(_units(x["received"]) for x in returns), [x["stage"] for x in returns]),
        returns=[_return(x, currency) for x in returns],
        notes=[
            orders.Note(note_id=x["note_id"], text=x["text"], at=timestamp(x["at"])) for x in document.get("notes", [])
        ],
        excess=[
            orders.Excess(line_id=x.line_id, sku=x.sku, quantity=x.quantity, amount=_money(x.amount_minor, currency))
            for x in excess(document)
        ],
    )


def order_summary(row: Document, unread: str = "") -> orders.OrderSummary:
    units = _units(row["lines"]) - row.get("cancelled_units", 0)
    goods = _goods(row["lines"])
    off = sum(discount_amounts(goods, row.get("discounts", [])))
    total = _money(goods - off - row.get("cancelled_minor", 0) + row.get("shipping_minor", 0), row["currency"])
    return orders.OrderSummary(
        order_id=row["_id"],
        customer_id=row["customer_id"],
        status=_order_status(row["status"]),
        total=total,
        line_count=len(row["lines"]),
        created_at=timestamp(row["created_at"]),
        placed_at=timestamp(row["placed_at"]),
        fulfilment=_fulfilment(*_goods_of_row(row)),
        payment=_payment(total, row.get("payments"), row["placed_at"]),
        return_status=_return_status(units, row.get("returned_units", 0), [x["stage"] for x in row_returns(row)]),
        unread=unread,
    )


def summary_of(order: orders.Order) -> orders.OrderSummary:
    """The row of an order in order_list."""
    same = ("order_id", "customer_id", "status", "total", "created_at", "fulfilment", "payment", "return_status")
    return orders.OrderSummary(
        **{name: getattr(order, name) for name in same},
        line_count=len(order.lines),
        placed_at=order.placed_at if order.HasField("placed_at") else None,
    )


def product(row: Document) -> products.Product:
    return products.Product(
        sku=row["_id"],
        name=row["name"],
        price=Money(amount_minor=row["price_minor"], currency=row["currency"]),
        status=products.ProductStatus.Value(f"PRODUCT_STATUS_{row['status']}"),
        updated_at=timestamp(row["updated_at"]),
        revision=row["revision"],
    )


def stock(level: Document) -> products.Stock:
    return products.Stock(
        sku=level["_id"],
        on_hand=level["on_hand"],
        reserved=level["reserved"],
        available=level["available"],
        open_reservations=level["open_reservations"],
        updated_at=timestamp(level["updated_at"]),
        revision=level["revision"],
    )


def process(row: Document, unread: str = "") -> processes.Process:
    return processes.Process(
        order_id=row["_id"],
        status=processes.ProcessStatus.Value(f"PROCESS_STATUS_{row['status']}"),
        **{name: row[name] for name in ("step", "subject", "reason", "attempt", "confirmed", "outcome", "failures")},
        retry_at=timestamp(row["retry_at"]),
        deadline=timestamp(row["deadline"]),
        started_at=timestamp(row["started_at"]),
        updated_at=timestamp(row["updated_at"]),
        revision=row["revision"],
        unread=unread,
    )


def user(document: Document) -> users.User:
    return users.User(
        user_id=document["_id"],
        email=document["email"],
        name=document["name"],
        blocked=document["blocked"],
        block_reason=document["block_reason"],
        registered_at=timestamp(document["registered_at"]),
        updated_at=timestamp(document["updated_at"]),
        revision=document["revision"],
        addresses=[
            users.UserAddress(address_id=x["address_id"], address=Address(**x["address"]))
            for x in document.get("addresses", [])
        ],
        default_address_id=document.get("default_address", ""),
        email_change_required=document.get("email_change_required", False),
    )


def email_holder(holder: Holder) -> users_queries.EmailHolder:
    return users_queries.EmailHolder(user_id=holder.user_id, since=timestamp(to_micros(holder.since)))


def timeline_entry(row: Document) -> orders_queries.TimelineEntry:
    amount = row["amount_minor"]
    return orders_queries.TimelineEntry(
        revision=row["revision"],
        at=timestamp(row["at"]),
        step=row["step"],
        subject_id=row["subject"],
        units=row["units"],
        amount=None if amount is None else Money(amount_minor=amount, currency=row["currency"]),
        text=row["text"],
    )


def sales_day(document: Document) -> orders_queries.SalesDay:
    return orders_queries.SalesDay(
        **{name: value for name, value in document.items() if name not in ("_id", "position")}
    )


def _line(line: Document, currency: str) -> orders.OrderLine:
    return orders.OrderLine(
        line_id=line["line_id"],
        sku=line["sku"],
        name=line["name"],
        quantity=line["quantity"],
        unit_price=Money(amount_minor=line["price_minor"], currency=currency),
        line_total=Money(amount_minor=line["price_minor"] * line["quantity"], currency=currency),
        discount=_money(line.get("discount_minor", 0), currency),
    )


def _shipment(parcel: Document) -> orders.Shipment:
    return orders.Shipment(
        shipment_id=parcel["shipment_id"],
        status=orders.ShipmentStatus.Value(f"SHIPMENT_STATUS_{parcel['status']}"),
        lines=[orders.LineQuantity(line_id=x["line_id"], quantity=x["quantity"]) for x in parcel["lines"]],
        carrier=parcel["carrier"],
        tracking_number=parcel["tracking_number"],
        reason=parcel.get("reason", ""),
        returned=[_returned_line(x) for x in parcel.get("returned", [])],
    )


def _returned_line(row: Document) -> orders.ReturnedLine:
    return orders.ReturnedLine(
        line_id=row["line_id"],
        sku=row["sku"],
        quantity=row["quantity"],
        condition=orders.ReturnCondition.Value(row["condition"]),
    )


def _payments(payments: Document, currency: str, owed_minor: int) -> orders.Payments:
    sums = _sums(payments)
    return orders.Payments(
        authorisations=[
            orders.Authorisation(
                authorisation_id=x["authorisation_id"],
                status=orders.AuthorisationStatus.Value(f"AUTHORISATION_STATUS_{x['status']}"),
                amount=_money(x["amount_minor"], currency),
                failure_reason=x["failure_reason"],
                lapsed=_money(_undrawn(payments, x), currency) if x["status"] == "LAPSED" else None,
            )
            for x in payments["authorisations"]
        ],
        captures=[
            orders.Capture(
                capture_id=x["capture_id"],
                authorisation_id=x["authorisation_id"],
                amount=_money(x["amount_minor"], currency),
            )
            for x in payments["captures"]
        ],
        refunds=[
            orders.Refund(
                refund_id=x["refund_id"],
                status=orders.RefundStatus.Value(f"REFUND_STATUS_{x['status']}"),
                amount=_money(x["amount_minor"], currency),
                reason=x["reason"],
                failure_reason=x["failure_reason"],
                return_id=x.get("return_id", ""),
            )
            for x in payments["refunds"]
        ],
        authorised=_money(sums["authorised_minor"], currency),
        captured=_money(sums["captured_minor"], currency),
        refunded=_money(sums["refunded_minor"], currency),
        owed=_money(owed_minor, currency),
    )


def _undrawn(payments: Document, authorisation: Document) -> int:
    drawn = (x for x in payments["captures"] if x["authorisation_id"] == authorisation["authorisation_id"])
    left: int = authorisation["amount_minor"] - sum(x["amount_minor"] for x in drawn)
    return left


def _sums(payments: Document | None) -> PaymentSums:
    """The fields of an order that a row of order_list keeps."""
    known = payments or {"authorisations": [], "captures": [], "refunds": []}
    stages = [x["status"] for x in known["authorisations"]]
    given = [x for x in known["authorisations"] if x["status"] in ("AUTHORISED", "LAPSED")]
    lapsed = sum(_undrawn(known, x) for x in given if x["status"] == "LAPSED")
    return {
        "authorised_minor": sum(x["amount_minor"] for x in given) - lapsed,
        "captured_minor": sum(x["amount_minor"] for x in known["captures"]),
        "refunded_minor": sum(x["amount_minor"] for x in known["refunds"] if x["status"] == "SETTLED"),
        "voided": stages.count("VOIDED"),
        "failed": stages.count("FAILED"),
        "lapsed": stages.count("LAPSED"),
    }


def _payment(total: Money, sums: PaymentSums | None, placed_at: int | None) -> orders.PaymentStatus.ValueType:
    status = payment(total.amount_minor, sums, placed=placed_at is not None)
    return orders.PaymentStatus.Value(f"PAYMENT_STATUS_{status}")


def _cancellation(row: Document, currency: str) -> orders.LineCancellation:
    return orders.LineCancellation(
        cancellation_id=row["cancellation_id"],
        line_id=row["line_id"],
        quantity=row["quantity"],
        amount=_money(row["amount_minor"], currency),
        reason=row["reason"],
    )


def _return(row: Document, currency: str) -> orders.Return:
    return orders.Return(
        return_id=row["return_id"],
        stage=orders.ReturnStage.Value(f"RETURN_STAGE_{row['stage']}"),
        requested=[orders.LineQuantity(line_id=x["line_id"], quantity=x["quantity"]) for x in row["requested"]],
        received=[
            orders.ReceivedLine(
                line_id=x["line_id"],
                sku=x["sku"],
                quantity=x["quantity"],
                condition=orders.ReturnCondition.Value(x["condition"]),
                amount=_money(x["amount_minor"], currency),
            )
            for x in row["received"]
        ],
        reason=row["reason"],
        reject_reason=row["reject_reason"],
        excess=[_returned_line(x) for x in row.get("excess", [])],
    )


def _return_status(units: int, back: int, stages: Iterable[str]) -> orders.ReturnStatus.ValueType:
    return orders.ReturnStatus.Value(f"RETURN_STATUS_{returned(units, back, stages)}")


def _order_status(name: str) -> orders.OrderStatus.ValueType:
    return orders.OrderStatus.Value(f"ORDER_STATUS_{name}")


def _goods_of_row(row: Document) -> tuple[Counter[str], Sequence[tuple[Counter[str], str]]]:
    """The kept units of an order, and those of its parcels with their status: by line, or in one sum if a former
    release has stored the row. Then no line has more units than were ordered.
    """
    parcels, cancelled = row["parcels"], row.get("cancelled_lines", [])
    if any("lines" not in x for x in parcels) or bool(cancelled) != ("cancelled_units" in row):
        units = _units(row["lines"]) - row.get("cancelled_units", 0)
        return Counter({"": units}), [(Counter({"": x["units"]}), x["status"]) for x in parcels]
    kept = _by_line(row["lines"]) - _by_line(cancelled, "units")
    return kept, [(_by_line(x["lines"], "units"), x["status"]) for x in parcels]


def _fulfilment(kept: Counter[str], parcels: Sequence[tuple[Counter[str], str]]) -> orders.FulfilmentStatus.ValueType:
    dispatched, delivered = Counter[str](), Counter[str]()
    for parts, status in parcels:
        if status in ("DISPATCHED", "DELIVERED", "REFUSED"):
            dispatched += parts
        if status == "DELIVERED":
            delivered += parts
    return orders.FulfilmentStatus.Value(f"FULFILMENT_STATUS_{fulfilment(kept, dispatched, delivered)}")


def _by_line(parts: list[Document], units: str = "quantity") -> Counter[str]:
    """line_id → units."""
    found = Counter[str]()
    for part in parts:
        found[part["line_id"]] += part[units]
    return found


def _units(parts: list[Document]) -> int:
    return sum(part["quantity"] for part in parts)


def _goods(lines: list[Document]) -> int:
    return sum(line["price_minor"] * line["quantity"] for line in lines)


def _money(amount_minor: int, currency: str) -> Money:
    """A draft's sum may be larger than an amount can be; the draft cannot be placed then."""
    return Money(amount_minor=min(amount_minor, 2**63 - 1), currency=currency)
