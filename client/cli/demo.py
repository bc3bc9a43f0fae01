"""`orderstream demo`: real baskets through the real services, and the proof that none of them was lost."""

import asyncio
import secrets
import shutil
import tempfile
import time
from collections import Counter
from collections.abc import Coroutine
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import typer

from client.cli.connect import TARGET
from client.cli.output import FAILED, AsJson, err, fail, money, out, print_json, run
from client.cli.progress import Report, progress_on
from client.cli.tables import table
from client.cli.words import words_of
from client.local.demo.baskets import CURRENCY, Basket, DataMissingError, baskets_of, product_names, read_rows
from client.local.demo.outcome import Names, Outcome, Patience
from client.local.demo.proof import PROCESSES
from client.local.demo.rules import PAYMENTS, Provider, ProviderUnknownError
from client.local.demo.run import Demo, OrderUndecidedError
from client.local.demo.survey import survey
from client.local.demo.system_state import ViewsStuckError
from client.local.processor_time import cpu_seconds
from client.local.stack import Stack, StackError, stack
from client.sdk import OrderstreamClient
from protos.common.v1.types_pb2 import Money

STARTS_LIKE = 10  # answers: a start of the stack takes as long as so many, on an idle machine

# the parts of a demo's outcome that show whether goods or money were lost, and how often they might have been
TROUBLES = (
    "orders_without_process",
    "parcels_lost",
    "parcels_refused",
    "authorisations_lapsed",
    "refunds_retried",
    "refunds_failed",
    "money_owed",
)


def demo(
    orders: Annotated[int, typer.Option(min=1, help="How many baskets of the year.")] = 300,
    data: Annotated[
        Path | None, typer.Option(help="Keep the stores here; without it they go with a demo that succeeds.")
    ] = None,
    on_stack: Annotated[
        bool, typer.Option("--stack", help="Use the stack that runs (--commands …), and leave it running.")
    ] = False,
    payments: Annotated[
        str, typer.Option(envvar="ORDERSTREAM_PAYMENTS", help="With --stack: the setting that the stack runs with.")
    ] = "simulator",
    only_survey: Annotated[
        bool, typer.Option("--survey", help="Send nothing: count which rows of the year can be sold, and which cannot.")
    ] = False,
    secure: Annotated[bool, typer.Option("--secure", help="On a closed stack: TLS, API keys and users.")] = False,
    as_json: AsJson = False,
) -> None:
    """Send real baskets through the real services, then prove that log, views and data set agree.

    Some parcels are lost or refused, some authorisations lapse and some refunds fail. Exit code 1 if anything differs.
    With --stack, everything has its own names, and the proof covers only that: others may use the stack too.
    """
    if only_survey:
        _survey(as_json=as_json)
        return
    if on_stack and data is not None:
        fail("--data is for a stack of the demo's own: leave it or --stack out", 2)
    if on_stack and secure:
        fail("--secure is for a stack of the demo's own; with --stack, say --tls-ca and --token-file", 2)
    try:
        place = OnTheStack(Provider.of(payments)) if on_stack else OnItsOwn(data, secure)
        outcome = run(_demo(place, orders), lambda error: f"{error.call} failed: {words_of(error)}{place.kept()}")
    except ProviderUnknownError as error:
        fail(str(error), 2)
    except (StackError, DataMissingError, ViewsStuckError, OrderUndecidedError) as error:
        fail(f"{error}{place.kept()}", FAILED)
    except (KeyboardInterrupt, asyncio.CancelledError):
        place.remove()
        raise
    if as_json:
        print_json(demo_report(outcome))
    else:
        _print_outcome(outcome)
        for difference in outcome.differences[:20]:
            err.print(difference, style="red", highlight=False)
    if outcome.differences:
        fail(f"{len(outcome.differences)} differences{place.kept()}", FAILED)
    place.remove()


def _survey(*, as_json: bool) -> None:
    try:
        with err.status("reading the year"):
            found = survey(read_rows())
    except DataMissingError as error:
        fail(str(error), FAILED)
    if as_json:
        print_json(found)
        return
    out.print(f"{found['baskets']:,} baskets, {found['baskets_left_out']:,} of them with nothing that can be sold")
    rows = table("outcome", "rows", "value")
    for what, of in found["rows"].items():
        rows.add_row(what, f"{of['rows']:,}", f"{of['cents'] / 100:,.2f}")
    rows.show()


@dataclass(slots=True)
class OnItsOwn:
    """A stack that the demo starts and stops. Without a directory it uses a temporary one, which is kept after a
    failure.
    """

    given: Path | None
    secure: bool = False
    _taken: Path | None = None

    @property
    def data(self) -> Path:
        if self.given is not None:
            return self.given
        if self._taken is None:
            self._taken = Path(tempfile.mkdtemp(prefix="orderstream-demo-"))
        return self._taken

    async def go(self, baskets: list[Basket], products: dict[int, str], progress: Report) -> Outcome:
        patience, began = Patience(), time.monotonic()
        closed, known = None, dict[str, Any]()
        if self.secure:
            from client.local.secure import Secure  # noqa: PLC0415  # other commands do not pay for cryptography

            closed = Secure.at(self.data)
            known = {"tls": closed.tls, "token": closed.token}
        async with (
            stack(self.data, payments=PAYMENTS, secure=closed) as running,
            OrderstreamClient(running.addresses, actor="demo", deadline=patience.seconds, **known) as shop,
        ):
            patience.took((time.monotonic() - began) / STARTS_LIKE)
            outcome = await _unless_one_ends(running, Demo(shop, products, progress, patience=patience).run(baskets))
            used = {name: cpu_seconds(member.pid) for name, member in running.members.items()}
            outcome.cpu_seconds = {**used, "demo": round(time.process_time(), 2)}
            return outcome

    def kept(self) -> str:
        """For the error line of a demo that has failed."""
        return f"; data are kept in {self.data}, logs in {self.data / 'logs'}" if self.data.exists() else ""

    def remove(self) -> None:
        if self._taken is not None:
            shutil.rmtree(self._taken, ignore_errors=True)


@dataclass(slots=True)
class OnTheStack:
    """A running stack, with the payment provider that it has. The data that the demo has sent stays there."""

    provider: Provider

    async def go(self, baskets: list[Basket], products: dict[int, str], progress: Report) -> Outcome:
        names = Names(f"demo-{secrets.token_hex(4)}")
        err.print(f"products and addresses of this run begin with {names.run}", soft_wrap=True)
        async with TARGET.client(actor="demo") as shop:
            return await Demo(shop, products, progress, names=names, provider=self.provider).run(baskets)

    def kept(self) -> str:
        return ""

    def remove(self) -> None:
        pass


async def _demo(place: OnItsOwn | OnTheStack, most: int) -> Outcome:
    left_out: Counter[str] = Counter()
    with progress_on(err) as progress:
        progress("reading", 0, most)
        baskets = await asyncio.to_thread(lambda: baskets_of(read_rows(), most, left_out))
        products = await asyncio.to_thread(product_names)
        progress("reading", len(baskets), len(baskets))
        outcome = await place.go(baskets, products, progress)
        outcome.left_out = left_out
        return outcome


async def _unless_one_ends(running: Stack, work: Coroutine[Any, Any, Outcome]) -> Outcome:
    """The result of the work; a process that ends meanwhile is reported at once, not when every retry has failed."""
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
        "cpu_seconds": outcome.cpu_seconds,
        "cpu_per_1000_events": outcome.cpu_per_1000_events,
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


def _print_outcome(outcome: Outcome) -> None:
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
    if outcome.cpu_seconds:
        out.print(
            f"processor time: {sum(outcome.cpu_seconds.values()):,.1f} s in all, "
            f"{outcome.cpu_per_1000_events:,.2f} s per 1,000 events",
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
