"""One order at a time: look at what is, ask what is next, do it, look again, until there is something to wait for.

Nothing depends on what woke it. A step that fails is written down with the time of its next attempt, and every further
attempt is written down before it is made: also one that takes the process down with it is counted.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

import structlog
from prometheus_client import Counter

from server.commands.facts import Facts
from server.commands.handler import CommandHandler
from server.domain.checkout import CHECKOUT
from server.domain.checkout.commands import NoteFailure
from server.domain.checkout.next_step import after_refusal, next_step
from server.domain.checkout.state import Checkout, Running
from server.domain.checkout.steps import Expire, Start, Step, Wait
from server.domain.order import ORDER
from server.domain.order.state import Order, Placed
from server.domain.rejection import Rejected
from server.eventstore.repository import Repository
from server.failures import ServiceFailure
from server.processes.automatic_start import AutomaticStart
from server.processes.payments.port import PaymentProvider, ProviderUnavailable
from server.processes.sender import Cause, Sender
from server.processes.work import ProviderRefusedError, Work, do
from server.turns import Turns

log = structlog.get_logger()

STEPS = Counter("orderstream_process_steps_total", "Steps by name and how they went.", ["step", "outcome"])

MOST_STEPS = 1_000  # in one go; an order of the largest size with a parcel for each line has fewer
WORTH_NOTING = 3  # deliveries that came to nothing before they are counted in the log
LONGEST_REASON = 300  # characters


class EndlessError(Exception):
    """One order asks for more steps than any can have: a defect."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Patience:
    """`pauses` are those before each further attempt at a step, `step_within` is the time for one attempt."""

    pauses: tuple[timedelta, ...]
    step_within: float


@dataclass(frozen=True, slots=True)
class _Seen:
    order: Order
    checkout: Checkout
    revision: int  # of the process's own stream


class Reconciler:
    """Brings orders on. Safe to run in several processes at once: what one does, another finds done."""

    def __init__(
        self,
        handler: CommandHandler,
        repository: Repository,
        payments: PaymentProvider,
        patience: Patience,
        clock: Callable[[], datetime],
        *,
        facts: Facts,
        automatic: AutomaticStart,
    ) -> None:
        self._handler = handler
        self._repository = repository
        self._facts = facts
        self._payments = payments
        self._patience = patience
        self._clock = clock
        self._automatic = automatic
        self._turns = Turns()

    async def reconcile(self, order_id: str, cause: Cause, *, delivered_before: int = 0) -> Wait:
        """Do all that can be done now; what is waited for then.

        Raises a `ServiceFailure` if the event store does not answer: nothing is lost, try again.
        """
        async with self._turns.of(order_id):
            sender = Sender(self._handler, self._clock, order_id, cause)
            work = Work(order_id=order_id, sender=sender, facts=self._facts, payments=self._payments)
            return await self._bring_on(work, cause, interrupted=delivered_before >= WORTH_NOTING)

    async def _bring_on(self, work: Work, cause: Cause, *, interrupted: bool) -> Wait:
        before: Step | None = None
        fresh = True
        for _ in range(MOST_STEPS):
            seen = await self._look(work.order_id, fresh=fresh)
            step = await self._next(seen)
            if isinstance(step, Start) and not await self._automatic.covers(work.order_id, cause):
                return Wait(what="an operator to start the process")
            if isinstance(step, Wait):
                return step
            if step == before and not fresh:
                fresh = True  # it may only look as if nothing had come of it
                continue
            if step == before:
                reason = "nothing came of it"
            elif interrupted:
                reason, interrupted = "it was interrupted again and again", False
            else:
                counted = await self._count(work, seen, step)
                reason = await self._try(work, seen, step)
                if reason and counted:
                    before, fresh = None, True
                    continue
            if reason:
                await self._note(work, await self._look(work.order_id, fresh=True), step, reason)
            before, fresh = step, bool(reason)
        raise EndlessError(f"order {work.order_id} asks for more than {MOST_STEPS} steps")

    async def _next(self, seen: _Seen) -> Step | Wait:
        """Our own clock may only make an order expire later than the event store's clock would."""
        now = self._clock()
        step = next_step(seen.order, seen.checkout, now)
        match step, seen.order, seen.checkout:
            case Expire(), Placed() as order, Running(deadline=deadline):
                judged = await self._facts.time.for_order(order, deadline)
                step = next_step(order, seen.checkout, now, judged)
                if isinstance(step, Wait) and judged < deadline:
                    return replace(step, again_in=deadline - judged)
        return step

    async def _count(self, work: Work, seen: _Seen, step: Step) -> bool:
        """Write a further attempt at a step down before it is made; whether it is one."""
        failure = seen.checkout.failure if isinstance(seen.checkout, Running) else None
        if failure is None or (failure.step, failure.subject) != (step.name, step.subject):
            return False
        await self._note(work, seen, step, failure.reason)
        return True

    async def _look(self, order_id: str, *, fresh: bool) -> _Seen:
        max_age = 0.0 if fresh else None
        order, checkout = await asyncio.gather(
            self._repository.load(ORDER, ORDER.stream(order_id), max_age),
            self._repository.load(CHECKOUT, CHECKOUT.stream(order_id), max_age),
        )
        return _Seen(order.state, checkout.state, checkout.revision)

    async def _try(self, work: Work, seen: _Seen, step: Step) -> str:
        """Why it failed; "" if it did not."""
        try:
            async with asyncio.timeout(self._patience.step_within):
                try:
                    await do(work, step)
                except Rejected as rejection:
                    instead = after_refusal(seen.order, step, rejection)
                    if instead is None:
                        raise
                    await do(work, instead)
        except Rejected as rejection:
            STEPS.labels(step.name, "refused").inc()
            # if the world has moved on, another step is due, and this refusal is of no interest
            now = await self._look(work.order_id, fresh=True)
            return _told(rejection) if await self._next(now) == step else ""
        except (ProviderUnavailable, ProviderRefusedError) as failure:
            STEPS.labels(step.name, "failed").inc()
            return f"PAYMENT_PROVIDER: {failure}"
        except TimeoutError:
            STEPS.labels(step.name, "timed out").inc()
            return f"it took longer than {self._patience.step_within:g} s"
        except ServiceFailure:
            STEPS.labels(step.name, "failed").inc()
            raise
        except Exception as defect:  # it must not end the process, nor be tried for ever
            STEPS.labels(step.name, "failed").inc()
            log.exception("a step has failed", order_id=work.order_id, step=step.name)
            return f"{type(defect).__name__}: {defect}"
        STEPS.labels(step.name, "done").inc()
        return ""

    async def _note(self, work: Work, seen: _Seen, step: Step, reason: str) -> None:
        if not isinstance(seen.checkout, Running):
            raise NotBegunError(f"{step.name} of order {work.order_id}: {reason}")
        log.warning("a step is to be tried again", order_id=work.order_id, step=step.name, reason=reason)
        command = NoteFailure(
            order_id=work.order_id,
            step=step.name,
            subject=step.subject,
            reason=reason[:LONGEST_REASON],
            pauses=self._patience.pauses,
            at=self._clock(),
        )
        await work.sender.send(CHECKOUT, work.order_id, command, "failed", str(seen.revision), reason)


class NotBegunError(Exception):
    """The process could not even begin, so there is no stream to write that down in."""


def _told(rejection: Rejected) -> str:
    return str(rejection)
