"""A rebuild, from its present phase to the switch. Each step may be repeated, by this process or another.

The runners of the new generation fill it, and follow the log from then on. The rest is here: copy the documents that a
reset keeps, wait until it has caught up, verify it, switch.
"""

import asyncio
from collections.abc import Sequence
from typing import Any

import structlog
from pymongo import InsertOne
from pymongo.errors import BulkWriteError

from core.error_text import bounded
from core.failures import LogMismatch
from core.readmodel.checkpoints import Checkpoint, CheckpointStore, now_micros
from core.readmodel.generations import ActiveRebuild, Outcome, Phase, ViewGenerations, failed, phase_entered, switched
from core.readmodel.view import View
from projections.config import Settings
from projections.engine.applier import DUPLICATE_KEY
from projections.engine.lease import LeaseHolder
from projections.engine.membership import Membership
from projections.engine.throttle import ReaderAwareThrottle
from projections.lifecycle.audit_log import AuditEntry, AuditLog
from projections.verification.full import Result, Verifier

log = structlog.get_logger()

LOOK_EVERY = 0.1  # seconds
WAY_ON = (
    ". {parked} of them are streams that are held back: leave their events out with "
    "`orderstream projections skip STREAM`, or rebuild with --allow-parked"
)
ITSELF = "orderstream"  # the actor of the end of a rebuild that an operator began


class Superseded(Exception):  # it names what happened
    """The generation was dropped, or another process completed it."""


class RebuildProcedure:
    """Of one view."""

    def __init__(
        self,
        view: View[Any],
        state: CheckpointStore,
        verifier: Verifier,
        audit_log: AuditLog,
        settings: Settings,
        *,
        membership: Membership,
    ) -> None:
        self._view = view
        self._state = state
        self._verifier = verifier
        self._audit_log = audit_log
        self._settings = settings
        self._membership = membership

    async def carry_on(self, pointer: ViewGenerations) -> None:
        """Run until readers see the new generation, or until it is known why they must not."""
        building = pointer.building
        assert building is not None, "there is a rebuild to carry on"
        if building.phase is Phase.SEEDING:
            await self._seed(pointer, building)
        elif building.phase is not Phase.FAILED:
            try:
                await self._caught_up(building)
                await self._enter(building, Phase.VERIFYING)
                await self._judge(pointer, building, await self._verified(building))
            except LogMismatch as mismatch:
                await self._fail(building, self._outcome(pointer, building, failure=str(mismatch)))

    async def _seed(self, pointer: ViewGenerations, building: ActiveRebuild) -> None:
        """Copy the documents that have not changed since the position of the reset; the fold then skips their events.

        A document that changes meanwhile is skipped, or its later events are folded like those of any other.
        """
        view, generation = self._view.name, building.generation
        holder = LeaseHolder(self._state, self._membership, self._settings.lease)
        owned = await holder.acquire(view, generation, asyncio.Event(), lambda _: None)
        assert owned is not None, "it is not stopped"
        live, new = self._state.documents(view, pointer.generation), self._state.documents(view, generation)
        throttle = ReaderAwareThrottle(lambda: self._state.generations.get(view))
        chunk: list[InsertOne[dict[str, Any]]] = []
        async for document in live.find({"position": {"$lte": building.since}}):
            chunk.append(InsertOne(document))
            if len(chunk) >= throttle.chunk:
                with throttle.writing(len(chunk)):
                    await _inserted(new, chunk)
                await self._state.heartbeat(owned)
                await throttle.yield_to_readers()
                chunk = []
        await _inserted(new, chunk)
        await self._enter(building, Phase.FILLING)
        await self._state.release(owned)
        self._membership.lost(owned.key)

    async def _caught_up(self, building: ActiveRebuild) -> Checkpoint:
        """Wait until the new generation has everything that the log had of the view at the time of the call.

        Raises `LogMismatch` if the log was replaced since the rebuild began.

        It need not be level with the live one: while the log grows, two followers never stand at the same event.
        """
        wanted = await self._verifier.head()
        before: int | None = None
        while True:
            now = await self._state.generations.get(self._view.name)
            if now.building is None or now.building.generation != building.generation:
                raise Superseded(f"generation {building.generation} is no longer being made")
            new = await self._state.of_generation(now, building.generation)
            if new is not None and new.log_mismatch:
                raise LogMismatch(f"generation {building.generation} of {self._view.name}")
            if new is not None and await self._verifier.reached(self._view, new, wanted, before):
                return new
            before = None if new is None else new.position
            await asyncio.sleep(LOOK_EVERY)

    async def _enter(self, building: ActiveRebuild, phase: Phase) -> None:
        def into(now: ViewGenerations) -> ViewGenerations | None:
            if now.building is None or now.building.generation != building.generation:
                return None
            return phase_entered(now, building.generation, phase)

        await self._state.generations.change(self._view.name, into)

    async def _verified(self, building: ActiveRebuild) -> Result:
        async for message in self._verifier.verify([self._view], generation=building.generation, since=building.since):
            if isinstance(message, Result):
                return message
        raise AssertionError("a verification ends with a result for each view")

    async def _judge(self, pointer: ViewGenerations, building: ActiveRebuild, result: Result) -> None:
        for difference in result.listed:
            log.warning("rebuilt otherwise", view=self._view.name, key=difference.key, field=difference.field)
        wrong = result.differences - (result.parked if building.allow_parked else 0)
        if wrong:
            examples = "; ".join(bounded(f"{x.key} {x.field}: {_scalar(x.expected)}") for x in result.listed[:3])
            failure = f"{wrong} differences, such as {examples}"
            if result.parked and not building.allow_parked:
                failure += WAY_ON.format(parked=result.parked)
            await self._fail(building, self._outcome(pointer, building, result, failure=failure))
            return
        reached = await self._caught_up(building)  # the log went on while it was verified
        if building.since:
            await self._of_this_log(pointer)
        outcome = self._outcome(pointer, building, result, events=reached.events)
        until = now_micros() + int(self._settings.keep_generation * 1_000_000)
        act = AuditEntry(
            act="SwitchProjection",
            subject=self._view.name,
            actor=ITSELF,
            plan_id=building.plan_id,
            details={"from_generation": pointer.generation, "to_generation": building.generation},
        )
        async with self._audit_log.recorded(act):
            await self._state.generations.change(self._view.name, lambda now: _ended(now, building, outcome, until))
        log.warning("readers see a new generation", view=self._view.name, generation=building.generation)

    async def _of_this_log(self, pointer: ViewGenerations) -> None:
        """Raises `LogMismatch` if the generation that documents were taken over from is of another log."""
        live = await self._state.of_generation(pointer, pointer.generation)
        if live is not None and live.log_mismatch:
            raise LogMismatch(f"generation {pointer.generation} of {self._view.name}")

    async def _fail(self, building: ActiveRebuild, outcome: Outcome) -> None:
        await self._state.generations.change(self._view.name, lambda now: _ended(now, building, outcome))
        log.error("rebuild not switched to", view=self._view.name, failure=outcome.failure)

    def _outcome(
        self,
        pointer: ViewGenerations,
        building: ActiveRebuild,
        result: Result | None = None,
        *,
        events: int = 0,
        failure: str = "",
    ) -> Outcome:
        """`result` is None if it was not verified."""
        found = result or Result(self._view.name)
        return Outcome(
            plan_id=building.plan_id,
            from_generation=pointer.generation,
            to_generation=building.generation,
            events=events or found.events,
            documents=found.documents,
            micros=now_micros() - building.started_at,
            verified=not failure,
            differences=found.differences,
            switched=not failure,
            failure=failure,
        )


def _scalar(value: Any) -> Any:
    """An error never contains the document."""
    return f"a {type(value).__name__}" if isinstance(value, dict | list) else value


def _ended(
    now: ViewGenerations, building: ActiveRebuild, outcome: Outcome, keep_until: int = 0
) -> ViewGenerations | None:
    """None if it was dropped meanwhile, or another process was faster."""
    if now.building is None or now.building.generation != building.generation:
        return None
    return switched(now, outcome, keep_until) if outcome.switched else failed(now, outcome)


async def _inserted(documents: Any, chunk: Sequence[InsertOne[dict[str, Any]]]) -> None:
    """Existing documents were inserted before a crash."""
    try:
        if chunk:
            await documents.bulk_write(list(chunk), ordered=False)
    except BulkWriteError as error:
        if any(problem["code"] != DUPLICATE_KEY for problem in error.details["writeErrors"]):
            raise
