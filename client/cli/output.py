"""Output for people on a terminal, and for programs. Progress and errors go to stderr, results to stdout.

With --json, stdout has JSON objects only, one a line; output for people goes to stderr.

Exit codes:  0 success · 1 it ran, and found differences or failed · 2 the command line is wrong · 3 a rule or the input
was refused · 4 not found · 5 unavailable or too late: try again
"""

import asyncio
import json
import os
import re
import sys
from collections.abc import Callable, Coroutine, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal, InvalidOperation
from importlib import metadata
from types import MappingProxyType
from typing import Annotated, Any, NoReturn, TextIO, TypeVar
from unicodedata import category

import typer
from google.protobuf import json_format
from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Message
from rich.console import Console
from rich.text import Text

from client.cli.amounts import in_words
from client.cli.words import words_of
from client.currencies import MINOR_DIGITS
from client.sdk import errors
from client.sdk.errors import OrderstreamError
from protos.common.v1.types_pb2 import Money

T = TypeVar("T")

ON_NO_TERMINAL = 160  # columns, in a file or a pipe
UNSHOWN = ("Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp")  # controls, formats, and what is no character
DECLINED = 1  # the exit code if a plan was declined


def clean(text: str) -> str:
    """Text that is safe on a terminal: control characters, and those that change the direction, are shown as numbers.

    Line feeds stay. Data may contain anything: an escape sequence in a name must not reach the terminal as one.
    """
    return "".join(x if x == "\n" or category(x) not in UNSHOWN else f"<{ord(x):04X}>" for x in text)


class PlainConsole(Console):
    """A console that prints every text literally: no markup, no colours for numbers, no control characters."""

    def render_str(self, text: str, **how: Any) -> Text:
        return super().render_str(clean(text), **{**how, "markup": False, "emoji": False, "highlight": False})


def _console(*, stderr: bool) -> Console:
    made = PlainConsole(stderr=stderr)
    return made if made.is_terminal or "COLUMNS" in os.environ else PlainConsole(stderr=stderr, width=ON_NO_TERMINAL)


out = _console(stderr=False)
err = _console(stderr=True)

ERROR_PREFIX = "orderstream: "  # before the line that ends a process of ours
REASON_AT_THE_END = re.compile(r" \[([A-Z_]+)\]$")
FAILED, REFUSED, NOT_FOUND, UNAVAILABLE = 1, 3, 4, 5
EXIT_CODES: dict[type[OrderstreamError], int] = {
    errors.NotFound: NOT_FOUND,
    errors.Unavailable: UNAVAILABLE,
    errors.InternalError: FAILED,
}


@dataclass(slots=True)
class Shape:
    """Set once by the running command line."""

    is_json: bool = False
    is_wide: bool = False


SHAPE = Shape()


def want_json(wanted: bool) -> bool:  # as typer calls it
    SHAPE.is_json = wanted
    out.stderr = wanted  # output for people, like a plan to confirm, goes to stderr
    return wanted


AsJson = Annotated[
    bool, typer.Option("--json", callback=want_json, is_eager=True, help="JSON objects on stdout, one a line.")
]


def print_version(wanted: bool) -> None:  # as typer calls it
    if wanted:
        sys.stdout.write(f"orderstream {metadata.version('orderstream')}\n")
        raise typer.Exit


# for an error of the command line itself, with --json
CODES = {FAILED: "FAILED_PRECONDITION", 2: "INVALID_ARGUMENT", NOT_FOUND: "NOT_FOUND", UNAVAILABLE: "UNAVAILABLE"}


def fail(
    line: str, exit_with: int, *, code: str = "", reason: str = "", metadata: Mapping[str, str] = MappingProxyType({})
) -> NoReturn:
    """End the command: one line, or with --json an object with code, reason, message and metadata."""
    print_error(line, exit_with, code=code, reason=reason, metadata=metadata)
    raise typer.Exit(exit_with)


def print_error(
    line: str, exit_with: int, *, code: str = "", reason: str = "", metadata: Mapping[str, str] = MappingProxyType({})
) -> None:
    if SHAPE.is_json:
        error = {"code": code or CODES.get(exit_with, "UNKNOWN"), "reason": reason, "message": line}
        _write(sys.stderr, error | {"metadata": dict(metadata)})
    else:
        sys.stderr.write(f"{ERROR_PREFIX}{clean(line)}\n")


def agree(question: str) -> None:
    """Ask on the terminal; the command ends if the answer is no."""
    if not typer.confirm(question, err=True):
        fail("nothing was done", DECLINED)


def pass_on(said: str, exit_with: int) -> NoReturn:
    """Fail with the last line that a process of ours has written to stderr before it ended."""
    line = next((line for line in reversed(said.splitlines()) if line.startswith(ERROR_PREFIX)), said.strip())
    message = line.removeprefix(ERROR_PREFIX)
    reason = REASON_AT_THE_END.search(message)
    fail(message, exit_with, reason=reason.group(1) if reason else "")


def run(work: Coroutine[Any, Any, T], words: Callable[[OrderstreamError], str] = words_of) -> T:
    """The result of a call; a failure is one line and an exit code."""
    try:
        return asyncio.run(work)
    except OrderstreamError as error:
        _give_up(error, words)
    except ExceptionGroup as group:
        # of concurrent calls the first failure ends the others, so the first one is reported
        failures = group.subgroup(OrderstreamError)
        if failures is None:
            raise
        _give_up(_first(failures), words)


def _first(group: ExceptionGroup[OrderstreamError]) -> OrderstreamError:
    first = group.exceptions[0]
    return _first(first) if isinstance(first, ExceptionGroup) else first


def _give_up(error: OrderstreamError, words: Callable[[OrderstreamError], str]) -> NoReturn:
    code, reason, metadata = error.code.name, error.reason, error.metadata
    fail(words(error), exit_code(error), code=code, reason=reason, metadata=metadata)


def exit_code(error: OrderstreamError) -> int:
    return next((code for kind, code in EXIT_CODES.items() if isinstance(error, kind)), REFUSED)


def as_dict(message: Message) -> dict[str, Any]:
    """Every field, with the names of the contract, as proto3 JSON; but 64-bit integers are numbers like all others."""
    fields: dict[str, Any] = json_format.MessageToDict(
        message, preserving_proto_field_name=True, always_print_fields_with_no_presence=True
    )
    return _with_numbers(fields, message.DESCRIPTOR)


INTEGERS = (FieldDescriptor.CPPTYPE_INT64, FieldDescriptor.CPPTYPE_UINT64)


def _with_numbers(fields: dict[str, Any], kind: Any) -> dict[str, Any]:
    for name, value in fields.items():
        field = kind.fields_by_name[name]
        if field.cpp_type in INTEGERS:
            fields[name] = [int(x) for x in value] if isinstance(value, list) else int(value)
        elif field.message_type is not None:
            for one in value if isinstance(value, list) else [value]:
                if isinstance(one, dict):  # a time is a text
                    _with_numbers(one, field.message_type)
    return fields


def print_json(value: Message | Mapping[str, Any]) -> None:
    """The one way to print a result with --json: an object, which may hold messages."""
    _write(sys.stdout, value)


def _write(to: TextIO, value: Message | Mapping[str, Any]) -> None:
    to.write(json.dumps(value if isinstance(value, Mapping) else as_dict(value), default=as_dict) + "\n")
    to.flush()


def done(reply: Any, named: str = "") -> str:
    """The result of a command, in one line."""
    before = " before" if reply.is_repeat else ""
    nothing = " nothing changed," if reply.unchanged else ""
    return f"done{before}:{nothing}{' ' + named if named else ''} at revision {reply.revision}"


def money(amount: Any) -> str:
    return in_words(amount.amount_minor, amount.currency)


def to_money(text: str, currency: str) -> Money:
    """`12.34` in the currency's units, exactly."""
    digits = MINOR_DIGITS.get(currency)
    if digits is None:  # a guess would be wrong by a factor
        fail(f"{currency!r} is no currency of ISO 4217 that this release knows", 2)
    try:
        minor = Decimal(text).scaleb(digits)
    except InvalidOperation:
        fail(f"{text!r} is not an amount; give it like 12.34", 2)
    if not minor.is_finite() or minor != minor.to_integral_value():
        fail(f"{text!r} has more decimals than {currency} has", 2)
    if abs(minor) >= 2**63:
        fail(f"{text!r} is too large", 2)
    return Money(amount_minor=int(minor), currency=currency)


def to_basis_points(text: str) -> int:
    """`12.5%` as hundredths of a percent, exactly."""
    try:
        points = Decimal(text.removesuffix("%")) * 100
    except InvalidOperation:
        fail(f"{text!r} is not a share; give it like 12.5%", 2)
    if not points.is_finite() or points != points.to_integral_value() or not 0 < points <= 10_000:
        fail(f"{text!r}: give a share above 0% and up to 100%, with at most two decimals", 2)
    return int(points)


def when(stamp: Any) -> str:
    if not stamp.seconds and not stamp.nanos:
        return "-"
    return datetime.fromtimestamp(stamp.seconds, UTC).strftime("%Y-%m-%d %H:%M:%S")


def enum_name(enum: Any, number: int, prefix: str) -> str:
    return str(enum.Name(number)).removeprefix(prefix).lower()
