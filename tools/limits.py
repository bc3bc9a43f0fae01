"""docs/limits.md, made from the code by `make proto`: every bound that callers can meet, with its reason."""

import sys
from collections.abc import Iterable, Iterator, Mapping
from itertools import chain
from typing import NamedTuple

from core import error_text, failures
from core.config import Settings
from core.domain import address, money
from core.domain.checkout import steps
from core.domain.order import limits, notes
from core.domain.order.limits import MAX_LINES
from core.domain.stock.decide import MAX_AT_ONCE, MAX_ON_HAND, MAX_OPEN
from core.domain.stock.state import REMEMBERED
from core.domain.user import addresses
from core.eventstore import persistent
from core.rpc import call_guard, errors, validation
from core.rpc.validation import Count, KnownId, Optional, Rule, Text
from projections.engine import lag
from projections.operations import exclusion_service, projection_service, subscription_service
from projections.operations.planners import parked, standing
from server.commands import services
from server.processes import routes
from server.queries import paging

HEAD = """# Limits

Made from the code by `make proto`. What is over a limit is refused with the reason beside it
(`google.rpc.ErrorInfo.reason`). Limits hold where something is accepted: what is stored already stays valid.
`protos/common/v1/types.proto` says what a text may be. Characters are code points of what is stored.
"""


RPC_OF = {
    "max_streams": "ListParkedStreams",
    "max_acts": "ListActs",
    "max_exclusions": "ListExclusions",
    "max_differences": "VerifyProjections, of each view",
}


class Limit(NamedTuple):
    what: str
    value: str
    unit: str
    reason: str


def of_orders() -> Iterator[Limit]:
    yield Limit("lines", f"{limits.MAX_LINES}", "lines", "TOO_MANY_LINES")
    yield Limit("quantity of a line", f"1 to {limits.MAX_UNITS}", "units", "QUANTITY_INVALID")
    for what, most in limits.MAX_ENTRIES.items():
        yield Limit(what.replace("_", " "), f"{most}", "entries", f"TOO_MANY_ENTRIES, what={what}")
    yield Limit("a note", f"1 to {notes.MAX_NOTE_LENGTH}", "characters", "NOTE_TOO_LONG")
    yield Limit("an amount", f"up to {money.MAX_AMOUNT}", "minor units", "AMOUNT_INVALID: exact in every JSON reader")
    yield Limit("refunds that fail", f"{steps.MAX_REFUND_TRIES}", "tries", "then an operator decides")


def of_users_and_stock() -> Iterator[Limit]:
    yield Limit("addresses of a user", f"{addresses.MAX_ADDRESSES}", "addresses", "TOO_MANY_ADDRESSES")
    for field, (shortest, longest) in address.LENGTHS.items():
        yield Limit(f"`{field}` of an address", f"{shortest} to {longest}", "characters", "ADDRESS_INVALID")
    yield Limit("units of a product", f"{MAX_ON_HAND}", "units", "STOCK_TOO_LARGE")
    yield Limit("units of one command about stock", f"1 to {MAX_AT_ONCE}", "units", "QUANTITY_INVALID")
    yield Limit("reservations of a product at one time", f"{MAX_OPEN}", "reservations", "TOO_MANY_RESERVATIONS")
    yield Limit(
        "ended reservations and returns of a product",
        f"{REMEMBERED}",
        "ids",
        "older ones are forgotten",
    )


def of_calls() -> Iterator[Limit]:
    actor, conversation = validation.MAX_ACTOR_LENGTH, validation.MAX_CORRELATION_ID_LENGTH
    yield Limit("header `x-orderstream-actor`", f"1 to {actor}", "characters", "FIELD_INVALID")
    yield Limit("header `x-correlation-id`", f"1 to {conversation}", "characters", "FIELD_INVALID")
    yield rows_of_a_page("entries of a page")
    yield Limit("a page", f"{paging.MAX_PAGE}", "bytes", "it ends there, with a token for the next one")
    yield Limit("a reply", f"{call_guard.MAX_REPLY}", "bytes", "REPLY_TOO_LARGE: gRPC clients take no more by default")
    yield Limit("fields that a refusal names", f"{failures.MAX_VIOLATIONS}", "fields", "the rest is counted")
    yield Limit("a value in a refusal", f"{errors.MAX_VALUE}", "bytes", "cut, so that a refusal fits into trailers")


def rows_of_a_page(what: str) -> Limit:
    return Limit(what, f"{paging.MAX_SIZE}, or {paging.DEFAULT_SIZE} unless asked for", "entries", "cut")


def of_operators() -> Iterator[Limit]:
    for name, usual in projection_service.UNLESS_ASKED_FOR.items():
        bounds = f"1 to {projection_service.MAX_ENTRIES_IN_A_REPLY}, or {usual} unless asked for"
        yield Limit(f"`{name}` of {RPC_OF[name]}", bounds, "entries", "FIELD_INVALID")
    yield Limit(
        "acts that ListActs looks at", f"{projection_service.MAX_ENTRIES_IN_A_REPLY}", "acts", "the latest ones"
    )
    yield Limit("`sample` of VerifyProjections", "0 or more", "documents", "FIELD_INVALID; 0: all")
    of_a_page = f"{subscription_service.MAX_PAGE}, or {subscription_service.PAGE} unless asked for"
    yield Limit("`page_size` of ListParkedEvents", of_a_page, "entries", "cut")
    yield rows_of_a_page("`page_size` of ListProcesses")
    yield Limit("`limit` of PlanReplay and ApplyReplay", "0 or more", "events", "FIELD_INVALID; 0: all")
    yield Limit("`drawn` of PlanProcess", f"0 to {MAX_LINES}", "values", "FIELD_INVALID")
    longest = subscription_service.MAX_NAME_LENGTH
    yield Limit("`source` and `group` of a subscription group", f"1 to {longest}", "characters", "FIELD_INVALID")
    yield Limit("`reason` of an act", "1 to 500", "characters", "FIELD_INVALID")
    yield Limit(
        "a call that waits for the owner of a view", f"{projection_service.MAX_CALL:g}", "seconds", "it answers then"
    )
    yield Limit("events that a view lacks, counted", f"{lag.MAX_COUNTED}", "events", "so many stand for more")
    yield Limit("events that a group lacks, counted", f"{persistent.MAX_COUNTED}", "events", "so many stand for more")
    yield Limit(
        "events that a plan counts one by one", f"{standing.MAX_EXACT}", "events", "above, the count is an estimate"
    )
    yield Limit("parked streams that a plan names", f"{parked.MAX_LISTED}", "streams", "the rest is counted")
    yield Limit(
        "parked events that a plan shows", f"{subscription_service.IN_A_SAMPLE}", "events", "the rest is counted"
    )
    yield Limit("a stored event in a plan", f"{exclusion_service.MAX_DATA}", "characters", "cut")
    yield Limit("an error of a view", f"{error_text.MAX_LENGTH}", "characters", "cut, and never the document")


def of_stores() -> Iterator[Limit]:
    """Bounds of the stores, by default."""
    yield Limit("events of one command", f"{2**20}", "bytes", "EVENTS_TOO_LARGE: `MaxAppendSize` of the event store")
    yield Limit("a document of a view", f"{2**24}", "bytes", "MongoDB holds no larger one; an order stays below")


def of_settings() -> Iterator[Limit]:
    for name, field in Settings.model_fields.items():
        if name.startswith(("default_", "max_")):
            of_a_rate = name.endswith("_per_caller") and isinstance(field.default, float)
            unit = (
                "per second"
                if of_a_rate
                else "seconds"
                if isinstance(field.default, float)
                else "bytes"
                if name.endswith("_size")
                else "at once"
            )
            yield Limit(f"`ORDERSTREAM_{name.upper()}`", f"{field.default:.15g}", unit, field.description or "")


def of_fields() -> Iterator[Limit]:
    """Each field once, with the RPCs that have it, by its bounds."""
    found: dict[tuple[str, str, str], list[str]] = {}
    for service, rows in {**services.SERVICES, **routes.SERVICES}.items():
        for rpc, route in rows.items():
            for path, rule in route.all_rules().items():
                for value, unit in _bounds(rule):
                    name = f"`{path.rpartition('.')[2] or path}`"
                    found.setdefault((name, value, unit), []).append(f"{service.partition('.')[0]} {rpc}")
    for (name, value, unit), rpcs in sorted(found.items()):
        yield Limit(name, value, unit, ", ".join(dict.fromkeys(rpcs)))


def _bounds(rule: Rule) -> Iterator[tuple[str, str]]:
    match rule:
        case Optional(rule=inner):
            yield from _bounds(inner)
        case Text(shortest=shortest, longest=int(longest)):
            yield f"{shortest} to {longest}", "characters"
        case KnownId(longest=longest):
            yield f"1 to {longest}", "characters"
        case Count(fewest=fewest, most=most):
            yield f"{fewest} to {most}", "values"


def _table(title: str, rows: Iterable[Limit], last: str = "Reason") -> Iterator[str]:
    yield f"\n## {title}\n\n| What | Limit | Unit | {last} |\n|---|---|---|---|\n"
    for row in rows:
        yield f"| {' | '.join(row)} |\n"


def page() -> str:
    tables: Mapping[str, Iterable[Limit]] = {
        "An order": of_orders(),
        "Users and stock": of_users_and_stock(),
        "Calls": of_calls(),
        "Services of operators": of_operators(),
        "Settings and what they are unless set": of_settings(),
        "The stores": of_stores(),
    }
    texts = _table("Fields of commands (reason: FIELD_INVALID)", of_fields(), "Commands")
    return HEAD + "".join(chain(*(_table(title, rows) for title, rows in tables.items()), texts))


if __name__ == "__main__":
    sys.stdout.write(page())
