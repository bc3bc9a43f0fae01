"""Views over real stores: write events, run a view, look at its documents."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

from esdbclient import NewEvent, StreamState
from pymongo.asynchronous.database import AsyncDatabase
from uuid_utils import uuid7

from core.domain.order.events import OrderEvent
from core.eventstore import codec
from core.eventstore.connection import Client
from core.eventstore.log import EventLog
from core.readmodel.checkpoints import CheckpointStore
from core.readmodel.generations import Outcome, ViewGenerations
from core.readmodel.view import View
from projections.config import Settings
from projections.engine.host import Host
from projections.engine.part import Status
from projections.engine.runner import Runner
from projections.lifecycle.audit_log import AuditLog
from projections.lifecycle.supervisor import Supervisor
from projections.operations.changes import ChangePlanner
from projections.operations.plans import DONE_WITHIN, Requester
from projections.stores import Stores
from protos.operations.v1 import projections_pb2 as pb
from tests.support.eventually import eventually
from tests.support.orders import confirmed, created, line_added, order_line, placed

QUICK = Settings(
    heartbeat=0.05,
    lease=0.5,
    max_batch_rest=0.0,
    max_pause=0.2,
    poll_interval=0.05,
    drop_delay=0.2,
    batch_size_rebuild=50,
)
Documents = dict[str, dict[str, Any]]


def new_order(quantity: int = 2) -> list[OrderEvent]:
    """An order placed and confirmed, under an id of its own."""
    order_id = str(uuid7())
    history: list[Any] = [created(), line_added(quantity=quantity), placed(order_line(quantity=quantity)), confirmed()]
    return [replace(event, order_id=order_id) for event in history]


async def append(client: Client, events: Sequence[OrderEvent]) -> int:
    """Write an order's events to its stream; the commit position of the last."""
    stored = [NewEvent(*codec.encode(event)) for event in events]
    return await client.append_to_stream(f"order-{events[0].order_id}", current_version=StreamState.ANY, events=stored)


async def append_broken(client: Client, order_id: str) -> int:
    """Write what nobody can read."""
    event = NewEvent("OrderConfirmed", b'{"order_id": 7')
    return await client.append_to_stream(f"order-{order_id}", current_version=StreamState.ANY, events=[event])


async def begin_at_the_end(client: Client, mongo: AsyncDatabase[Any], view: View[Any]) -> int:
    """Let a view begin behind all that other tests have written; the position."""
    state, head = CheckpointStore(mongo), await EventLog(client).head()
    checkpoint = await state.take_over(view.name, 1)
    await state.advance(replace(checkpoint, position=head))
    await state.release(checkpoint)
    return head


@asynccontextmanager
async def run(
    view: View[Any], client: Client, mongo: AsyncDatabase[Any], settings: Settings = QUICK
) -> AsyncIterator[Runner]:
    async with Host([view], Stores.of(client, mongo), settings).running() as host:
        runner = Runner(view, host, settings)
        task = asyncio.create_task(runner.run())
        try:
            yield runner
        finally:
            runner.stop()
            await task


@asynccontextmanager
async def supervised(
    view: View[Any], client: Client, mongo: AsyncDatabase[Any], settings: Settings = QUICK
) -> AsyncIterator[Supervisor]:
    """As a process runs it: whatever generations there are, and rebuilds."""
    async with Host([view], Stores.of(client, mongo), settings).running() as host:
        supervisor = Supervisor(view, host, settings, AuditLog(client))
        task = asyncio.create_task(supervisor.run())
        try:
            yield supervisor
        finally:
            supervisor.stop()
            await task


class Operator:
    """What an operator asks for, as the service does it."""

    def __init__(
        self,
        view: View[Any],
        client: Client,
        mongo: AsyncDatabase[Any],
        settings: Settings = QUICK,
    ) -> None:
        self.view = view
        self.state = CheckpointStore(mongo)
        self.changes = ChangePlanner(Stores.of(client, mongo), AuditLog(client), settings)

    def change(self, **action: Any) -> pb.ProjectionChange:
        return pb.ProjectionChange(view=self.view.name, **action)

    async def apply(self, **action: Any) -> str:
        """Plan and apply; the plan's id."""
        change = self.change(**action)
        plan = await self.changes.plan(self.view, change)
        await self.changes.apply(self.view, change, Requester("ann", "a test", plan.id))
        return plan.id

    async def outcome(self, *, within: float = DONE_WITHIN, **action: Any) -> tuple[bool, list[str]]:
        """Plan, apply, and wait so many seconds for the owner; whether it is done, and its outcome."""
        change = self.change(**action)
        plan = await self.changes.plan(self.view, change)
        return await self.changes.apply(self.view, change, Requester("ann", "a test", plan.id, within))

    async def rebuilt(self, **action: Any) -> Outcome:
        """Apply and wait for the end."""
        plan_id = await self.apply(**action or {"rebuild": pb.Rebuild()})

        async def outcome() -> Outcome | None:
            found = (await self.state.generations.get(self.view.name)).outcome
            return found if found is not None and found.plan_id == plan_id else None

        ended = await eventually(outcome, within=60)
        assert ended is not None
        return ended

    async def pointer(self) -> ViewGenerations:
        return await self.state.generations.get(self.view.name)


async def reached(mongo: AsyncDatabase[Any], view: View[Any], position: int) -> None:
    """Wait until the view's checkpoint covers a position."""

    async def look() -> int:
        checkpoint = await CheckpointStore(mongo).checkpoint(view.name)
        return 0 if checkpoint is None else checkpoint.position

    await eventually(look, lambda now: now >= position)


async def is_(runner: Runner, status: Status) -> None:
    async def look() -> Status:
        return runner.status

    await eventually(look, lambda now: now is status)


async def documents(mongo: AsyncDatabase[Any], view: View[Any], generation: int = 1) -> Documents:
    """Bodies by key, positions left out."""
    found = {}
    async for document in CheckpointStore(mongo).documents(view.name, generation).find({}):
        key = document.pop("_id")
        document.pop("position")
        found[key] = document
    return found
