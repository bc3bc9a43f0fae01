"""`orderstream up|demo|verify|health|embedded`: running it and looking after it."""

import asyncio
import os
import signal
import sys
import tempfile
from collections import Counter
from collections.abc import Coroutine
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

import typer
from grpc_health.v1 import health_pb2

from client.cli.connect import call, health_of
from client.cli.output import FAILED, UNAVAILABLE, AsJson, complain, err, money, out, print_json, run
from client.cli.progress import progress_on
from client.cli.tables import table
from client.demo.baskets import CURRENCY, DataMissingError, baskets_of, product_names, read_rows
from client.demo.outcome import Outcome
from client.demo.proof import PROCESSES, ViewsStuckError
from client.demo.rules import PAYMENTS
from client.demo.run import Demo, OrderUndecidedError
from client.demo.survey import survey
from client.sdk import OrderstreamClient
from client.stack import DEFAULT_PORTS, Stack, StackError, stack
from protos.common.v1.types_pb2 import Money
from protos.operations.v1.projections_pb2 import VerifyEmailsResult, VerifyProcessesResult, VerifyResult

# what of a demo's outcome says whether goods or money were lost, and how often they might have been
TROUBLES = (
    "orders_without_process",
    "parcels_lost",
    "parcels_refused",
    "authorisations_lapsed",
    "refunds_retried",
    "refunds_failed",
    "money_owed",
)

Data = Annotated[Path, typer.Option(help="Where embedded stores and logs live.")]


# ------------------------------------------------------------------ up


def up(
    data: Data = Path(".orderstream"),
    commands_port: int = DEFAULT_PORTS["commands"],
    queries_port: int = DEFAULT_PORTS["queries"],
    projections_port: int = DEFAULT_PORTS["projections"],
    processes_port: int = DEFAULT_PORTS["processes"],
    eventstore_port: int = DEFAULT_PORTS["eventstore"],
    mongo_port: int = DEFAULT_PORTS["mongo"],
    processes: Annotated[
        bool, typer.Option(help="Whether orders are reserved, paid and confirmed by themselves, or by hand.")
    ] = True,
) -> None:
    """Run the whole stack in this terminal; Ctrl-C drains and stops it. A port of 0 takes a free one.

    The stores are embedded ones unless ORDERSTREAM_EVENTSTORE_URI and ORDERSTREAM_MONGO_URI are set.
    """
    ports = {
        "commands": commands_port,
        "queries": queries_port,
        "projections": projections_port,
        "processes": processes_port,
        "eventstore": eventstore_port,
        "mongo": mongo_port,
    }
    try:
        asyncio.run(_up(data, ports, processes=processes))
    except StackError as error:
        complain(str(error), FAILED)


async def _up(data: Path, ports: dict[str, int], *, processes: bool) -> None:
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    err.print(f"starting, with data in {data} …")
    async with stack(data, ports, processes=processes, metrics=True) as running:
        rows = table("part", "address", "process", "metrics", leave=("process", "metrics"))
        for name, member in running.members.items():
            metrics = f"http://{member.ready['metrics']}/metrics" if "metrics" in member.ready else "-"
            rows.add_row(name, str(member.ready["address"]), str(member.pid), metrics)
        rows.show()
        out.print(f"data in {data}, logs in {data / 'logs'}", soft_wrap=True)
        out.print("ready; Ctrl-C stops it. In another terminal: orderstream orders list")
        sys.stdout.flush()
        stopping, ending = asyncio.create_task(stop.wait()), asyncio.create_task(running.first_to_end())
        await asyncio.wait((stopping, ending), return_when=asyncio.FIRST_COMPLETED)
        if ending.done():
            stopping.cancel()
            raise StackError(f"{ending.result().name} has ended: {ending.result().last_words()}")
        ending.cancel()
        with suppress(asyncio.CancelledError):
            await ending
        err.print("stopping …")


# ------------------------------------------------------------------ demo


def demo(
    orders: Annotated[int, typer.Option(min=1, help="How many baskets of the year.")] = 300,
    data: Annotated[Path | None, typer.Option(help="Keep the stores here; without it they go with the demo.")] = None,
    only_survey: Annotated[
        bool, typer.Option("--survey", help="Send nothing: count what of the whole year can be sold, and what cannot.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Send real baskets through the real services, then prove that log, views and data set agree.

    Some parcels are lost or refused, some authorisations lapse and some refunds fail. Exit code 1 if anything differs.
    """
    if only_survey:
        _survey(as_json=as_json)
        return
    with tempfile.TemporaryDirectory(prefix="orderstream-demo-") as temporary:
        try:
            outcome = run(_demo(data or Path(temporary), orders))
        except (StackError, DataMissingError, ViewsStuckError, OrderUndecidedError) as error:
            complain(str(error), FAILED)
    if as_json:
        print_json(demo_report(outcome))
    else:
        _tell(outcome)
        for difference in outcome.differences[:20]:
            err.print(difference, style="red", highlight=False)
    if outcome.differences:
        raise typer.Exit(FAILED)


def _survey(*, as_json: bool) -> None:
    try:
        with err.status("reading the year"):
            found = survey(read_rows())
    except DataMissingError as error:
        complain(str(error), FAILED)
    if as_json:
        print_json(found)
        return
    out.print(f"{found['baskets']:,} baskets, {found['baskets_left_out']:,} of them with nothing that can be sold")
    rows = table("outcome", "rows", "value")
    for what, of in found["rows"].items():
        rows.add_row(what, f"{of['rows']:,}", f"{of['cents'] / 100:,.2f}")
    rows.show()


async def _demo(data: Path, most: int) -> Outcome:
    left_out: Counter[str] = Counter()
    with progress_on(err) as progress:
        progress("reading", 0, most)
        baskets = await asyncio.to_thread(lambda: baskets_of(read_rows(), most, left_out))
        names = await asyncio.to_thread(product_names)
        progress("reading", len(baskets), len(baskets))
        async with (
            stack(data, payments=PAYMENTS) as running,
            OrderstreamClient(running.addresses, actor="demo") as shop,
        ):
            outcome = await _unless_one_ends(running, Demo(shop, names, progress).run(baskets))
        outcome.left_out = left_out
        return outcome


async def _unless_one_ends(running: Stack, work: Coroutine[Any, Any, Outcome]) -> Outcome:
    """The result of the work; a process that ends meanwhile is told at once, not when every retry has failed."""
    working, ending = asyncio.create_task(work), asyncio.create_task(running.first_to_end())
    try:
        await asyncio.wait((working, ending), return_when=asyncio.FIRST_COMPLETED)
        if not working.done():
            raise StackError(f"{ending.result().name} has ended: {ending.result().last_words()}")
        return working.result()
    finally:
        for task in (working, ending):
            task.cancel()
        await asyncio.gather(working, ending, return_exceptions=True)


def demo_report(outcome: Outcome) -> dict[str, Any]:
    return {
        "users": outcome.users,
        "products": outcome.products,
        "orders": outcome.orders,
        "lines": outcome.lines,
        "commands": outcome.commands,
        "events": outcome.events,
        "seconds": outcome.seconds,
        "processes": {what: outcome.processes[what] for what in PROCESSES},
        **{what: getattr(outcome, what) for what in TROUBLES},
        "verified": {
            "streams": outcome.streams,
            "documents": outcome.documents,
            "differences": len(outcome.differences),
            "listed": outcome.differences,
        },
        "left_out": dict(sorted(outcome.left_out.items())),
    }


def _tell(outcome: Outcome) -> None:
    rate = outcome.commands / outcome.seconds if outcome.seconds else 0
    out.print(
        f"{outcome.orders:,} orders with {outcome.lines:,} lines, of {outcome.users:,} users and "
        f"{outcome.products:,} products: {outcome.commands:,} commands in {outcome.seconds:,.1f} s ({rate:,.0f}/s)",
        highlight=False,
        soft_wrap=True,
    )
    out.print(
        "processes: " + ", ".join(f"{outcome.processes[what]:,} {what}" for what in PROCESSES),
        highlight=False,
        soft_wrap=True,
    )
    out.print(
        f"failures: {outcome.parcels_lost:,} parcels lost, {outcome.parcels_refused:,} refused, "
        f"{outcome.authorisations_lapsed:,} authorisations lapsed, {outcome.refunds_retried:,} refunds tried again",
        highlight=False,
        soft_wrap=True,
    )
    owed = money(Money(amount_minor=outcome.money_owed, currency=CURRENCY))
    out.print(
        f"left open: {outcome.orders_without_process:,} orders without a process, "
        f"{outcome.refunds_failed:,} refunds not settled, {owed} owed",
        highlight=False,
        soft_wrap=True,
    )
    left_out = ", ".join(f"{count:,} {reason}" for reason, count in sorted(outcome.left_out.items()))
    out.print(f"left out: {left_out or 'nothing'}", highlight=False, soft_wrap=True)
    out.print(
        f"verified: {outcome.events:,} events in {outcome.streams:,} streams against {outcome.documents:,} documents, "
        f"and totals against the data set: {len(outcome.differences)} differences",
        highlight=False,
        soft_wrap=True,
        style="red" if outcome.differences else "green",
    )


# ------------------------------------------------------------------ verify


COLUMNS = ("documents", "events", "streams", "checkpoint", "differences", "healed")
SNAPSHOTS = "snapshots"


def verify(
    view: Annotated[list[str] | None, typer.Option(help="Only this view; may be given again.")] = None,
    sample: Annotated[
        int, typer.Option(min=0, help="Only so many documents of each view that has a stream per document; 0: all.")
    ] = 0,
    heal: Annotated[bool, typer.Option("--heal", help="Make documents anew that differ.")] = False,
    as_json: AsJson = False,
) -> None:
    """Fold the log again, compare it with every document of the views and with the snapshots; look for e-mail
    addresses that several users have, and list placed orders that need a process and have none. Exit code 1 if anything
    differs and is not healed, or an address is shared."""
    verdict = call(lambda shop: _verify(shop, view or [], sample, heal))
    results, processes, emails = verdict.results, verdict.processes, verdict.emails
    differences = sum(result.differences - result.healed for result in results.values())
    differences += emails.shared if emails else 0
    if as_json:
        told = {name: _result_report(x) for name, x in results.items()}
        snapshots = told.pop(SNAPSHOTS, None)
        print_json(
            {
                "differences": differences,
                "views": told,
                SNAPSHOTS: snapshots,
                "emails": emails and _emails_report(emails),
                "orders_without_process": processes and _without_process(processes),
            }
        )
    else:
        rows = table("view", *COLUMNS, leave=("checkpoint", "streams", "healed", "events"))
        for name, x in results.items():
            rows.add_row(name, *(f"{getattr(x, column):,}" for column in COLUMNS))
        rows.show()
        if processes:
            counts = f"{processes.orders:,} placed, {processes.missing:,} without a process that need one"
            out.print(f"orders: {counts}", highlight=False)
            swept = f"{processes.swept_begun:,} processes begun, {processes.swept_brought_on:,} brought on"
            out.print(f"sweep: {swept}, {len(processes.swept_left):,} cannot be looked at", highlight=False)
            for one in processes.listed:
                lacks = ", ".join(one.lacks)
                out.print(
                    f"{one.order_id} {one.status}: {lacks} (orderstream processes start {one.order_id})",
                    highlight=False,
                    soft_wrap=True,
                )
        if emails:
            counts = f"{emails.users:,} users have one, {emails.shared:,} are shared"
            out.print(f"e-mail addresses: {counts}", highlight=False)
        _tell_differences(verdict)
    if differences:
        raise typer.Exit(FAILED)


def _tell_differences(verdict: "Verdict") -> None:
    for name, result in verdict.results.items():
        where = "snapshot" if name == SNAPSHOTS else "view"
        for found in result.listed:
            said = f"{found.expected_json} in the log, {found.actual_json} in the {where}"
            err.print(f"{name} {found.key} {found.field}: {said}", highlight=False, soft_wrap=True)
    for shared in verdict.emails.listed if verdict.emails else ():
        err.print(
            f"e-mail address {shared.email_hash}: users {', '.join(shared.user_ids)} have it; "
            f"to settle it: {shared.resolve_command}",
            highlight=False,
            soft_wrap=True,
        )


def _result_report(found: VerifyResult) -> dict[str, Any]:
    return {column: getattr(found, column) for column in COLUMNS} | {"listed": list(found.listed)}


def _without_process(found: VerifyProcessesResult) -> dict[str, Any]:
    listed = [{"order_id": x.order_id, "status": x.status, "lacks": list(x.lacks)} for x in found.listed]
    swept = {"begun": found.swept_begun, "brought_on": found.swept_brought_on, "left": list(found.swept_left)}
    return {"placed": found.orders, "missing": found.missing, "listed": listed, "swept": swept}


def _emails_report(found: VerifyEmailsResult) -> dict[str, Any]:
    listed = [
        {"email_hash": one.email_hash, "user_ids": list(one.user_ids), "resolve_command": one.resolve_command}
        for one in found.listed
    ]
    return {"users": found.users, "events": found.events, "shared": found.shared, "listed": listed}


@dataclass(slots=True)
class Verdict:
    """`results` are by view, and at the end those of the snapshots; the others are there if all is checked."""

    results: dict[str, VerifyResult] = field(default_factory=dict)
    processes: VerifyProcessesResult | None = None
    emails: VerifyEmailsResult | None = None


async def _verify(shop: OrderstreamClient, views: list[str], sample: int, heal: bool) -> Verdict:
    verdict = Verdict()
    with err.status("folding the log …") as status:
        async for message in shop.operations.VerifyProjections(views=views, sample=sample, heal=heal):
            match message.WhichOneof("message"):
                case "progress":
                    status.update(f"folding the log … {message.progress.events:,} events")
                case "result":
                    verdict.results[message.result.view] = message.result
                case "snapshots":
                    verdict.results[SNAPSHOTS] = message.snapshots
                case "processes":
                    verdict.processes = message.processes
                case "emails":
                    verdict.emails = message.emails
    return verdict


# ------------------------------------------------------------------ health and embedded


def health(
    address: Annotated[str, typer.Argument(help="host:port of any of our services.")],
    service: Annotated[str, typer.Option(help="A service's full name or a view's; without it the process.")] = "",
    as_json: AsJson = False,
) -> None:
    """Ask a service whether it serves. Exit code 0 if it does."""

    status = run(health_of(address, service))
    name = health_pb2.HealthCheckResponse.ServingStatus.Name(status)
    if as_json:
        print_json({"address": address, "service": service, "status": name})
    else:
        out.print(name)
    if status != health_pb2.HealthCheckResponse.SERVING:
        raise typer.Exit(UNAVAILABLE)


def embedded(context: typer.Context) -> None:
    """Run one embedded store alone; see `orderstream embedded eventstore --help`."""
    sys.stdout.flush()
    os.execv(sys.executable, [sys.executable, "-m", "embedded", *context.args])  # noqa: S606  # no shell
