"""The payments of an order and its refunds."""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from itertools import pairwise

from protos.orders.v1.types_pb2 import REFUND_STATUS_FAILED, REFUND_STATUS_SETTLED, Refund


def debts(refunds: Sequence[Refund]) -> Iterator[list[Refund]]:
    """The attempts to pay each debt back, in the order of their requests.

    Attempts for one debt name the same return, or none; the first settled one is the last.
    """
    tries: dict[str, list[Refund]] = defaultdict(list)
    for refund in refunds:
        tries[refund.return_id].append(refund)
        if refund.status == REFUND_STATUS_SETTLED:
            yield tries.pop(refund.return_id)
    yield from tries.values()


def refunds_retried(refunds: Sequence[Refund]) -> int:
    """How many were requested because an earlier one had failed."""
    return sum(
        earlier.status == REFUND_STATUS_FAILED for tries in debts(refunds) for earlier, _later in pairwise(tries)
    )


def refunds_failed(refunds: Sequence[Refund]) -> int:
    """How many debts no attempt has settled."""
    return sum(tries[-1].status != REFUND_STATUS_SETTLED for tries in debts(refunds))
