"""`orderstream projections …`: the state of the views, their errors, and what an operator can do about them.

Every destroying or replaying action is planned first: the plan is shown, you confirm it, then it is applied.
`--dry-run` only plans, `--plan ID` applies a plan made before and is refused if the state has changed, `--yes` does
both at once.
"""

import asyncio
import sys
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Sequence
from contextlib import aclosing
from typing import Annotated, Any

import typer
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from client.cli.connect import TARGET, call
from client.cli.output import FAILED, AsJson, agree, enum_name, err, fail, out, print_json, when
from client.cli.progress import progress_on
from client.cli.tables import table
from client.cli.why import Why, require_why
from client.sdk import OrderstreamClient
from client.sdk.errors import Unavailable
from protos.operations.v1 import projections_pb2 as pb

projections = typer.Typer(no_args_is_help=True, help="The views: their state, their errors, and their repair.")

View = Annotated[str, typer.Argument(help="The name of the view.")]
Yes = Annotated[bool, typer.Option("--yes", help="Plan and apply without asking.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Only show the plan.")]
PlanId = Annotated[str, typer.Option("--plan", help="Apply this plan; refused if it no longer holds.")]
Wait = Annotated[bool, typer.Option("--wait", help="Show how far it is until it has ended.")]
WaitDone = Annotated[bool, typer.Option("--wait", help="Wait until it is done.")]
OnlyView = Annotated[str, typer.Option("--view", help="Only in this view; none: in every view that holds it back.")]
AllowParked = Annotated[
    bool, typer.Option("--allow-parked", help="Switch although streams are parked in the new generation too.")
]

NEW_GENERATION = ("rebuild", "reset")
MAX_COUNTED = 1_000  # events that a view lacks; the server counts no further
PLAN_WITHIN = 60.0  # seconds
PATIENCE = 60.0  # seconds without the projection process during a rebuild
PAUSE = 0.5  # seconds
MAX_WAIT = 3_600.0  # seconds


# ------------------------------------------------------------------ state


@projections.command("list")
def list_projections(as_json: AsJson = False) -> None:
    """Show every view with its position and lag."""
    reply = call(lambda shop: shop.operations.ListProjections())
    if as_json:
        print_json(reply)
        return
    _show(reply.projections)


@projections.command("get")
def get_projection(view: View, as_json: AsJson = False) -> None:
    """Show one view."""
    reply = call(lambda shop: shop.operations.GetProjection(view=view))
    _show_one(reply.projection, as_json=as_json)


# ------------------------------------------------------------------ pause and resume


@projections.command("pause")
def pause(view: View, why: Why = "", as_json: AsJson = False) -> None:
    """Stop a view in every process; queries still answer from the data that it has."""
    require_why(why)
    reply = call(lambda shop: shop.operations.PauseProjection(view=view, reason=why))
    _show_one(reply.projection, as_json=as_json)


@projections.command("resume")
def resume(view: View, why: Why = "", as_json: AsJson = False) -> None:
    """Let a paused view continue from where it stopped. A reason may be given."""
    reply = call(lambda shop: shop.operations.ResumeProjection(view=view, reason=why))
    _show_one(reply.projection, as_json=as_json)


# ------------------------------------------------------------------ generations


@projections.command("rebuild")
def rebuild(
    view: Annotated[str, typer.Argument(help="The name of the view; none with --all.", show_default=False)] = "",
    every: Annotated[bool, typer.Option("--all", help="Every view of which `list` says: rebuild it.")] = False,
    why: Why = "",
    allow_parked: AllowParked = False,
    wait: Wait = False,
    plan_id: PlanId = "",
    dry_run: DryRun = False,
    yes: Yes = False,
    as_json: AsJson = False,
) -> None:
    """Rebuild a view from the log beside the live one, verify it, and switch readers over in one step.

    It asks only on a terminal, since nothing is lost: the old generation is kept for a rollback.
    """
    if every == bool(view):
        fail("name one view, or say --all", 2)
    yes = yes or not sys.stdin.isatty()
    if every:
        plan = pb.PlanRebuildsRequest(allow_parked=allow_parked)
        _rebuild_all(plan, why, wait, plan_id, dry_run=dry_run, yes=yes, as_json=as_json)
        return
    change = pb.ProjectionChange(view=view, rebuild=pb.Rebuild(allow_parked=allow_parked))
    _new_generation(change, why, wait, plan_id, dry_run=dry_run, yes=yes, as_json=as_json)


@projections.command("reset")
def reset(
    view: View,
    to: Annotated[
        int, typer.Option(min=0, help="Go back to the last event at or before this commit position; 0: the beginning.")
    ] = 0,
    why: Why = "",
    allow_parked: AllowParked = False,
    wait: Wait = False,
    plan_id: PlanId = "",
    dry_run: DryRun = False,
    yes: Yes = False,
    as_json: AsJson = False,
) -> None:
    """Rebuild the documents that have changed since a position; readers see the old generation until that is done."""
    change = pb.ProjectionChange(view=view, reset=pb.Reset(position=to, allow_parked=allow_parked))
    _new_generation(change, why, wait, plan_id, dry_run=dry_run, yes=yes, as_json=as_json)


@projections.command("rollback")
def rollback(
    view: View, why: Why = "", plan_id: PlanId = "", dry_run: DryRun = False, yes: Yes = False, as_json: AsJson = False
) -> None:
    """Switch readers back to the generation before the last switch."""
    change = pb.ProjectionChange(view=view, rollback=pb.Rollback())
    _apply(change, why, plan_id, dry_run=dry_run, yes=yes, as_json=as_json)


@projections.command("drop")
def drop(
    view: View,
    generation: Annotated[int, typer.Option(min=0, help="Which; 0: the one kept for a rollback.")] = 0,
    why: Why = "",
    plan_id: PlanId = "",
    dry_run: DryRun = False,
    yes: Yes = False,
    as_json: AsJson = False,
) -> None:
    """Remove a generation that readers do not see: the kept one, or one that is being built."""
    change = pb.ProjectionChange(view=view, drop=pb.Drop(generation=generation))
    _apply(change, why, plan_id, dry_run=dry_run, yes=yes, as_json=as_json)


# ------------------------------------------------------------------ parked events, and single documents


@projections.command("parked")
def parked(
    view: View,
    limit: Annotated[int, typer.Option(min=1, max=1000, help="How many streams at most.")] = 100,
    as_json: AsJson = False,
) -> None:
    """Show the streams that are parked for a view after a failing event, the oldest first."""
    reply = call(lambda shop: shop.operations.ListParkedStreams(view=view, max_streams=limit))
    if as_json:
        print_json(reply)
        return
    rows = table(
        "stream",
        "revision",
        "event",
        "waiting",
        "parked at",
        "error",
        leave=("parked at", "waiting", "event", "error", "revision"),
        texts=("error",),
    )
    for x in reply.streams:
        rows.add_row(x.stream, f"{x.revision:,}", x.event_type, f"{x.waiting:,}", when(x.parked_at), x.error)
    rows.show()
    if reply.total > len(reply.streams):
        out.print(f"{reply.total - len(reply.streams):,} more", highlight=False)


@projections.command("retry")
def retry(
    stream: Annotated[str, typer.Argument(help="A parked stream; none: all of them.")] = "",
    view: OnlyView = "",
    why: Why = "",
    wait: WaitDone = False,
    plan_id: PlanId = "",
    dry_run: DryRun = False,
    yes: Yes = False,
    as_json: AsJson = False,
) -> None:
    """Apply the events of parked streams, in their order, after the cause of the failure was repaired."""
    change = pb.ProjectionChange(view=view, retry=pb.RetryParked(stream=stream))
    _apply(change, why, plan_id, wait=wait, dry_run=dry_run, yes=yes, as_json=as_json)


@projections.command("skip")
def skip(
    stream: Annotated[str, typer.Argument(help="A parked stream.")],
    view: OnlyView = "",
    why: Why = "",
    wait: WaitDone = False,
    plan_id: PlanId = "",
    dry_run: DryRun = False,
    yes: Yes = False,
    as_json: AsJson = False,
) -> None:
    """Skip the failing event of a parked stream in the views for good; then apply the events that wait behind it.

    Commands and processes continue as before: for an unreadable event, see `orderstream events exclude`.
    """
    change = pb.ProjectionChange(view=view, skip=pb.SkipParked(stream=stream))
    _apply(change, why, plan_id, wait=wait, dry_run=dry_run, yes=yes, as_json=as_json)


@projections.command("key")
def rebuild_key(
    view: View,
    key: Annotated[str, typer.Argument(help="The document's: an order id, a SKU …")],
    why: Why = "",
    wait: WaitDone = False,
    plan_id: PlanId = "",
    dry_run: DryRun = False,
    yes: Yes = False,
    as_json: AsJson = False,
) -> None:
    """Replay the events of one document into the live generation."""
    change = pb.ProjectionChange(view=view, key=pb.RebuildKey(key=key))
    _apply(change, why, plan_id, wait=wait, dry_run=dry_run, yes=yes, as_json=as_json)


@projections.command("history")
def history(
    view: Annotated[str, typer.Argument(help="The name of the view; none: acts on anything.")] = "",
    limit: Annotated[int, typer.Option(min=1, max=1000, help="How many at most.")] = 50,
    as_json: AsJson = False,
) -> None:
    """Show what operators did, the latest first: who, what, when, why."""
    reply = call(lambda shop: shop.operations.ListActs(view=view, max_acts=limit))
    if as_json:
        print_json(reply)
        return
    rows = table(
        "when", "who", "what", "to", "why", "failure", leave=("failure", "who", "when", "why"), texts=("why", "failure")
    )
    for x in reply.acts:
        act = x.act
        if x.unreadable:
            rows.add_row("-", "-", f"unreadable event {x.revision}", "-", "-", x.unreadable)
            continue
        who = f"{act.actor} via {act.via}" if act.via else act.actor
        rows.add_row(when(act.acted_at), who, act.act, act.subject, act.reason, act.failure)
    rows.show()


# ------------------------------------------------------------------ plan, then apply


def _planned(
    change: pb.ProjectionChange, why: str, plan_id: str, *, dry_run: bool, yes: bool, as_json: bool
) -> str | None:
    """The plan's id after confirmation; None if only the plan was wanted."""
    require_why(why, dry_run=dry_run)
    if not plan_id:
        plan = call(lambda shop: shop.operations.PlanProjection(change=change, deadline=plan_within()))
        if dry_run:
            _report_plan(plan, as_json=as_json)
            return None
        if not yes:
            _report_plan(plan, as_json=False)
            where = change.view or "in every view"
            agree(f"{change.WhichOneof('action')} {where}?")
        plan_id = str(plan.plan_id)
    return plan_id


def _apply(
    change: pb.ProjectionChange,
    why: str,
    plan_id: str,
    *,
    dry_run: bool,
    yes: bool,
    as_json: bool,
    wait: bool = False,
) -> None:
    agreed = _planned(change, why, plan_id, dry_run=dry_run, yes=yes, as_json=as_json)
    if agreed is None:
        return
    deadline = MAX_WAIT if wait else None
    reply = call(
        lambda shop: shop.operations.ApplyProjection(
            plan_id=agreed, change=change, reason=why, wait=wait, deadline=deadline
        )
    )
    if as_json:
        print_json(reply)
        return
    for line in reply.outcome.split("; ") if reply.outcome else ():
        out.print(line, highlight=False, soft_wrap=True)
    if not reply.done and change.WhichOneof("action") not in NEW_GENERATION:
        out.print("it is asked for: the process that owns the view does it as soon as it can", highlight=False)
    _show(reply.projections or [reply.projection])


def _new_generation(
    change: pb.ProjectionChange, why: str, wait: bool, plan_id: str, *, dry_run: bool, yes: bool, as_json: bool
) -> None:
    if not wait:
        _apply(change, why, plan_id, dry_run=dry_run, yes=yes, as_json=as_json)
        return
    agreed = _planned(change, why, plan_id, dry_run=dry_run, yes=yes, as_json=as_json)
    if agreed is None:
        return
    result = call(lambda shop: _until_the_end(shop, change, agreed, why))
    if as_json:
        print_json(_as_json(result))
    elif result.switched:
        out.print(
            f"readers see generation {result.to_generation} of {result.view}: {result.events:,} events, "
            f"{result.documents:,} documents, {result.differences:,} differences, {result.seconds:,.1f} s",
            highlight=False,
            soft_wrap=True,
        )
    if not result.switched:
        fail(f"readers still see generation {result.from_generation}: {result.failure}", FAILED)


def _as_json(result: Any) -> dict[str, Any]:
    return {
        "view": result.view,
        "from_generation": result.from_generation,
        "to_generation": result.to_generation,
        "events": result.events,
        "documents": result.documents,
        "seconds": round(result.seconds, 3),
        "verified": result.verified,
        "differences": result.differences,
        "switched": result.switched,
        "failure": result.failure,
    }


def _rebuild_all(
    wanted: pb.PlanRebuildsRequest, why: str, wait: bool, plan_id: str, *, dry_run: bool, yes: bool, as_json: bool
) -> None:
    require_why(why, dry_run=dry_run)
    plan = call(lambda shop: shop.operations.PlanRebuilds(allow_parked=wanted.allow_parked, deadline=plan_within()))
    for left_out, because in ((plan.paused, "paused"), (plan.rebuilding, "being rebuilt already")):
        if left_out:
            err.print(f"left out, for they are {because}: {', '.join(left_out)}", highlight=False, soft_wrap=True)
    if dry_run or not (plan.views or plan_id):
        _report_rebuilds(plan, as_json=as_json)
        return
    if not (yes or plan_id):
        _report_rebuilds(plan, as_json=False)
        agree(f"rebuild {len(plan.views)} views?")
    views = [one.view for one in plan.views]
    act = pb.RebuildAllRequest(
        plan_id=plan_id or plan.plan_id, views=views, allow_parked=wanted.allow_parked, reason=why
    )
    results = call(lambda shop: _until_all_end(shop, act, wait=wait))
    if not wait:
        if as_json:
            print_json({"plan_id": act.plan_id, "views": views})
        else:
            out.print(f"{len(views)} views are being rebuilt: {', '.join(views)}", highlight=False, soft_wrap=True)
        return
    _report_results(results, as_json=as_json)


def _report_rebuilds(plan: Any, *, as_json: bool) -> None:
    if as_json:
        print_json(plan)
        return
    if not plan.views:
        out.print(
            "no other view has to be rebuilt" if plan.rebuilding else "no view has to be rebuilt", highlight=False
        )
        return
    rows = table("view", "why", "events", "documents", leave=("documents", "events"), texts=("why",))
    for one in plan.views:
        rows.add_row(one.view, one.reason, f"{one.events:,}", f"{one.documents:,}")
    rows.show()
    out.print(f"plan {plan.plan_id}", highlight=False)


def _report_results(results: Sequence[Any], *, as_json: bool) -> None:
    failed = [one for one in results if not one.switched]
    if as_json:
        print_json({"rebuilds": [_as_json(one) for one in results], "failed": len(failed)})
    else:
        events, documents = sum(one.events for one in results), sum(one.documents for one in results)
        out.print(
            f"readers see {len(results) - len(failed)} of {len(results)} views rebuilt: {events:,} events, "
            f"{documents:,} documents, {sum(one.differences for one in results):,} differences, "
            f"{max((one.seconds for one in results), default=0.0):,.1f} s",
            highlight=False,
            soft_wrap=True,
        )
    if failed:
        fail("; ".join(f"{one.view} was not rebuilt: {one.failure}" for one in failed), FAILED)


async def _until_all_end(shop: OrderstreamClient, act: pb.RebuildAllRequest, *, wait: bool) -> list[Any]:
    """The results, by view. The rebuilds begin with the first message, and go on without a caller."""
    results: dict[str, Any] = {}

    def messages() -> Any:
        return shop.operations.RebuildAll(
            plan_id=act.plan_id, views=act.views, allow_parked=act.allow_parked, reason=act.reason
        )

    with progress_on(err) as report:
        async with aclosing(_patiently(messages)) as received:
            async for message in received:
                if not wait:
                    break
                if message.HasField("result"):
                    results[message.view] = message.result
                else:
                    report(message.view, message.progress.events, message.progress.total)
    return [results[view] for view in sorted(results)]


async def _until_the_end(shop: OrderstreamClient, change: pb.ProjectionChange, plan_id: str, why: str) -> Any:
    """Shows the progress. The reporting process may end meanwhile; another one, or the same again, continues."""
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, TextColumn("{task.fields[rate]}"), console=err, transient=True) as bars:
        bar = bars.add_task(change.view, total=None, rate="")
        async for message in _messages(shop, change, plan_id, why):
            if message.HasField("result"):
                return message.result
            progress = message.progress
            left = f", {progress.left_ms / 1000:,.0f} s left" if progress.left_ms else ""
            bars.update(
                bar,
                description=f"{change.view} g{progress.generation} {_phase(progress)}",
                completed=progress.events,
                total=progress.total or None,
                rate=f"{progress.events_per_second:,.0f}/s{left}",
            )
    raise AssertionError("a rebuild ends with a result or a failure")


def _messages(shop: OrderstreamClient, change: pb.ProjectionChange, plan_id: str, why: str) -> AsyncIterator[Any]:
    return _patiently(lambda: shop.operations.RebuildProjection(plan_id=plan_id, change=change, reason=why))


def plan_within() -> float:
    """Seconds for a plan: it reads the log, which may take longer than other calls."""
    return max(TARGET.deadline, PLAN_WITHIN)


async def _patiently(messages: Callable[[], Any]) -> AsyncGenerator[Any, None]:
    """The messages of a call. It is repeated while the reporting process is unavailable: the rebuild goes on."""
    loop = asyncio.get_running_loop()
    heard_at = loop.time()
    while True:
        try:
            async with aclosing(messages()) as received:
                async for message in received:
                    heard_at = loop.time()
                    yield message
        except Unavailable:
            if loop.time() - heard_at > PATIENCE:
                raise
            await asyncio.sleep(PAUSE)
        else:
            return


def _report_plan(plan: Any, *, as_json: bool) -> None:
    if as_json:
        print_json(plan)
        return
    for effect in plan.effects:
        out.print(f"- {effect}", highlight=False, soft_wrap=True)
    span = f"positions {plan.from_position:,} to {plan.to_position:,}"
    out.print(f"{plan.events:,} events ({span}), about {plan.documents:,} documents", highlight=False, soft_wrap=True)
    out.print(f"queries that answer from it: {', '.join(plan.queries) or 'none'}", highlight=False, soft_wrap=True)
    out.print(f"plan {plan.plan_id}", highlight=False)


# ------------------------------------------------------------------ tables


def _show_one(found: Any, *, as_json: bool) -> None:
    if as_json:
        print_json(found)
        return
    _show([found])


def _show(found: Any) -> None:
    rows = table(
        *("view", "status", "gen", "position", "lag", "behind", "rate", "parked", "owner", "rebuild", "last error"),
        leave=("gen", "rate", "position", "parked", "rebuild", "behind", "owner", "lag", "last error"),
        texts=("last error",),
    )
    for x in found:
        if x.unavailable:
            rows.add_row(x.view, "not known", *["-"] * 8, x.unavailable)
            continue
        status = enum_name(pb.ProjectionStatus, x.status, "PROJECTION_STATUS_").replace("_", " ")
        status += f", {x.parked_streams:,} parked" if x.parked_streams else ""
        generation = f"{x.generation} (kept {x.kept_generation})" if x.kept_generation else str(x.generation)
        lag = f"{x.lag_events:,}" if x.lag_events < MAX_COUNTED else f"{MAX_COUNTED:,}+"
        rate = f"{x.events_per_second:,.0f}/s"
        cells = (f"{x.position:,}", lag, f"{x.lag_seconds:,.1f} s", rate, f"{x.parked_streams:,}", _owners(x))
        rows.add_row(x.view, status, generation, *cells, _rebuild_of(x), _error_of(x))
    rows.show()


def _owners(x: Any) -> str:
    if len(x.owners) < 2:
        return x.owner or "-"
    return ", ".join(f"part {part}: {owner or '-'}" for part, owner in enumerate(x.owners))


def _rebuild_of(x: Any) -> str:
    if not x.HasField("rebuild"):
        return "-"
    rebuild = x.rebuild
    share = 100 * rebuild.events / rebuild.total if rebuild.total else 0
    return f"g{rebuild.generation} {_phase(rebuild)} {share:.0f} %"


def _error_of(x: Any) -> str:
    reason = x.rebuild_reason or ("made by other code" if x.code_changed else "")  # a former server gives no reason
    if (x.log_mismatch or x.astray) and x.last_error:  # a former server sets astray only
        reason = ""  # the error says the same
    return "; ".join(text for text in (x.last_error, f"{reason}: rebuild it" if reason else "") if text)


def _phase(progress: Any) -> str:
    return enum_name(pb.RebuildPhase, progress.phase, "REBUILD_PHASE_")
