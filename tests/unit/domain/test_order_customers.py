"""A user that was blocked buys nothing more; what is left of the order can be reduced and cancelled."""

from typing import Any

import pytest

from core.domain.order import ORDER
from core.domain.rejection import Reason
from tests.support import deciding
from tests.support.orders import (
    ANN,
    WORK,
    add_line,
    address_changed,
    cancel,
    cancelled,
    change_address,
    change_quantity,
    confirm,
    confirmed,
    created,
    line_added,
    line_removed,
    new_line,
    place,
    placed,
    remove_line,
)


def given(*history: Any) -> deciding.Given[Any, Any, Any]:
    return deciding.given(ORDER, *history)


DRAFT = (created(), line_added(), address_changed())
PLACED = (*DRAFT, placed())
CONFIRMED = (*PLACED, confirmed())


@pytest.mark.parametrize(
    ("history", "command"),
    [
        pytest.param(DRAFT, add_line(new_line("milk"), blocked=True), id="add a line"),
        pytest.param(DRAFT, change_quantity(quantity=1, blocked=True), id="change a quantity"),
        pytest.param(DRAFT, place(blocked=True), id="place"),
        pytest.param(PLACED, confirm(blocked=True), id="confirm"),
    ],
)
def test_no_step_towards_a_sale_is_taken_for_a_blocked_user(history: tuple[Any, ...], command: Any) -> None:
    given(*history).when(command).rejected(Reason.USER_BLOCKED, user_id=ANN)


@pytest.mark.parametrize(
    ("history", "command"),
    [
        pytest.param(DRAFT, add_line(blocked=True), id="add a line"),
        pytest.param(DRAFT, change_quantity(quantity=2, blocked=True), id="change a quantity"),
        pytest.param(PLACED, place(blocked=True), id="place"),
        pytest.param(CONFIRMED, confirm(blocked=True), id="confirm"),
    ],
)
def test_a_step_that_was_taken_before_the_block_may_be_repeated(history: tuple[Any, ...], command: Any) -> None:
    given(*history).when(command).nothing()


def test_a_draft_of_a_blocked_user_can_be_reduced_readdressed_and_cancelled() -> None:
    given(*DRAFT).when(remove_line()).then(line_removed())
    given(*DRAFT).when(change_address(WORK)).then(address_changed(WORK))
    given(*DRAFT).when(cancel()).then(cancelled(placed_at=None))


def test_a_placed_order_of_a_blocked_user_can_be_cancelled() -> None:
    given(*PLACED).when(cancel()).then(cancelled())
