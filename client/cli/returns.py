"""`orderstream returns …`: returns of customers."""

from typing import Annotated

import typer

from client.cli.sending import Fields, sends
from client.cli.shop import OrderId, Reason, quantities, received
from protos.orders.v1.types_pb2 import LineQuantity

returns = typer.Typer(no_args_is_help=True, help="What customers send back.")

ReturnId = Annotated[str, typer.Argument(help="A name for the return, unique in the order.")]


@sends(returns, "orders", "request", "RequestReturn")
def request(
    order_id: OrderId,
    return_id: ReturnId,
    reason: Reason,
    line: Annotated[
        list[str] | None, typer.Option(help="line_id:quantity; without any: all that was delivered.")
    ] = None,
) -> Fields:
    """Record that a customer wants to return something."""
    lines = [LineQuantity(line_id=name, quantity=n) for name, n in quantities(line or [])]
    return {"order_id": order_id, "return_id": return_id, "lines": lines, "reason": reason}


@sends(returns, "orders", "approve", "ApproveReturn")
def approve(order_id: OrderId, return_id: ReturnId) -> None:
    """Approve a return."""


@sends(returns, "orders", "reject", "RejectReturn")
def reject(order_id: OrderId, return_id: ReturnId, reason: Reason) -> None:
    """Close a return of which nothing was received."""


@sends(returns, "orders", "receive", "ReceiveReturn")
def receive(
    order_id: OrderId,
    return_id: ReturnId,
    line: Annotated[list[str], typer.Option(help="line_id:quantity, as good as new.")] = [],  # noqa: B006  # typer copies it
    damaged: Annotated[list[str], typer.Option(help="line_id:quantity, cannot be sold again.")] = [],  # noqa: B006
) -> Fields:
    """Close a return with the units that were received."""
    return {"order_id": order_id, "return_id": return_id, "lines": received(line, damaged)}
