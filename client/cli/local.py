"""`orderstream up|verify|health|embedded`: run it, verify it, check its health."""

import asyncio
import os
import signal
import sys
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

import typer
from grpc_health.v1 import health_pb2

from client.cli.connect import call, health_of
from client.cli.output import FAILED, UNAVAILABLE, AsJson, err, fail, out, print_json, run
from client.cli.tables import table
from client.cli.why import Why, require_why
from client.local.stack import DEFAULT_PORTS, StackError, stack
from client.sdk import OrderstreamClient
from client.sdk.errors import Unavailable
from protos.operations.v1.projections_pb2 import (
    VerifyEmailsResult,
    VerifyProcessesResult,
    VerifyProjectionsResponse,
    VerifyResult,
)

SecureStack = Annotated[
    bool, typer.Option("--secure", help="Closed: TLS, API keys and users, with a private authority in the data.")
]
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
    secure: SecureStack = False,
) -> None:
    """Run the complete stack in this terminal; Ctrl-C drains and stops it. A port of 0 takes a free one.

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
        asyncio.run(_up(data, ports, processes=processes, secure=secure))
    except StackError as error:
        fail(str(error), FAILED)


async def _up(data: Path, ports: dict[str, int], *, processes: bool, secure: bool) -> None:
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    err.print(f"starting, with data in {data} …")
    closed = None
    if secure:
        from client.local.secure import Secure  # noqa: PLC0415  # other commands do not pay for cryptography

        closed = Secure.at(data)
    async with stack(data, ports, processes=processes, metrics=True, secure=closed) as running:
        rows = table("part", "address", "process", "metrics", leave=("process", "metrics"))
        for name, member in running.members.items():
            metrics = (
                f"{'https' if secure else 'http'}://{member.ready['metrics']}/metrics"
                if "metrics" in member.ready
                else "-"
            )
            rows.add_row(name, str(member.ready["address"]), str(member.pid), metrics)
        rows.show()
        out.print(f"data in {data}, logs in {data / 'logs'}", soft_wrap=True)
        if closed is not None:
            out.print(f"closed; in another terminal: {closed.help}", soft_wrap=True)
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


# ------------------------------------------------------------------ verify


COLUMNS = ("documents", "events", "streams", "checkpoint", "differences", "healed")
SNAPSHOTS = "snapshots"
BEGIN_AGAIN_AFTER = (0.5, 1.0, 2.0)  # seconds


def verify(
    view: Annotated[list[str] | None, typer.Option(help="Only this view; may be given again.")] = None,
    sample: Annotated[
        int, typer.Option(min=0, help="Only so many documents of each view that has a stream per document; 0: all.")
    ] = 0,
    heal: Annotated[bool, typer.Option("--heal", help="Repair the documents that differ.")] = False,
    why: Why = "",
    as_json: AsJson = False,
) -> None:
    """Fold the log again, compare it with every document of the views and with the snapshots; search for e-mail
    addresses that several users have, and list placed orders that need a process and have none. Exit code 1 if anything
    differs and is not repaired, or an address is shared."""
    require_why(why, dry_run=not heal)
    verdict = call(lambda shop: _verify(shop, view or [], sample, heal, why))
    results, processes, emails = verdict.results, verdict.processes, verdict.emails
    differences = sum(result.differences - result.healed for result in results.values())
    differences += emails.shared if emails else 0
    if as_json:
        report = {name: _result_report(x) for name, x in results.items()}
        snapshots = report.pop(SNAPSHOTS, None)
        print_json(
            {
                "differences": differences,
                "views": report,
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
        _report_differences(verdict)
    if differences:
        raise typer.Exit(FAILED)


def _report_differences(verdict: "Verdict") -> None:
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
    """`results` are by view, the last one for the snapshots; the others are present if everything is verified."""

    results: dict[str, VerifyResult] = field(default_factory=dict)
    processes: VerifyProcessesResult | None = None
    emails: VerifyEmailsResult | None = None
    has_begun: bool = False

    def take(self, message: VerifyProjectionsResponse) -> None:
        self.has_begun = True
        match message.WhichOneof("message"):
            case "result":
                self.results[message.result.view] = message.result
            case "snapshots":
                self.results[SNAPSHOTS] = message.snapshots
            case "processes":
                self.processes = message.processes
            case "emails":
                self.emails = message.emails


async def _verify(shop: OrderstreamClient, views: list[str], sample: int, heal: bool, why: str) -> Verdict:
    """If the service stops meanwhile, another one has to start again; that is requested a few times."""
    with err.status("folding the log …") as status:
        for pause in (*BEGIN_AGAIN_AFTER, None):
            verdict = Verdict()
            try:
                messages = shop.operations.VerifyProjections(views=views, sample=sample, heal=heal, reason=why)
                async for message in messages:
                    verdict.take(message)
                    if message.HasField("progress"):
                        status.update(f"folding the log … {message.progress.events:,} events")
            except Unavailable:
                if pause is None or not verdict.has_begun:
                    raise
                err.print("the service went away while it verified: it begins again", soft_wrap=True)
                await asyncio.sleep(pause)
            else:
                return verdict
    raise AssertionError("the last try returns or raises")


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
