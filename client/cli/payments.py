"""`orderstream payments …`: record the actions of a payment provider for an order, and request refunds."""

from typing import Annotated

import typer

from client.cli.output import to_money
from client.cli.sending import Fields, sends
from client.cli.shop import OrderId, Reason

payments = typer.Typer(no_args_is_help=True, help="Authorise, capture and refund what orders cost.")

AuthorisationId = Annotated[str, typer.Argument(help="A name for the authorisation, unique in the order.")]
CaptureId = Annotated[str, typer.Argument(help="A name for the capture, unique in the order.")]
RefundId = Annotated[str, typer.Argument(help="A name for the refund, unique in the order.")]
Amount = Annotated[str, typer.Argument(help="Like 12.34.")]
Currency = Annotated[str, typer.Option(help="ISO 4217, that of the order.")]


@sends(payments, "orders", "authorise", "RecordAuthorisation")
def authorise(
    order_id: OrderId, authorisation_id: AuthorisationId, amount: Amount, currency: Currency = "EUR"
) -> Fields:
    """Record that the provider holds an amount."""
    return {"order_id": order_id, "authorisation_id": authorisation_id, "amount": to_money(amount, currency)}


@sends(payments, "orders", "fail", "RecordPaymentFailure")
def fail(order_id: OrderId, authorisation_id: AuthorisationId, reason: Reason) -> None:
    """Record that the provider gave no authorisation."""


@sends(payments, "orders", "void", "VoidAuthorisation")
def void(order_id: OrderId, authorisation_id: AuthorisationId) -> None:
    """Record that the provider has released an authorised amount."""


@sends(payments, "orders", "lapse", "RecordAuthorisationLapse")
def lapse(order_id: OrderId, authorisation_id: AuthorisationId, reason: Reason) -> None:
    """Record that the provider does not hold an authorisation any more, or the rest of one that was captured in
    part.
    """


@sends(payments, "orders", "capture", "CapturePayment")
def capture(
    order_id: OrderId,
    authorisation_id: AuthorisationId,
    capture_id: CaptureId,
    amount: Amount,
    currency: Currency = "EUR",
) -> Fields:
    """Record that the provider has drawn an amount."""
    return {
        "order_id": order_id,
        "authorisation_id": authorisation_id,
        "capture_id": capture_id,
        "amount": to_money(amount, currency),
    }


@sends(payments, "orders", "refund", "RefundPayment")
def refund(
    order_id: OrderId,
    refund_id: RefundId,
    amount: Amount,
    reason: Reason,
    currency: Currency = "EUR",
    return_id: Annotated[
        str, typer.Option("--return", help="The received return that it pays; the process refunds no more for it then.")
    ] = "",
) -> Fields:
    """Request a refund; `settle` or `refund-failed` answers it."""
    return {
        "order_id": order_id,
        "refund_id": refund_id,
        "amount": to_money(amount, currency),
        "reason": reason,
        "return_id": return_id,
    }


@sends(payments, "orders", "settle", "SettleRefund")
def settle(order_id: OrderId, refund_id: RefundId) -> None:
    """Record that the customer has received a refund."""


@sends(payments, "orders", "refund-failed", "RecordRefundFailure")
def refund_failed(order_id: OrderId, refund_id: RefundId, reason: Reason) -> None:
    """Record that a refund was not paid out."""
