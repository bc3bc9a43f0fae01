"""Every refusal of a rule is a sentence for people, with values that the refusal has, amounts in their currency."""

import ast
from collections.abc import Iterator
from string import Formatter
from typing import NamedTuple

import grpc
import pytest

from client.cli.refusals import REFUSALS
from client.cli.words import words_of
from client.sdk.errors import NotFound, Refused
from core.domain.rejection import CommandRejected, Reason
from core.rpc.errors import status_of
from tests.support.processes import ROOT

ANYTHING = "**"  # what is raised has further values that the source does not name


class Raised(NamedTuple):
    reason: str
    where: str
    names: frozenset[str]


def raised() -> Iterator[Raised]:
    """Each `CommandRejected(Reason.X, …)` and `NotFound("X", …)` in the source, with the names of its metadata."""
    for path in (path for room in ("core", "server", "projections") for path in (ROOT / room).rglob("*.py")):
        for call in ast.walk(ast.parse(path.read_text())):
            if not isinstance(call, ast.Call) or not call.args:
                continue
            named, first = ast.unparse(call.func), call.args[0]
            names = frozenset(keyword.arg or ANYTHING for keyword in call.keywords)
            where = f"{path.relative_to(ROOT)}:{call.lineno}"
            if named == "CommandRejected" and isinstance(first, ast.Attribute):
                yield Raised(first.attr, where, names)
            elif named == "NotFound" and isinstance(first, ast.Constant) and isinstance(first.value, str):
                yield Raised(first.value, where, names)


ALL = list(raised())


def values_in(text: str) -> set[str]:
    return {name for _, name, _, _ in Formatter().parse(text) if name}


def test_every_reason_of_the_domain_has_a_sentence() -> None:
    assert {str(reason) for reason in Reason} | {x.reason for x in ALL} == set(REFUSALS)


@pytest.mark.parametrize("x", ALL, ids=lambda x: f"{x.reason} {x.where}")
def test_a_sentence_has_its_values_wherever_it_is_said(x: Raised) -> None:
    wanted = [values_in(words.sentence) for words in REFUSALS[x.reason]]
    assert any(names <= x.names or (ANYTHING in x.names and names) for names in wanted), (wanted, x.names)


@pytest.mark.parametrize("x", ALL, ids=lambda x: f"{x.reason} {x.where}")
def test_an_amount_is_refused_with_its_currency(x: Raised) -> None:
    assert not any(name.endswith("_minor") for name in x.names) or "currency" in x.names


def reported(reason: Reason, **metadata: object) -> str:
    """What a person reads of a refusal of the server."""
    status = status_of(CommandRejected(reason, **metadata))
    info = {name: str(value) for name, value in metadata.items()}
    remedy = {"remedy": status.message.partition("; remedy: ")[2]} if "; remedy: " in status.message else {}
    kind = NotFound if reason.endswith("NOT_FOUND") else Refused
    error = kind(status.message, code=grpc.StatusCode.FAILED_PRECONDITION, reason=str(reason), metadata=info | remedy)
    return words_of(error)


def test_a_refusal_is_a_sentence_with_amounts_the_remedy_and_the_reason_once() -> None:
    line = reported(
        Reason.PRICE_CHANGED, sku="tea", order_price_minor=350, current_price_minor=700, currency="EUR",
        order_id="o-1", line_id="tea",
    )  # fmt: skip
    assert line == (
        "tea costs 7.00 EUR now, and 3.50 EUR in the order; orderstream orders refresh-prices o-1 [PRICE_CHANGED]"
    )


def test_a_state_and_a_command_are_reported_in_words() -> None:
    line = reported(Reason.ORDER_STATE, order_id="o-1", status="CONFIRMED", command="RejectOrder")
    assert line == (
        "order o-1 is confirmed, which does not allow to reject order; see orderstream orders get o-1 [ORDER_STATE]"
    )


def test_a_value_with_braces_is_shown_as_it_is() -> None:
    assert reported(Reason.PRODUCT_NOT_FOUND, sku="{x}").startswith("there is no product {x}; ")


def test_a_refusal_of_a_former_server_does_without_the_currency() -> None:
    line = reported(Reason.ALREADY_CAPTURED, order_id="o-1", authorisation_id="a1", captured_minor=700)
    assert line.startswith("700 minor units of authorisation a1 are captured")


def test_a_reason_of_a_newer_server_is_reported_in_its_words_with_the_reason_once() -> None:
    error = Refused("BRAND_NEW: order_id=o-1", code=grpc.StatusCode.FAILED_PRECONDITION, reason="BRAND_NEW")
    assert words_of(error) == "order_id=o-1 [BRAND_NEW]"
