"""The verifier folds what has a snapshot again, and finds one that lies."""

from collections.abc import AsyncIterator

import msgspec
import pytest
from msgspec.structs import replace

from core.domain.product import PRODUCT
from core.domain.product.state import Product
from core.eventstore.connection import Client
from core.eventstore.log import EventLog
from core.eventstore.repository import Repository
from core.eventstore.snapshots import Snapshots, Stored, snapshot_stream
from core.eventstore.store import EventStore
from projections.verification.full import Result
from projections.verification.snapshots import SnapshotVerifier
from tests.support.eventually import eventually
from tests.support.long_streams import long_product, put_snapshot
from tests.support.orders import euros

LENGTH = 250


@pytest.fixture
async def stream(client: Client) -> AsyncIterator[str]:
    """A product's, with a snapshot."""
    stream = PRODUCT.stream(await long_product(client, LENGTH))
    events = EventStore(EventLog(client))
    snapshots = Snapshots(events, every=50)
    async with snapshots.writing():
        await Repository(events, snapshots).load(PRODUCT, stream)
        await eventually(lambda: events.newest(snapshot_stream(stream), 1))
    yield stream
    await events.close()


async def verdict(client: Client, stream: str) -> Result:
    """On this stream; other tests have theirs in the same store."""
    result = await SnapshotVerifier(EventLog(client)).verify(most=1_000)
    result.listed = [x for x in result.listed if x.key == stream]
    return result


async def test_a_snapshot_that_is_the_fold_has_no_difference(client: Client, stream: str) -> None:
    result = await verdict(client, stream)
    assert result.listed == []
    assert result.documents >= 1
    assert result.events >= LENGTH


async def test_a_snapshot_that_lies_is_found(client: Client, stream: str) -> None:
    [stored] = await client.get_stream(snapshot_stream(stream))
    truth = msgspec.msgpack.decode(stored.data, type=Stored)
    lie = Product(sku=stream.partition("-")[2], name="Tea", price=euros(1))
    await put_snapshot(
        client, stream, msgspec.msgpack.encode(replace(truth, state=msgspec.Raw(msgspec.msgpack.encode(lie))))
    )
    [found] = (await verdict(client, stream)).listed
    assert (found.field, found.actual["amount_minor"], found.expected["amount_minor"]) == ("price", 1, LENGTH - 1)


async def test_a_snapshot_of_other_code_is_no_difference(client: Client, stream: str) -> None:
    [stored] = await client.get_stream(snapshot_stream(stream))
    old = replace(msgspec.msgpack.decode(stored.data, type=Stored), stamp="of long ago", kind="Potion")
    await put_snapshot(client, stream, msgspec.msgpack.encode(old))
    assert (await verdict(client, stream)).listed == []
