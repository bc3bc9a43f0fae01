"""`orderstream processes …`: what becomes of orders by itself, and a hand for what does not."""

from typing import Annotated, Any

import typer

from client.cli.connect import AsJson, Expected, RequestId, Token, call, expecting
from client.cli.output import complain, enum_name, out, print_json, table, when
from protos.processes.v1.types_pb2 import ProcessStatus

processes = typer.Typer(no_args_is_help=True, help="The processes of orders: what they wait for, and what is stuck.")

OrderId = Annotated[str, typer.Argument(help="The order's UUID.")]
Why = Annotated[str, typer.Option("--reason", help="Kept beside what is done.")]
STATUSES = [name.removeprefix("PROCESS_STATUS_").lower() for name in ProcessStatus.keys()[1:]]


@processes.command("list")
def list_processes(
    status: Annotated[str, typer.Option(help=f"Only these: {', '.join(STATUSES)}.")] = "",
    page_size: Annotated[int, typer.Option(help="Rows wanted, up to 1000.")] = 50,
    page_token: Annotated[str, typer.Option(help="The last page's next_page_token.")] = "",
    token: Token = "",
    as_json: AsJson = False,
) -> None:
    """Show processes by order id. `--status stuck` has those that need a hand."""
    if status and status not in STATUSES:
        complain(f"{status!r} is no status; there are {', '.join(STATUSES)}", 2)
    wanted = f"PROCESS_STATUS_{(status or 'unspecified').upper()}"
    reply = call(
        lambda shop: shop.processes.ListProcesses(
            status=wanted, page_size=page_size, page_token=page_token, consistency_token=token
        )
    )
    if as_json:
        print_json(reply)
        return
    _show(reply.processes)
    if reply.next_page_token:
        out.print(f"more: --page-token {reply.next_page_token}", highlight=False, soft_wrap=True)


@processes.command("get")
def get_process(order_id: OrderId, token: Token = "", as_json: AsJson = False) -> None:
    """Show the process of an order."""
    reply = call(lambda shop: shop.processes.GetProcess(order_id=order_id, consistency_token=token))
    if as_json:
        print_json(reply)
        return
    _show([reply.process])


@processes.command("retry")
def retry(
    order_id: OrderId, request_id: RequestId = "", expected_revision: Expected = None, as_json: AsJson = False
) -> None:
    """Try the failed step again at once."""
    _send("RetryProcess", as_json, order_id=order_id, request_id=request_id, **expecting(expected_revision))


@processes.command("skip")
def skip(
    order_id: OrderId,
    step: Annotated[str, typer.Argument(help="The step that has failed, so that no other is skipped.")],
    reason: Why,
    request_id: RequestId = "",
    expected_revision: Expected = None,
    as_json: AsJson = False,
) -> None:
    """Take the failed step for done: it was seen to by hand, or is given up. A refund is recorded as settled."""
    fields = {"order_id": order_id, "step": step, "reason": reason, "request_id": request_id}
    _send("SkipStep", as_json, **fields, **expecting(expected_revision))


@processes.command("compensate")
def compensate(
    order_id: OrderId,
    reason: Why,
    request_id: RequestId = "",
    expected_revision: Expected = None,
    as_json: AsJson = False,
) -> None:
    """End the order: rejected or cancelled, stock released, money given back."""
    fields = {"order_id": order_id, "reason": reason, "request_id": request_id}
    _send("CompensateProcess", as_json, **fields, **expecting(expected_revision))


def _send(rpc: str, as_json: bool, **fields: Any) -> None:
    reply: Any = call(lambda shop: getattr(shop.processes, rpc)(**fields))
    if as_json:
        print_json(reply)
        return
    out.print(f"done: at revision {reply.revision}", highlight=False)
    out.print(f"token: {reply.consistency_token}", highlight=False, soft_wrap=True)


def _show(found: Any) -> None:
    rows = table("order", "status", "waits for", "tries", "again at", "outcome", "why")
    for x in found:
        status = enum_name(ProcessStatus, x.status, "PROCESS_STATUS_")
        waits_for = f"{x.step} {x.subject}".strip() or "-"
        rows.add_row(x.order_id, status, waits_for, str(x.attempt), when(x.retry_at), x.outcome or "-", x.reason)
    out.print(rows)
