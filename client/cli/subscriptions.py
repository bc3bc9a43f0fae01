"""`orderstream subscriptions …`: persistent subscription groups, their lag and their parked events (dead letters)."""

from datetime import UTC, datetime
from typing import Annotated, Any

import typer

from client.cli.connect import call
from client.cli.output import AsJson, agree, out, print_json, when
from client.cli.tables import table
from client.cli.why import Why, require_why
from client.sdk import OrderstreamClient
from protos.operations.v1 import subscriptions_pb2 as pb

subscriptions = typer.Typer(no_args_is_help=True, help="Persistent subscription groups: lag, what is parked, replay.")

MAX_COUNTED = 1_000  # events
Source = Annotated[str, typer.Argument(help="The stream that the group follows, or $all.")]
Group = Annotated[str, typer.Argument(help="The name of the group.")]
Yes = Annotated[bool, typer.Option("--yes", help="Do not ask.")]


@subscriptions.command("list")
def list_groups(as_json: AsJson = False) -> None:
    """Show every group with its lag and its parked events."""
    reply = call(lambda shop: shop.subscriptions.ListSubscriptions())
    if as_json:
        print_json(reply)
        return
    _show(reply.subscriptions)


@subscriptions.command("get")
def get_group(source: Source, group: Group, as_json: AsJson = False) -> None:
    """Show one group."""
    reply = call(lambda shop: shop.subscriptions.GetSubscription(source=source, group=group))
    if as_json:
        print_json(reply)
        return
    _show([reply.subscription])


@subscriptions.command("parked")
def parked_events(
    source: Source,
    group: Group,
    limit: Annotated[int, typer.Option(min=1, help="How many at most, the oldest first.")] = 50,
    as_json: AsJson = False,
) -> None:
    """Show the parked events of a group, and why they were parked."""

    async def ask(shop: OrderstreamClient) -> list[Any]:
        found: list[Any] = []
        size = min(limit, 1_000)
        async for page in shop.subscriptions.pages("ListParkedEvents", source=source, group=group, page_size=size):
            found += page.events
            if len(found) >= limit:
                break
        return found[:limit]

    found = call(ask)
    if as_json:
        print_json({"events": found})
        return
    _show_parked(found)


@subscriptions.command("replay")
def replay(
    source: Source,
    group: Group,
    why: Why = "",
    limit: Annotated[int, typer.Option(min=0, help="How many at most, the oldest first; 0: all.")] = 0,
    plan_id: Annotated[str, typer.Option("--plan", help="Apply this plan; refused if it no longer holds.")] = "",
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only show what would be delivered again.")] = False,
    yes: Yes = False,
    as_json: AsJson = False,
) -> None:
    """Deliver parked events again: shows the plan, asks, applies. With --plan it applies a plan made before."""
    require_why(why, dry_run=dry_run)
    if not plan_id:
        plan = call(lambda shop: shop.subscriptions.PlanReplay(source=source, group=group, limit=limit))
        if dry_run:
            _report_plan(plan, as_json=as_json)
            return
        if not plan.events:
            _report_done(0, as_json=as_json)
            return
        if not yes:
            _report_plan(plan, as_json=False)
            agree(f"deliver {plan.events:,} again?")
        plan_id = plan.plan_id
    applied = call(
        lambda shop: shop.subscriptions.ApplyReplay(
            plan_id=plan_id, source=source, group=group, limit=limit, reason=why
        )
    )
    _report_done(applied.events, as_json=as_json)


Start = Annotated[int, typer.Option(min=0, help="Begin at this position, or with this revision of a stream.")]
FromEnd = Annotated[bool, typer.Option("--from-end", help="Begin behind the last event.")]
PlanId = Annotated[str, typer.Option("--plan", help="Apply this plan; refused if it no longer holds.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Only show the plan.")]


@subscriptions.command("create")
def create(
    source: Source,
    group: Group,
    start: Start = 0,
    from_end: FromEnd = False,
    why: Why = "",
    plan_id: PlanId = "",
    dry_run: DryRun = False,
    yes: Yes = False,
    as_json: AsJson = False,
) -> None:
    """Create a group, with the settings of this release. The process service creates its own, `checkout`, if it may."""
    place = {"source": source, "group": group, "start": start, "from_end": from_end}
    _change(pb.GROUP_CHANGE_CREATE, place, why, plan_id, dry_run=dry_run, yes=yes, as_json=as_json)


@subscriptions.command("reset")
def reset(
    source: Source,
    group: Group,
    start: Start = 0,
    from_end: FromEnd = False,
    why: Why = "",
    plan_id: PlanId = "",
    dry_run: DryRun = False,
    yes: Yes = False,
    as_json: AsJson = False,
) -> None:
    """Move a group to another position. Consumers reconnect by themselves; parked events are lost: replay them
    first.
    """
    place = {"source": source, "group": group, "start": start, "from_end": from_end}
    _change(pb.GROUP_CHANGE_RESET, place, why, plan_id, dry_run=dry_run, yes=yes, as_json=as_json)


@subscriptions.command("delete")
def delete(
    source: Source,
    group: Group,
    why: Why = "",
    plan_id: PlanId = "",
    dry_run: DryRun = False,
    yes: Yes = False,
    as_json: AsJson = False,
) -> None:
    """Delete a group, with its checkpoint and its parked events. The process service creates `checkout` again."""
    place = {"source": source, "group": group}
    _change(pb.GROUP_CHANGE_DELETE, place, why, plan_id, dry_run=dry_run, yes=yes, as_json=as_json)


def _change(
    change: "pb.GroupChange.ValueType",
    place: dict[str, Any],
    why: str,
    plan_id: str,
    *,
    dry_run: bool,
    yes: bool,
    as_json: bool,
) -> None:
    require_why(why, dry_run=dry_run)
    if not plan_id:
        plan = call(lambda shop: shop.subscriptions.PlanChange(change=change, **place))
        if dry_run or not yes:
            _report_change(change, plan, as_json=as_json and dry_run)
        if dry_run:
            return
        if not yes:
            agree("do this?")
        plan_id = plan.plan_id
    reply = call(lambda shop: shop.subscriptions.ApplyChange(plan_id=plan_id, change=change, reason=why, **place))
    if as_json:
        print_json(reply)
    elif reply.HasField("subscription"):
        _show([reply.subscription])
    else:
        out.print(f"{place['group']} on {place['source']} is deleted", highlight=False)


def _report_change(change: "pb.GroupChange.ValueType", plan: Any, *, as_json: bool) -> None:
    if as_json:
        print_json(plan)
        return
    if plan.HasField("subscription"):
        _show([plan.subscription])
        if plan.subscription.parked:
            out.print(f"{plan.subscription.parked:,} parked events would be lost: replay them first", highlight=False)
    if change != pb.GROUP_CHANGE_DELETE:
        where = f"at {plan.start}" if plan.start else "at the beginning"
        more = "more than " if plan.events >= MAX_COUNTED else ""
        out.print(f"it would begin {where}: {more}{plan.events:,} events to deliver", highlight=False)
    out.print(f"plan {plan.plan_id}", highlight=False)


@subscriptions.command("restart")
def restart(why: Why = "", yes: Yes = False, as_json: AsJson = False) -> None:
    """Disconnect the consumers of all groups; each group continues after its checkpoint, events in flight are
    repeated.
    """
    require_why(why)
    if not yes:
        agree("drop the consumers of all groups?")
    reply = call(lambda shop: shop.subscriptions.RestartSubscriptions(reason=why))
    if as_json:
        print_json(reply)
        return
    _show(reply.subscriptions)


def _report_plan(plan: Any, *, as_json: bool) -> None:
    if as_json:
        print_json(plan)
        return
    out.print(
        f"{plan.events:,} events would be delivered again, {plan.left:,} would stay parked; the oldest was parked "
        f"{_age(plan.oldest_parked_at)} ago, the newest {_age(plan.newest_parked_at)} ago",
        highlight=False,
        soft_wrap=True,
    )
    _show_parked(plan.sample)
    out.print(f"plan {plan.plan_id}", highlight=False)


def _report_done(events: int, *, as_json: bool) -> None:
    if as_json:
        print_json({"events": events})
    else:
        out.print(f"{events:,} events are being delivered again" if events else "nothing is parked", highlight=False)


def _show(found: Any) -> None:
    rows = table(
        "source",
        "group",
        "status",
        "consumers",
        "lag",
        "in flight",
        "parked",
        "checkpoint",
        "per second",
        leave=("per second", "checkpoint", "in flight", "consumers", "status"),
    )
    for x in found:
        numbers = [f"{n:,}" for n in (x.consumers, x.lag, x.in_flight, x.parked)]
        rows.add_row(x.source, x.group, x.status, *numbers, x.checkpoint or "-", f"{x.average_per_second:,}")
    rows.show()


def _show_parked(found: Any) -> None:
    rows = table(
        "number", "event", "type", "parked at", "because", leave=("parked at", "type", "because"), texts=("because",)
    )
    for x in found:
        event = f"{x.revision}@{x.stream}"
        rows.add_row(f"{x.number}", event, x.type or "(gone)", when(x.parked_at), x.parked_because)
    rows.show()


def _age(stamp: Any) -> str:
    """Like 3 h 20 min, for a duration."""
    if not stamp.seconds:
        return "-"
    minutes, seconds = divmod(max(0, int(datetime.now(UTC).timestamp()) - stamp.seconds), 60)
    hours, minutes = divmod(minutes, 60)
    days, hours = divmod(hours, 24)
    parts = [(days, "d"), (hours, "h"), (minutes, "min"), (seconds, "s")]
    shown = [f"{number} {unit}" for number, unit in parts if number][:2]
    return " ".join(shown) or "0 s"
