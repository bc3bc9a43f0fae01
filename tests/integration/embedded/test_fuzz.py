"""Random bytes on every RPC: never a crash, never a hang, never a word about Python."""

import asyncio
from typing import Any

import grpc
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from embedded.eventstore.node import node

PREFIX = "/event_store.client."
METHODS = {
    "streams.Streams": ["Read", "Append", "BatchAppend", "Delete", "Tombstone"],
    "persistent_subscriptions.PersistentSubscriptions": [
        "Create", "Update", "Delete", "Read", "GetInfo", "ReplayParked", "List", "RestartSubsystem",
    ],
    "operations.Operations": ["StartScavenge", "StopScavenge", "MergeIndexes", "SetNodePriority"],
    "monitoring.Monitoring": ["Stats"],
    "gossip.Gossip": ["Read"],
    "server_features.ServerFeatures": ["GetSupportedMethods"],
}  # fmt: skip
RPCS = [(service, method) for service, methods in METHODS.items() for method in methods]
# fields that look like options, names and ids get past the first look more often than noise does
pieces = st.one_of(
    st.binary(max_size=12), st.sampled_from([b"\n\x06\n\x05\x1a\x03abc", b"\x12\x00", b"\x1a\x00", b"\n"])
)
messages = st.lists(pieces, max_size=6).map(b"".join)
CLIENT_STREAM = {("streams.Streams", "Append"), ("streams.Streams", "BatchAppend")}


async def say(address: str, calls: list[tuple[tuple[str, str], bytes]]) -> None:
    async with grpc.aio.insecure_channel(address) as channel:
        for (service, method), message in calls:
            path = f"{PREFIX}{service}/{method}"
            try:
                rpc: Any = channel.stream_stream(path)
                call = rpc(iter([message]), timeout=0.2)
                async for _ in call:
                    if (service, method) not in CLIENT_STREAM:
                        call.cancel()
            except (grpc.aio.AioRpcError, asyncio.CancelledError) as error:
                if isinstance(error, grpc.aio.AioRpcError):
                    details = error.details() or ""
                    assert "Traceback" not in details, path
                    assert "Unexpected <class" not in details, path
        features: Any = channel.unary_unary(f"{PREFIX}server_features.ServerFeatures/GetSupportedMethods")
        assert b"24.10" in await features(b"", timeout=10), "it is still there"


@given(st.lists(st.tuples(st.sampled_from(RPCS), messages), min_size=5, max_size=10))
@settings(max_examples=30, deadline=None, suppress_health_check=list(HealthCheck), database=None)
async def test_noise_hurts_nobody(calls: list[tuple[tuple[str, str], bytes]]) -> None:
    async with node(None) as address:
        await say(address, calls)
