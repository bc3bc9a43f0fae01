"""The steps of a process, as data: the next action, with all its arguments.

`subject` distinguishes steps of the same name: the shipment, the refund; "" if there is only one.
"""

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import ClassVar

from core.domain.checkout.events import CheckoutLine
from core.domain.checkout.state import StepName
from core.domain.money import Money

AUTHORISATION = "checkout"  # the id of the first authorisation that a process asks for
MAX_REFUND_TRIES = 5  # until an operator decides


@dataclass(frozen=True, slots=True, kw_only=True)
class FurtherReservation:
    """A further reservation of a line: the one made to send the units of a lost or returned parcel again."""

    shipment_id: str
    line: CheckoutLine


@dataclass(frozen=True, slots=True, kw_only=True)
class Start:
    name: ClassVar[StepName] = StepName.START
    subject: ClassVar[str] = ""

    lines: tuple[CheckoutLine, ...]
    deadline: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class ReserveStock:
    name: ClassVar[StepName] = StepName.RESERVE_STOCK
    subject: ClassVar[str] = ""

    lines: tuple[CheckoutLine, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class ReserveAgain:
    """`subject` is the lost or returned parcel; each line's `quantity` is what is to be sent again of it, or 0.

    `trims` is how often units were released before, see `NoteStockReservedAgain`.
    """

    name: ClassVar[StepName] = StepName.RESERVE_STOCK

    subject: str
    lines: tuple[CheckoutLine, ...]
    trims: int


@dataclass(frozen=True, slots=True, kw_only=True)
class AuthorisePayment:
    name: ClassVar[StepName] = StepName.AUTHORISE_PAYMENT
    subject: ClassVar[str] = ""

    amount: Money
    authorisation_id: str = AUTHORISATION


@dataclass(frozen=True, slots=True, kw_only=True)
class Confirm:
    name: ClassVar[StepName] = StepName.CONFIRM_ORDER
    subject: ClassVar[str] = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reject:
    name: ClassVar[StepName] = StepName.REJECT_ORDER
    subject: ClassVar[str] = ""

    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Expire:
    name: ClassVar[StepName] = StepName.EXPIRE_ORDER
    subject: ClassVar[str] = ""

    now: datetime = field(compare=False)  # the time by which the deadline has passed


@dataclass(frozen=True, slots=True, kw_only=True)
class Cancel:
    name: ClassVar[StepName] = StepName.CANCEL_ORDER
    subject: ClassVar[str] = ""

    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ReleaseStock:
    """Also of lines that may never have been reserved: afterwards nothing is, and nothing will be."""

    name: ClassVar[StepName] = StepName.RELEASE_STOCK
    subject: ClassVar[str] = ""

    lines: tuple[CheckoutLine, ...]
    further: tuple[FurtherReservation, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class TrimStock:
    """`subject` is the cancellation of units of a line; the quantities are what stays of each reservation.

    `line` is None if the line's own reservation is not concerned.
    """

    name: ClassVar[StepName] = StepName.RELEASE_STOCK

    subject: str
    line: CheckoutLine | None
    further: tuple[FurtherReservation, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class DropReshipment:
    """A lost parcel arrived after all; the quantities are what stays reserved."""

    name: ClassVar[StepName] = StepName.RELEASE_STOCK

    subject: str
    shipment_id: str
    lines: tuple[CheckoutLine, ...]
    further: tuple[FurtherReservation, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class VoidPayment:
    """Also of an authorisation whose answer never came. `recorded` if the order knows of it; `drawn` if a part of it
    was captured, so that it is the rest that is let go. `also` are further ones that the order does not know of.
    """

    name: ClassVar[StepName] = StepName.VOID_PAYMENT

    subject: str
    recorded: bool
    drawn: bool = False
    also: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class CommitStock:
    """`subject` is the shipment; each `quantity` is what has left of a reservation in all, this shipment included."""

    name: ClassVar[StepName] = StepName.COMMIT_STOCK

    subject: str
    lines: tuple[CheckoutLine, ...]
    further: tuple[FurtherReservation, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class CapturePayment:
    """`subject` is the shipment that is paid for. `capture_id` is "" if it is that of the shipment."""

    name: ClassVar[StepName] = StepName.CAPTURE_PAYMENT

    subject: str
    authorisation_id: str
    amount: Money
    capture_id: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class RestockReturn:
    """`subject` is the return; `lines` are what of it can be sold again."""

    name: ClassVar[StepName] = StepName.RESTOCK_RETURN

    subject: str
    lines: tuple[CheckoutLine, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class RestockShipment:
    """`subject` is a parcel that came back undelivered; `lines` are what of it can be sold again."""

    name: ClassVar[StepName] = StepName.RESTOCK_SHIPMENT

    subject: str
    lines: tuple[CheckoutLine, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestRefund:
    """`follows` is the failed refund that this one is another try of, "" if it is the first."""

    name: ClassVar[StepName] = StepName.REFUND_PAYMENT

    subject: str
    amount: Money
    reason: str
    return_id: str = ""
    follows: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class SettleRefund:
    """`subject` is the refund, try number `tries` of `allowed`. `outside`: it was seen to without the provider."""

    name: ClassVar[StepName] = StepName.REFUND_PAYMENT

    subject: str
    amount: Money
    tries: int = 1
    allowed: int = MAX_REFUND_TRIES
    outside: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class GiveUpRefund:
    """All tries have failed. `subject` is the last of them, `reason` why it failed, `amount` what is owed."""

    name: ClassVar[StepName] = StepName.REFUND_PAYMENT

    subject: str
    amount: Money
    tries: int
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Complete:
    name: ClassVar[StepName] = StepName.COMPLETE_ORDER
    subject: ClassVar[str] = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class End:
    name: ClassVar[StepName] = StepName.END
    subject: ClassVar[str] = ""

    outcome: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Wait:
    """Nothing to be done before something else happens. `again_in`: a deadline that a clock of ours already shows as
    passed comes after so much time, by the store's clock.
    """

    what: str
    again_in: timedelta | None = None


Step = (
    Start
    | ReserveStock
    | ReserveAgain
    | AuthorisePayment
    | Confirm
    | Reject
    | Expire
    | Cancel
    | ReleaseStock
    | TrimStock
    | DropReshipment
    | VoidPayment
    | CommitStock
    | CapturePayment
    | RestockReturn
    | RestockShipment
    | RequestRefund
    | SettleRefund
    | GiveUpRefund
    | Complete
    | End
)
