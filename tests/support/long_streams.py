"""Streams of thousands of events, and their snapshots."""

from uuid import NAMESPACE_URL, uuid5

from esdbclient import NewEvent, StreamState

from core.domain.product import PRODUCT
from core.domain.product.events import PriceChanged, ProductRegistered
from core.eventstore.connection import Client
from core.eventstore.registry import DomainEvent
from core.eventstore.snapshots import snapshot_stream
from server.commands.handler import Envelope, new_events
from tests.support.calling import fresh_sku
from tests.support.orders import NOON, euros

BATCH = 500


def envelope(request_id: str, payload_hash: str = "a hash") -> Envelope:
    return Envelope(
        request_id=request_id,
        payload_hash=payload_hash,
        expected_revision=None,
        actor="ann",
        correlation_id=request_id,
        traceparent="",
        at=NOON,
    )


def request_of(sku: str, revision: int) -> str:
    """The id of the request that wrote this revision of a product's stream."""
    return str(uuid5(NAMESPACE_URL, f"{sku}:{revision}"))


async def long_product(client: Client, length: int) -> str:
    """A product whose price has changed over and over, each time by a request of its own."""
    sku = fresh_sku()
    stream = PRODUCT.stream(sku)
    last = -1
    while last < length - 1:
        batch: list[NewEvent] = []
        for revision in range(last + 1, min(last + 1 + BATCH, length)):
            event: DomainEvent = (
                PriceChanged(sku=sku, price=euros(revision), previous=euros(revision - 1), at=NOON)
                if revision
                else ProductRegistered(sku=sku, name="Tea", price=euros(0), at=NOON)
            )
            batch += new_events(stream, envelope(request_of(sku, revision)), [event])
        before = StreamState.NO_STREAM if last < 0 else last
        await client.append_to_stream(stream, current_version=before, events=batch)
        last += len(batch)
    return sku


async def put_snapshot(client: Client, stream: str, data: bytes) -> None:
    event = NewEvent(type="Snapshot", data=data, content_type="application/octet-stream")
    await client.append_to_stream(snapshot_stream(stream), current_version=StreamState.ANY, events=[event])
