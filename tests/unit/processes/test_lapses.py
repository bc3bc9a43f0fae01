"""What a provider withdraws is authorised again while it is needed, and what is not needed is let go."""

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

import pytest
import structlog

from core.domain.checkout.commands import CompensateProcess, RetryProcess, SkipStep
from core.domain.order.commands import RecordPaymentFailure
from core.domain.order.ledger import Ledger
from core.domain.order.state import Cancelled, Completed, Confirmed, Placed, Rejected
from server.processes.payments.simulator import Rules
from tests.support import orders
from tests.support.checkouts import TOTAL, Fault, Shop
from tests.support.orders import NOON, ORDER_ID, euros

TEA, MILK = 700, 303
DECLINES = Rules(decline=TOTAL % 100)
RETRY = RetryProcess(order_id=ORDER_ID, at=NOON)


@pytest.fixture(autouse=True)
def quiet() -> Iterator[None]:
    before = structlog.get_config()["wrapper_class"]
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(50))
    yield
    structlog.configure(wrapper_class=before)


def lived(life: Callable[[Shop], Awaitable[None]], **world: Any) -> Shop:
    async def all_of_it() -> Shop:
        shop = Shop(**world)
        await shop.open()
        await life(shop)
        await shop.run()
        return shop

    return asyncio.run(all_of_it())


async def withdrawn(shop: Shop) -> None:
    shop.provider.withdraw()
    await shop.run()


async def confirmed_and_withdrawn(shop: Shop) -> None:
    await shop.run()
    await withdrawn(shop)


def order_of(shop: Shop) -> Any:
    return asyncio.run(shop.order())


def ledger(shop: Shop) -> Ledger:
    found: Ledger = order_of(shop).payments
    return found


def authorisations(shop: Shop) -> list[tuple[str, int, str]]:
    return [(x.authorisation_id, x.amount_minor, str(x.stage)) for x in ledger(shop).authorisations]


def captures(shop: Shop) -> list[tuple[str, int, str]]:
    return [(x.capture_id, x.amount_minor, x.authorisation_id) for x in ledger(shop).captures]


def the_books_agree(shop: Shop, held: int = 0) -> None:
    books, known = shop.provider.books, ledger(shop)
    assert books.held == sum(known.held_of(x) for x in known.authorisations) == held
    assert sum(x.amount_minor for x in books.captured.values()) == known.captured
    assert sum(x.amount_minor for x in books.refunded.values()) == known.refunded


class TestBeforeConfirmation:
    def test_what_has_lapsed_is_authorised_again_under_a_new_number(self) -> None:
        async def life(shop: Shop) -> None:
            await shop.order_does(orders.hold())
            shop.withdraws_when(lambda order: isinstance(order, Placed) and order.payments.authorised == TOTAL)
            shop.releases_when(lambda order: len(order.payments.authorisations) == 2)

        shop = lived(life)
        assert isinstance(order_of(shop), Confirmed)
        assert authorisations(shop) == [("checkout", TOTAL, "LAPSED"), ("checkout~2", TOTAL, "AUTHORISED")]
        the_books_agree(shop, held=TOTAL)

    def test_a_decline_of_the_further_one_rejects(self) -> None:
        async def life(shop: Shop) -> None:
            await shop.order_does(orders.hold())
            shop.withdraws_when(lambda order: isinstance(order, Placed) and order.payments.authorised == TOTAL)
            shop.declines_afterwards = True

        shop = lived(life)
        assert isinstance(order_of(shop), Rejected)
        assert authorisations(shop) == [("checkout", TOTAL, "LAPSED"), ("checkout~2", 0, "FAILED")]
        the_books_agree(shop)


class TestAfterConfirmation:
    def test_what_has_lapsed_is_authorised_again_and_drawn_from_the_new_one(self) -> None:
        async def life(shop: Shop) -> None:
            await confirmed_and_withdrawn(shop)
            await shop.deliver("p1")

        shop = lived(life)
        assert isinstance(order_of(shop), Completed)
        assert authorisations(shop) == [("checkout", TOTAL, "LAPSED"), ("checkout~2", TOTAL, "AUTHORISED")]
        assert captures(shop) == [("p1", TOTAL, "checkout~2")]
        the_books_agree(shop)

    def test_of_one_that_was_drawn_from_only_the_rest_is_authorised_again(self) -> None:
        async def life(shop: Shop) -> None:
            await shop.run()
            await shop.deliver("p1", ("tea", 2))
            await confirmed_and_withdrawn(shop)
            await shop.deliver("p2")

        shop = lived(life)
        assert authorisations(shop) == [("checkout", TOTAL, "LAPSED"), ("checkout~2", MILK, "AUTHORISED")]
        assert captures(shop) == [("p1", TEA, "checkout"), ("p2", MILK, "checkout~2")]
        the_books_agree(shop)

    def test_the_new_one_may_lapse_as_well(self) -> None:
        async def life(shop: Shop) -> None:
            await confirmed_and_withdrawn(shop)
            await withdrawn(shop)

        shop = lived(life)
        assert [x[0] for x in authorisations(shop)] == ["checkout", "checkout~2", "checkout~3"]
        the_books_agree(shop, held=TOTAL)

    def test_what_an_operator_took_for_paid_is_not_authorised_again(self) -> None:
        async def life(shop: Shop) -> None:
            await shop.run()
            shop.provider.follow(Rules(refuse=TEA % 100))
            await shop.deliver("p1", ("tea", 2))
            await shop.run()
            await shop.operator(SkipStep(order_id=ORDER_ID, step="CAPTURE_PAYMENT", reason="cash", at=NOON))
            await withdrawn(shop)

        assert authorisations(lived(life))[-1] == ("checkout~2", MILK, "AUTHORISED")

    def test_a_lapse_that_was_never_reported_is_learnt_from_the_capture(self) -> None:
        async def life(shop: Shop) -> None:
            await shop.run()
            shop.hears_of_it = False
            await withdrawn(shop)
            await shop.deliver("p1")

        shop = lived(life)
        assert captures(shop) == [("p1", TOTAL, "checkout~2")]
        assert isinstance(order_of(shop), Completed)

    def test_a_capture_that_was_done_before_is_recorded_from_what_it_was_drawn_from(self) -> None:
        async def life(shop: Shop) -> None:
            await shop.run()
            await shop.deliver("p1", ("tea", 2))
            place = len(shop.places.seen) + 2  # the stock of the tea and its note come before it
            shop.places.schedule = {place: Fault.TIMED_OUT}
            shop.withdraws_when(lambda _: bool(shop.provider.books.captured))
            await shop.run()
            assert shop.places.seen[place] == "provider.capture"
            await shop.deliver("p2")

        shop = lived(life)
        assert captures(shop) == [("p1", TEA, "checkout"), ("p2", MILK, "checkout~2")]
        assert authorisations(shop) == [("checkout", TOTAL, "LAPSED"), ("checkout~2", TOTAL, "LAPSED")]
        the_books_agree(shop)
        assert isinstance(order_of(shop), Completed)

    def test_without_another_it_is_stuck_with_amount_and_reason(self) -> None:
        async def life(shop: Shop) -> None:
            await shop.run()
            shop.provider.follow(DECLINES)
            await withdrawn(shop)

        failure = asyncio.run(lived(life).checkout()).failure
        assert (failure.step, failure.retry_at) == ("AUTHORISE_PAYMENT", None)
        assert failure.reason == (
            f"PAYMENT_PROVIDER: {TOTAL} EUR (minor units) not authorised: the simulator declines this amount"
        )

    def test_if_an_operator_skips_that_the_capture_is_stuck_with_amount_and_reason(self) -> None:
        async def life(shop: Shop) -> None:
            await shop.run()
            shop.provider.follow(DECLINES)
            await withdrawn(shop)
            await shop.operator(SkipStep(order_id=ORDER_ID, step="AUTHORISE_PAYMENT", reason="on account", at=NOON))
            await shop.deliver("p1")

        failure = asyncio.run(lived(life).checkout()).failure
        assert (failure.step, failure.subject, failure.retry_at) == ("CAPTURE_PAYMENT", "p1", None)
        assert failure.reason == (
            f"PAYMENT_PROVIDER: {TOTAL} EUR (minor units) not captured: the simulator withdraws it"
        )

    def test_a_retry_asks_again_and_the_order_goes_on(self) -> None:
        async def life(shop: Shop) -> None:
            await shop.run()
            shop.provider.follow(DECLINES)
            await withdrawn(shop)
            shop.provider.follow(Rules())
            await shop.operator(RETRY)
            await shop.run()
            await shop.deliver("p1")

        shop = lived(life)
        assert isinstance(order_of(shop), Completed)
        the_books_agree(shop)

    def test_an_operator_may_cancel_it(self) -> None:
        async def life(shop: Shop) -> None:
            await shop.run()
            shop.provider.follow(DECLINES)
            await withdrawn(shop)
            await shop.operator(CompensateProcess(order_id=ORDER_ID, reason="no money", shipped=False, at=NOON))

        shop = lived(life)
        assert isinstance(order_of(shop), Cancelled)
        assert asyncio.run(shop.checkout()).outcome == "CANCELLED"
        the_books_agree(shop)

    def test_a_lapse_that_is_recorded_by_hand_is_one_too(self) -> None:
        async def life(shop: Shop) -> None:
            await shop.run()
            await shop.order_does(orders.lapse("checkout"))

        assert authorisations(lived(life)) == [("checkout", TOTAL, "LAPSED"), ("checkout~2", TOTAL, "AUTHORISED")]

    def test_a_caller_that_took_the_number_is_not_in_the_way(self) -> None:
        async def life(shop: Shop) -> None:
            failed = RecordPaymentFailure(order_id=ORDER_ID, authorisation_id="checkout~2", reason="no", at=NOON)
            await shop.run()
            await shop.order_does(failed)
            await shop.run()
            await withdrawn(shop)

        assert authorisations(lived(life))[-1] == ("checkout~3", TOTAL, "AUTHORISED")


class TestWhatIsNotNeeded:
    def test_the_rest_of_one_that_was_drawn_from_is_released_when_nothing_is_left_to_send(self) -> None:
        async def life(shop: Shop) -> None:
            await shop.run()
            await shop.deliver("p1", ("tea", 2))
            await shop.run()
            await shop.order_does(orders.cancel_quantity("x1", "milk", 3))

        shop = lived(life)
        assert isinstance(order_of(shop), Completed)
        assert authorisations(shop) == [("checkout", TOTAL, "LAPSED")]
        assert captures(shop) == [("p1", TEA, "checkout")]
        the_books_agree(shop)

    def test_so_is_the_rest_of_an_order_that_has_ended(self) -> None:
        async def life(shop: Shop) -> None:
            await shop.run()
            await shop.provider.capture(f"{ORDER_ID}:capture:by hand", f"{ORDER_ID}:checkout", euros(80))
            await shop.order_does(orders.capture("by hand", 80, "checkout"))
            await shop.cancel()

        shop = lived(life)
        assert authorisations(shop) == [("checkout", TOTAL, "LAPSED")]
        assert ledger(shop).refunded == 80
        assert asyncio.run(shop.checkout()).outcome == "CANCELLED"
        the_books_agree(shop)

    @pytest.mark.parametrize("fault", [Fault.LATE, Fault.TIMED_OUT, Fault.FAILED])
    def test_one_that_is_under_way_when_the_order_ends_is_let_go(self, fault: Fault) -> None:
        async def life(shop: Shop) -> None:
            await shop.run()
            place = len(shop.places.seen) + 2  # both commands about the lapse, and then the further authorisation
            shop.places.schedule = {place: fault}
            shop.customer_cancels_at(place + 1)
            await withdrawn(shop)
            assert shop.places.seen[place] == "provider.authorise"

        shop = lived(life)
        assert isinstance(order_of(shop), Cancelled)
        assert asyncio.run(shop.checkout()).outcome == "CANCELLED"
        the_books_agree(shop)
