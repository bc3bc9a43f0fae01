"""The payload hash of a step's command: a step begun before an upgrade ends under the hash it began with."""

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from core.domain.checkout import commands as checkout
from core.domain.checkout.events import CheckoutLine
from core.domain.decider import ADDED, FACT
from core.domain.money import Money
from core.domain.order import commands as order
from core.domain.order.events import Condition
from core.domain.stock import commands as stock
from server.processes.payload import payload_hash

NOON = datetime(2026, 7, 1, 12, tzinfo=UTC)
TEA = CheckoutLine(line_id="l'1", sku="tea", quantity=2)
MILK = CheckoutLine(line_id="l2", sku="milk", quantity=3)
PRICE = Money(amount_minor=1_003, currency="EUR")

# as the first release wrote them into the log; never edited
RELEASED = {
    "StartCheckout": "d1da263b759bb0be77f46998ff255a555c602ef4104dddb9344c941c086c9f5a",
    "StartCheckout of one line": "7818e4d3b4e983866fb2dd7a3f5155af44853ace50892ac02665595bca319117",
    "NoteStockReserved": "2c366061e9fe2887338b9814473845286d5836ae1b7bd690271a8f9145efd5bc",
    "NoteStockReleased": "f643f6587c17c892f413f8fe52f38897f3b7171f1bd9eecf1976781867c223e2",
    "NotePaymentVoided": "53d90cef7d1ccf4b0fc645beae2c056b5bc10becaf32bdb73b0b1daf8df012b5",
    "NoteStockCommitted": "0803e7cd0d4d255054c135160cf0d82b60a2aa29e162e2a7bbab9b79e7873f2f",
    "NoteStockTrimmed": "952c6bf425c7d25b0b8ed47f800cbc194e208081129c556603995b8a64bf57a3",
    "NoteReturnRestocked": "4ec1dcbcdbbbcbd00802d58d1b1b585981581b58e0bc2c6e3170a8037c1a6493",
    "NoteStockReservedAgain": "f4719d9fd455dd6178602ac60c4bdaba1a0fc07b7f0e2a7edebfddece1e4beb5",
    "NoteReshipmentDropped": "455556ba82a3430f0ecb253590b495bc889c949551eeefe576faca34d752297b",
    "NoteShipmentRestocked": "7b54118bf429a065df512e56caa9d885bd9641bc743df17b394691f494d7a756",
    "NoteFailure": "910e50734f1d7abe0d5cb5a3e85897414266d0e86c63160528d9cfc325559590",
    "EndCheckout": "ed5e39ae7df9ee907d6000406c958cdda6ad5c21f664d2262ea61debf7dc0743",
    "ReserveStock": "cc6c8626a7b4bfad4354cfd61675222b79495f26aec851e14fcb51708e4cd674",
    "ReleaseReservation": "4145ca8be62aeb1774725e8b0d2b974baf760327f4f81f1daa181b788ead570d",
    "ReleaseReservation in part": "b86adee4db2fb448f3e9f60374ee66a22524f65bec0fb7f5f58e561a5c91c4bb",
    "CommitReservation": "2f16b78ed01fe4b33077aa8d47804b9f3486d710f69ec2a47ebd54b24c0719e5",
    "RestockReturn": "8745814f9e15e20929a37dbd5c751e600df8406d980a94aaaaa54ec6f23cfef7",
    "RecordAuthorisation": "d79c0d12e7cf8702eb1cf7ff596c385461732923119b0e34bad34adfbe084c87",
    "RecordPaymentFailure": "d7e9d61d8a9d881d80c511bb64208220f298ffabf9406077d7177e25bcacd5f4",
    "VoidAuthorisation": "742a1c08776d7a2f07f03438ed0a19820d83ee640b65c17ca3a3af5c5bdccb34",
    "RecordAuthorisationLapse": "515f77d4c30e6b734b01e032e87bb643f10c36038c8c822d3c969ce820648b11",
    "CapturePayment": "fe7da95c3dc1f5c60ed795609ccf41d9bbd39d99f53d24888e15daedf29ed113",
    "RefundPayment": "7b480784ceb18d343f98a322e596b8d5332be56129e30f0f1e39d9a2f65cd9e9",
    "SettleRefund": "57faed962914dc4ae91c1f85caf2eb505c49261ab85372e376074d386bd91f91",
    "RecordRefundFailure": "24e9fa822a1f6f2885e58131d1acfe852d7340f53acead6f65c84df96918c6f9",
    "ConfirmOrder": "c701b9f3ac591fe75aae9d0bceca5a055b9032ce66524b3856aceb36ec9fbba6",
    "RejectOrder": "f631c3310f51d6d9c09f2fe2755da6518295f555a0b2bfab757d3c4de4a2ac03",
    "ExpireOrder": "db0f8f695623b1910cd0e33213ef564763d293b806f9772612be2d39279a9d79",
    "CancelOrder": "55a09b9af8c44675f543f34be759179f9e007bff99a26b23cadb48e1eaad3471",
    "CompleteOrder": "d24a321b3d8dc89c9153118e8b79393d0ef61cc9223b1b40d593be2866167b14",
    "ReceiveReturn": "e3d4d424e797acda9d36cdd398296a8fc01db567754400efa569fc22edd1df02",
}


COMMANDS: dict[str, Any] = {
    "StartCheckout": checkout.StartCheckout(order_id="o1", lines=(TEA, MILK), deadline=NOON, at=NOON),
    "StartCheckout of one line": checkout.StartCheckout(order_id="o1", lines=(TEA,), deadline=NOON, at=NOON),
    "NoteStockReserved": checkout.NoteStockReserved(order_id="o1", at=NOON),
    "NoteStockReleased": checkout.NoteStockReleased(order_id="o1", at=NOON),
    "NotePaymentVoided": checkout.NotePaymentVoided(order_id="o1", at=NOON),
    "NoteStockCommitted": checkout.NoteStockCommitted(order_id="o1", shipment_id="s1", at=NOON),
    "NoteStockTrimmed": checkout.NoteStockTrimmed(order_id="o1", cancellation_id="c1", at=NOON),
    "NoteReturnRestocked": checkout.NoteReturnRestocked(order_id="o1", return_id="r1", at=NOON),
    "NoteStockReservedAgain": checkout.NoteStockReservedAgain(order_id="o1", shipment_id="s1", trims=1, at=NOON),
    "NoteReshipmentDropped": checkout.NoteReshipmentDropped(order_id="o1", shipment_id="s1", at=NOON),
    "NoteShipmentRestocked": checkout.NoteShipmentRestocked(order_id="o1", shipment_id="s1", at=NOON),
    "NoteFailure": checkout.NoteFailure(
        order_id="o1", step="START", subject="", reason="no", pauses=(timedelta(seconds=0.5),), at=NOON
    ),
    "EndCheckout": checkout.EndCheckout(order_id="o1", outcome="CANCELLED", at=NOON),
    "ReserveStock": stock.ReserveStock(sku="tea", reservation_id="r1", quantity=2, expires_at=None, at=NOON),
    "ReleaseReservation": stock.ReleaseReservation(sku="tea", reservation_id="r1", at=NOON),
    "ReleaseReservation in part": stock.ReleaseReservation(sku="tea", reservation_id="r1", keep=1, at=NOON),
    "CommitReservation": stock.CommitReservation(sku="tea", reservation_id="r1", quantity=2, at=NOON),
    "RestockReturn": stock.RestockReturn(sku="tea", return_id="r1", quantity=2, at=NOON),
    "RecordAuthorisation": order.RecordAuthorisation(order_id="o1", authorisation_id="a1", amount=PRICE, at=NOON),
    "RecordPaymentFailure": order.RecordPaymentFailure(order_id="o1", authorisation_id="a1", reason="no", at=NOON),
    "VoidAuthorisation": order.VoidAuthorisation(order_id="o1", authorisation_id="a1", at=NOON),
    "RecordAuthorisationLapse": order.RecordAuthorisationLapse(
        order_id="o1", authorisation_id="a1", reason="no", at=NOON
    ),
    "CapturePayment": order.CapturePayment(
        order_id="o1", capture_id="s1", authorisation_id="a1", amount=PRICE, at=NOON
    ),
    "RefundPayment": order.RefundPayment(order_id="o1", refund_id="r1", amount=PRICE, reason="no", at=NOON),
    "SettleRefund": order.SettleRefund(order_id="o1", refund_id="r1", at=NOON),
    "ConfirmOrder": order.ConfirmOrder(order_id="o1", customer=order.NO_CUSTOMER, at=NOON),
    "RecordRefundFailure": order.RecordRefundFailure(order_id="o1", refund_id="r1", reason="no", at=NOON),
    "RejectOrder": order.RejectOrder(order_id="o1", reason="no", at=NOON),
    "ExpireOrder": order.ExpireOrder(order_id="o1", now=NOON, at=NOON),
    "CancelOrder": order.CancelOrder(order_id="o1", reason="no", at=NOON),
    "CompleteOrder": order.CompleteOrder(order_id="o1", at=NOON),
    "ReceiveReturn": order.ReceiveReturn(
        order_id="o1",
        return_id="r1",
        lines=(order.ReceivedQuantity(line_id="l1", quantity=1, condition=Condition.DAMAGED),),
        at=NOON,
    ),
}


def test_every_command_is_compared() -> None:
    assert set(COMMANDS) == set(RELEASED)


@pytest.mark.parametrize("name", COMMANDS)
def test_a_command_has_the_hash_that_was_released(name: str) -> None:
    assert payload_hash(COMMANDS[name]) == RELEASED[name]


@dataclass(frozen=True, slots=True, kw_only=True)
class Before:
    order_id: str
    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class After:
    order_id: str
    known: bool = field(metadata=FACT)
    keep: int = field(default=0, metadata=ADDED)
    at: datetime


After.__name__ = After.__qualname__ = "Before"  # a release changes a class, not its name


class TestAFieldThatAReleaseAdds:
    def test_changes_no_hash_while_it_has_its_default(self) -> None:
        assert payload_hash(After(order_id="o1", known=True, at=NOON)) == payload_hash(Before(order_id="o1", at=NOON))

    def test_is_part_of_what_is_asked_for_when_it_has_another_value(self) -> None:
        assert payload_hash(After(order_id="o1", known=True, keep=1, at=NOON)) != payload_hash(
            Before(order_id="o1", at=NOON)
        )

    def test_is_never_part_of_it_if_it_is_a_fact(self) -> None:
        assert payload_hash(After(order_id="o1", known=True, at=NOON)) == payload_hash(
            After(order_id="o1", known=False, at=NOON)
        )


def test_the_time_is_not_part_of_what_is_asked_for() -> None:
    later = order.ConfirmOrder(order_id="o1", customer=order.NO_CUSTOMER, at=NOON + timedelta(hours=1))

    assert payload_hash(later) == payload_hash(COMMANDS["ConfirmOrder"])


def test_a_value_without_a_stable_text_is_refused() -> None:
    with pytest.raises(TypeError, match="dict"):
        payload_hash(Before(order_id={}, at=NOON))  # type: ignore[arg-type]  # what mypy would refuse, too
