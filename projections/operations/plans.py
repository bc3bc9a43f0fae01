"""Plan first, then apply: a plan's id is derived from its content, so that it is valid only while that is true.

Nothing is kept between the two calls. Applying makes the plan again and compares; whatever has changed meanwhile, in
the store, by another operator or by the same plan applied before, gives another id.
"""

import hashlib
import json
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field

from core.failures import ServiceFailure
from core.readmodel.views import VIEWS_BY_NAME
from protos.operations.v1 import projections_pb2 as pb

DONE_WITHIN = 5.0  # seconds that a call waits for the owner


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


@dataclass(frozen=True, slots=True)
class Requester:
    """The requester of a change, and the reason. `plan_id` identifies it: its own plan, or that of several together."""

    actor: str
    reason: str
    plan_id: str
    within: float = DONE_WITHIN  # seconds that the call waits for the owner


Outcome = tuple[bool, list[str]]  # whether all is done by now, and the outcome

BEGUN: Outcome = (False, ["it has begun"])
DONE: Outcome = (True, [])


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """The effects of a change. `facts` are all that it depends on; `apply` does it, and raises if they have changed."""

    action: str
    view: str
    facts: Mapping[str, object]
    apply: Callable[[Requester], Awaitable[Outcome]]
    effects: tuple[str, ...]
    from_position: int = 0
    to_position: int = 0
    events: int = 0
    documents: int = 0
    id: str = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "id", plan_id(self.action, view=self.view, **self.facts))

    @property
    def queries(self) -> Sequence[str]:
        """The RPCs that answer from the view."""
        view = VIEWS_BY_NAME.get(self.view)  # an exclusion is of all views
        return () if view is None else view.answers

    def to_proto(self) -> pb.PlanProjectionResponse:
        return pb.PlanProjectionResponse(
            plan_id=self.id,
            from_position=self.from_position,
            to_position=self.to_position,
            events=self.events,
            documents=self.documents,
            queries=self.queries,
            effects=self.effects,
        )
