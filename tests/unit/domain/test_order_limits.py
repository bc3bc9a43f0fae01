"""An order does not grow without end: each kind of entry has a bound, and so have lines in parcels and in returns."""

from typing import Any

import pytest

from core.domain.order import ORDER
from core.domain.order.limits import MAX_ENTRIES
from core.domain.rejection import Reason
from tests.support import deciding
from tests.support.orders import (
    confirmed,
    create_shipment,
    created,
    delivered,
    dispatched,
    line_added,
    order_line,
    placed,
    request_return,
    return_rejected,
    return_requested,
    shipment_created,
    unpacked,
)

UNITS = 9_000
NAMES = [f"l{n}" for n in range(100)]
LINES = [(name, 1) for name in NAMES]
CONFIRMED = (
    created(),
    *(line_added(name, UNITS, 1) for name in NAMES),
    placed(*(order_line(name, UNITS, 1) for name in NAMES)),
    confirmed(),
)
DELIVERED = (*CONFIRMED, shipment_created("all", *LINES), dispatched("all"), delivered("all"))


def given(*history: Any) -> deciding.Given[Any, Any, Any]:
    return deciding.given(ORDER, *history)


class TestLinesInParcels:
    FULL = MAX_ENTRIES["lines_of_shipments"] // len(LINES)
    PARCELS = tuple(event for n in range(FULL) for event in (shipment_created(f"s{n}", *LINES), unpacked(f"s{n}")))

    def test_of_all_parcels_together_there_is_a_bound_also_of_those_that_were_unpacked(self) -> None:
        given(*CONFIRMED, *self.PARCELS).when(create_shipment("one", ("l0", 1))).rejected(
            Reason.TOO_MANY_ENTRIES, what="lines_of_shipments", most=MAX_ENTRIES["lines_of_shipments"]
        )

    def test_the_last_parcel_that_fits_is_taken(self) -> None:
        given(*CONFIRMED, *self.PARCELS[:-2]).when(create_shipment("one", *LINES)).then(shipment_created("one", *LINES))


class TestLinesInReturns:
    FULL = MAX_ENTRIES["lines_of_returns"] // len(LINES)
    RETURNS = tuple(
        event for n in range(FULL) for event in (return_requested(f"r{n}", *LINES), return_rejected(f"r{n}"))
    )

    def test_of_all_returns_together_there_is_a_bound(self) -> None:
        given(*DELIVERED, *self.RETURNS).when(request_return("one", ("l0", 1))).rejected(
            Reason.TOO_MANY_ENTRIES, what="lines_of_returns", most=MAX_ENTRIES["lines_of_returns"]
        )

    def test_the_last_return_that_fits_is_taken(self) -> None:
        given(*DELIVERED, *self.RETURNS[:-2]).when(request_return("one", *LINES)).then(return_requested("one", *LINES))


@pytest.mark.parametrize("what", ["shipments", "returns"])
def test_of_parcels_and_of_returns_there_is_a_bound(what: str) -> None:
    most = MAX_ENTRIES[what]
    parcels = [e for n in range(most) for e in (shipment_created(f"s{n}", ("l0", 1)), unpacked(f"s{n}"))]
    returns = [e for n in range(most) for e in (return_requested(f"r{n}", ("l0", 1)), return_rejected(f"r{n}"))]
    history, command = {
        "shipments": ((*CONFIRMED, *parcels), create_shipment("one more", ("l0", 1))),
        "returns": ((*DELIVERED, *returns), request_return("one more", ("l0", 1))),
    }[what]
    given(*history).when(command).rejected(Reason.TOO_MANY_ENTRIES, what=what, most=most)
