"""`orderstream payments …`: record the actions of a payment provider for an order, and request refunds."""

from typing import Annotated

import typer

from client.cli.connect import Expected, RequestId, expecting
from client.cli.output import AsJson, to_money
from client.cli.shop import OrderId, send

payments = typer.Typer(no_args_is_help=True, help="Authorise, capture and refund what orders cost.")

AuthorisationId = Annotated[str, typer.Argument(help="A name for the authorisation, unique in the order.")]
CaptureId = Annotated[str, typer.Argument(help="A name for the capture, unique in the order.")]
RefundId = Annotated[str, typer.Argument(help="A name for the refund, unique in the order.")]
Amount = Annotated[str, typer.Argument(help="Like 12.34.")]
Currency = Annotated[str, typer.Option(help="ISO 4217, that of the order.")]
Why = Annotated[str, typer.Option(help="Free text.")]


@payments.command("authorise")
def authorise(
    order_id: OrderId,
    authorisation_id: AuthorisationId,
    amount: Amount,
    currency: Currency = "EUR",
    request_id: RequestId = "",
    expected_revision: Expected = None,
    as_json: AsJson = False,
) -> None:
    """Record that the provider holds an amount."""
    fields = {"order_id": order_id, "authorisation_id": authorisation_id, "amount": to_money(amount, currency)}
    send("orders", "RecordAuthorisation", as_json, **fields, request_id=request_id, **expecting(expected_revision))


@payments.command("fail")
def fail(
    order_id: OrderId,
    authorisation_id: AuthorisationId,
    reason: Why,
    request_id: RequestId = "",
    expected_revision: Expected = None,
    as_json: AsJson = False,
) -> None:
    """Record that the provider gave no authorisation."""
    fields = {"order_id": order_id, "authorisation_id": authorisation_id, "reason": reason, "request_id": request_id}
    send("orders", "RecordPaymentFailure", as_json, **fields, **expecting(expected_revision))


@payments.command("void")
def void(
    order_id: OrderId,
    authorisation_id: AuthorisationId,
    request_id: RequestId = "",
    expected_revision: Expected = None,
    as_json: AsJson = False,
) -> None:
    """Record that the provider has released an authorised amount."""
    fields = {"order_id": order_id, "authorisation_id": authorisation_id, "request_id": request_id}
    send("orders", "VoidAuthorisation", as_json, **fields, **expecting(expected_revision))


@payments.command("lapse")
def lapse(
    order_id: OrderId,
    authorisation_id: AuthorisationId,
    reason: Why,
    request_id: RequestId = "",
    expected_revision: Expected = None,
    as_json: AsJson = False,
) -> None:
    """Record that the provider does not hold an authorisation any more, or the rest of one that was captured in
    part.
    """
    fields = {"order_id": order_id, "authorisation_id": authorisation_id, "reason": reason, "request_id": request_id}
    send("orders", "RecordAuthorisationLapse", as_json, **fields, **expecting(expected_revision))


@payments.command("capture")
def capture(
    order_id: OrderId,
    authorisation_id: AuthorisationId,
    capture_id: CaptureId,
    amount: Amount,
    currency: Currency = "EUR",
    request_id: RequestId = "",
    expected_revision: Expected = None,
    as_json: AsJson = False,
) -> None:
    """Record that the provider has drawn an amount."""
    fields = {
        "order_id": order_id,
        "authorisation_id": authorisation_id,
        "capture_id": capture_id,
        "amount": to_money(amount, currency),
        "request_id": request_id,
    }
    send("orders", "CapturePayment", as_json, **fields, **expecting(expected_revision))


@payments.command("refund")
def refund(
    order_id: OrderId,
    refund_id: RefundId,
    amount: Amount,
    reason: Why,
    currency: Currency = "EUR",
    return_id: Annotated[
        str, typer.Option("--return", help="The received return that it pays; the process refunds no more for it then.")
    ] = "",
    request_id: RequestId = "",
    expected_revision: Expected = None,
    as_json: AsJson = False,
) -> None:
    """Request a refund; `settle` or `refund-failed` answers it."""
    fields = {
        "order_id": order_id,
        "refund_id": refund_id,
        "amount": to_money(amount, currency),
        "reason": reason,
        "return_id": return_id,
        "request_id": request_id,
    }
    send("orders", "RefundPayment", as_json, **fields, **expecting(expected_revision))


@payments.command("settle")
def settle(
    order_id: OrderId,
    refund_id: RefundId,
    request_id: RequestId = "",
    expected_revision: Expected = None,
    as_json: AsJson = False,
) -> None:
    """Record that the customer has received a refund."""
    fields = {"order_id": order_id, "refund_id": refund_id, "request_id": request_id}
    send("orders", "SettleRefund", as_json, **fields, **expecting(expected_revision))


@payments.command("refund-failed")
def refund_failed(
    order_id: OrderId,
    refund_id: RefundId,
    reason: Why,
    request_id: RequestId = "",
    expected_revision: Expected = None,
    as_json: AsJson = False,
) -> None:
    """Record that a refund was not paid out."""
    fields = {"order_id": order_id, "refund_id": refund_id, "reason": reason, "request_id": request_id}
    send("orders", "RecordRefundFailure", as_json, **fields, **expecting(expected_revision))
