"""What each view makes of what has happened."""

from contextlib import suppress
from dataclasses import asdict, fields, is_dataclass, replace
from typing import Any

import pytest

from core.domain.money import Money
from core.domain.order.events import Condition, OrderCreated
from core.domain.product.events import (
    PriceChanged,
    ProductActivated,
    ProductDiscontinued,
    ProductRegistered,
    ProductRenamed,
)
from core.domain.stock.events import (
    ReservationCommitted,
    ReservationExpired,
    ReservationReleased,
    StockAdjusted,
    StockReceived,
    StockReserved,
    StockRestocked,
)
from core.domain.user.events import (
    AddressAdded,
    AddressChanged,
    AddressRemoved,
    DefaultAddressSet,
    EmailChanged,
    EmailChangeRequired,
    EmailClaimRevoked,
    NameChanged,
    UserBlocked,
    UserRegistered,
    UserUnblocked,
)
from core.eventstore.registry import ROWS
from core.readmodel.documents import to_micros
from core.readmodel.view import View
from core.readmodel.views import VIEWS
from core.readmodel.views.customer_orders import customer_orders
from core.readmodel.views.order_detail import order_detail
from core.readmodel.views.order_list import order_list
from core.readmodel.views.order_timeline import STEPS, order_timeline
from core.readmodel.views.product_list import product_list
from core.readmodel.views.sales_daily import sales_daily
from core.readmodel.views.stock_levels import stock_levels
from core.readmodel.views.user_detail import user_detail
from protos.orders.v1.types_pb2 import FulfilmentStatus, PaymentStatus, ReturnStatus, ShipmentStatus
from server.queries.mapping import order, order_summary, timeline_entry, user
from tests.support.events import EXAMPLES
from tests.support.orders import (
    ANN,
    HOME,
    NOON,
    ORDER_ID,
    WORK,
    address_changed,
    authorised,
    back_line,
    by,
    came_back,
    cancelled,
    captured,
    completed,
    confirmed,
    created,
    delivered,
    discount_removed,
    discounted,
    dispatched,
    empty_return,
    euros,
    excess_returned,
    expired,
    held,
    hold_released,
    lapsed,
    line_added,
    line_removed,
    line_repriced,
    lost,
    noted,
    off,
    order_line,
    payment_failed,
    placed,
    quantity_cancelled,
    quantity_changed,
    received_line,
    refund_failed,
    refund_requested,
    refunded,
    refused,
    rejected,
    return_approved,
    return_rejected,
    return_requested,
    returned,
    shipment_created,
    shipping_set,
    unpacked,
    voided,
)
from tests.support.viewing import fold, given, recorded

AT = to_micros(NOON)


def euros_in_all(amount_minor: int) -> list[dict[str, Any]]:
    return [{"currency": "EUR", "amount_minor": amount_minor}]


DRAFT = (created(), line_added(), address_changed())
PLACED = (*DRAFT, placed())
SHIPPED = (*PLACED, confirmed(), shipment_created("s1", ("tea", 1)), dispatched("s1"))


class TestOrderDetail:
    def test_a_draft_shows_its_lines_and_address(self) -> None:
        given(*DRAFT).view(order_detail).equals(
            {
                "customer_id": ANN,
                "status": "DRAFT",
                "currency": "EUR",
                "lines": [{"line_id": "tea", "sku": "tea", "name": "Tea", "quantity": 2, "price_minor": 350}],
                "address": {
                    "name": "Ann",
                    "line1": "1 High Street",
                    "line2": "",
                    "city": "Ghent",
                    "postal_code": "9000",
                    "country": "BE",
                },
                "shipments": [],
                "created_at": AT,
                "placed_at": None,
                "expires_at": None,
                "updated_at": AT,
                "cancel_reason": "",
                "revision": 2,
            }
        )

    def test_editing_a_line_shows(self) -> None:
        edited = (created(), line_added("tea"), line_added("milk"), quantity_changed("tea", 5), line_removed("milk"))
        given(*edited).view(order_detail).has(
            lines=[{"line_id": "tea", "sku": "tea", "name": "Tea", "quantity": 5, "price_minor": 350}], revision=4
        )

    def test_a_refreshed_price_shows(self) -> None:
        given(created(), line_added("tea"), line_repriced("tea", 400)).view(order_detail).has(
            lines=[{"line_id": "tea", "sku": "tea", "name": "Tea", "quantity": 2, "price_minor": 400}], revision=2
        )

    @pytest.mark.parametrize(
        ("history", "status"),
        [
            (PLACED, "PLACED"),
            ((*PLACED, confirmed()), "CONFIRMED"),
            ((*PLACED, confirmed(), completed()), "COMPLETED"),
            ((*PLACED, cancelled()), "CANCELLED"),
            ((*PLACED, rejected()), "REJECTED"),
            ((*PLACED, expired()), "EXPIRED"),
        ],
    )
    def test_each_step_shows_as_the_status(self, history: tuple[Any, ...], status: str) -> None:
        given(*history).view(order_detail).has(status=status, placed_at=AT)
        given(*history).view(order_list).has(status=status, placed_at=AT)

    @pytest.mark.parametrize(
        ("more", "fulfilment"),
        [
            ((), "FULFILMENT_STATUS_PARTIALLY_SHIPPED"),
            ((delivered("s1"),), "FULFILMENT_STATUS_PARTIALLY_SHIPPED"),
            ((shipment_created("s2", ("tea", 1)),), "FULFILMENT_STATUS_PARTIALLY_SHIPPED"),
            ((shipment_created("s2", ("tea", 1)), dispatched("s2")), "FULFILMENT_STATUS_SHIPPED"),
            (
                (shipment_created("s2", ("tea", 1)), dispatched("s2"), delivered("s1"), delivered("s2")),
                "FULFILMENT_STATUS_DELIVERED",
            ),
            ((lost("s1"),), "FULFILMENT_STATUS_UNFULFILLED"),
            ((refused("s1"),), "FULFILMENT_STATUS_PARTIALLY_SHIPPED"),
            ((came_back("s1", back_line("tea", 1)),), "FULFILMENT_STATUS_UNFULFILLED"),
            ((lost("s1"), delivered("s1")), "FULFILMENT_STATUS_PARTIALLY_SHIPPED"),
            (
                (lost("s1"), shipment_created("s2", ("tea", 2)), dispatched("s2"), delivered("s2")),
                "FULFILMENT_STATUS_DELIVERED",
            ),
        ],
    )
    def test_fulfilment_follows_from_the_parcels_in_both_views(self, more: tuple[Any, ...], fulfilment: str) -> None:
        events = (*SHIPPED, *more)
        detail = {"_id": ORDER_ID, **fold(order_detail, events)[ORDER_ID]}
        row = {"_id": ORDER_ID, **fold(order_list, events)[ORDER_ID]}
        shown = {order(detail).fulfilment, order_summary(row).fulfilment}
        assert {FulfilmentStatus.Name(number) for number in shown} == {fulfilment}

    def test_the_reply_adds_up(self) -> None:
        events = (created(), line_added("tea", 2, 350), line_added("milk", 3, 101))
        shown = order({"_id": ORDER_ID, **fold(order_detail, events)[ORDER_ID]})
        assert shown.total.amount_minor == 1003
        assert [line.line_total.amount_minor for line in shown.lines] == [700, 303]


PART_DRAWN = (authorised(), captured(amount=300))
ALL_DRAWN = (authorised(), captured())
HALF_OFF = (confirmed(), quantity_cancelled())
FREE = (created(), line_added(price=0), placed(order_line(price=0)))
# what has happened to the money of an order of 700 → its payment status
STATUSES: tuple[tuple[str, tuple[Any, ...], str], ...] = (
    ("nothing", (), "UNPAID"),
    ("nothing, and it was cancelled", (cancelled(),), "UNPAID"),
    ("declined", (payment_failed(),), "FAILED"),
    ("declined twice", (payment_failed("a1"), payment_failed("a2")), "FAILED"),
    ("declined and rejected", (payment_failed(), rejected()), "FAILED"),
    ("declined, then given late", (payment_failed(), authorised()), "AUTHORISED"),
    ("declined, then another was given", (payment_failed("a1"), authorised("a2")), "AUTHORISED"),
    ("authorised", (authorised(),), "AUTHORISED"),
    ("authorised in part", (authorised(amount=699),), "PARTIALLY_AUTHORISED"),
    ("authorised in two parts", (authorised("a1", 300), authorised("a2", 400)), "AUTHORISED"),
    ("authorised in part, then units were cancelled", (authorised(amount=350), *HALF_OFF), "AUTHORISED"),
    ("voided", (authorised(), voided()), "VOIDED"),
    ("declined, given late, voided", (payment_failed(), authorised(), voided()), "VOIDED"),
    ("voided in part", (authorised("a1", 300), authorised("a2", 400), voided("a2", 400)), "PARTIALLY_AUTHORISED"),
    ("voided, and it was cancelled", (authorised(), cancelled(), voided()), "VOIDED"),
    ("lapsed", (authorised(), lapsed()), "LAPSED"),
    ("lapsed, and another declined", (authorised(), lapsed(), payment_failed("a2")), "LAPSED"),
    ("lapsed, then authorised again", (authorised(), lapsed(), authorised("a2")), "AUTHORISED"),
    ("lapsed in part", (authorised("a1", 300), authorised("a2", 400), lapsed("a2", 400)), "PARTIALLY_AUTHORISED"),
    ("one lapsed and one voided", (authorised(), lapsed(), authorised("a2"), voided("a2")), "VOIDED"),
    ("captured in part", PART_DRAWN, "PARTIALLY_PAID"),
    ("captured in part, the rest lapsed", (*PART_DRAWN, lapsed(amount=400)), "PARTIALLY_PAID"),
    ("captured late from what had lapsed", (authorised(), lapsed(), captured()), "PAID"),
    ("captured from two", (*PART_DRAWN, lapsed(amount=400), authorised("a2", 400), captured("c2", 400, "a2")), "PAID"),
    ("captured", ALL_DRAWN, "PAID"),
    ("captured in part, the other units cancelled", (authorised(), captured(amount=350), *HALF_OFF), "PAID"),
    ("captured in part, then units were cancelled", (*PART_DRAWN, *HALF_OFF), "PARTIALLY_PAID"),
    ("captured, then units were cancelled", (*ALL_DRAWN, *HALF_OFF), "PAID"),
    ("captured, and it was cancelled", (*ALL_DRAWN, cancelled()), "PAID"),
    ("refund asked for", (*ALL_DRAWN, refund_requested()), "PAID"),
    ("refund failed", (*ALL_DRAWN, refund_requested(), refund_failed()), "PAID"),
    ("refunded in part", (*ALL_DRAWN, refund_requested(amount=1), refunded(amount=1)), "PARTIALLY_REFUNDED"),
    ("refunded", (*ALL_DRAWN, refund_requested(), refunded()), "REFUNDED"),
    ("refund failed, then it arrived", (*ALL_DRAWN, refund_requested(), refund_failed(), refunded()), "REFUNDED"),
    (
        "refund failed, then another was paid",
        (*ALL_DRAWN, refund_requested(), refund_failed(), refund_requested("r2"), refunded("r2")),
        "REFUNDED",
    ),
    (
        "all that was captured in part is refunded",
        (*PART_DRAWN, refund_requested("r1", 300), refunded("r1", 300)),
        "REFUNDED",
    ),
    (
        "refunded, then more was captured",
        (*PART_DRAWN, refund_requested("r1", 300), refunded("r1", 300), captured("c2", 400)),
        "PARTIALLY_REFUNDED",
    ),
)
OF_NO_PRICE: tuple[tuple[str, tuple[Any, ...], str], ...] = (
    ("an empty draft", (created(),), "UNPAID"),
    ("a draft of free goods", FREE[:2], "UNPAID"),
    ("free", FREE, "NOT_REQUIRED"),
    ("free and confirmed", (*FREE, confirmed()), "NOT_REQUIRED"),
    ("free and cancelled", (*FREE, cancelled(total=euros(0))), "NOT_REQUIRED"),
    ("free, though a payment was tried and failed", (*FREE, payment_failed()), "NOT_REQUIRED"),
    ("free but for shipping", (*FREE[:2], shipping_set(), placed(order_line(price=0), shipping=by())), "UNPAID"),
    ("all units cancelled, never authorised", (*PLACED, quantity_cancelled(quantity=2, amount=700)), "NOT_REQUIRED"),
    (
        "all units cancelled, voided",
        (*PLACED, authorised(), quantity_cancelled(quantity=2, amount=700), voided()),
        "VOIDED",
    ),
)


class TestPayments:
    @pytest.mark.parametrize(
        ("events", "payment"),
        [
            *(pytest.param((*PLACED, *money), status, id=name) for name, money, status in STATUSES),
            *(pytest.param(events, status, id=name) for name, events, status in OF_NO_PRICE),
        ],
    )
    def test_the_payment_status_follows_from_the_payments_in_both_views(
        self, events: tuple[Any, ...], payment: str
    ) -> None:
        detail = {"_id": ORDER_ID, **fold(order_detail, events)[ORDER_ID]}
        row = {"_id": ORDER_ID, **fold(order_list, events)[ORDER_ID]}
        shown = {order(detail).payment, order_summary(row).payment}
        assert {PaymentStatus.Name(number) for number in shown} == {f"PAYMENT_STATUS_{payment}"}

    def test_every_payment_status_is_in_the_table(self) -> None:
        known = {f"PAYMENT_STATUS_{status}" for _, _, status in (*STATUSES, *OF_NO_PRICE)}
        assert known == set(PaymentStatus.keys()) - {"PAYMENT_STATUS_UNSPECIFIED"}

    def test_an_authorisation_that_lapsed_shows_what_is_not_held_any_more_and_why(self) -> None:
        events = (*PLACED, authorised(), captured(amount=300), lapsed(amount=400))
        shown = order({"_id": ORDER_ID, **fold(order_detail, events)[ORDER_ID]}).payments
        [authorisation] = shown.authorisations
        assert (authorisation.status, authorisation.failure_reason) == (4, "too old")
        assert (authorisation.amount.amount_minor, authorisation.lapsed.amount_minor) == (700, 400)
        assert shown.authorised.amount_minor == 300
        assert (
            not order({"_id": ORDER_ID, **fold(order_detail, events[:-1])[ORDER_ID]})
            .payments.authorisations[0]
            .HasField("lapsed")
        )

    def test_every_step_of_the_money_is_shown_with_its_sums(self) -> None:
        events = (
            *PLACED,
            payment_failed("a1"),
            authorised("a2", 700),
            captured("c1", 500, "a2"),
            refund_requested("r1", 300),
            refund_failed("r1", 300),
            refund_requested("r2", 200, return_id="back"),
            refunded("r2", 200),
        )
        shown = order({"_id": ORDER_ID, **fold(order_detail, events)[ORDER_ID]}).payments
        assert [(x.authorisation_id, x.status, x.failure_reason) for x in shown.authorisations] == [
            ("a1", 3, "card declined"),
            ("a2", 1, ""),
        ]
        assert [(x.capture_id, x.authorisation_id, x.amount.amount_minor) for x in shown.captures] == [
            ("c1", "a2", 500)
        ]
        assert [(x.refund_id, x.status, x.reason, x.failure_reason, x.return_id) for x in shown.refunds] == [
            ("r1", 3, "sent back", "card closed", ""),
            ("r2", 2, "sent back", "", "back"),
        ]
        assert [x.amount_minor for x in (shown.authorised, shown.captured, shown.refunded)] == [700, 500, 200]

    def test_an_order_says_why_it_was_turned_down(self) -> None:
        shown = order({"_id": ORDER_ID, **fold(order_detail, (*PLACED, rejected()))[ORDER_ID]})
        assert shown.reject_reason == "out of stock"


class TestParts:
    def test_an_order_reports_what_was_taken_off_what_came_back_and_what_was_noted(self) -> None:
        events = (
            *(*DRAFT, placed(order_line(quantity=4)), confirmed(), quantity_cancelled()),
            *(shipment_created("s1"), unpacked("s1"), shipment_created("s2"), dispatched("s2"), delivered("s2")),
            *(return_requested("r1"), return_rejected("r1"), return_requested("r2"), return_approved("r2")),
            *(returned("r2", received_line(quantity=1, amount=350)), noted()),
        )
        shown = order({"_id": ORDER_ID, **fold(order_detail, events)[ORDER_ID]})
        assert [(x.line_id, x.quantity, x.amount.amount_minor, x.reason) for x in shown.cancellations] == [
            ("tea", 1, 350, "too many")
        ]
        assert shown.cancelled_total.amount_minor == 350
        assert [x.status for x in shown.shipments] == [4, 3]
        assert [(x.return_id, x.stage, x.reason, x.reject_reason) for x in shown.returns] == [
            ("r1", 3, "too small", "worn"),
            ("r2", 4, "too small", ""),
        ]
        assert [(x.sku, x.quantity, x.condition, x.amount.amount_minor) for x in shown.returns[1].received] == [
            ("tea", 1, 1, 350)
        ]
        assert [(x.note_id, x.text) for x in shown.notes] == [("n1", "Rings twice.\nMind the dog.")]

    @pytest.mark.parametrize(
        ("more", "status"),
        [
            ((), "NONE"),
            ((return_requested(),), "OPEN"),
            ((return_requested(), return_approved()), "OPEN"),
            ((return_requested(), return_rejected()), "NONE"),
            (
                (return_requested(), return_approved(), returned("r1", received_line(quantity=1, amount=350))),
                "PARTIALLY_RETURNED",
            ),
            ((return_requested(), return_approved(), returned()), "RETURNED"),
        ],
    )
    def test_the_return_status_follows_from_the_returns_in_both_views(self, more: tuple[Any, ...], status: str) -> None:
        events = (*PLACED, confirmed(), shipment_created(), dispatched(), delivered(), *more)
        detail = order({"_id": ORDER_ID, **fold(order_detail, events)[ORDER_ID]})
        row = order_summary({"_id": ORDER_ID, **fold(order_list, events)[ORDER_ID]})
        assert {ReturnStatus.Name(x) for x in (detail.return_status, row.return_status)} == {f"RETURN_STATUS_{status}"}

    def test_an_unpacked_parcel_and_cancelled_units_do_not_count_as_sent(self) -> None:
        events = (*PLACED, confirmed(), shipment_created("s1"), unpacked("s1"), quantity_cancelled())
        sent = (shipment_created("s2", ("tea", 1)), dispatched("s2"), delivered("s2"))
        for more, fulfilment in (((), "UNFULFILLED"), (sent, "DELIVERED")):
            shown = order({"_id": ORDER_ID, **fold(order_detail, (*events, *more))[ORDER_ID]})
            assert FulfilmentStatus.Name(shown.fulfilment) == f"FULFILMENT_STATUS_{fulfilment}"

    def test_what_a_customer_has_beyond_the_order_is_shown_until_it_is_returned(self) -> None:
        both = (*SHIPPED, lost(), shipment_created("s2", ("tea", 2)), dispatched("s2"), delivered("s2"), delivered())
        shown = order({"_id": ORDER_ID, **fold(order_detail, both)[ORDER_ID]})
        assert [(x.line_id, x.sku, x.quantity, x.amount.amount_minor) for x in shown.excess] == [("tea", "tea", 1, 350)]
        asked = (return_requested("r1", ("tea", 1)), return_approved("r1"))
        back = (*both, *asked, excess_returned("r1", back_line("tea", 1)), empty_return("r1"))
        shown = order({"_id": ORDER_ID, **fold(order_detail, back)[ORDER_ID]})
        assert not shown.excess
        assert [(x.line_id, x.quantity) for x in shown.returns[0].excess] == [("tea", 1)]
        assert ReturnStatus.Name(shown.return_status) == "RETURN_STATUS_NONE"

    def test_one_line_twice_with_the_customer_does_not_stand_for_another(self) -> None:
        two = (*DRAFT, line_added("milk"), placed(order_line(), order_line("milk")), confirmed())
        tea = (shipment_created("s1", ("tea", 2)), dispatched("s1"), lost("s1"))
        again = (shipment_created("s2", ("tea", 2)), dispatched("s2"), delivered("s2"), delivered("s1"))
        detail = order({"_id": ORDER_ID, **fold(order_detail, (*two, *tea, *again))[ORDER_ID]})
        row = order_summary({"_id": ORDER_ID, **fold(order_list, (*two, *tea, *again))[ORDER_ID]})
        for shown in (detail, row):
            assert FulfilmentStatus.Name(shown.fulfilment) == "FULFILMENT_STATUS_PARTIALLY_SHIPPED"

    def test_a_row_of_a_former_release_is_read_without_the_lines_of_its_parcels(self) -> None:
        events = (*PLACED, confirmed(), quantity_cancelled(), shipment_created("s1", ("tea", 1)), dispatched("s1"))
        row = fold(order_list, events)[ORDER_ID]
        former = {**row, "parcels": [{k: v for k, v in x.items() if k != "lines"} for x in row["parcels"]]}
        del former["cancelled_lines"]
        assert order_summary({"_id": ORDER_ID, **former}) == order_summary({"_id": ORDER_ID, **row})
        assert (
            FulfilmentStatus.Name(order_summary({"_id": ORDER_ID, **former}).fulfilment) == "FULFILMENT_STATUS_SHIPPED"
        )

    def test_a_parcel_says_why_it_was_lost_or_refused_and_what_was_in_it_when_it_came_back(self) -> None:
        back = came_back("s1", back_line("tea", 1, Condition.DAMAGED))
        for more, status, reason in (
            ((refused(),), "REFUSED", "nobody of that name"),
            ((refused(), lost()), "LOST", "not to be found"),
            ((refused(), lost(), back), "RETURNED", "not to be found"),
        ):
            events = (*SHIPPED, *more)
            [parcel] = order({"_id": ORDER_ID, **fold(order_detail, events)[ORDER_ID]}).shipments
            assert (ShipmentStatus.Name(parcel.status), parcel.reason) == (f"SHIPMENT_STATUS_{status}", reason)
            lines = [{"line_id": "tea", "units": 1}]
            given(*events).view(order_list).has(
                parcels=[{"shipment_id": "s1", "units": 1, "status": status, "lines": lines}]
            )
        assert [(x.line_id, x.sku, x.quantity, x.condition) for x in parcel.returned] == [("tea", "tea", 1, 2)]

    def test_counters_report_what_came_back(self) -> None:
        history = (*PLACED, returned("r1", received_line(quantity=1, amount=350)))
        given(*history).view(customer_orders).has(totals=euros_in_all(700), returned=euros_in_all(350))
        given(*history).view(sales_daily).has(units=2, returned_units=1, returned_minor=350, placed_minor=700)

    def test_counters_lose_what_was_taken_off(self) -> None:
        given(*PLACED, quantity_cancelled()).view(customer_orders).has(placed=1, cancelled=0, totals=euros_in_all(350))
        given(*PLACED, quantity_cancelled()).view(sales_daily).has(orders_cancelled=0, units=1, cancelled_minor=350)


class TestPrices:
    @pytest.mark.parametrize("more", [(), (placed(order_line(discount=80), discounts=(off("d1", 10), off("d2", 70)),
                                                 shipping=by(price=500)),)])  # fmt: skip
    def test_both_views_show_what_is_taken_off_and_what_sending_costs(self, more: tuple[Any, ...]) -> None:
        events = (*DRAFT, discounted("d0", amount=1), discount_removed("d0"), discounted("d1", amount=10),
                  discounted("d2", basis_points=1_014), shipping_set(500), *more)  # fmt: skip
        detail = order({"_id": ORDER_ID, **fold(order_detail, events)[ORDER_ID]})
        row = order_summary({"_id": ORDER_ID, **fold(order_list, events)[ORDER_ID]})
        assert (detail.total.amount_minor, row.total.amount_minor) == (1120, 1120)
        assert (detail.goods_total.amount_minor, detail.discount_total.amount_minor) == (700, 80)
        assert [(x.discount_id, x.amount.amount_minor) for x in detail.discounts] == [("d1", 10), ("d2", 70)]
        assert (detail.shipping.method, detail.shipping.price.amount_minor) == ("express", 500)
        assert [line.discount.amount_minor for line in detail.lines] == ([80] if more else [0])


class TestOrderList:
    def test_a_row_is_what_a_list_needs(self) -> None:
        given(*PLACED).view(order_list).equals(
            {
                "customer_id": ANN,
                "status": "PLACED",
                "currency": "EUR",
                "lines": [{"line_id": "tea", "quantity": 2, "price_minor": 350}],
                "parcels": [],
                "created_at": AT,
                "placed_at": AT,
            }
        )

    def test_editing_a_line_moves_the_total(self) -> None:
        edited = (created(), line_added("tea"), line_added("milk"), quantity_changed("tea", 5), line_removed("milk"))
        row = {"_id": ORDER_ID, **fold(order_list, edited)[ORDER_ID]}
        assert (order_summary(row).total.amount_minor, order_summary(row).line_count) == (1750, 1)

    def test_a_refreshed_price_moves_the_total(self) -> None:
        row = {"_id": ORDER_ID, **fold(order_list, (created(), line_added("tea"), line_repriced("tea", 400)))[ORDER_ID]}
        assert order_summary(row).total.amount_minor == 800


class TestOrderTimeline:
    def test_every_event_of_an_order_is_reported(self) -> None:
        assert set(STEPS) == {row.event for row in ROWS if row.category == "order"}
        for example in EXAMPLES:
            if type(example) in STEPS:
                [row] = fold(order_timeline, (example,)).values()
                assert timeline_entry(row).step == type(example).__name__

    def test_steps_stand_in_the_order_in_which_they_were_taken(self) -> None:
        reported = fold(order_timeline, (*PLACED, *(noted(f"n{n}") for n in range(100))))
        assert [row["revision"] for _, row in sorted(reported.items())] == list(range(104))

    def test_a_step_reports_what_it_is_about(self) -> None:
        events = (*SHIPPED, authorised("a1", 700), cancelled(reason="too late"))
        reported = [timeline_entry(row) for row in fold(order_timeline, events).values()]
        assert [(x.step, x.subject_id, x.units, x.amount.amount_minor, x.text) for x in reported] == [
            ("OrderCreated", "", 0, 0, ""),
            ("LineAdded", "tea", 2, 350, "Tea"),
            ("ShippingAddressChanged", "", 0, 0, "Ghent, BE"),
            ("OrderPlaced", "", 2, 700, ""),
            ("OrderConfirmed", "", 0, 0, ""),
            ("ShipmentCreated", "s1", 1, 0, ""),
            ("ShipmentDispatched", "s1", 0, 0, "bpost 42"),
            ("PaymentAuthorised", "a1", 0, 700, ""),
            ("OrderCancelled", "", 2, 700, "too late"),
        ]
        assert [x.HasField("amount") for x in reported][:2] == [False, True]

    def test_a_parcel_that_was_not_delivered_says_why_and_how_many_units_came_back(self) -> None:
        events: tuple[Any, ...] = (refused(), lost(), came_back("s1", back_line("tea", 1), back_line("tea", 1)))
        rows = [timeline_entry(row) for row in fold(order_timeline, events).values()]
        assert [(x.step, x.subject_id, x.units, x.text) for x in rows] == [
            ("DeliveryRefused", "s1", 0, "nobody of that name"),
            ("ShipmentLost", "s1", 0, "not to be found"),
            ("ShipmentReturned", "s1", 2, ""),
        ]


class TestCustomerOrders:
    def test_everything_a_customer_did_is_counted(self) -> None:
        given(*PLACED).view(customer_orders).equals(
            {"created": 1, "placed": 1, "cancelled": 0, "totals": euros_in_all(700)}
        )

    def test_a_cancelled_order_is_taken_off_the_total(self) -> None:
        given(*PLACED, cancelled()).view(customer_orders).has(placed=1, cancelled=1, totals=euros_in_all(0))

    def test_a_cancelled_draft_was_never_in_it(self) -> None:
        given(*DRAFT, cancelled(placed_at=None)).view(customer_orders).has(placed=0, cancelled=1, totals=[])

    @pytest.mark.parametrize(("end", "counter"), [(rejected(), "rejected"), (expired(), "expired")])
    def test_an_order_that_came_to_nothing_is_taken_off_the_total(self, end: Any, counter: str) -> None:
        given(*PLACED, end).view(customer_orders).has(placed=1, **{counter: 1}, totals=euros_in_all(0))


class TestSalesDaily:
    def test_a_day_sums_what_was_placed(self) -> None:
        given(placed(order_line(quantity=2)), placed(order_line(quantity=3), order_id="another")).view(
            sales_daily
        ).equals(
            {
                "day": "2026-03-01",
                "currency": "EUR",
                "orders_placed": 2,
                "orders_cancelled": 0,
                "units": 5,
                "placed_minor": 1750,
                "cancelled_minor": 0,
            }
        )

    def test_a_cancellation_counts_on_the_day_of_placing(self) -> None:
        later = cancelled(at=NOON.replace(day=9))
        given(placed(), later).view(sales_daily).has(
            day="2026-03-01", orders_placed=1, orders_cancelled=1, units=0, cancelled_minor=700
        )

    @pytest.mark.parametrize(
        ("end", "counter"), [(rejected(at=NOON.replace(day=9)), "rejected"), (expired(), "expired")]
    )
    def test_what_came_to_nothing_counts_on_the_day_of_placing(self, end: Any, counter: str) -> None:
        counted = {f"orders_{counter}": 1, f"{counter}_minor": 700}
        given(placed(), end).view(sales_daily).has(day="2026-03-01", orders_placed=1, units=0, **counted)

    def test_a_cancelled_draft_is_in_no_day(self) -> None:
        given(created(), cancelled(placed_at=None)).view(sales_daily).is_empty()


class TestHolds:
    def test_an_order_says_why_it_is_on_hold_until_it_goes_on(self) -> None:
        given(created(), placed(), held()).view(order_detail).has(hold_reason="looks odd", status="PLACED")
        given(created(), placed(), held(), hold_released()).view(order_detail).has(hold_reason="")


class TestProductsAndUsers:
    def test_a_product_shows_its_price_and_whether_it_is_on_sale(self) -> None:
        events = (
            ProductRegistered(sku="tea", name="Tea", price=euros(350), at=NOON),
            ProductActivated(sku="tea", at=NOON),
            PriceChanged(sku="tea", price=euros(400), previous=euros(350), at=NOON),
        )
        given(*events).view(product_list).has(name="Tea", price_minor=400, currency="EUR", status="ACTIVE", revision=2)
        given(*events, ProductRenamed(sku="tea", name="Green tea", at=NOON)).view(product_list).has(name="Green tea")
        given(*events, ProductDiscontinued(sku="tea", at=NOON)).view(product_list).has(status="DISCONTINUED")

    def test_a_product_whose_currency_has_ended_shows_its_price_in_the_new_one(self) -> None:
        leva = Money(amount_minor=350, currency="BGN")
        given(
            ProductRegistered(sku="tea", name="Tea", price=leva, at=NOON),
            PriceChanged(sku="tea", price=euros(179), previous=leva, at=NOON),
        ).view(product_list).has(price_minor=179, currency="EUR")

    def test_stock_shows_what_is_there_and_what_of_it_is_promised(self) -> None:
        two_promises = (
            StockReceived(sku="tea", quantity=100, at=NOON),
            StockAdjusted(sku="tea", change=-3, reason="broken", at=NOON),
            StockReserved(sku="tea", reservation_id="a", quantity=20, expires_at=None, at=NOON),
            StockReserved(sku="tea", reservation_id="b", quantity=30, expires_at=None, at=NOON),
        )
        given(*two_promises).view(stock_levels).has(on_hand=97, reserved=50, available=47, open_reservations=2)
        sold = (*two_promises, ReservationCommitted(sku="tea", reservation_id="a", quantity=20, at=NOON))
        given(*sold).view(stock_levels).has(on_hand=77, reserved=30, available=47, open_reservations=1)
        for gone in (ReservationReleased, ReservationExpired):
            none = (*sold, gone(sku="tea", reservation_id="b", quantity=30, at=NOON))
            given(*none).view(stock_levels).has(on_hand=77, reserved=0, available=77, open_reservations=0)
        back = (*sold, StockRestocked(sku="tea", return_id="c", quantity=5, at=NOON))
        given(*back).view(stock_levels).has(on_hand=82, available=52, revision=5)

    def test_a_user_shows_the_last_address_and_why_blocked(self) -> None:
        events = (
            UserRegistered(user_id=ANN, email="a@example.org", name="Ann", at=NOON),
            EmailChanged(user_id=ANN, email="b@example.org", previous_email="a@example.org", at=NOON),
            UserBlocked(user_id=ANN, reason="chargeback", at=NOON),
        )
        given(*events).view(user_detail).has(email="b@example.org", blocked=True, block_reason="chargeback")
        given(*events, NameChanged(user_id=ANN, name="Anne", at=NOON)).view(user_detail).has(name="Anne")
        given(*events, UserUnblocked(user_id=ANN, at=NOON)).view(user_detail).has(blocked=False, block_reason="")

    def test_a_revoked_claim_changes_no_user_but_the_revision_and_makes_none(self) -> None:
        registered = UserRegistered(user_id=ANN, email="a@example.org", name="Ann", at=NOON)
        revoked = EmailClaimRevoked(user_id=ANN, email_hash="00", at=NOON)
        given(revoked).view(user_detail).is_empty()
        given(revoked, registered).view(user_detail).has(email="a@example.org", revision=1)
        given(registered, revoked).view(user_detail).has(email="a@example.org", revision=1)

    def test_a_user_shows_that_the_email_has_to_be_changed_until_it_is(self) -> None:
        registered = UserRegistered(user_id=ANN, email="a@example.org", name="Ann", at=NOON)
        required = EmailChangeRequired(user_id=ANN, email_hash="00", kept_by_user_id="b", reason="proof", at=NOON)
        changed = EmailChanged(user_id=ANN, email="b@example.org", previous_email="a@example.org", at=NOON)
        shown = user({"_id": ANN, **fold(user_detail, [registered, required])[ANN]})
        assert (shown.email, shown.email_change_required) == ("a@example.org", True)
        assert not user({"_id": ANN, **fold(user_detail, [registered, required, changed])[ANN]}).email_change_required
        assert "email_change_required" not in fold(user_detail, [registered, changed])[ANN]

    def test_a_user_shows_addresses_and_which_is_the_default(self) -> None:
        events = (
            UserRegistered(user_id=ANN, email="a@example.org", name="Ann", at=NOON),
            AddressAdded(user_id=ANN, address_id="home", address=HOME, at=NOON),
            DefaultAddressSet(user_id=ANN, address_id="home", at=NOON),
            AddressAdded(user_id=ANN, address_id="work", address=WORK, at=NOON),
        )
        home, work = ({"address_id": name, "address": asdict(x)} for name, x in (("home", HOME), ("work", WORK)))
        given(*events).view(user_detail).has(addresses=[home, work], default_address="home", revision=3)
        moved = AddressChanged(user_id=ANN, address_id="home", address=WORK, at=NOON)
        given(*events, moved).view(user_detail).has(addresses=[{**work, "address_id": "home"}, work])
        gone = (
            AddressRemoved(user_id=ANN, address_id="home", at=NOON),
            DefaultAddressSet(user_id=ANN, address_id="work", at=NOON),
        )
        given(*events, *gone).view(user_detail).has(addresses=[work], default_address="work")
        shown = user({"_id": ANN, **fold(user_detail, events)[ANN]})
        assert [(x.address_id, x.address.line1) for x in shown.addresses] == [
            ("home", HOME.line1),
            ("work", WORK.line1),
        ]


class TestDeclarations:
    def test_an_event_is_handled_once(self) -> None:
        with pytest.raises(ValueError, match="twice"):
            order_detail.on(OrderCreated)

    def test_an_event_of_streams_not_followed_is_a_mistake(self) -> None:
        with pytest.raises(ValueError, match="does not follow"):
            View[Any]("users_only", key=lambda _: None, categories=("user",)).on(OrderCreated)

    def test_every_event_shows_somewhere(self) -> None:
        shown = {row.event for row in ROWS if row.category != "useremail"}  # the user's own stream says what counts
        assert shown == {event for view in VIEWS for event in view.handlers}

    def test_an_address_is_kept_whole(self) -> None:
        shown = order({"_id": ORDER_ID, **fold(order_detail, PLACED)[ORDER_ID]})
        assert shown.shipping_address.line1 == HOME.line1


# ------------------------------------------------------------------ what callers name


def named_oddly(event: Any) -> Any:
    """The event with every text that a caller gives replaced by a name that means something to MongoDB."""
    if type(event) is str:
        return "$ref"
    if isinstance(event, tuple):
        return tuple(map(named_oddly, event))
    if is_dataclass(event) and not isinstance(event, type):
        return replace(event, **{field.name: named_oddly(getattr(event, field.name)) for field in fields(event)})
    return event


def keys_of(body: Any) -> set[str]:
    if isinstance(body, dict):
        return set(body).union(*map(keys_of, body.values()))
    return set().union(*map(keys_of, body)) if isinstance(body, list) else set()


@pytest.mark.parametrize("view", VIEWS, ids=lambda view: view.name)
def test_what_callers_name_is_never_a_key_of_a_document(view: View[Any]) -> None:
    """MongoDB gives keys such as `$ref` a meaning of their own: a document with them may not come back as it was."""
    bodies: dict[str, Any] = {}
    for event in recorded([named_oddly(event) for event in EXAMPLES]):
        handled = view.handler(event)
        if handled is not None:
            with suppress(AssertionError, KeyError, StopIteration):  # the examples are no history of one order
                bodies[handled[0]] = handled[1](bodies.get(handled[0]), event)
            assert {key for key in keys_of(bodies.get(handled[0])) if not key.isidentifier()} == set()


def test_a_row_of_a_former_release_is_taken_on() -> None:
    """It has the stages of its returns, and sums by currency, in mappings."""
    [asked, approved] = recorded([return_requested("r1", ("tea", 1)), return_approved("r1")])
    before = fold(order_list, PLACED)[ORDER_ID]
    once = order_list.handlers[type(asked.data)].reduce({**before, "returns": {"r0": "REJECTED"}}, asked)
    now = order_list.handlers[type(approved.data)].reduce(once, approved)
    stages = [{"return_id": "r0", "stage": "REJECTED"}, {"return_id": "r1", "stage": "APPROVED"}]
    assert now["returns"] == stages
    [again] = recorded([placed()])
    customer = {"created": 1, "placed": 1, "cancelled": 0, "totals": {"USD": 1, "EUR": 2}}
    then = customer_orders.handlers[type(again.data)].reduce(customer, again)
    assert then["totals"] == [{"currency": "EUR", "amount_minor": 702}, {"currency": "USD", "amount_minor": 1}]
