"""`python -m projections.limits`: docs/limits.md, with the bounds of the services of operators."""

import sys
from collections.abc import Iterator

from projections import admin, changes, exclusions, lag, subscriptions
from server import error_text
from server.domain.order.limits import MAX_LINES
from server.eventstore import persistent
from server.limits import Limit, page, rows_of_a_page

RPC_OF = {
    "max_streams": "ListParkedStreams",
    "max_acts": "ListActs",
    "max_exclusions": "ListExclusions",
    "max_differences": "VerifyProjections, of each view",
}


def of_operators() -> Iterator[Limit]:
    for name, usual in admin.UNLESS_ASKED_FOR.items():
        bounds = f"1 to {admin.MOST}, or {usual} unless asked for"
        yield Limit(f"`{name}` of {RPC_OF[name]}", bounds, "entries", "FIELD_INVALID")
    yield Limit("acts that ListActs looks at", f"{admin.MOST}", "acts", "the latest ones")
    yield Limit("`sample` of VerifyProjections", "0 or more", "documents", "FIELD_INVALID; 0: all")
    of_a_page = f"{subscriptions.LARGEST_PAGE}, or {subscriptions.PAGE} unless asked for"
    yield Limit("`page_size` of ListParkedEvents", of_a_page, "entries", "cut")
    yield rows_of_a_page("`page_size` of ListProcesses")
    yield Limit("`limit` of PlanReplay and ApplyReplay", "0 or more", "events", "FIELD_INVALID; 0: all")
    yield Limit("`drawn` of PlanProcess", f"0 to {MAX_LINES}", "values", "FIELD_INVALID")
    longest = subscriptions.LONGEST_NAME
    yield Limit("`source` and `group` of a subscription group", f"1 to {longest}", "characters", "FIELD_INVALID")
    yield Limit("`reason` of an act", "1 to 500", "characters", "FIELD_INVALID")
    yield Limit("a call that waits for the owner of a view", f"{admin.LONGEST_CALL:g}", "seconds", "it answers then")
    yield Limit("events that a view lacks, counted", f"{lag.MOST_COUNTED}", "events", "so many stand for more")
    yield Limit("events that a group lacks, counted", f"{persistent.MAX_COUNTED}", "events", "so many stand for more")
    yield Limit(
        "events that a plan counts one by one", f"{changes.MOST_EXACT}", "events", "above, the count is an estimate"
    )
    yield Limit("parked streams that a plan names", f"{changes.MOST_TOLD}", "streams", "the rest is counted")
    yield Limit("parked events that a plan shows", f"{subscriptions.IN_A_SAMPLE}", "events", "the rest is counted")
    yield Limit("a stored event in a plan", f"{exclusions.MAX_DATA}", "characters", "cut")
    yield Limit("an error of a view", f"{error_text.LONGEST}", "characters", "cut, and never the document")


if __name__ == "__main__":
    sys.stdout.write(page({"Services of operators": of_operators()}))
