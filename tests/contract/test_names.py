"""What the domain calls stages and conditions is what the contract calls them, name for name."""

from enum import StrEnum
from typing import get_args

import pytest
from google.protobuf.descriptor import EnumDescriptor

from core.domain.order.events import Condition
from core.domain.order.ledger import AuthorisationStage, RefundStage
from core.domain.order.state import NoOrder, Order, ReturnStage, ShipmentStage
from protos.orders.v1 import types_pb2 as types


def published(enum: EnumDescriptor, prefix: str) -> set[str]:
    return {name.removeprefix(prefix) for name in enum.values_by_name} - {"UNSPECIFIED"}


@pytest.mark.parametrize(
    ("ours", "enum", "prefix"),
    [
        (ShipmentStage, types.ShipmentStatus.DESCRIPTOR, "SHIPMENT_STATUS_"),
        (ReturnStage, types.ReturnStage.DESCRIPTOR, "RETURN_STAGE_"),
        (AuthorisationStage, types.AuthorisationStatus.DESCRIPTOR, "AUTHORISATION_STATUS_"),
        (RefundStage, types.RefundStatus.DESCRIPTOR, "REFUND_STATUS_"),
    ],
    ids=lambda x: getattr(x, "__name__", ""),
)
def test_every_stage_has_its_name_in_the_contract(ours: type[StrEnum], enum: EnumDescriptor, prefix: str) -> None:
    assert {str(stage) for stage in ours} == published(enum, prefix)


def test_every_status_of_an_order_has_its_name_in_the_contract() -> None:
    stages = {stage.status for stage in get_args(Order) if stage is not NoOrder}
    assert stages == published(types.OrderStatus.DESCRIPTOR, "ORDER_STATUS_")


def test_every_condition_is_stored_by_its_name_in_the_contract() -> None:
    named = {f"RETURN_CONDITION_{name}" for name in published(types.ReturnCondition.DESCRIPTOR, "RETURN_CONDITION_")}
    assert {str(condition) for condition in Condition} == named
