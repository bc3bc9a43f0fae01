"""Every RPC says who may call it."""

import pytest
from google.protobuf import descriptor_pb2, descriptor_pool
from google.protobuf.descriptor import FieldDescriptor, MethodDescriptor

from client.sdk.contexts import CONTEXTS
from core.security.access import ROLES, AccessMissing, access_of, methods_of, policy_of
from core.security.contract import SERVICES
from tools.access import page

METHODS = list(methods_of(SERVICES))
CONDITIONS = {"VerifyProjections": "heal"}
GOES_ON = {"ResumeProjection", "RetryProcess", "StartProcess"}  # by its own rules, after an operator has agreed


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


def test_an_act_of_an_operator_needs_a_reason_unless_it_only_lets_something_go_on() -> None:
    policy = {method.name: access_of(method) for method in METHODS}
    assert {name for name, access in policy.items() if access.role == "ops.act" and not access.reason} == GOES_ON
    assert {access.role for access in policy.values() if access.reason} == {"ops.act"}
    assert {name: access.reason_if for name, access in policy.items() if access.reason_if} == CONDITIONS


@pytest.mark.parametrize("method", [x for x in METHODS if access_of(x).reason], ids=lambda method: method.name)
def test_an_rpc_that_needs_a_reason_has_a_field_for_it(method: MethodDescriptor) -> None:
    fields, condition = method.input_type.fields_by_name, access_of(method).reason_if
    assert fields["reason"].type == FieldDescriptor.TYPE_STRING
    assert not condition or fields[condition].type == FieldDescriptor.TYPE_BOOL
    shown = f"reason, with `{condition}`" if condition else "reason"
    assert f"/{method.name}` | `ops.act` |  | {shown} |" in page()


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
