"""`orderstream events …`: the log itself, for any subscriber; and the exclusion of unreadable events.

An exclusion is planned first: the plan is shown, you confirm it, then it is applied. `--dry-run` only plans, `--plan
ID` applies a plan made before and is refused if the log has changed, `--yes` does both at once.
"""

import json
import os
import subprocess
import sys
import threading
from typing import IO, Annotated, Any

import typer

from client.cli.connect import call
from client.cli.output import ERROR_PREFIX, AsJson, agree, err, out, pass_on, print_json, when
from client.cli.tables import table
from client.cli.why import Why, require_why

events = typer.Typer(no_args_is_help=True, help="The log: what has happened, as it happens.")


@events.command("tail")
def tail(
    stream: Annotated[str, typer.Option(help="Only this stream, like order-<uuid>.")] = "",
    category: Annotated[str, typer.Option(help="Only streams of this category: order, product, stock or user.")] = "",
    from_start: Annotated[
        bool, typer.Option("--from-start", help="History first; without it only what is new.")
    ] = False,
    limit: Annotated[int, typer.Option(min=0, help="Stop after so many events; 0: Ctrl-C does.")] = 0,
    uri: Annotated[
        str, typer.Option(envvar="ORDERSTREAM_EVENTSTORE_URI", help="Where the log is.")
    ] = "esdb://127.0.0.1:2113?Tls=false",
    as_json: AsJson = False,
) -> None:
    """Print events as they are written; with --json one object a line."""
    selection = [f"--stream={stream}", f"--category={category}", f"--limit={limit}"]
    selection += ["--from-start"] if from_start else []
    read_end, pipe = os.pipe()  # the reader ends when this process does, however that ends
    reader = subprocess.Popen(
        [sys.executable, "-m", "client.local.child", str(read_end), "server.tail", *selection],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "ORDERSTREAM_EVENTSTORE_URI": uri},  # it may hold a password
        pass_fds=(read_end,),
    )
    os.close(read_end)
    assert reader.stdout is not None
    assert reader.stderr is not None
    complaints: list[str] = []
    listening = threading.Thread(target=_listen, args=(reader.stderr, complaints), daemon=True)
    listening.start()
    with reader:
        try:
            for line in reader.stdout:
                _print(line, as_json)
        except KeyboardInterrupt:
            return
        finally:
            os.close(pipe)
    listening.join()
    if reader.returncode:
        pass_on("".join(complaints), reader.returncode)


def _listen(said: IO[str], complaints: list[str]) -> None:
    """Its error lines are kept for its end, and everything else is passed on at once."""
    for line in said:
        if line.startswith(ERROR_PREFIX):
            complaints.append(line)
        else:
            err.print(line.rstrip(), soft_wrap=True)


def _print(line: str, as_json: bool) -> None:
    event = json.loads(line)
    if as_json:
        print_json(event)
        return
    place = f"{event['position']} {event['revision']}@{event['stream']}"
    out.print(f"{place} {event['type']} {event['data']}", soft_wrap=True)
    sys.stdout.flush()


Stream = Annotated[str, typer.Argument(help="The stream of the event, like order-<uuid>.")]


@events.command("exclude")
def exclude(
    stream: Stream,
    revision: Annotated[int, typer.Argument(min=0, help="Its place in the stream.")],
    unknown_type: Annotated[
        bool, typer.Option("--unknown-type", help="Also if its type is not known: no newer release knows it either.")
    ] = False,
    why: Why = "",
    plan_id: Annotated[str, typer.Option("--plan", help="Apply this plan; refused if it no longer holds.")] = "",
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only show the plan.")] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Plan and apply without asking.")] = False,
    as_json: AsJson = False,
) -> None:
    """Exclude an unreadable event for commands, queries, views and processes alike. It is final."""
    require_why(why, dry_run=dry_run)
    event: dict[str, Any] = {"stream": stream, "revision": revision, "unknown_type": unknown_type}
    if not plan_id:
        plan = call(lambda shop: shop.exclusions.PlanExclusion(**event))
        if dry_run and as_json:
            print_json(plan)
            return
        if dry_run or not yes:
            _show_plan(plan)
        if dry_run:
            return
        if not yes:
            agree("exclude it?")
        plan_id = plan.plan_id
    reply = call(lambda shop: shop.exclusions.ApplyExclusion(**event, plan_id=plan_id, reason=why))
    if as_json:
        print_json(reply)
        return
    done = reply.exclusion
    out.print(f"{done.event_type} {done.revision}@{done.stream} is excluded", highlight=False, soft_wrap=True)


@events.command("excluded")
def excluded(
    stream: Annotated[str, typer.Option(help="Only of this stream.")] = "",
    limit: Annotated[int, typer.Option(min=1, max=1000, help="How many at most, the latest first.")] = 50,
    as_json: AsJson = False,
) -> None:
    """Show the events that operators have excluded, who did so and why."""
    reply = call(lambda shop: shop.exclusions.ListExclusions(stream=stream, max_exclusions=limit))
    if as_json:
        print_json(reply)
        return
    rows = table("when", "who", "event", "why", "error", leave=("error", "who", "when"), texts=("why", "error"))
    for x in reply.exclusions:
        rows.add_row(when(x.excluded_at), x.actor, f"{x.event_type} {x.revision}@{x.stream}", x.reason, x.error)
    rows.show()


def _show_plan(plan: Any) -> None:
    out.print(plan.error, highlight=False, markup=False, soft_wrap=True)
    out.print(f"stored: {plan.data}", highlight=False, markup=False, soft_wrap=True)
    for effect in plan.effects:
        out.print(f"- {effect}", highlight=False, markup=False, soft_wrap=True)
    out.print(f"plan {plan.plan_id}", highlight=False)
