"""What people see on a terminal, and what programs read. Progress and complaints go to stderr, results to stdout.

Exit codes:  0 done · 1 it ran, and found differences or failed · 2 the command line is wrong · 3 a rule or the input
was refused · 4 not found · 5 unavailable or too late: try again
"""

import asyncio
import json
import os
import sys
from collections.abc import Coroutine
from datetime import UTC, datetime
from decimal import Decimal, InvalidOperation
from importlib import metadata
from typing import Any, NoReturn, TypeVar
from unicodedata import category

import typer
from google.protobuf import json_format
from google.protobuf.message import Message
from rich.console import Console
from rich.table import Table
from rich.text import Text

from client import errors
from client.cli.amounts import in_words
from client.cli.words import words_of
from client.currencies import MINOR_DIGITS
from client.errors import OrderstreamError
from protos.common.v1.types_pb2 import Money

T = TypeVar("T")

ON_NO_TERMINAL = 160  # columns, in a file or a pipe
UNSHOWN = ("Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp")  # controls, formats, and what is no character
DECLINED = 1  # the exit code when a plan was not agreed to


def clean(text: str) -> str:
    """Text as a terminal may have it: what it would obey, or what would turn the rest around, is shown by its number.

    Line feeds stay. Data may hold anything: a name with an escape sequence must not reach the terminal as one.
    """
    return "".join(x if x == "\n" or category(x) not in UNSHOWN else f"<{ord(x):04X}>" for x in text)


class PlainConsole(Console):
    """A console that takes every text as it is: no markup, no colours for numbers, nothing that a terminal obeys."""

    def render_str(self, text: str, **how: Any) -> Text:
        return super().render_str(clean(text), **{**how, "markup": False, "emoji": False, "highlight": False})


def _console(*, stderr: bool) -> Console:
    made = PlainConsole(stderr=stderr)
    return made if made.is_terminal or "COLUMNS" in os.environ else PlainConsole(stderr=stderr, width=ON_NO_TERMINAL)


out = _console(stderr=False)
err = _console(stderr=True)

FAILED, REFUSED, NOT_FOUND, UNAVAILABLE = 1, 3, 4, 5
EXIT_CODES: dict[type[OrderstreamError], int] = {
    errors.NotFound: NOT_FOUND,
    errors.Unavailable: UNAVAILABLE,
    errors.InternalError: FAILED,
}


def tell_version(wanted: bool) -> None:  # as typer calls it
    if wanted:
        sys.stdout.write(f"orderstream {metadata.version('orderstream')}\n")
        raise typer.Exit


def complain(line: str, code: int) -> NoReturn:
    sys.stderr.write(f"orderstream: {clean(line)}\n")
    raise typer.Exit(code)


def run(work: Coroutine[Any, Any, T]) -> T:
    """The result of a call; a failure is one line and an exit code."""
    try:
        return asyncio.run(work)
    except OrderstreamError as error:
        _give_up(error)
    except ExceptionGroup as group:
        # of concurrent calls the first to fail ends the others, so the first is the one to tell
        failures = group.subgroup(OrderstreamError)
        if failures is None:
            raise
        _give_up(_first(failures))


def _first(group: ExceptionGroup[OrderstreamError]) -> OrderstreamError:
    first = group.exceptions[0]
    return _first(first) if isinstance(first, ExceptionGroup) else first


def _give_up(error: OrderstreamError) -> NoReturn:
    complain(words_of(error), exit_code(error))


def exit_code(error: OrderstreamError) -> int:
    return next((code for kind, code in EXIT_CODES.items() if isinstance(error, kind)), REFUSED)


def as_dict(message: Message) -> dict[str, Any]:
    """Every field, with the names of the contract; 64-bit integers as text, as proto3 JSON has them."""
    told: dict[str, Any] = json_format.MessageToDict(
        message, preserving_proto_field_name=True, always_print_fields_with_no_presence=True
    )
    return told


def print_json(value: Message | dict[str, Any]) -> None:
    sys.stdout.write(json.dumps(as_dict(value) if isinstance(value, Message) else value) + "\n")


def done(reply: Any, named: str = "") -> str:
    """What a command came to, in a line."""
    before = " before" if reply.is_repeat else ""
    nothing = " nothing changed," if reply.unchanged else ""
    return f"done{before}:{nothing}{' ' + named if named else ''} at revision {reply.revision}"


def table(*columns: str) -> Table:
    made = Table(box=None, pad_edge=False, header_style="bold")
    for column in columns:
        made.add_column(column, overflow="fold")
    return made


def money(amount: Any) -> str:
    return in_words(amount.amount_minor, amount.currency)


def to_money(text: str, currency: str) -> Money:
    """`12.34` in the currency's units, exactly."""
    digits = MINOR_DIGITS.get(currency)
    if digits is None:  # a guess would be wrong by a factor
        complain(f"{currency!r} is no currency of ISO 4217 that this release knows", 2)
    try:
        minor = Decimal(text).scaleb(digits)
    except InvalidOperation:
        complain(f"{text!r} is not an amount; give it like 12.34", 2)
    if not minor.is_finite() or minor != minor.to_integral_value():
        complain(f"{text!r} has more decimals than {currency} has", 2)
    if abs(minor) >= 2**63:
        complain(f"{text!r} is too large", 2)
    return Money(amount_minor=int(minor), currency=currency)


def to_basis_points(text: str) -> int:
    """`12.5%` as hundredths of a percent, exactly."""
    try:
        points = Decimal(text.removesuffix("%")) * 100
    except InvalidOperation:
        complain(f"{text!r} is not a share; give it like 12.5%", 2)
    if not points.is_finite() or points != points.to_integral_value() or not 0 < points <= 10_000:
        complain(f"{text!r}: give a share above 0% and up to 100%, with at most two decimals", 2)
    return int(points)


def when(stamp: Any) -> str:
    if not stamp.seconds and not stamp.nanos:
        return "-"
    return datetime.fromtimestamp(stamp.seconds, UTC).strftime("%Y-%m-%d %H:%M:%S")


def enum_name(enum: Any, number: int, prefix: str) -> str:
    return str(enum.Name(number)).removeprefix(prefix).lower()
