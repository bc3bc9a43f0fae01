"""Validation of requests by a table: fields and rules. All violations are reported at once.

The number of values of a repeated field is checked before the values. Rules of texts: `core/domain/text.py`.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import date
from typing import Any
from uuid import UUID

from google.protobuf.descriptor import EnumDescriptor
from google.protobuf.message import Message

from core.domain.text import as_stored, fault_of
from core.failures import InvalidRequest

Rule = Callable[[object], str | None]  # what is wrong with a value, or None
Rules = Mapping[str, Rule]  # field path → rule; `lines[].sku` means every element's

_SKU = re.compile(r"[A-Za-z0-9._-]{1,64}")
_UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_SHA256 = re.compile(r"[0-9a-f]{64}")
_PROCESS_NAME = re.compile(r"checkout(~[0-9]+)?")
PROCESS_UUID = 8  # the version
OUR_ACTORS = ("process:", "orderstream")
MAX_ID_LENGTH, MAX_ACTOR_LENGTH, MAX_CORRELATION_ID_LENGTH = 64, 200, 128  # characters
_DAY = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
_EMAIL = re.compile(r"[^@\s]{1,64}@[^@\s]{1,189}")


def uuid(value: object) -> str | None:
    """Canonical form only, so that one id never names two streams."""
    if _UUID.fullmatch(str(value)):
        return None
    try:
        UUID(str(value))
    except ValueError:
        return "must be a UUID"
    return "must be a UUID in canonical form, lower case with hyphens"


def callers_uuid(value: object) -> str | None:
    """An id that a caller chooses. Version 8 is reserved for processes: no caller can use such an id before they do."""
    problem = uuid(value)
    if problem is None and UUID(str(value)).version == PROCESS_UUID:
        return "must not be a UUID of version 8: those are kept for processes"
    return problem


def not_of_a_process(value: object) -> str | None:
    """The name of an authorisation that a caller gives: `checkout`, `checkout~2` … are reserved for processes."""
    return "is kept for processes" if _PROCESS_NAME.fullmatch(str(value)) else new_id(value)


def actor(value: object) -> str | None:
    """The caller, as the call names it: names of our processes are reserved."""
    if as_stored(str(value)).lower().startswith(OUR_ACTORS):
        return "must not begin as those of processes and services do"
    return text(1, MAX_ACTOR_LENGTH)(value)


def correlation_id(value: object) -> str | None:
    """Any text that can be shown; it is kept as it is."""
    if not 1 <= len(str(value)) <= MAX_CORRELATION_ID_LENGTH:
        return f"must have 1 to {MAX_CORRELATION_ID_LENGTH} characters"
    return None if str(value).isprintable() else "must be printable"


@dataclass(frozen=True, slots=True)
class Optional:
    rule: Rule

    def __call__(self, value: object) -> str | None:
        return self.rule(value) if value else None


def optional(rule: Rule) -> Rule:
    return Optional(rule)


@dataclass(frozen=True, slots=True)
class Text:
    """A field that holds text. Without `longest`, the domain bounds it. See `store_texts`."""

    shortest: int
    longest: int | None
    several_lines: bool = False

    def __call__(self, value: object) -> str | None:
        return fault_of(str(value), self.shortest, self.longest, several_lines=self.several_lines)


def text(shortest: int, longest: int) -> Text:
    return Text(shortest, longest)


REASON, OPTIONAL_REASON = text(1, 500), text(0, 500)  # why something is asked for


LINES_OF_TEXT = Text(1, None, several_lines=True)


class NewId(Text):
    """A name that a caller gives to a part of an aggregate. It is stored unchanged, so that the caller can use it
    again.
    """

    def __call__(self, value: object) -> str | None:
        if problem := fault_of(str(value), self.shortest, self.longest):
            return problem
        return None if as_stored(str(value)) == value else "must be in Unicode's form NFC, without spaces at its ends"


new_id = NewId(1, MAX_ID_LENGTH)


@dataclass(frozen=True, slots=True)
class KnownId:
    """The name of an existing part: it is only compared, also with names that an earlier rule allowed."""

    longest: int

    def __call__(self, value: object) -> str | None:
        return None if 1 <= len(str(value)) <= self.longest else f"must have 1 to {self.longest} characters"


def known_id(longest: int = MAX_ID_LENGTH) -> Rule:
    return KnownId(longest)


def day(value: object) -> str | None:
    """A date of the calendar as YYYY-MM-DD, in ASCII digits."""
    try:
        known = _DAY.fullmatch(str(value)) and date.fromisoformat(str(value))
    except ValueError:  # there is no such day
        known = None
    return None if known else "must be a day as YYYY-MM-DD"


def sku(value: object) -> str | None:
    return None if _SKU.fullmatch(str(value)) else "must be 1 to 64 of A-Z a-z 0-9 . _ -"


def sha256(value: object) -> str | None:
    return None if _SHA256.fullmatch(str(value)) else "must be 64 hexadecimal digits, lower case"


@dataclass(frozen=True, slots=True)
class Count:
    """For a repeated field. Its row stands before those of its elements, which are checked only if this holds."""

    fewest: int
    most: int

    def __call__(self, values: object) -> str | None:
        found = len(values)  # type: ignore[arg-type]  # a rule for repeated fields only
        return None if self.fewest <= found <= self.most else f"must have {self.fewest} to {self.most} values"


def count(fewest: int, most: int) -> Rule:
    return Count(fewest, most)


def email(value: object) -> str | None:
    """An address to search for, also one that an earlier rule allowed."""
    return None if _EMAIL.fullmatch(str(value)) else "must be an e-mail address of 3 to 254 characters"


class Email(Text):
    """A new e-mail address."""

    def __call__(self, value: object) -> str | None:
        return email(as_stored(str(value))) or fault_of(str(value), self.shortest, self.longest)


NEW_EMAIL = Email(3, 254)


def time(value: object) -> str | None:
    """A timestamp that has a date: years 1 to 9999."""
    try:
        value.ToDatetime()  # type: ignore[attr-defined]  # a rule for google.protobuf.Timestamp fields only
    except (ValueError, OverflowError):
        return "must be a time between the years 1 and 9999"
    return None


def known_enum(enum: EnumDescriptor) -> Rule:
    """An open enum accepts any number over the wire; we accept those that have a name."""

    def check_number(value: object) -> str | None:
        return None if value in enum.values_by_number else f"is no {enum.name}"

    return check_number


def chosen(enum: EnumDescriptor) -> Rule:
    """One of the names of an enum, except the one for "unspecified"."""
    known = known_enum(enum)
    return lambda value: known(value) if value else f"must be a {enum.name}"


def check(request: Message, rules: Rules) -> None:
    """Raise `InvalidRequest` with every violation; a bad request_id has a reason of its own."""
    violations: dict[str, str] = {}
    for field, rule in rules.items():
        if field.partition("[]")[0] in violations:
            continue  # there are too many of them
        for _, _, path, value in _values(request, field):
            if problem := rule(value):
                violations[path] = problem
    if violations:
        raise InvalidRequest(violations, "REQUEST_ID_INVALID" if "request_id" in violations else "FIELD_INVALID")


def store_texts(request: Message, rules: Rules) -> None:
    """Replace each text of a validated request by the text that is stored."""
    for field, rule in rules.items():
        if isinstance(rule, Text):
            for holder, name, _, value in _values(request, field):
                setattr(holder, name, as_stored(str(value)))


def require_reason(request: Message, *, needed: bool) -> None:
    """An act says why, in its field `reason`; unless that is needed, it may be empty. Raises `InvalidRequest`."""
    check(request, {"reason": REASON if needed else OPTIONAL_REASON})


def reason_of(request: Any) -> str:
    """The reason of an act, as it is stored. The call guard has checked it."""
    return as_stored(request.reason)


def require_message(request: Message, *fields: str) -> None:
    """Raise `InvalidRequest` for sub-messages that were not given."""
    missing = {field: "is required" for field in fields if not request.HasField(field)}
    if missing:
        raise InvalidRequest(missing)


def _values(message: Any, path: str, prefix: str = "") -> list[tuple[Any, str, str, object]]:
    """For every value at a path: the message that holds it, the field's name there, its path, and the value."""
    head, _, rest = path.partition(".")
    name = head.removesuffix("[]")
    if name == head:
        if rest:
            return _values(getattr(message, head), rest, f"{prefix}{head}.") if message.HasField(head) else []
        return [(message, head, prefix + head, getattr(message, head))]
    found: list[tuple[Any, str, str, object]] = []
    for index, element in enumerate(getattr(message, name)):
        where = f"{prefix}{name}[{index}]"
        found += _values(element, rest, f"{where}.") if rest else [(message, name, where, element)]
    return found
