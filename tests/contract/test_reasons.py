"""Reasons are API: code, contract and table of status codes name the same ones."""

from core import failures
from core.domain.rejection import Reason
from core.rpc.errors import STATUS
from projections.operations.plans import PlanOutdated
from protos.common.v1 import errors_pb2 as common
from protos.operations.v1 import errors_pb2 as operations
from protos.orders.v1 import errors_pb2 as orders
from protos.processes.v1 import errors_pb2 as processes
from protos.products.v1 import errors_pb2 as products
from protos.users.v1 import errors_pb2 as users

PREFIX = "ERROR_REASON_"


def published(*modules: object) -> set[str]:
    names = {name for module in modules for name in module.DESCRIPTOR.enum_types_by_name["ErrorReason"].values_by_name}  # type: ignore[attr-defined]  # a generated module
    return {name.removeprefix(PREFIX) for name in names} - {"UNSPECIFIED"}


def test_every_reason_of_the_domain_is_published() -> None:
    assert {str(reason) for reason in Reason} <= published(common, orders, processes, products, users)


def test_every_published_reason_of_the_contexts_can_happen() -> None:
    assert published(orders, processes, products, users) <= {str(reason) for reason in Reason}


def test_every_published_reason_has_one_status_code() -> None:
    assert published(common, operations, orders, processes, products, users) == {str(reason) for reason in STATUS}


def test_every_failure_of_a_service_has_a_status_code() -> None:
    leaves = [leaf for leaf in leaves_of(failures.ServiceFailure) if leaf is not failures.NotFound]
    assert {leaf.reason for leaf in leaves if leaf.__module__ == failures.__name__} <= set(STATUS)


def leaves_of(failure: type[failures.ServiceFailure]) -> list[type[failures.ServiceFailure]]:
    inner = failure.__subclasses__()
    return [leaf for one in inner for leaf in leaves_of(one)] if inner else [failure]


def test_a_plan_that_is_out_of_date_has_a_status_code() -> None:
    assert PlanOutdated.reason in STATUS
