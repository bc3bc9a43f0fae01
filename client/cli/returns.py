"""`orderstream returns …`: returns of customers."""

from typing import Annotated

import typer

from client.cli.connect import Expected, RequestId, expecting
from client.cli.output import AsJson
from client.cli.shop import OrderId, quantities, received, send
from protos.orders.v1.types_pb2 import LineQuantity

returns = typer.Typer(no_args_is_help=True, help="What customers send back.")

ReturnId = Annotated[str, typer.Argument(help="A name for the return, unique in the order.")]
Why = Annotated[str, typer.Option(help="Free text.")]


@returns.command("request")
def request(
    order_id: OrderId,
    return_id: ReturnId,
    reason: Why,
    line: Annotated[
        list[str] | None, typer.Option(help="line_id:quantity; without any: all that was delivered.")
    ] = None,
    request_id: RequestId = "",
    expected_revision: Expected = None,
    as_json: AsJson = False,
) -> None:
    """Record that a customer wants to return something."""
    lines = [LineQuantity(line_id=name, quantity=n) for name, n in quantities(line or [])]
    fields = {"order_id": order_id, "return_id": return_id, "lines": lines, "reason": reason}
    send("orders", "RequestReturn", as_json, **fields, request_id=request_id, **expecting(expected_revision))


@returns.command("approve")
def approve(
    order_id: OrderId,
    return_id: ReturnId,
    request_id: RequestId = "",
    expected_revision: Expected = None,
    as_json: AsJson = False,
) -> None:
    """Approve a return."""
    fields = {"order_id": order_id, "return_id": return_id, "request_id": request_id}
    send("orders", "ApproveReturn", as_json, **fields, **expecting(expected_revision))


@returns.command("reject")
def reject(
    order_id: OrderId,
    return_id: ReturnId,
    reason: Why,
    request_id: RequestId = "",
    expected_revision: Expected = None,
    as_json: AsJson = False,
) -> None:
    """Close a return of which nothing was received."""
    fields = {"order_id": order_id, "return_id": return_id, "reason": reason, "request_id": request_id}
    send("orders", "RejectReturn", as_json, **fields, **expecting(expected_revision))


@returns.command("receive")
def receive(
    order_id: OrderId,
    return_id: ReturnId,
    line: Annotated[list[str], typer.Option(help="line_id:quantity, as good as new.")] = [],  # noqa: B006  # typer copies it
    damaged: Annotated[list[str], typer.Option(help="line_id:quantity, cannot be sold again.")] = [],  # noqa: B006
    request_id: RequestId = "",
    expected_revision: Expected = None,
    as_json: AsJson = False,
) -> None:
    """Close a return with the units that were received."""
    fields = {"order_id": order_id, "return_id": return_id, "lines": received(line, damaged), "request_id": request_id}
    send("orders", "ReceiveReturn", as_json, **fields, **expecting(expected_revision))
