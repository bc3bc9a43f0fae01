"""Who calls: found out once per call, and known to all that the call does."""

from contextvars import ContextVar
from dataclasses import dataclass

IMPERSONATE, CUSTOMER, OPS_READ, OPS_ACT = "impersonate", "customer", "ops.read", "ops.act"


@dataclass(frozen=True, slots=True, kw_only=True)
class Principal:
    """`customer_id` is whose orders a caller with the role customer may reach; "" for all others."""

    name: str
    roles: frozenset[str]
    customer_id: str = ""


# None: this process has no authentication
CALLER: ContextVar[Principal | None] = ContextVar("caller", default=None)
