"""The proof at the end of the demo: the views against the data set's own sums, and the log against the views."""

from collections import Counter
from collections.abc import Sequence
from functools import partial

from client.local.demo.money import refunds_failed, refunds_retried
from client.local.demo.outcome import Names, Outcome, Patience, Progress, all_of
from client.local.demo.rules import (
    Fate,
    ParcelFate,
    Planned,
    cancelled,
    captured,
    expected_events,
    lapse_events,
    refund_fails,
    refunded,
    sold,
    units_left,
    units_sold,
)
from client.local.demo.system_state import SystemState
from client.sdk import OrderstreamClient
from protos.orders.v1.types_pb2 import (
    AUTHORISATION_STATUS_LAPSED,
    SHIPMENT_STATUS_LOST,
    SHIPMENT_STATUS_RETURNED,
    Order,
    OrderStatus,
)
from protos.processes.v1.types_pb2 import PROCESS_STATUS_ENDED, PROCESS_STATUS_STUCK

# between them, each event of the log once, but for those of processes
TAKE_IN_EVERYTHING = ("order_detail", "product_list", "stock_levels", "user_detail")
PROCESSES = ("started", "confirmed", "rejected", "expired", "stuck")


class Proof:
    """The views against the data set's own sums, and the log against the views. `state` is what the system shows."""

    def __init__(
        self,
        shop: OrderstreamClient,
        outcome: Outcome,
        progress: Progress,
        names: Names,
        patience: Patience,
        *,
        state: SystemState,
    ) -> None:
        self._shop = shop
        self._outcome = outcome
        self._progress = progress
        self._names = names
        self._patience = patience
        self._state = state
        self._processed: set[str] = set()  # orders that have a process
        self._lapse_events = 0

    async def check(self, planned: Sequence[Planned], tokens: list[str]) -> None:
        """Every difference found is a line in `outcome.differences`."""
        await self._state.wait_for_the_views(planned, tokens)
        await self._views_are_the_log()
        await self._processes_have_ended(planned)
        await self._sales(planned)
        await self._statuses(planned)
        await self._customers(planned)
        await self._stock(planned)
        await self._money(planned)
        self._events(planned)

    async def _processes_have_ended(self, planned: Sequence[Planned]) -> None:
        outcome, counted = self._outcome, Counter[str]()
        async for x in self._state.processes():
            counted.update({"started": 1, "confirmed": x.confirmed, "rejected": x.outcome == "REJECTED"})
            counted.update({"expired": x.outcome == "EXPIRED", "stuck": x.status == PROCESS_STATUS_STUCK})
            outcome.failures += x.failures
            self._processed.add(x.order_id)
            outcome.events += x.revision + 1
            outcome.streams += 1
            if x.status != PROCESS_STATUS_ENDED:
                outcome.differences.append(f"process of order {x.order_id} waits for {x.step}: {x.reason}")
        outcome.processes = Counter({what: counted[what] for what in PROCESSES})
        rejected = sum(x.fate is Fate.REJECTED for x in planned)
        wanted = {"started": len(planned), "confirmed": len(planned) - rejected, "rejected": rejected}
        for what in PROCESSES:
            self._equal(f"processes {what}", wanted.get(what, 0), counted[what])

    async def _views_are_the_log(self) -> None:
        outcome, head = self._outcome, 0
        async for message in self._shop.operations.VerifyProjections():
            if message.HasField("progress"):
                head = message.progress.head
                self._progress("verifying", message.progress.position, head)
                continue
            result = message.snapshots if message.HasField("snapshots") else message.result
            outcome.documents += result.documents
            if result.view in TAKE_IN_EVERYTHING:
                outcome.events += result.events
                outcome.streams += result.streams
            name = result.view or "snapshots"
            for x in result.listed:
                outcome.differences.append(
                    f"{name} {x.key} {x.field}: the log says {x.expected_json}, there stands {x.actual_json}"
                )
            if result.differences > len(result.listed):
                outcome.differences.append(f"{name}: {result.differences - len(result.listed)} more")
        self._progress("verifying", head, head)

    async def _sales(self, planned: Sequence[Planned]) -> None:
        totals: Counter[str] = Counter()
        async for page in self._shop.orders.pages("GetSalesDaily", page_size=1000):
            for day in page.days:
                totals["cents placed"] += day.placed_minor
                totals["cents cancelled"] += day.cancelled_minor
                totals["cents rejected"] += day.rejected_minor
                totals["orders placed"] += day.orders_placed
                totals["orders cancelled"] += day.orders_cancelled
                totals["orders rejected"] += day.orders_rejected
                totals["units"] += day.units
        of = {fate: [x.basket for x in planned if x.fate is fate] for fate in Fate}
        self._equal("cents placed", sum(x.basket.total for x in planned), totals["cents placed"])
        self._equal("orders placed", len(planned), totals["orders placed"])
        self._equal("units", units_sold(planned), totals["units"])
        self._equal("cents cancelled", sum(map(cancelled, planned)), totals["cents cancelled"])
        self._equal("cents rejected", sum(basket.total for basket in of[Fate.REJECTED]), totals["cents rejected"])
        for fate in (Fate.CANCELLED, Fate.REJECTED):
            name = fate.value.lower()
            self._equal(f"orders {name}", len(of[fate]), totals[f"orders {name}"])

    async def _statuses(self, planned: Sequence[Planned]) -> None:
        wanted, placed = Counter(x.fate.value for x in planned), set[str]()
        for name, number in OrderStatus.items():
            if not number:
                continue
            status = name.removeprefix("ORDER_STATUS_")
            found = [x async for x in self._state.orders(status=number)]
            self._equal(f"orders that are {status.lower()}", wanted[status], len(found))
            placed |= {x.order_id for x in found if x.HasField("placed_at")}
        self._outcome.orders_without_process = len(placed - self._processed)
        self._equal("placed orders without a process", 0, self._outcome.orders_without_process)

    async def _customers(self, planned: Sequence[Planned]) -> None:
        sums: Counter[int] = Counter()
        for x in planned:
            sums[x.basket.household] += sold(x)

        async def check(household: int) -> None:
            customer_id = self._names.id_of("user", household)
            reply = await self._patience.ask(self._shop.orders.GetCustomerOrders, customer_id=customer_id)
            found = sum(total.amount_minor for total in reply.totals)
            self._equal(f"cents of household {household}", sums[household], found)

        await all_of(self._progress, "customers", [partial(check, household) for household in sums])

    async def _stock(self, planned: Sequence[Planned]) -> None:
        """Nothing is left reserved, and the stock is what was received less what was sent."""
        left, found = units_left(planned), Counter[str]()
        async for level in self._state.levels():
            found["reserved"] += level.reserved
            found["reservations"] += level.open_reservations
            found["products"] += 1
            self._equal(f"units of {level.sku} on hand", left[level.sku], level.on_hand)
        self._equal("units reserved", 0, found["reserved"])
        self._equal("open reservations", 0, found["reservations"])
        self._equal("products in stock", len(left), found["products"])

    async def _money(self, planned: Sequence[Planned]) -> None:
        """Drawn, refunded, held and owed money, order by order; and the outcome of the parcels."""

        async def check(x: Planned) -> None:
            order_id = self._names.id_of("order", x.basket.basket)
            order = (await self._patience.ask(self._shop.orders.GetOrder, order_id=order_id)).order
            self._count(order)
            paid = order.payments
            self._equal(f"cents captured of {order_id}", captured(x), paid.captured.amount_minor)
            self._equal(f"cents refunded of {order_id}", refunded(x), paid.refunded.amount_minor)
            held = paid.authorised.amount_minor - paid.captured.amount_minor
            self._equal(f"cents held of {order_id}", 0, held)
            self._equal(f"cents owed by {order_id}", 0, paid.owed.amount_minor)

        await all_of(self._progress, "money", [partial(check, x) for x in planned])
        outcome = self._outcome
        self._equal("refunds tried again", sum(map(refund_fails, planned)), outcome.refunds_retried)
        self._equal("refunds not settled", 0, outcome.refunds_failed)
        fates = Counter(parcel.fate for x in planned for parcel in x.parcels)
        self._equal("parcels lost", fates[ParcelFate.LOST], outcome.parcels_lost)
        self._equal("parcels refused", fates[ParcelFate.RETURNED], outcome.parcels_refused)

    def _count(self, order: Order) -> None:
        outcome, paid = self._outcome, order.payments
        lapsed = sum(x.status == AUTHORISATION_STATUS_LAPSED for x in paid.authorisations)
        self._lapse_events += lapse_events(lapsed, len(paid.authorisations))
        outcome.authorisations_lapsed += lapsed
        outcome.refunds_retried += refunds_retried(paid.refunds)
        outcome.refunds_failed += refunds_failed(paid.refunds)
        outcome.money_owed += paid.owed.amount_minor
        outcome.parcels_lost += sum(x.status == SHIPMENT_STATUS_LOST for x in order.shipments)
        outcome.parcels_refused += sum(x.status == SHIPMENT_STATUS_RETURNED for x in order.shipments)

    def _events(self, planned: Sequence[Planned]) -> None:
        """The complete log. A step that failed and was retried, and an authorisation that lapsed, leave further events
        beside those that follow from the data; the views say how many.
        """
        outcome = self._outcome
        expected = outcome.users + 3 * outcome.products + outcome.price_changes + sum(map(expected_events, planned))
        self._equal("events in the log", expected + outcome.failures + self._lapse_events, outcome.events)

    def _equal(self, what: str, wanted: int, found: int) -> None:
        if wanted != found:
            self._outcome.differences.append(f"{what}: the data says {wanted}, the system {found}")
