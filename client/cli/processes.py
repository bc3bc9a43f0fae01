"""`orderstream processes …`: the processes of orders, and an operator's help for stuck ones."""

from datetime import UTC, datetime, timedelta
from typing import Annotated, Any

import typer
from google.protobuf.timestamp_pb2 import Timestamp

from client.cli.connect import Expected, RequestId, Token, call, expecting
from client.cli.output import AsJson, agree, done, enum_name, fail, money, out, print_json, when
from client.cli.tables import table
from client.cli.why import WhyOrReason, require_why
from protos.processes.v1.types_pb2 import ProcessStatus

processes = typer.Typer(no_args_is_help=True, help="The processes of orders: what they wait for, and what is stuck.")

OrderId = Annotated[str, typer.Argument(help="The order's UUID.")]
STATUSES = [name.removeprefix("PROCESS_STATUS_").lower().replace("_", "-") for name in ProcessStatus.keys()[1:]]


@processes.command("list")
def list_processes(
    status: Annotated[str, typer.Option(help=f"Only these: {', '.join(STATUSES)}.")] = "",
    page_size: Annotated[int, typer.Option(help="Rows wanted, up to 1000.")] = 50,
    page_token: Annotated[str, typer.Option(help="The last page's next_page_token.")] = "",
    token: Token = "",
    as_json: AsJson = False,
) -> None:
    """Show processes by order id. `--status stuck` shows those that need an operator."""
    if status and status not in STATUSES:
        fail(f"{status!r} is no status; there are {', '.join(STATUSES)}", 2)
    wanted = f"PROCESS_STATUS_{(status or 'unspecified').upper().replace('-', '_')}"
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


@processes.command("start")
def start(
    order_id: OrderId,
    drawn: Annotated[
        list[str] | None,
        typer.Option("--drawn", metavar="LINE:UNITS", help="Units that were taken off the stock by hand. Repeatable."),
    ] = None,
    within: Annotated[
        float | None,
        typer.Option(min=1, help="Seconds from now in which it is to be confirmed."),
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show the plan, and do nothing.")] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    request_id: RequestId = "",
    as_json: AsJson = False,
) -> None:
    """Start the process of a placed order that has none: shows what it will reserve, take off the stock and charge."""
    wanted: dict[str, Any] = {"order_id": order_id, "drawn": [_drawn(text) for text in drawn or ()]}
    if within is not None:
        wanted["expires_at"] = Timestamp()
        wanted["expires_at"].FromDatetime(datetime.now(UTC) + timedelta(seconds=within))
    planned = call(lambda shop: shop.processes.PlanProcess(**wanted))
    if dry_run and as_json:
        print_json(planned)
        return
    if not as_json:
        _show_plan(planned)
    if dry_run:
        return
    if not planned.plan_id:
        fail("its process is started already, or there is nothing to do", 1)
    if not yes:
        agree(f"start the process of order {order_id}?")
    _send("StartProcess", as_json, **wanted, plan_id=planned.plan_id, request_id=request_id)


def _drawn(text: str) -> dict[str, Any]:
    line_id, _, units = text.rpartition(":")
    if not line_id or not units.isdigit():
        fail(f"{text!r} is not LINE:UNITS, as in tea:2", 2)
    return {"line_id": line_id, "quantity": int(units)}


def _show_plan(planned: Any) -> None:
    rows = table("step", "of", "units", "amount", leave=("of",), texts=("units",))
    for x in planned.steps:
        units = ", ".join(f"{line.quantity} {line.sku}" for line in x.lines)
        rows.add_row(x.step, x.subject or "-", units or "-", money(x.amount) if x.HasField("amount") else "-")
    rows.show()
    out.print(f"then it waits for {planned.waits_for}", highlight=False)


@processes.command("retry")
def retry(
    order_id: OrderId, request_id: RequestId = "", expected_revision: Expected = None, as_json: AsJson = False
) -> None:
    """Retry the failed step at once."""
    _send("RetryProcess", as_json, order_id=order_id, request_id=request_id, **expecting(expected_revision))


@processes.command("skip")
def skip(
    order_id: OrderId,
    step: Annotated[str, typer.Argument(help="The step that has failed, so that no other is skipped.")],
    why: WhyOrReason = "",
    request_id: RequestId = "",
    expected_revision: Expected = None,
    as_json: AsJson = False,
) -> None:
    """Mark the failed step as done: it was resolved by hand, or is abandoned. A refund is recorded as settled."""
    require_why(why)
    fields = {"order_id": order_id, "step": step, "reason": why, "request_id": request_id}
    _send("SkipStep", as_json, **fields, **expecting(expected_revision))


@processes.command("compensate")
def compensate(
    order_id: OrderId,
    why: WhyOrReason = "",
    request_id: RequestId = "",
    expected_revision: Expected = None,
    as_json: AsJson = False,
) -> None:
    """End the order: rejected or cancelled, stock released, money paid back."""
    require_why(why)
    fields = {"order_id": order_id, "reason": why, "request_id": request_id}
    _send("CompensateProcess", as_json, **fields, **expecting(expected_revision))


def _send(rpc: str, as_json: bool, **fields: Any) -> None:
    reply: Any = call(lambda shop: getattr(shop.processes, rpc)(**fields))
    if as_json:
        print_json(reply)
        return
    out.print(done(reply), highlight=False)
    out.print(f"token: {reply.consistency_token}", highlight=False, soft_wrap=True)


def _show(found: Any) -> None:
    rows = table(
        "order",
        "status",
        "waits for",
        "tries",
        "again at",
        "outcome",
        "why",
        leave=("tries", "again at", "outcome", "why", "waits for"),
        texts=("why",),
    )
    for x in found:
        status = enum_name(ProcessStatus, x.status, "PROCESS_STATUS_")
        waits_for = f"{x.step} {x.subject}".strip() or "-"
        rows.add_row(
            x.order_id, status, waits_for, str(x.attempt), when(x.retry_at), x.outcome or "-", x.unread or x.reason
        )
    rows.show()
