"""What the demo plans: every kind of failure is in a small run, and money and goods can be computed from the data."""

from datetime import UTC, datetime

import pytest

from client.local.demo.baskets import Basket, Line
from client.local.demo.rules import (
    DECLINED_CENTS,
    Fate,
    ParcelFate,
    Planned,
    cancelled,
    captured,
    expected_events,
    lapse_events,
    plan,
    plans,
    refund_fails,
    refunded,
    sold,
    units_left,
    units_received,
)

NOON = datetime(2017, 1, 1, 12, 0, tzinfo=UTC)
TEA, MILK = Line("tea", 1, 2, 350), Line("milk", 2, 1, 101)  # together 801
ORDINARY, CANCELLED, LOST, PART_REFUSED, ALL_REFUSED, RETURNED = 1, 19, 3, 6, 17, 14


def basket(*lines: Line) -> Basket:
    return Basket(1, 1, NOON, lines or (TEA, MILK))


def planned(index: int, *lines: Line) -> Planned:
    return plan(index, basket(*lines))


def test_twenty_baskets_have_each_kind() -> None:
    small = plans([basket()] * 20)
    parcels = [parcel.fate for x in small for parcel in x.parcels]
    assert set(parcels) == set(ParcelFate)
    assert parcels.count(ParcelFate.LOST) == 2
    assert {x.fate for x in small if x.is_refused} == {Fate.COMPLETED, Fate.CANCELLED}
    assert sum(map(refund_fails, small)) == 2
    assert any(x.fate is Fate.CANCELLED and not x.parcels for x in small)


def test_a_declined_basket_is_rejected_whatever_its_place() -> None:
    declined = Line("gum", 3, 1, DECLINED_CENTS)
    assert {planned(index, declined).fate for index in range(40)} == {Fate.REJECTED}


@pytest.mark.parametrize("lines", [(Line("gum", 3, 1, 113), MILK), (MILK, Line("gum", 3, 1, 113))])
def test_no_parcel_is_worth_what_is_declined(lines: tuple[Line, ...]) -> None:
    assert len(planned(0).parcels) == 2
    assert len(planned(0, *lines).parcels) == 1


@pytest.mark.parametrize(
    ("index", "sums"),  # sold, cancelled, captured, refunded
    [
        (ORDINARY, (801, 0, 801, 0)),
        (CANCELLED, (0, 801, 0, 0)),
        (LOST, (801, 0, 801, 0)),
        (PART_REFUSED, (101, 700, 801, 700)),
        (ALL_REFUSED, (0, 801, 801, 801)),
        (RETURNED, (801, 0, 801, 350)),
    ],
)
def test_money(index: int, sums: tuple[int, ...]) -> None:
    x = planned(index)
    assert (sold(x), cancelled(x), captured(x), refunded(x)) == sums


@pytest.mark.parametrize(
    ("index", "received", "left"),
    [
        (ORDINARY, {"tea": 2, "milk": 1}, {"tea": 0, "milk": 0}),
        (CANCELLED, {"tea": 2, "milk": 1}, {"tea": 2, "milk": 1}),
        (LOST, {"tea": 4, "milk": 2}, {"tea": 0, "milk": 0}),
        (PART_REFUSED, {"tea": 2, "milk": 1}, {"tea": 2, "milk": 0}),
        (ALL_REFUSED, {"tea": 2, "milk": 1}, {"tea": 2, "milk": 1}),
        (RETURNED, {"tea": 2, "milk": 1}, {"tea": 1, "milk": 0}),
    ],
)
def test_goods(index: int, received: dict[str, int], left: dict[str, int]) -> None:
    assert dict(units_received([planned(index)])) == received
    assert dict(units_left([planned(index)])) == left


def test_a_failed_try_of_a_refund_is_two_more_events() -> None:
    failing, another = planned(RETURNED), planned(RETURNED + 15)
    assert (refund_fails(failing), refund_fails(another)) == (True, False)
    assert expected_events(failing) == expected_events(another) + 2


def test_nothing_is_refunded_for_what_cost_nothing() -> None:
    sample = Line("sample", 4, 1, 0)
    assert not refund_fails(planned(RETURNED, sample))
    assert not refund_fails(planned(PART_REFUSED, sample, TEA))


@pytest.mark.parametrize(
    ("lapsed", "authorisations", "events"), [(0, 0, 0), (0, 1, 0), (1, 1, 1), (1, 2, 2), (2, 3, 4)]
)
def test_a_lapse_and_each_further_authorisation_is_one_more_event(
    lapsed: int, authorisations: int, events: int
) -> None:
    assert lapse_events(lapsed, authorisations) == events
