"""What the system shows of a run of the demo, and waiting until it stays so: processes end, views reach the log."""

import asyncio
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from typing import Any

from client.local.demo.outcome import Names, Patience, Progress
from client.local.demo.rules import Planned, events_before_cancelling, refunded
from client.sdk import OrderstreamClient
from protos.orders.v1.types_pb2 import PAYMENT_STATUS_PARTIALLY_REFUNDED, PAYMENT_STATUS_REFUNDED, OrderSummary
from protos.processes.v1.types_pb2 import PROCESS_STATUS_ENDED, PROCESS_STATUS_STUCK, Process
from protos.products.v1.types_pb2 import Stock

LOOK_AGAIN = 0.5  # seconds
REFUNDED = (PAYMENT_STATUS_PARTIALLY_REFUNDED, PAYMENT_STATUS_REFUNDED)
AT_REST = (PROCESS_STATUS_ENDED, PROCESS_STATUS_STUCK)


class ViewsStuckError(Exception):
    """One line that says what makes no progress."""


class SystemState:
    """Waits as long as something moves."""

    def __init__(self, shop: OrderstreamClient, progress: Progress, names: Names, patience: Patience) -> None:
        self._shop = shop
        self._progress = progress
        self._names = names
        self._patience = patience

    async def wait_until_refused_parcels_are_reserved_again(self, refused: Sequence[Planned]) -> None:
        """The processes of these orders; if an order has ended before, another run has ended it."""
        wanted = {self._names.id_of("order", x.basket.basket): events_before_cancelling(x) for x in refused}

        async def ready() -> tuple[int, object]:
            found = [x async for x in self.processes() if x.order_id in wanted]
            done = sum(x.revision + 1 - x.failures >= wanted[x.order_id] or x.status in AT_REST for x in found)
            return done, Counter(x.step for x in found)

        await self._wait("refused parcels", len(wanted), ready)

    async def wait_for_the_processes(self, planned: Sequence[Planned], tokens: list[str]) -> None:
        """Wait until each has ended, or is stuck, and no refund is left to retry, which an ended process may have."""
        await self.wait_for_the_views(planned, tokens)
        owing = {self._names.id_of("order", x.basket.basket) for x in planned if refunded(x)}

        async def at_rest() -> tuple[int, object]:
            found = [x async for x in self.processes()]
            moving = {x.order_id for x in found if x.status not in AT_REST}
            if not moving:
                stuck = {x.order_id for x in found if x.status == PROCESS_STATUS_STUCK}
                moving = owing - stuck - {x.order_id async for x in self.orders() if x.payment in REFUNDED}
            waiting = Counter(x.step or "a refund" for x in found if x.order_id in moving)
            return len(found) - len(moving), waiting

        await self._wait("processes", len(planned), at_rest)

    async def _wait(self, what: str, wanted: int, look: Callable[[], Awaitable[tuple[int, object]]]) -> None:
        """Wait until `look` finds as many as wanted; it also says what the others wait for."""
        before, since = -1, time.monotonic()
        while True:
            done, waiting = await look()
            self._progress(what, done, wanted)
            if done == wanted:
                return
            if done != before:
                before, since = done, time.monotonic()
            elif (still := time.monotonic() - since) > self._patience.seconds:
                raise ViewsStuckError(f"no process has moved for {still:.0f} s; they wait for {waiting}")
            await asyncio.sleep(LOOK_AGAIN)

    async def wait_for_the_views(self, planned: Sequence[Planned], tokens: list[str]) -> None:
        reached, since = -1, time.monotonic()
        while True:
            views = (await self._patience.ask(self._shop.operations.ListProjections)).projections
            at, head = sum(min(view.position, view.head) for view in views), sum(view.head for view in views)
            self._progress("views", at, head)
            if at == head:
                break
            if at != reached:
                reached, since = at, time.monotonic()
            elif (still := time.monotonic() - since) > self._patience.seconds:
                behind = ", ".join(f"{view.view} {view.last_error}" for view in views if view.position < view.head)
                raise ViewsStuckError(f"no view has moved for {still:.0f} s; behind the log: {behind}")
            await asyncio.sleep(LOOK_AGAIN)
        await self._wait_for_the_tokens(planned, tokens)

    async def _wait_for_the_tokens(self, planned: Sequence[Planned], tokens: list[str]) -> None:
        """Each view has its own position, and the tokens do not say which of the last answers is the newest."""
        orders, ask, anyone = (
            self._shop.orders,
            self._patience.ask,
            self._names.id_of("user", planned[0].basket.household),
        )
        for token in tokens:
            await ask(orders.GetSalesDaily, consistency_token=token, page_size=1)
            await ask(orders.ListOrders, consistency_token=token, page_size=1)
            await ask(orders.GetCustomerOrders, consistency_token=token, customer_id=anyone)

    async def orders(self, **wanted: Any) -> AsyncIterator[OrderSummary]:
        async for page in self._shop.orders.pages(
            "ListOrders", page_size=1000, deadline=self._patience.seconds, **wanted
        ):
            for order in page.orders:
                yield order

    async def processes(self) -> AsyncIterator[Process]:
        async for page in self._shop.processes.pages("ListProcesses", page_size=1000, deadline=self._patience.seconds):
            for process in page.processes:
                yield process

    async def levels(self) -> AsyncIterator[Stock]:
        async for page in self._shop.products.pages("ListStock", page_size=1000):
            for level in page.stock:
                yield level
