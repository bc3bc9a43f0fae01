"""Plan first, then apply: a plan's id is derived from its content, so that it is valid only while that is true.

Nothing is kept between the two calls. Applying makes the plan again and compares; whatever has changed meanwhile, in
the store, by another operator or by the same plan applied before, gives another id.
"""

import hashlib
import json

from core.failures import ServiceFailure


class PlanOutdated(ServiceFailure):  # it names what happened
    reason = "PLAN_OUTDATED"

    def __init__(self, plan_id: str, current: str) -> None:
        super().__init__(
            "what the plan was made of has changed; plan again and look at what would happen now",
            plan_id=plan_id,
            current=current,
        )


def plan_id(act: str, **facts: object) -> str:
    """The same for the same facts; they are values that JSON has, and all that the outcome depends on."""
    text = json.dumps([act, facts], sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:24]


def require_current(given: str, current: str) -> None:
    """Raises `PlanOutdated` unless the plan made now is the one that was given."""
    if given != current:
        raise PlanOutdated(given, current)
