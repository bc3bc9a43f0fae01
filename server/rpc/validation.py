"""Requests checked by a table: which field, which rule. All violations are told at once."""

import re
import unicodedata
from collections.abc import Callable, Mapping
from uuid import UUID

from google.protobuf.descriptor import EnumDescriptor
from google.protobuf.message import Message

from server.failures import InvalidRequest

Rule = Callable[[object], str | None]  # what is wrong with a value, or None
Rules = Mapping[str, Rule]  # field path → rule; `lines[].sku` means every element's

_SKU = re.compile(r"[A-Za-z0-9._-]{1,64}")
_UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_SHA256 = re.compile(r"[0-9a-f]{64}")
_PROCESS_NAME = re.compile(r"checkout(~[0-9]+)?")
PROCESS_UUID = 8  # the version
OUR_ACTORS = ("process:", "orderstream")
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
    """An id that a caller chooses. Those of version 8 are for processes: nobody else can use one before they do."""
    problem = uuid(value)
    if problem is None and UUID(str(value)).version == PROCESS_UUID:
        return "must not be a UUID of version 8: those are kept for processes"
    return problem


def not_of_a_process(value: object) -> str | None:
    """The name of an authorisation that a caller gives: `checkout`, `checkout~2` … are those of processes."""
    return "is kept for processes" if _PROCESS_NAME.fullmatch(str(value)) else text(1, 64)(value)


def actor(value: str) -> str | None:
    """Who asks, as the caller says: it may not pass for one of ours."""
    return "must not begin as those of processes and services do" if value.lower().startswith(OUR_ACTORS) else None


def optional(rule: Rule) -> Rule:
    return lambda value: rule(value) if value else None


def text(fewest: int, most: int) -> Rule:
    def check(value: object) -> str | None:
        if not fewest <= len(str(value).strip()) or len(str(value)) > most:
            return f"must have {fewest} to {most} characters"
        if any(unicodedata.category(character) == "Cc" for character in str(value)):
            return "must not contain control characters"
        return None

    return check


def lines_of_text(value: object) -> str | None:
    """Free text of any length, which the domain bounds, with line breaks and tabs but no other control characters."""
    if not str(value).strip():
        return "must not be empty"
    if any(unicodedata.category(character) == "Cc" for character in str(value) if character not in "\n\r\t"):
        return "must not contain control characters but line breaks and tabs"
    return None


def sku(value: object) -> str | None:
    return None if _SKU.fullmatch(str(value)) else "must be 1 to 64 of A-Z a-z 0-9 . _ -"


def sha256(value: object) -> str | None:
    return None if _SHA256.fullmatch(str(value)) else "must be 64 hexadecimal digits, lower case"


def each(rule: Rule, fewest: int, most: int) -> Rule:
    """For a repeated field: how many values it has, and what each has to be."""

    def check(values: object) -> str | None:
        found = list(values)  # type: ignore[call-overload]  # a rule for repeated fields only
        if not fewest <= len(found) <= most:
            return f"must have {fewest} to {most} values"
        return next((problem for value in found if (problem := rule(value))), None)

    return check


def email(value: object) -> str | None:
    return None if _EMAIL.fullmatch(str(value)) else "must be an e-mail address of 3 to 254 characters"


def time(value: object) -> str | None:
    """A timestamp that has a date: years 1 to 9999."""
    try:
        value.ToDatetime()  # type: ignore[attr-defined]  # a rule for google.protobuf.Timestamp fields only
    except (ValueError, OverflowError):
        return "must be a time between the years 1 and 9999"
    return None


def known_enum(enum: EnumDescriptor) -> Rule:
    """An open enum takes any number over the wire; we take those that have a name."""

    def check_number(value: object) -> str | None:
        return None if value in enum.values_by_number else f"is no {enum.name}"

    return check_number


def chosen(enum: EnumDescriptor) -> Rule:
    """One of the names of an enum, and not the one that stands for none."""
    known = known_enum(enum)
    return lambda value: known(value) if value else f"must be a {enum.name}"


def check(request: Message, rules: Rules) -> None:
    """Raise `InvalidRequest` with every violation; a bad request_id has a reason of its own."""
    violations = {
        path: problem
        for field, rule in rules.items()
        for path, value in _values(request, field)
        if (problem := rule(value))
    }
    if violations:
        raise InvalidRequest(violations, "REQUEST_ID_INVALID" if "request_id" in violations else "FIELD_INVALID")


def require_message(request: Message, *fields: str) -> None:
    """Raise `InvalidRequest` for sub-messages that were not given."""
    missing = {field: "is required" for field in fields if not request.HasField(field)}
    if missing:
        raise InvalidRequest(missing)


def _values(message: Message, path: str, prefix: str = "") -> list[tuple[str, object]]:
    head, _, rest = path.partition(".")
    if head.endswith("[]"):
        name = head[:-2]
        return [
            pair
            for index, element in enumerate(getattr(message, name))
            for pair in _values(element, rest, f"{prefix}{name}[{index}].")
        ]
    if rest:
        return _values(getattr(message, head), rest, f"{prefix}{head}.")
    return [(prefix + head, getattr(message, head))]
