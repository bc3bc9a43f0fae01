"""Long streams answer from a snapshot, and a snapshot that cannot be trusted changes nothing."""

from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any, NamedTuple

import msgspec
import pytest
from esdbclient import RecordedEvent
from msgspec.structs import replace

from core.config import Settings
from core.domain.product import PRODUCT
from core.domain.product.commands import ChangePrice
from core.domain.product.state import Product
from core.eventstore.connection import Client
from core.eventstore.idempotency import CommandResult
from core.eventstore.log import EventLog
from core.eventstore.registry import CATEGORIES
from core.eventstore.repository import Aggregate, Repository
from core.eventstore.snapshots import DECIDERS, SEGMENT, Snapshots, Stored, shape_of, snapshot_stream
from core.eventstore.store import EventStore
from core.failures import RequestIdReused, StoreUnavailable
from embedded.stack import started
from protos.common.v1.types_pb2 import Money
from protos.products.v1 import commands_pb2 as pb
from server.app import serving
from server.commands.handler import CommandHandler
from tests.support.calling import DEADLINE, done_before, fresh_id, shop_at
from tests.support.eventually import eventually
from tests.support.long_streams import envelope, long_product, put_snapshot, request_of
from tests.support.orders import NOON, euros

EVERY = 50


class Counting(EventStore):
    """The store; counts the events it reads."""

    read_events = 0

    async def read(self, stream: str, start: int = 0, most: int | None = None) -> AsyncIterator[RecordedEvent]:
        async for event in super().read(stream, start, most):
            self.read_events += 1
            yield event

    async def newest(self, stream: str, most: int) -> list[RecordedEvent]:
        events = await super().newest(stream, most)
        self.read_events += len(events)
        return events


class Side(NamedTuple):
    """A command side that has just started: it remembers nothing."""

    events: Counting
    snapshots: Snapshots
    repository: Repository
    handler: CommandHandler

    async def load(self, stream: str) -> Aggregate[Any]:
        return await self.repository.load(PRODUCT, stream)

    async def change(self, sku: str, amount: int, request_id: str, payload_hash: str = "a hash") -> CommandResult:
        async def command(_: object) -> ChangePrice:
            return ChangePrice(sku=sku, price=euros(amount), at=NOON)

        return await self.handler.handle(PRODUCT, sku, envelope(request_id, payload_hash), command)


@pytest.fixture(scope="module")
def eventstore_uri() -> Iterator[str]:
    """One of its own: views of other tests, which follow a log from its start, would wait for these long streams."""
    with started("eventstore") as uri:
        yield uri


@pytest.fixture
async def starting(client: Client) -> AsyncIterator[Callable[[], Side]]:
    sides: list[Side] = []

    def start(every: int = EVERY) -> Side:
        events = Counting(EventLog(client))
        snapshots = Snapshots(events, every)
        repository = Repository(events, snapshots)
        sides.append(Side(events, snapshots, repository, CommandHandler(events, repository)))
        return sides[-1]

    yield start
    for side in sides:
        await side.events.close()


async def with_snapshot(side: Side, stream: str) -> Aggregate[Any]:
    """Load the aggregate and let its snapshot be written."""
    async with side.snapshots.writing():
        aggregate = await side.load(stream)
        await eventually(lambda: side.events.newest(snapshot_stream(stream), 1))
    return aggregate


@pytest.mark.parametrize("events", [25_000, pytest.param(100_000, marks=pytest.mark.long)])
async def test_an_aggregate_of_many_thousand_events_is_read_about_as_one_of_a_hundred(
    events: int, client: Client, starting: Callable[[], Side]
) -> None:
    sku = await long_product(client, events)
    whole = await with_snapshot(starting(), PRODUCT.stream(sku))
    short = await long_product(client, 100)

    of_long, of_short = starting(), starting()
    from_snapshot = await of_long.load(PRODUCT.stream(sku))
    await of_short.load(PRODUCT.stream(short))

    assert from_snapshot.state == whole.state == Product(sku=sku, name="Tea", price=euros(events - 1))
    assert (from_snapshot.revision, from_snapshot.position) == (whole.revision, whole.position)
    segments = events // SEGMENT
    assert of_long.events.read_events == of_long.snapshots.newest + 1 + segments
    assert of_long.events.read_events < 2 * of_short.events.read_events

    # and the receipts of all of them are known
    before = of_long.events.read_events
    first = await of_long.change(sku, 1, request_of(sku, 1))
    middle = await of_long.change(sku, events // 2, request_of(sku, events // 2))
    assert (first.revision, middle.revision) == (1, events // 2)
    assert of_long.events.read_events - before < 10
    new = await of_long.change(sku, 7, fresh_id())
    assert new.revision == events


async def test_a_service_that_stops_writes_what_it_owes_before_it_goes(
    client: Client, starting: Callable[[], Side]
) -> None:
    sku = await long_product(client, 5_000)  # with a chapter of receipts before the snapshot
    leaving = starting()
    async with leaving.snapshots.writing():
        await leaving.load(PRODUCT.stream(sku))
    assert len(await leaving.events.newest(snapshot_stream(PRODUCT.stream(sku)), 1)) == 1


async def test_an_old_request_is_known_after_a_restart_and_so_is_its_payload(
    client: Client, starting: Callable[[], Side]
) -> None:
    sku = await long_product(client, 5 * EVERY)
    stream = PRODUCT.stream(sku)
    await with_snapshot(starting(), stream)
    side = starting()
    [stored] = [event async for event in side.events.read(stream, 3, 1)]
    again = await side.change(sku, 3, request_of(sku, 3))
    assert (again.revision, again.position) == (3, stored.commit_position)
    with pytest.raises(RequestIdReused):
        await side.change(sku, 8, request_of(sku, 3), payload_hash="of another payload")
    assert (await side.load(stream)).revision == 5 * EVERY - 1


Damage = Callable[[Stored], Stored]
LIE = msgspec.Raw(msgspec.msgpack.encode(Product(sku="tea", name="Tea", price=euros(1))))
DAMAGES: dict[str, Damage] = {
    "folded by other code": lambda x: replace(x, stamp="another"),
    "of a state that there is not": lambda x: replace(x, kind="Potion"),
    "not a state": lambda x: replace(x, state=msgspec.Raw(msgspec.msgpack.encode([1]))),
    "of another history": lambda x: replace(x, event_id=bytes(16)),
    "of a stream that is not so long": lambda x: replace(
        x, revision=x.revision + 1, fingerprints=x.fingerprints + bytes(4)
    ),
    "without its first fingerprint": lambda x: replace(x, fingerprints=x.fingerprints[4:]),
    "with other fingerprints": lambda x: replace(x, fingerprints=bytes(len(x.fingerprints))),
    "after segments that are gone": lambda x: replace(x, segments=1, fingerprints=b""),
}


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES)
async def test_a_snapshot_that_cannot_be_trusted_is_as_if_there_were_none(
    client: Client, starting: Callable[[], Side], damage: Damage
) -> None:
    sku = await long_product(client, 4 * EVERY)
    stream = PRODUCT.stream(sku)
    whole = await with_snapshot(starting(), stream)
    [good] = await client.get_stream(snapshot_stream(stream))
    damaged = damage(replace(msgspec.msgpack.decode(good.data, type=Stored), state=LIE))
    await put_snapshot(client, stream, msgspec.msgpack.encode(damaged))

    side = starting()
    assert (await side.load(stream)).state == whole.state
    assert (await side.change(sku, 5, request_of(sku, 5))).revision == 5
    assert (await side.change(sku, 1, fresh_id())).revision == 4 * EVERY


async def test_bytes_that_are_no_snapshot_are_as_if_there_were_none(
    client: Client, starting: Callable[[], Side]
) -> None:
    sku = await long_product(client, 4 * EVERY)
    stream = PRODUCT.stream(sku)
    whole = await with_snapshot(starting(), stream)
    await put_snapshot(client, stream, b"\xffno snapshot")
    assert (await starting().load(stream)).state == whole.state


async def test_a_snapshot_older_than_the_tail_that_was_read_is_followed_by_what_came_since(
    client: Client, starting: Callable[[], Side]
) -> None:
    sku = await long_product(client, 2 * EVERY)
    stream = PRODUCT.stream(sku)
    await with_snapshot(starting(), stream)
    quiet = starting()  # writes no snapshots
    for price in range(4 * EVERY):
        await quiet.change(sku, 1_000 + price, fresh_id())
    side = starting()
    assert (await side.load(stream)).state == (await quiet.load(stream)).state
    assert side.events.read_events < 6 * EVERY + side.snapshots.newest


class Full(EventStore):
    """The store on a disk that takes no snapshot."""

    async def keep_newest(self, *_: object, **__: object) -> None:
        raise StoreUnavailable("event")


async def test_commands_go_on_where_snapshots_cannot_be_written(client: Client, starting: Callable[[], Side]) -> None:
    events = Full(EventLog(client))
    snapshots = Snapshots(events, EVERY)
    repository = Repository(events, snapshots)
    handler = CommandHandler(events, repository)
    side = Side(starting().events, snapshots, repository, handler)
    sku = await long_product(client, 4 * EVERY)
    async with snapshots.writing():
        for price in range(2 * EVERY):
            assert (await side.change(sku, 1_000 + price, fresh_id())).revision == 4 * EVERY + price
    assert await side.events.newest(snapshot_stream(PRODUCT.stream(sku)), 1) == []
    await events.close()


async def test_a_product_with_many_prices_is_fast_through_the_service_also_after_a_restart(
    client: Client, eventstore_uri: str
) -> None:
    settings = Settings(eventstore_uri=eventstore_uri, grace=1.0, snapshot_every=EVERY)
    sku = await long_product(client, 10_000)
    request = pb.ChangePriceRequest(request_id=fresh_id(), sku=sku, price=Money(amount_minor=1, currency="EUR"))
    async with serving("commands", settings, port=0) as address, shop_at(address) as shop:
        first = await shop.products.ChangePrice(request, timeout=DEADLINE)
        for price in range(2, EVERY + 2):
            await shop.price(sku, price)
        await eventually(lambda: client.get_stream(snapshot_stream(PRODUCT.stream(sku))))
    async with serving("commands", settings, port=0) as address, shop_at(address) as shop:
        assert await shop.products.ChangePrice(request, timeout=DEADLINE) == done_before(first)
        assert (await shop.price(sku, 1)).revision == 10_000 + EVERY + 1


def test_every_aggregate_has_snapshots_and_its_stamp_reports_what_it_is() -> None:
    assert set(DECIDERS) == set(CATEGORIES)
    stamps = {shape_of(decider).stamp for decider in DECIDERS.values()}
    assert len(stamps) == len(DECIDERS)
