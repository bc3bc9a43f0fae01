"""Authorisation by the contract: the option `access` of each RPC says who may call it (`common/v1/access.proto`)."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from google.protobuf import descriptor_pool
from google.protobuf.descriptor import MethodDescriptor
from google.protobuf.message import Message

from core.failures import AccessDenied
from core.security.principal import CUSTOMER, Principal
from protos.common.v1 import access_pb2

PREFIX = "ROLE_"


@dataclass(frozen=True, slots=True)
class Access:
    """`customer`: a caller with that role may call it as well, for what is its own. `reason`: the request has to say
    why; with `reason_if` only if that field of it is set.
    """

    role: str
    customer: bool = False
    reason: bool = False
    reason_if: str = ""

    def allows(self, principal: Principal) -> bool:
        return self.role in principal.roles or (self.customer and is_customer(principal))

    def needs_reason(self, request: Message) -> bool:
        return self.reason and (not self.reason_if or bool(getattr(request, self.reason_if)))


class AccessMissing(Exception):
    """An RPC of the contract does not say who may call it."""


def is_customer(principal: Principal) -> bool:
    return CUSTOMER in principal.roles and bool(principal.customer_id)


def role_name(number: int) -> str:
    """As tokens and files of keys have it: `shop.read` for `ROLE_SHOP_READ`."""
    return access_pb2.Role.Name(number).removeprefix(PREFIX).lower().replace("_", ".")  # type: ignore[arg-type]  # open


def role_number(name: str) -> access_pb2.Role.ValueType:
    return access_pb2.Role.Value(PREFIX + name.upper().replace(".", "_"))


ROLES = frozenset(role_name(number) for number in access_pb2.Role.values() if number)


def policy_of(services: Iterable[str]) -> Mapping[str, Access]:
    """By method as gRPC names it, `/package.Service/Method`. Raises `AccessMissing`."""
    return {
        f"/{method.containing_service.full_name}/{method.name}": access_of(method) for method in methods_of(services)
    }


def methods_of(services: Iterable[str]) -> Iterator[MethodDescriptor]:
    pool = descriptor_pool.Default()
    for service in services:
        yield from pool.FindServiceByName(service).methods


def access_of(method: MethodDescriptor) -> Access:
    """Raises `AccessMissing`."""
    access = method.GetOptions().Extensions[access_pb2.access]
    if access.role not in access_pb2.Role.values() or not access.role:
        raise AccessMissing(f"{method.full_name} has no option access, which says who may call it")
    return Access(role_name(access.role), access.customer, access.reason, access.reason_if)


def require_access(access: Access, principal: Principal, method: str) -> None:
    """Raises `AccessDenied`."""
    if not access.allows(principal):
        raise AccessDenied(method.removeprefix("/"), access.role)
