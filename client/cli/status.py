"""`orderstream status`: one page with the state of the system and its problems."""

import asyncio
import sys
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Annotated, Any

import typer
from grpc_health.v1 import health_pb2

from client.cli.connect import TARGET, health_of
from client.cli.output import FAILED, AsJson, enum_name, out, print_json
from client.cli.tables import table
from client.cli.words import words_of
from client.sdk import OrderstreamClient
from client.sdk.errors import OrderstreamError, Unreachable
from protos.operations.v1.projections_pb2 import ProjectionStatus
from protos.processes.v1.types_pb2 import PROCESS_STATUS_STUCK

WITHIN = 3.0  # seconds for each answer
EVERY = 2.0  # seconds between two pages
MAX_STUCK = 100
# of each role: a service that says by its health whether the role can work
SERVICES = {
    "commands": "orders.v1.OrderCommandService",
    "queries": "orders.v1.OrderQueryService",
    "processes": "processes.v1.ProcessCommandService",
    "projections": "operations.v1.ProjectionService",
}
SERVING = health_pb2.HealthCheckResponse.SERVING


@dataclass(slots=True)
class Page:
    """`red` has one line for each problem that needs an operator."""

    services: list[dict[str, str]] = field(default_factory=list)
    views: list[dict[str, Any]] = field(default_factory=list)
    groups: list[dict[str, Any]] = field(default_factory=list)
    stuck: list[dict[str, str]] = field(default_factory=list)
    red: list[str] = field(default_factory=list)


def status(
    watch: Annotated[bool, typer.Option("--watch", help="A new page every two seconds, until Ctrl-C.")] = False,
    as_json: AsJson = False,
) -> None:
    """Services, views, subscription groups and stuck orders on one page. Exit code 1 if anything needs an operator."""
    while True:
        page = asyncio.run(_page())
        if watch and not as_json and out.is_terminal:
            out.clear()
        _show(page, as_json=as_json)
        sys.stdout.flush()
        if not watch:
            raise typer.Exit(FAILED if page.red else 0)
        try:
            time.sleep(EVERY)
        except KeyboardInterrupt:
            return


async def _page() -> Page:
    page = Page()
    async with TARGET.client(deadline=WITHIN) as shop:
        await asyncio.gather(
            *(_service(page, role, service) for role, service in SERVICES.items()),
            _add(page, "views", shop.operations.ListProjections, _views),
            _add(page, "subscription groups", shop.subscriptions.ListSubscriptions, _groups),
            _add(page, "stuck orders", lambda: _ask_stuck(shop), _stuck),
        )
    page.services.sort(key=lambda one: one["role"])
    page.red.sort()
    return page


async def _service(page: Page, role: str, service: str) -> None:
    address = getattr(TARGET.addresses, role)
    try:
        said = "serving" if await health_of(address, service, role) == SERVING else "not serving"
    except OrderstreamError as error:
        said = "not there"
        page.red.append(words_of(error))
    if said == "not serving":
        page.red.append(f"{role} at {address} is not serving: its log says why")
    page.services.append({"role": role, "address": address, "health": said})


async def _add(page: Page, what: str, ask: Callable[[], Awaitable[Any]], take: Callable[[Page, Any], None]) -> None:
    try:
        take(page, await ask())
    except OrderstreamError as error:
        if not isinstance(error, Unreachable):  # another line reports an absent service
            page.red.append(f"{what}: not known: {words_of(error)}")


def _views(page: Page, reply: Any) -> None:
    for view in reply.projections:
        if view.unavailable:
            page.red.append(f"{view.view}: not known: {view.unavailable}")
            continue
        name = enum_name(ProjectionStatus, view.status, "PROJECTION_STATUS_").replace("_", " ")
        known = {"view": view.view, "status": name, "behind": int(view.lag_events), "parked": int(view.parked_streams)}
        page.views.append({**known, "owner": view.owner or "none"})
        if view.parked_streams:
            page.red.append(f"{view.view}: {view.parked_streams} streams are parked: orderstream projections parked")
        if view.rebuild_reason:
            page.red.append(f"{view.view}: rebuild it: {view.rebuild_reason}")
        if view.differences:
            page.red.append(f"{view.view}: {view.differences} documents were found wrong: orderstream verify")
        if name not in ("live", "catching up", "paused", "standby"):
            page.red.append(f"{view.view}: {name}{f': {view.last_error[:200]}' if view.last_error else ''}")


def _groups(page: Page, reply: Any) -> None:
    for group in reply.subscriptions:
        named = {"group": group.group, "source": group.source, "status": group.status}
        page.groups.append({**named, "lag": int(group.lag), "parked": int(group.parked)})
        if group.parked:
            how = f"orderstream subscriptions parked {group.source!r} {group.group}"
            page.red.append(f"group {group.group}: {group.parked} events are parked: {how}")


async def _ask_stuck(shop: OrderstreamClient) -> Any:
    return await shop.processes.ListProcesses(status=PROCESS_STATUS_STUCK, page_size=MAX_STUCK)


def _stuck(page: Page, reply: Any) -> None:
    for process in reply.processes:
        page.stuck.append({"order_id": process.order_id, "step": process.step})
        page.red.append(f"order {process.order_id} is stuck at {process.step}: orderstream processes get")


def _show(page: Page, *, as_json: bool) -> None:
    if as_json:
        parts = {name: getattr(page, name) for name in ("services", "views", "groups", "stuck", "red")}
        print_json({"well": not page.red} | parts)
        return
    for rows, leave in ((page.services, ()), (page.views, ("owner", "parked")), (page.groups, ("status",))):
        if rows:
            shown = table(*rows[0], leave=leave)
            for row in rows:
                shown.add_row(*(f"{x:,}" if isinstance(x, int) else str(x) for x in row.values()))
            shown.show()
            out.print()
    out.print(f"stuck orders: {len(page.stuck)}")
    for line in page.red:
        out.print(line, style="red", soft_wrap=True)
    if not page.red:
        out.print("all is well", style="green")
