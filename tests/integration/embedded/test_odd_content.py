"""Clients may write what they like: nothing of it makes a reader, a projection or a subscription choke."""

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from esdbclient import NewEvent, StreamState
from esdbclient.asyncio_client import AsyncEventStoreDBClient
from esdbclient.exceptions import StreamIsDeleted

from embedded.eventstore.node import node
from tests.support.eventually import eventually

Client = AsyncEventStoreDBClient
ANY = StreamState.ANY
WITHIN = 15.0
HALF_A_PAIR = b'{"$correlationId":"\\ud800"}'  # what JSON can say and no text can be


async def connected(address: str) -> Client:
    client = AsyncEventStoreDBClient(f"esdb://{address}?Tls=false")
    await client.connect()
    return client


@pytest.fixture
async def client() -> AsyncIterator[Client]:
    async with node(None, system_projections=True) as address:
        client = await connected(address)
        yield client
        await client.close()


async def append(client: Client, stream: str, type_: str, data: bytes = b"{}", metadata: bytes = b"") -> None:
    kind: Any = "application/octet-stream" if type_ == "$>" else "application/json"
    event = NewEvent(type=type_, data=data, metadata=metadata, content_type=kind)
    await client.append_to_stream(stream, current_version=ANY, events=event)


LINKS = [
    (b"0@t-1", "T"),
    (b" 0 @t-1", "T"),
    (b"+0@t-1", "T"),
    (b"0", None),
    (b"0@", None),
    (b"-1@t-1", "T"),  # the last one
    (b"-2@t-1", None),
    (b"9223372036854775807@t-1", None),
    (b"0@\xff\xfe", None),
    (b"0@a\x00", None),
    (b"9223372036854775808@t-1", "$>"),
    (b"9" * 5_000 + b"@t-1", "$>"),
    (b"0abc@t-1", "$>"),
    ("٣@t-1".encode(), "$>"),
    (b"@t-1", "$>"),
    (b"", "$>"),
]


@pytest.mark.parametrize(("data", "wanted"), LINKS, ids=lambda value: repr(value)[:30])
async def test_a_link_leads_to_its_target_or_nowhere_or_is_none(
    client: Client, data: bytes, wanted: str | None
) -> None:
    await append(client, "t-1", "T")
    await append(client, "links", "$>", data)
    await append(client, "links", "$>", b"0@t-1")
    expected = [wanted, "T"] if wanted else ["T"]
    assert [e.type for e in await client.get_stream("links", resolve_links=True)] == expected
    await client.create_subscription_to_stream("g", "links", resolve_links=True)
    consumer = await client.read_subscription_to_stream("g", "links")
    assert [(await asyncio.wait_for(anext(consumer), WITHIN)).type for _ in expected] == expected
    await consumer.stop()


@pytest.mark.parametrize(
    "metadata",
    [
        HALF_A_PAIR,
        b'{"$correlationId":"a\\u0000b"}',
        b'{"$correlationId":{}}',
        b'{"$correlationId":' + b"[" * 100_000,
        b'{"$correlationId":"x","n":' + b"9" * 5_000 + b"}",
    ],
    ids=lambda metadata: repr(metadata[:30]),
)
async def test_a_correlation_id_that_is_none_stops_no_projection_and_no_subscription(
    client: Client, metadata: bytes
) -> None:
    await append(client, "s-1", "Odd", metadata=metadata)
    await append(client, "s-1", "Good", metadata=b'{"$correlationId":"good"}')

    async def is_indexed() -> bool:
        return await client.get_current_version("$bc-good") == 0

    await eventually(is_indexed, within=WITHIN)
    assert (await client.get_projection_statistics(name="$by_correlation_id")).status == "Running"
    await client.create_subscription_to_stream("g", "s-1", consumer_strategy="PinnedByCorrelation")
    consumer = await client.read_subscription_to_stream("g", "s-1")
    assert [(await asyncio.wait_for(anext(consumer), WITHIN)).type for _ in range(2)] == ["Odd", "Good"]
    await consumer.stop()


@pytest.mark.parametrize("name", ["a\x00b", "\x00", "\x7f\x01", "😀", "\U0010ffff", '"\\', "\u2028", "x" * 100_000])
async def test_a_stream_of_any_name_is_known_again_after_a_restart(tmp_path: Path, name: str) -> None:
    for number in range(2):
        async with node(tmp_path) as address:
            client = await connected(address)
            version = 2 * number - 1 if number else StreamState.NO_STREAM
            event = NewEvent(type="E", data=json.dumps(number).encode())
            await client.append_to_stream(name, current_version=version, events=event)
            await append(client, name, "E")
            assert len(await client.get_stream(name)) == 2 * (number + 1)
            await client.close()


async def test_metadata_that_no_text_can_be_brings_a_deleted_stream_back(client: Client) -> None:
    await append(client, "s-1", "E")
    await client.delete_stream("s-1", current_version=0)
    await append(client, "$$s-1", "$metadata", b'{"cut":"\\ud83d","kept":"\xc3\xbc"}')
    await append(client, "s-1", "F")
    assert [e.type for e in await client.get_stream("s-1")] == ["F"]
    assert (await client.get_stream_metadata("s-1"))[0] == {"cut": "\ud83d", "kept": "ü", "$tb": 1}


async def test_a_tombstone_of_a_name_outside_ascii_is_reported(client: Client) -> None:
    """The real server cannot put such a name into a trailer, and fails otherwise."""
    stream = "ünïcode-☃"
    await client.append_to_stream(
        stream, current_version=StreamState.NO_STREAM, events=[NewEvent(type="A", data=b"{}")]
    )
    await client.tombstone_stream(stream, current_version=0)
    with pytest.raises(StreamIsDeleted):
        await client.get_stream(stream)
