"""The events that start the process of an order: what others have done to the order, or an operator to the process.

Events of the process itself do not: it is running already.
"""

from core.domain.checkout import CHECKOUT, events
from core.domain.order import ORDER
from core.domain.order import events as order
from core.eventstore import codec
from core.eventstore.client import RecordedEvent
from core.eventstore.exclusions import EVENT_EXCLUDED, stream_of
from core.eventstore.registry import DomainEvent
from core.eventstore.upcasters import stored_names
from server.processes.command_sender import ACTOR, Cause

TRIGGERS: tuple[type[DomainEvent], ...] = (
    order.OrderPlaced,
    order.OrderConfirmed,
    order.OrderCancelled,
    order.OrderRejected,
    order.OrderExpired,
    order.OrderCompleted,
    order.HoldReleased,
    order.PaymentAuthorised,
    order.PaymentFailed,
    order.PaymentVoided,
    order.AuthorisationLapsed,
    order.PaymentCaptured,
    order.RefundRequested,
    order.PaymentRefunded,
    order.RefundFailed,
    order.ShipmentDispatched,
    order.ShipmentDelivered,
    order.ShipmentLost,
    order.DeliveryRefused,
    order.ShipmentReturned,
    order.ShipmentCancelled,  # its units may be needless, since a lost parcel has arrived
    order.LineQuantityCancelled,
    order.ReturnReceived,
    order.ReturnRejected,
    events.CheckoutStarted,  # by an operator
    events.CheckoutRetried,
    events.CheckoutStepSkipped,
    events.CheckoutGivenUp,
)
# the exclusion of an event starts the process too: until then its order could not be read
TYPES = frozenset((*stored_names(*TRIGGERS), EVENT_EXCLUDED))
PLACED = stored_names(order.OrderPlaced)


def order_of(stream: str) -> str | None:
    """The order of a stream, or of the process of the stream."""
    category, _, order_id = stream.partition("-")
    return order_id if category in (ORDER.category, CHECKOUT.category) else None


def key_of(event: RecordedEvent) -> str | None:
    """The order to reconcile; None if the event is irrelevant."""
    if event.type not in TYPES:
        return None
    if event.type == EVENT_EXCLUDED:
        return order_of(stream_of(event.stream_name))
    metadata = codec.decode_metadata(event.metadata)
    if metadata is not None and metadata.actor == ACTOR:
        return None
    return order_of(event.stream_name)


def cause_of(event: RecordedEvent) -> Cause:
    """An event that was not written by a command of ours begins its own conversation."""
    metadata = codec.decode_metadata(event.metadata)
    return Cause(
        event_id=str(event.id),
        correlation_id=metadata.correlation_id if metadata else str(event.id),
        traceparent=metadata.traceparent if metadata else "",
        placed_at=event.commit_position if event.type in PLACED else None,
    )
