"""`orderstream orders watch`: orders as they change."""

import sys
from contextlib import aclosing, suppress
from typing import Annotated, Any

import typer

from client.cli.connect import Token, call
from client.cli.output import AsJson, enum_name, money, out, print_json, when
from client.cli.shop import status_number
from client.sdk import OrderstreamClient
from protos.orders.v1.types_pb2 import OrderStatus


def watch(
    order_id: Annotated[str, typer.Argument(help="One order; without it, all that match.")] = "",
    customer: Annotated[str, typer.Option(help="Only orders of this user.")] = "",
    status: Annotated[str, typer.Option(help="Only orders in this status, like placed.")] = "",
    resume: Annotated[str, typer.Option(help="A resume_token out of --json: go on after that message.")] = "",
    limit: Annotated[int, typer.Option(min=0, help="Stop after so many changes; 0: Ctrl-C does.")] = 0,
    token: Token = "",
    as_json: AsJson = False,
) -> None:
    """Show orders as they are, and then every change; with --json one message a line.

    It resumes by itself if a connection breaks or a server is replaced.
    """
    if order_id and (customer or status or token):
        raise typer.BadParameter("an order is watched without --customer, --status and --token")
    number: Any = status_number(OrderStatus, "ORDER_STATUS_", status)

    async def follow(shop: OrderstreamClient) -> None:
        messages: Any = (
            shop.orders.WatchOrder(order_id=order_id, resume_token=resume)
            if order_id
            else shop.orders.WatchOrders(
                customer_id=customer, status=number, resume_token=resume, consistency_token=token
            )
        )
        changes = 0
        async with aclosing(messages):
            async for message in messages:
                _print(message, as_json)
                changes += message.HasField("change")
                if limit and changes == limit:
                    return

    with suppress(KeyboardInterrupt):
        call(follow)


def _print(message: Any, as_json: bool) -> None:  # a flag of the command line
    if as_json:
        print_json(message)
    elif message.HasField("change"):
        entry = message.change.entry
        left = " (matches no more)" if getattr(message.change, "left", False) else ""
        unread = " (cannot be read)" if entry.unread else ""
        what = f"{when(entry.occurred_at)} {entry.event_type} by {entry.actor}{unread}"
        out.print(f"{_line(message.change.order)}  {what}{left}", soft_wrap=True)
    elif message.HasField("snapshot"):
        orders = getattr(message.snapshot, "orders", None)
        for order in [message.snapshot] if orders is None else orders:
            out.print(_line(order), soft_wrap=True)
    sys.stdout.flush()


def _line(order: Any) -> str:
    return f"{order.order_id} {enum_name(OrderStatus, order.status, 'ORDER_STATUS_')} {money(order.total)}"
