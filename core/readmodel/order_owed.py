"""What an order owes its customer, and what the customer has beyond the order, from the document that shows the order:
the rules are the domain's.
"""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from core.domain.money import Money
from core.domain.order import owed
from core.domain.order.events import Condition, LineQuantity, OrderLine, ReceivedLine, ReturnedLine
from core.domain.order.ledger import NO_MONEY, Capture, Ledger, Refund, RefundStage
from core.domain.order.state import Cancellation, Cancelled, Completed, Return, ReturnStage, Shipment, ShipmentStage

Document = Mapping[str, Any]

SOLD = ("CONFIRMED", "COMPLETED")
ENDED = ("CANCELLED", "REJECTED", "EXPIRED")


def owed_minor(document: Document, total_minor: int) -> int:
    """`total_minor` is what the order costs. A placed order owes nothing: its goods are still to be sent."""
    if document["status"] in SOLD:
        return owed.in_all(_sold(document, total_minor))
    return owed.refundable(_ledger(document)) if document["status"] in ENDED else 0


def excess(document: Document) -> list[owed.Excess]:
    if not any(x["status"] == ShipmentStage.DELIVERED for x in document["shipments"]):
        return []
    currency, cancelled = document["currency"], document["status"] == Cancelled.status
    fields = _common(document, currency, NO_MONEY)
    no_total = Money(amount_minor=0, currency=currency)
    return owed.excess_goods(Cancelled(**fields) if cancelled else Completed(total=no_total, **fields))


def _sold(document: Document, total_minor: int) -> Completed:
    """They do not distinguish a confirmed order from a completed one."""
    total = Money(amount_minor=total_minor, currency=document["currency"])
    return Completed(total=total, **_common(document, total.currency, _ledger(document)))


def _common(document: Document, currency: str, payments: Ledger) -> dict[str, Any]:
    """The fields of an order that the rules need, by name."""
    placed_at = datetime.fromtimestamp(document["placed_at"] / 1e6, UTC)
    return {
        "order_id": "",
        "customer_id": document["customer_id"],
        "currency": currency,
        "lines": tuple(_line(x, currency) for x in document["lines"]),
        "placed_at": placed_at,
        "expires_at": placed_at,
        "payments": payments,
        "shipments": tuple(
            Shipment(shipment_id=x["shipment_id"], lines=_parts(x["lines"]), stage=ShipmentStage(x["status"]))
            for x in document["shipments"]
        ),
        "cancellations": tuple(
            Cancellation(cancellation_id=x["cancellation_id"], line_id=x["line_id"], quantity=x["quantity"])
            for x in document.get("cancellations", ())
        ),
        "returns": tuple(_return(x, currency) for x in document.get("returns", ())),
    }


def _line(row: Document, currency: str) -> OrderLine:
    price = Money(amount_minor=row["price_minor"], currency=currency)
    return OrderLine(
        line_id=row["line_id"],
        sku=row["sku"],
        name=row["name"],
        quantity=row["quantity"],
        unit_price=price,
        line_total=price.times(row["quantity"]),
        discount=Money(amount_minor=row.get("discount_minor", 0), currency=currency),
    )


def _return(row: Document, currency: str) -> Return:
    return Return(
        return_id=row["return_id"],
        requested=_parts(row["requested"]),
        stage=ReturnStage(row["stage"]),
        received=tuple(
            ReceivedLine(
                line_id=x["line_id"],
                sku=x["sku"],
                quantity=x["quantity"],
                condition=Condition(x["condition"]),
                amount=Money(amount_minor=x["amount_minor"], currency=currency),
            )
            for x in row["received"]
        ),
        excess=tuple(
            ReturnedLine(
                line_id=x["line_id"], sku=x["sku"], quantity=x["quantity"], condition=Condition(x["condition"])
            )
            for x in row.get("excess", ())
        ),
    )


def _parts(rows: list[Document]) -> tuple[LineQuantity, ...]:
    return tuple(LineQuantity(line_id=x["line_id"], quantity=x["quantity"]) for x in rows)


def _ledger(document: Document) -> Ledger:
    """Authorised money is omitted: nothing is owed for it."""
    payments = document["payments"]
    return Ledger(
        authorisation_limit_minor=0,
        captures=tuple(
            Capture(capture_id=x["capture_id"], authorisation_id=x["authorisation_id"], amount_minor=x["amount_minor"])
            for x in payments["captures"]
        ),
        refunds=tuple(
            Refund(
                refund_id=x["refund_id"],
                amount_minor=x["amount_minor"],
                stage=RefundStage(x["status"]),
                return_id=x.get("pays", x.get("return_id", "")),
            )
            for x in payments["refunds"]
        ),
    )
