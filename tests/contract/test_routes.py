"""Every RPC of a command service has a row, and every row an RPC."""

from typing import Any

import pytest
from google.protobuf.descriptor import ServiceDescriptor

from protos.orders.v1 import commands_pb2 as orders
from protos.processes.v1 import commands_pb2 as processes
from protos.products.v1 import commands_pb2 as products
from protos.users.v1 import commands_pb2 as users
from server.commands import services
from server.processes import routes

CONTRACT = [file.DESCRIPTOR.services_by_name for file in (orders, processes, products, users)]
SERVICES = {**services.SERVICES, **routes.SERVICES}
DESCRIPTORS = [service for services in CONTRACT for service in services.values()]


def test_every_command_service_of_the_contract_is_served() -> None:
    assert {service.full_name for service in DESCRIPTORS} == set(SERVICES)


@pytest.mark.parametrize("service", DESCRIPTORS, ids=lambda service: service.name)
def test_rows_and_rpcs_are_the_same(service: ServiceDescriptor) -> None:
    routes = SERVICES[service.full_name]
    assert set(routes) == {method.name for method in service.methods}
    for method in service.methods:
        assert routes[method.name].request.DESCRIPTOR is method.input_type
        assert routes[method.name].response.DESCRIPTOR is method.output_type


@pytest.mark.parametrize("service", DESCRIPTORS, ids=lambda service: service.name)
def test_every_command_carries_a_request_id_and_every_reply_what_it_came_to(service: ServiceDescriptor) -> None:
    for method in service.methods:
        assert "request_id" in method.input_type.fields_by_name
        assert {"revision", "consistency_token", "is_repeat", "unchanged"} <= set(method.output_type.fields_by_name)


@pytest.mark.parametrize("service", DESCRIPTORS, ids=lambda service: service.name)
def test_a_rule_names_a_field_that_there_is(service: ServiceDescriptor) -> None:
    for route in SERVICES[service.full_name].values():
        for path in route.all_rules():
            message: Any = route.request.DESCRIPTOR
            for name in path.replace("[]", "").split("."):
                message = message.fields_by_name[name].message_type
