"""Which refunds of an order were tried again, and which debts no try has settled."""

import pytest

from client.local.demo.money import refunds_failed, refunds_retried
from protos.orders.v1.types_pb2 import (
    REFUND_STATUS_FAILED,
    REFUND_STATUS_REQUESTED,
    REFUND_STATUS_SETTLED,
    Refund,
)


def failed(return_id: str = "") -> Refund:
    return Refund(status=REFUND_STATUS_FAILED, return_id=return_id)


def settled(return_id: str = "") -> Refund:
    return Refund(status=REFUND_STATUS_SETTLED, return_id=return_id)


def requested(return_id: str = "") -> Refund:
    return Refund(status=REFUND_STATUS_REQUESTED, return_id=return_id)


@pytest.mark.parametrize(
    ("refunds", "retried", "not_settled"),
    [
        ([], 0, 0),
        ([settled()], 0, 0),
        ([settled(), settled()], 0, 0),
        ([failed()], 0, 1),
        ([requested()], 0, 1),
        ([failed(), settled()], 1, 0),
        ([failed(), failed(), requested()], 2, 1),
        ([failed("r1"), settled("r2")], 0, 1),
        ([failed("r1"), failed("r2"), settled("r2"), settled("r1")], 2, 0),
        ([settled(), failed()], 0, 1),
    ],
)
def test_the_tries_for_one_debt_belong_together(refunds: list[Refund], retried: int, not_settled: int) -> None:
    assert (refunds_retried(refunds), refunds_failed(refunds)) == (retried, not_settled)
