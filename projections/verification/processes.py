"""Placed orders that need a process and have none, from the log, with the steps that their process would run."""

from collections.abc import Callable
from contextlib import aclosing
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from core.domain.checkout import CHECKOUT
from core.domain.checkout.events import CheckoutStarted
from core.domain.checkout.plan import PlannedStep, plan
from core.domain.checkout.state import NotStarted
from core.domain.order import ORDER
from core.domain.order.events import OrderPlaced
from core.domain.order.state import Order
from core.eventstore.exclusions import readable
from core.eventstore.log import START, EventLog
from core.eventstore.swept import STREAM as SWEPT
from core.eventstore.swept import Swept, swept
from core.eventstore.upcasters import stored_names
from core.failures import UnreadableEvent
from core.readmodel.view import stream_filter

YOUNG = timedelta(minutes=1)  # a process service starts the process of a placed order within this time
PLACED, STARTED = stored_names(OrderPlaced), stored_names(CheckoutStarted)


@dataclass(frozen=True, slots=True, kw_only=True)
class WithoutProcess:
    """`lacks` are the steps of its plan, as text; or why there is none."""

    order_id: str
    status: str
    placed_at: datetime
    lacks: tuple[str, ...]


@dataclass(slots=True)
class ProcessVerdict:
    """`orders` counts those that were placed; `missing` those of them that need a process; `listed` has the first.

    `swept` is what the sweep of the process services has found so far.
    """

    orders: int = 0
    missing: int = 0
    listed: list[WithoutProcess] = field(default_factory=list)
    swept: Swept = field(default_factory=Swept)


class ProcessVerifier:
    """`clock` gives the time in UTC; orders placed within the last minute are left to the process service."""

    def __init__(self, log: EventLog, clock: Callable[[], datetime] = lambda: datetime.now(UTC)) -> None:
        self._log = log
        self._clock = clock

    async def verify(self, most: int) -> ProcessVerdict:
        verdict = ProcessVerdict(swept=swept(await self._log.newest(SWEPT, 1)))
        waiting = dict[str, datetime]()
        pattern = stream_filter((ORDER.category, CHECKOUT.category))
        async with aclosing(self._log.after(START, pattern)) as reading:
            async for event in reading:
                order_id = event.stream_name.partition("-")[2]
                if event.type in PLACED:
                    verdict.orders += 1
                    waiting[order_id] = event.recorded_at or self._clock()
                elif event.type in STARTED:
                    waiting.pop(order_id, None)
        for order_id, placed_at in waiting.items():
            if self._clock() - placed_at >= YOUNG:
                found = await self._looked_at(order_id, placed_at)
                verdict.missing += found is not None
                if found is not None and len(verdict.listed) < most:
                    verdict.listed.append(found)
        return verdict

    async def _looked_at(self, order_id: str, placed_at: datetime) -> WithoutProcess | None:
        """None if it needs none: it has ended, and no money or goods have moved."""
        events = await self._log.complete_stream(ORDER.stream(order_id)) or []
        try:
            known: Any = await readable(events, self._log)
        except UnreadableEvent as error:
            return WithoutProcess(order_id=order_id, status="", placed_at=placed_at, lacks=(str(error),))
        state: Order = ORDER.fold(known)
        found = plan(state, NotStarted(), self._clock())
        if found.start is None:
            return None
        lacks = tuple(map(_text, found.steps[1:]))
        return WithoutProcess(order_id=order_id, status=state.status, placed_at=placed_at, lacks=lacks)


def _text(step: PlannedStep) -> str:
    parts: list[Any] = [step.name, step.subject, *(f"{line.sku}:{line.quantity}" for line in step.lines)]
    if step.amount is not None:
        parts.append(f"{step.amount.amount_minor} {step.amount.currency}")
    return " ".join(part for part in parts if part)
