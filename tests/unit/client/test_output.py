"""Money as people write it, exactly."""

import pytest
import typer

from client.cli.output import done, money, to_money
from protos.common.v1.types_pb2 import Money
from protos.orders.v1.commands_pb2 import CreateOrderResponse


@pytest.mark.parametrize(
    ("text", "currency", "minor"),
    [
        ("3.50", "EUR", 350),
        ("3.5", "EUR", 350),
        ("3", "EUR", 300),
        ("0.01", "USD", 1),
        ("300", "JPY", 300),
        ("1.005", "KWD", 1005),
        ("1.005", "IQD", 1005),
        ("300", "XOF", 300),
        ("3.50", "XCG", 350),
        ("3.50", "BGN", 350),
    ],
)
def test_an_amount_is_taken_in_the_units_of_its_currency(text: str, currency: str, minor: int) -> None:
    assert to_money(text, currency).amount_minor == minor


@pytest.mark.parametrize(
    ("text", "currency"), [("3.505", "EUR"), ("1.5", "JPY"), ("tea", "EUR"), ("NaN", "EUR"), ("1e99", "EUR")]
)
def test_what_is_no_amount_is_refused(text: str, currency: str) -> None:
    with pytest.raises(typer.Exit) as refused:
        to_money(text, currency)
    assert refused.value.exit_code == 2


def test_an_amount_is_shown_with_its_decimals() -> None:
    assert money(Money(amount_minor=1234567, currency="EUR")) == "12,345.67 EUR"
    assert money(Money(amount_minor=300, currency="JPY")) == "300 JPY"
    assert money(Money(amount_minor=300, currency="XAF")) == "300 XAF"
    assert money(Money(amount_minor=1005, currency="LYD")) == "1.005 LYD"


def test_an_amount_in_a_currency_that_this_release_does_not_know_is_shown_in_minor_units_and_not_taken() -> None:
    assert money(Money(amount_minor=12345, currency="QQQ")) == "12,345 minor units of QQQ"
    with pytest.raises(typer.Exit) as refused:
        to_money("1.00", "QQQ")
    assert refused.value.exit_code == 2


@pytest.mark.parametrize(
    ("reply", "line"),
    [
        (CreateOrderResponse(revision=3), "done: at revision 3"),
        (CreateOrderResponse(revision=3, unchanged=True), "done: nothing changed, at revision 3"),
        (CreateOrderResponse(revision=3, is_repeat=True), "done before: at revision 3"),
        (
            CreateOrderResponse(revision=3, is_repeat=True, unchanged=True),
            "done before: nothing changed, at revision 3",
        ),
    ],
)
def test_a_line_says_whether_a_command_was_done_before_and_whether_anything_changed(
    reply: CreateOrderResponse, line: str
) -> None:
    assert done(reply) == line


def test_a_reply_of_a_former_server_says_that_it_is_done() -> None:
    assert done(CreateOrderResponse(revision=0), "an order") == "done: an order at revision 0"
