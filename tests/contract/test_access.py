"""Every RPC says who may call it."""

import pytest
from google.protobuf import descriptor_pb2, descriptor_pool

from client.sdk.contexts import CONTEXTS
from core.security.access import ROLES, AccessMissing, access_of, methods_of, policy_of
from core.security.contract import SERVICES
from tools.access import page

METHODS = list(methods_of(SERVICES))


def test_every_service_of_the_contract_is_in_the_policy() -> None:
    files = [file for context in CONTEXTS for file in context.files.values()]
    assert {service.full_name for file in files for service in file.services_by_name.values()} == set(SERVICES)


@pytest.mark.parametrize("method", METHODS, ids=lambda method: method.full_name)
def test_an_rpc_names_a_role_and_stands_on_the_page(method: object) -> None:
    access = access_of(method)  # type: ignore[arg-type]  # a descriptor of a method
    assert access.role in ROLES
    assert access.role not in ("customer", "impersonate")
    name = method.full_name  # type: ignore[attr-defined]  # the same
    service, _, rpc = name.rpartition(".")
    assert f"| `{service}/{rpc}` | `{access.role}` |" in page()


def test_customers_set_no_price_and_move_no_money_or_goods() -> None:
    allowed = {access_of(method).role for method in METHODS if access_of(method).customer}
    assert allowed == {"shop.read", "shop.write"}


def test_a_service_with_an_rpc_that_says_nothing_is_not_served() -> None:
    file = descriptor_pb2.FileDescriptorProto(name="tests/silent.proto", package="silent.v1")
    file.message_type.add(name="Nothing")
    silent = file.service.add(name="SilentService").method.add(name="Say")
    silent.input_type = silent.output_type = ".silent.v1.Nothing"
    descriptor_pool.Default().Add(file)
    with pytest.raises(AccessMissing, match=r"silent.v1.SilentService.Say"):
        policy_of(["silent.v1.SilentService"])
