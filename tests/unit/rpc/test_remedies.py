"""A refusal with a remedy names the call and the command that help, with their values filled in."""

import re

import pytest
import typer
from google.rpc import error_details_pb2, status_pb2

from client.cli.main import app
from core.domain.rejection import CommandRejected, Reason
from core.rpc.errors import REMEDIES, status_of
from protos.operations.v1 import exclusions_pb2 as exclusions
from protos.orders.v1 import commands_pb2 as orders
from protos.processes.v1 import queries_pb2 as processes
from protos.products.v1 import commands_pb2 as products

RPCS = {
    method.name
    for contract in (orders, processes, products, exclusions)
    for service in contract.DESCRIPTOR.services_by_name.values()
    for method in service.methods
}
REMEDY = re.compile(r"(?P<rpc>\w+) \(orderstream (?P<group>[a-z-]+) (?P<command>[a-z-]+)(?P<values>.*)\)")


def details(status: status_pb2.Status) -> tuple[dict[str, str], str]:
    """The metadata of the ErrorInfo, and what the PreconditionFailure says."""
    info, failure = error_details_pb2.ErrorInfo(), error_details_pb2.PreconditionFailure()
    for detail in status.details:
        detail.Unpack(info)
        detail.Unpack(failure)
    return dict(info.metadata), failure.violations[0].description


def test_a_moved_price_names_the_call_and_the_command_that_take_it_over() -> None:
    status = status_of(CommandRejected(Reason.PRICE_CHANGED, sku="tea", order_id="o1", line_id="l1"))
    metadata, description = details(status)
    assert metadata["remedy"] == "RefreshPrices (orderstream orders refresh-prices o1)"
    assert metadata["remedy"] in description
    assert metadata["remedy"] in status.message


def test_a_line_that_cannot_be_sold_any_more_is_removed_and_one_that_is_not_there_yet_is_not() -> None:
    there = status_of(CommandRejected(Reason.PRODUCT_NOT_SELLABLE, sku="tea", order_id="o1", line_id="l1"))
    assert details(there)[0]["remedy"] == "RemoveLine (orderstream orders remove-line o1 l1)"
    new = status_of(CommandRejected(Reason.PRODUCT_NOT_SELLABLE, sku="tea"))
    assert details(new) == ({"sku": "tea"}, "PRODUCT_NOT_SELLABLE: sku=tea")


def test_goods_of_a_discontinued_product_are_recorded_by_an_adjustment() -> None:
    receiving = status_of(CommandRejected(Reason.PRODUCT_DISCONTINUED, sku="tea", quantity=5))
    assert details(receiving)[0]["remedy"] == "AdjustStock (orderstream stock adjust tea --change 5 --reason REASON)"
    renaming = status_of(CommandRejected(Reason.PRODUCT_DISCONTINUED, sku="tea"))
    assert "remedy" not in details(renaming)[0]


def test_a_refusal_without_a_remedy_has_none() -> None:
    assert details(status_of(CommandRejected(Reason.ORDER_EMPTY, order_id="o1")))[0] == {"order_id": "o1"}


@pytest.mark.parametrize("remedy", REMEDIES.values())
def test_what_a_remedy_names_is_there(remedy: str) -> None:
    named = REMEDY.fullmatch(remedy)
    assert named is not None
    assert named["rpc"] in RPCS
    group = typer.main.get_command(app).commands[named["group"]]  # type: ignore[attr-defined]  # it is a group
    parameters = group.commands[named["command"]].params
    arguments = [parameter.name for parameter in parameters if parameter.param_type_name == "argument"]
    assert re.findall(r"(?<!\S){(\w+)}", named["values"])[: len(arguments)] == arguments
    options = {option for parameter in parameters for option in parameter.opts}
    assert set(re.findall(r"--[a-z-]+", named["values"])) <= options
