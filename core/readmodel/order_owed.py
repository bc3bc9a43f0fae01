"""What an order owes its customer, from the document that shows the order: the rules are the domain's."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from core.domain.money import Money
from core.domain.order import owed
from core.domain.order.events import Condition, LineQuantity, OrderLine, ReceivedLine
from core.domain.order.ledger import Capture, Ledger, Refund, RefundStage
from core.domain.order.state import Cancellation, Completed, Return, ReturnStage, Shipment, ShipmentStage

Document = Mapping[str, Any]

SOLD = ("CONFIRMED", "COMPLETED")
ENDED = ("CANCELLED", "REJECTED", "EXPIRED")


def owed_minor(document: Document, total_minor: int) -> int:
    """`total_minor` is what the order costs. A placed order owes nothing: its goods are still to be sent."""
    if document["status"] in SOLD:
        return owed.in_all(_sold(document, total_minor))
    return owed.refundable(_ledger(document)) if document["status"] in ENDED else 0


def _sold(document: Document, total_minor: int) -> Completed:
    """The fields of the order that the rules need; they do not distinguish a confirmed order from a completed one."""
    currency = document["currency"]
    placed_at = datetime.fromtimestamp(document["placed_at"] / 1e6, UTC)
    return Completed(
        order_id="",
        customer_id=document["customer_id"],
        currency=currency,
        lines=tuple(_line(x, currency) for x in document["lines"]),
        total=Money(amount_minor=total_minor, currency=currency),
        placed_at=placed_at,
        expires_at=placed_at,
        payments=_ledger(document),
        shipments=tuple(
            Shipment(shipment_id=x["shipment_id"], lines=_parts(x["lines"]), stage=ShipmentStage(x["status"]))
            for x in document["shipments"]
        ),
        cancellations=tuple(
            Cancellation(cancellation_id=x["cancellation_id"], line_id=x["line_id"], quantity=x["quantity"])
            for x in document.get("cancellations", ())
        ),
        returns=tuple(_return(x, currency) for x in document.get("returns", ())),
    )


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
