"""The reconciler of one order: read its state, find the next step, run it, repeat until there is something to wait for.

The result does not depend on what started it. A failed step is recorded with the time of its next attempt, and every
further attempt is recorded before it is made: so an attempt that kills the process is counted too.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

import structlog
from prometheus_client import Counter

from core.domain.checkout import CHECKOUT
from core.domain.checkout.commands import NoteFailure
from core.domain.checkout.next_step import after_refusal, holds_up, next_step, wanted
from core.domain.checkout.state import OWN_IDS, Checkout, Failure, Running, StepName
from core.domain.checkout.steps import Start, Step, Wait
from core.domain.order import ORDER
from core.domain.order.state import Order, Placed
from core.domain.rejection import CommandRejected
from core.eventstore.repository import Repository
from core.failures import RequestIdReused, ServiceFailure, StreamGone, UnreadableEvent
from core.locks import KeyedLocks
from server.commands.handler import CommandHandler
from server.commands.lookups import Lookups
from server.processes.automatic_start import AutomaticStart
from server.processes.command_sender import Cause, CommandSender
from server.processes.payments.port import PaymentProvider, ProviderUnavailable
from server.processes.step_handlers import ProviderRefusedError, RefundFailedError, StepContext, run_step

log = structlog.get_logger()

WITHOUT_PROCESS = Counter(
    "orderstream_orders_without_process_total", "Looks at a placed order that an operator has to start the process of."
)
STEPS = Counter("orderstream_process_steps_total", "Steps by name and how they went.", ["step", "outcome"])

MAX_STEPS = 1_000  # in one run; an order of the largest size with a parcel for each line has fewer
WORTH_NOTING = 3  # failed deliveries before they are counted in the log
MAX_REASON_LENGTH = 300  # characters


class EndlessError(Exception):
    """One order has more steps than any can have: a defect."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Patience:
    """`pauses` are the pauses before each further attempt at a step, `step_within` is the timeout of one attempt."""

    pauses: tuple[timedelta, ...]
    step_within: float

    def between(self, tries: int) -> tuple[timedelta, ...]:
        """The pauses between so many attempts; the last is repeated."""
        last = self.pauses[-1:] or (timedelta(),)
        return tuple((self.pauses[n : n + 1] or last)[0] for n in range(tries - 1))


@dataclass(frozen=True, slots=True)
class _Failed:
    """Why a step failed; attempt number `tries` of `allowed` if each attempt is a step of its own, as for refunds."""

    reason: str
    tries: int | None = None
    allowed: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Looked:
    """The result of a run for an order: the names of the attempted steps, and what it waits for now."""

    tried: tuple[StepName, ...]
    waits: Wait


@dataclass(frozen=True, slots=True)
class _Seen:
    order: Order
    checkout: Checkout
    revision: int  # of the process's own stream


class Reconciler:
    """Runs the steps of orders. Safe to run in several processes at once: a step is never done twice."""

    def __init__(
        self,
        handler: CommandHandler,
        repository: Repository,
        payments: PaymentProvider,
        patience: Patience,
        clock: Callable[[], datetime],
        *,
        lookups: Lookups,
        automatic: AutomaticStart,
    ) -> None:
        self._handler = handler
        self._repository = repository
        self._lookups = lookups
        self._payments = payments
        self._patience = patience
        self._clock = clock
        self._automatic = automatic
        self._locks = KeyedLocks()

    async def reconcile(self, order_id: str, cause: Cause, *, delivered_before: int = 0) -> Wait:
        """Run all steps that are due now; returns what is waited for then.

        Raises a `ServiceFailure` if the event store does not answer: nothing is lost, repeat it.
        """
        return (await self.look(order_id, cause, delivered_before=delivered_before)).waits

    async def look(self, order_id: str, cause: Cause, *, delivered_before: int = 0) -> Looked:
        """The same, and the attempted steps."""
        async with self._locks.acquire(order_id):
            try:
                return await self._bring_on(order_id, cause, interrupted=delivered_before >= WORTH_NOTING)
            except StreamGone as gone:
                if gone.stream not in (ORDER.stream(order_id), CHECKOUT.stream(order_id)):
                    raise
                # nothing can be written to its stream any more, so no step is started
                log.error("nothing is done for an order without its history", order_id=order_id, error=str(gone))
                return Looked(tried=(), waits=Wait(what="nothing: its events were deleted"))

    async def _bring_on(self, order_id: str, cause: Cause, *, interrupted: bool) -> Looked:
        tried: list[StepName] = []
        before: Step | None = None
        fresh = True
        for _ in range(MAX_STEPS):
            seen = await self._look(order_id, fresh=fresh)
            work = self._work(order_id, cause, seen)
            step = await self._next(seen)
            if isinstance(step, Start) and not await self._automatic.covers(order_id, cause):
                WITHOUT_PROCESS.inc()
                log.warning("a placed order has no process: an operator has to start it", order_id=order_id)
                return Looked(tried=tuple(tried), waits=Wait(what="an operator to start the process"))
            if isinstance(step, Wait):
                return Looked(tried=tuple(tried), waits=step)
            if step == before and not fresh:
                fresh = True  # the step may only seem to have had no effect
                continue
            failed: _Failed | None
            if step == before:
                failed = _Failed("nothing came of it")
            else:
                counted = await self._count(work, seen, step, interrupted=interrupted)
                interrupted = False
                tried.append(step.name)
                failed = await self._try(work, seen, step)
                if failed and counted and failed.tries is None:
                    await self._correct(work, step, counted, failed)
                    before, fresh = None, True
                    continue
            if failed:
                await self._record(work, await self._look(work.order_id, fresh=True), step, failed)
            # the pause after a failure may have ended, and the step may be due again: that is a further attempt
            before, fresh = None if failed else step, failed is not None
        raise EndlessError(f"order {order_id} asks for more than {MAX_STEPS} steps")

    def _work(self, order_id: str, cause: Cause, seen: _Seen) -> StepContext:
        id_version = seen.checkout.id_version if isinstance(seen.checkout, Running) else OWN_IDS
        sender = CommandSender(self._handler, self._clock, order_id, cause, id_version=id_version)
        return StepContext(
            order_id=order_id, sender=sender, lookups=self._lookups, payments=self._payments, id_version=id_version
        )

    async def _next(self, seen: _Seen) -> Step | Wait:
        """Our own clock may only make an order expire later than the event store's clock would."""
        now, judged = self._clock(), await self._deadline_time(seen)
        step = next_step(seen.order, seen.checkout, now, judged)
        match step, seen.order, seen.checkout:
            case Wait(), Placed(), Running(deadline=deadline) if judged < deadline <= now:
                return replace(step, again_in=deadline - judged)
        return step

    async def _deadline_time(self, seen: _Seen) -> datetime:
        """The time to compare with the order's deadline."""
        match seen.order, seen.checkout:
            case Placed() as order, Running(deadline=deadline):
                return await self._lookups.time.for_order(order, deadline)
        return self._clock()

    async def _count(self, work: StepContext, seen: _Seen, step: Step, *, interrupted: bool) -> _Failed | None:
        """Record a further attempt at a step before it is made; returns the record, None for the first attempt.

        An event that was delivered often may be one whose step kills the process each time, so that counts as well. It
        may also be returned by consumers that could not read the order, or found no store: so the step is attempted
        anyway, and the first step, which has no stream for the count, always.
        """
        if not isinstance(seen.checkout, Running):
            return None
        failure = seen.checkout.failure
        if failure is not None and _is_of(failure, step):
            counted = _Failed(failure.reason)
        elif interrupted:
            counted = _Failed("its event was delivered several times and came to nothing")
        else:
            return None
        await self._record(work, seen, step, counted)
        return counted

    async def _correct(self, work: StepContext, step: Step, counted: _Failed, failed: _Failed) -> None:
        """Record why a counted attempt has failed, if the failure was not expected."""
        if failed.reason[:MAX_REASON_LENGTH] == counted.reason:
            return
        seen = await self._look(work.order_id, fresh=True)
        failure = seen.checkout.failure if isinstance(seen.checkout, Running) else None
        if failure is not None and _is_of(failure, step) and failure.reason == counted.reason:
            await self._record(work, seen, step, failed, attempt=failure.attempt)

    async def _look(self, order_id: str, *, fresh: bool) -> _Seen:
        max_age = 0.0 if fresh else None
        order, checkout = await asyncio.gather(
            self._repository.load(ORDER, ORDER.stream(order_id), max_age),
            self._repository.load(CHECKOUT, CHECKOUT.stream(order_id), max_age),
        )
        return _Seen(order.state, checkout.state, checkout.revision)

    async def _try(self, work: StepContext, seen: _Seen, step: Step) -> _Failed | None:
        """Why it failed; None if it did not, or if nothing has to wait for it."""
        try:
            async with asyncio.timeout(self._patience.step_within):
                try:
                    await run_step(work, step)
                except CommandRejected as rejection:
                    instead = after_refusal(seen.order, step, rejection)
                    if instead is None:
                        raise
                    await run_step(work, instead)
        except CommandRejected as rejection:
            STEPS.labels(step.name, "refused").inc()
            # if the state has changed meanwhile, another step is due, and this refusal is irrelevant
            now = await self._look(work.order_id, fresh=True)
            return _Failed(_reason(rejection)) if await self._next(now) == step else None
        except RefundFailedError as failure:
            STEPS.labels(step.name, "failed").inc()
            failed = _Failed(f"PAYMENT_PROVIDER: {failure}", failure.tries, failure.allowed)
            return failed if await self._is_waited_for(work, step) else None
        except ProviderRefusedError as failure:
            STEPS.labels(step.name, "failed").inc()
            return _Failed(f"PAYMENT_PROVIDER: {failure}") if await self._is_waited_for(work, step) else None
        except (ProviderUnavailable, RequestIdReused) as failure:
            STEPS.labels(step.name, "failed").inc()
            return _Failed(_in_words(failure))
        except TimeoutError:
            STEPS.labels(step.name, "timed out").inc()
            return _Failed(f"it took longer than {self._patience.step_within:g} s")
        except ServiceFailure as failure:
            STEPS.labels(step.name, "failed").inc()
            return _failed_at_another_stream(failure, work.order_id)
        except Exception as defect:  # it must neither end the process nor be retried for ever
            STEPS.labels(step.name, "failed").inc()
            log.exception("a step has failed", order_id=work.order_id, step=step.name)
            return _Failed(f"{type(defect).__name__}: {defect}")
        STEPS.labels(step.name, "done").inc()
        return None

    async def _is_waited_for(self, work: StepContext, step: Step) -> bool:
        """Whether another attempt is due. A refund that a caller requested is not repeated, and an order that is not
        confirmed yet is rejected if its payment is declined.
        """
        now = await self._look(work.order_id, fresh=True)
        then = wanted(now.order, now.checkout, await self._deadline_time(now))
        return not isinstance(then, Wait) and holds_up(step.name, step.subject, then)

    async def _record(
        self, work: StepContext, seen: _Seen, step: Step, failed: _Failed, *, attempt: int | None = None
    ) -> None:
        """As a further attempt, or as number `attempt`."""
        reason = failed.reason
        if not isinstance(seen.checkout, Running):
            raise NotBegunError(f"{step.name} of order {work.order_id}: {reason}")
        log.warning("a step is to be tried again", order_id=work.order_id, step=step.name, reason=reason)
        command = NoteFailure(
            order_id=work.order_id,
            step=step.name,
            subject=step.subject,
            reason=reason[:MAX_REASON_LENGTH],
            pauses=self._patience.pauses if failed.tries is None else self._patience.between(failed.allowed),
            attempt=failed.tries or attempt,
            at=self._clock(),
        )
        await work.sender.send(CHECKOUT, work.order_id, command, "failed", str(seen.revision), reason)


def _is_of(failure: Failure, step: Step) -> bool:
    return (failure.step, failure.subject) == (step.name, step.subject)


class NotBegunError(Exception):
    """The process could not start, so it has no stream for the failure."""


def _in_words(failure: ProviderUnavailable | RequestIdReused) -> str:
    """A request id that was used with another payload is not a silence of the store: no later attempt helps."""
    return f"{getattr(failure, 'reason', 'PAYMENT_PROVIDER')}: {failure}"


def _reason(rejection: CommandRejected) -> str:
    return str(rejection)


def _failed_at_another_stream(failure: ServiceFailure, order_id: str) -> _Failed:
    """A step that needs an unreadable stream is retried, and then waits for an operator.

    Raises any other failure: an unreadable order or process has no place to record it.
    """
    own = (ORDER.stream(order_id), CHECKOUT.stream(order_id))
    if not isinstance(failure, UnreadableEvent | StreamGone) or failure.stream in own:
        raise failure
    return _Failed(f"{failure.reason}: {failure}")
