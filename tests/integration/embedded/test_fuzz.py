"""Random bytes and random well-formed messages on every RPC: never a crash, a hang, or a word about Python."""

import asyncio
from random import Random
from typing import Any

import grpc
import pytest
from esdbclient.protos.Grpc import persistent_pb2, projections_pb2, shared_pb2, streams_pb2
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from embedded.eventstore.calls import THROWN
from embedded.eventstore.node import node

PREFIX = "/event_store.client."
METHODS = {
    "streams.Streams": ["Read", "Append", "BatchAppend", "Delete", "Tombstone"],
    "persistent_subscriptions.PersistentSubscriptions": [
        "Create", "Update", "Delete", "Read", "GetInfo", "ReplayParked", "List", "RestartSubsystem",
    ],
    "projections.Projections": [
        "Create", "Update", "Delete", "Statistics", "Disable", "Enable", "Reset", "State", "Result",
        "RestartSubsystem",
    ],
    "operations.Operations": [
        "StartScavenge", "StopScavenge", "MergeIndexes", "ResignNode", "SetNodePriority",
        "RestartPersistentSubscriptions",
    ],
    "monitoring.Monitoring": ["Stats"],
    "gossip.Gossip": ["Read"],
    "server_features.ServerFeatures": ["GetSupportedMethods"],
}  # fmt: skip
RPCS = [(service, method) for service, methods in METHODS.items() for method in methods]
# fields that look like options, names and ids get past the first look more often than noise does
pieces = st.one_of(
    st.binary(max_size=12), st.sampled_from([b"\n\x06\n\x05\x1a\x03abc", b"\x12\x00", b"\x1a\x00", b"\n"])
)

pytestmark = pytest.mark.sends_unknown_positions
messages = st.lists(pieces, max_size=6).map(b"".join)
CLIENT_STREAM = {("streams.Streams", "Append"), ("streams.Streams", "BatchAppend")}
# an example takes a second, so a smaller one is not looked for: its seed says enough, within the test's limit
NODES = settings(
    deadline=None,
    suppress_health_check=list(HealthCheck),
    database=None,
    phases=[phase for phase in Phase if phase is not Phase.shrink],
    print_blob=True,
)


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
@settings(NODES, max_examples=30)
async def test_noise_hurts_nobody(calls: list[tuple[tuple[str, str], bytes]]) -> None:
    async with node(None) as address:
        await say(address, calls)


WELL_FORMED = {
    "streams.Streams": (streams_pb2, {}),
    "persistent_subscriptions.PersistentSubscriptions": (persistent_pb2, {"RestartSubsystem": shared_pb2.Empty}),
    "projections.Projections": (projections_pb2, {"RestartSubsystem": shared_pb2.Empty}),
}
NUMBERS = [0, 1, 2, 7, 2**31 - 1]
LARGE = [2**32, 2**53 - 1, 2**63 - 1]
TEXTS = ["", "s-1", "$all", "$$s-1", "$ce-s", "g", "$by_category", "DispatchToSingle", "(", "é", "type"]
ID = "00000000-0000-0000-0000-00000000000a"
# what a real server says with UNKNOWN, beside an exception that was thrown
RECORDED = (
    "Envelope callback",
    "Unexpected ReadStreamResult: Error",
    "Unexpected ReadAllResult: ",
    "Unexpected FilteredReadAllResult: ",
)


def request_of(service: str, method: str) -> Any:
    module, others = WELL_FORMED[service]
    return others[method]() if method in others else getattr(module, f"{method}Req")()


def fill(message: Any, draw: Random) -> None:
    """Set some of the fields to something that is often meaningful; at most one of each oneof stays."""
    for field in message.DESCRIPTOR.fields:
        if draw.random() < 0.25:
            continue
        if field.message_type is not None and field.message_type.GetOptions().map_entry:
            message.metadata.update({"type": "A", "content-type": draw.choice(["application/json", "x"])})
        elif field.message_type is not None and field.label == field.LABEL_REPEATED:
            for _ in range(draw.randrange(3)):
                fill(getattr(message, field.name).add(), draw)
        elif field.message_type is not None:
            getattr(message, field.name).SetInParent()
            fill(getattr(message, field.name), draw)
        elif field.label == field.LABEL_REPEATED:
            getattr(message, field.name).append(draw.choice(TEXTS))
        else:
            setattr(message, field.name, value_of(field, draw))


def value_of(field: Any, draw: Random) -> Any:
    match field.cpp_type:
        case field.CPPTYPE_STRING if field.type == field.TYPE_BYTES:
            return draw.choice(TEXTS).encode()
        case field.CPPTYPE_STRING:
            return ID if field.containing_type.name == "UUID" else draw.choice(TEXTS)
        case field.CPPTYPE_BOOL:
            return draw.random() < 0.5
        case field.CPPTYPE_ENUM:
            return draw.choice([value.number for value in field.enum_type.values] + [77])
        case field.CPPTYPE_INT32:
            return draw.choice([*NUMBERS, -1])
        case field.CPPTYPE_UINT32:
            return draw.choice(NUMBERS)
        case field.CPPTYPE_INT64:
            return draw.choice([*NUMBERS, *LARGE, -1])
        case _:
            return draw.choice([*NUMBERS, *LARGE, 2**64 - 1])


async def talk(address: str, draw: Random, calls: int) -> None:
    async with grpc.aio.insecure_channel(address) as channel:
        for _ in range(calls):
            service = draw.choice(list(WELL_FORMED))
            method = draw.choice(METHODS[service])
            requests = [request_of(service, method) for _ in range(draw.randrange(1, 4))]
            for request in requests:
                fill(request, draw)
            rpc: Any = channel.stream_stream(f"{PREFIX}{service}/{method}")
            call = rpc(iter([request.SerializeToString() for request in requests]), timeout=0.2)
            try:
                async for _ in call:
                    if (service, method) not in CLIENT_STREAM:
                        call.cancel()
            except asyncio.CancelledError:
                continue
            except grpc.aio.AioRpcError as error:
                details = error.details() or ""
                if error.code() == grpc.StatusCode.UNKNOWN:
                    assert details == THROWN or details.startswith(RECORDED), (service, method, details)
                assert "Traceback" not in details, (service, method)
        features: Any = channel.unary_unary(f"{PREFIX}server_features.ServerFeatures/GetSupportedMethods")
        assert b"24.10" in await features(b"", timeout=10), "it is still there"


@given(st.randoms(use_true_random=False))
@settings(NODES, max_examples=25)
async def test_no_well_formed_message_hurts_the_node(caplog: pytest.LogCaptureFixture, draw: Random) -> None:
    caplog.clear()
    async with node(None) as address:
        await talk(address, draw, 25)
    unexpected = [r.exc_text or r.getMessage() for r in caplog.records if r.name.startswith("embedded") and r.exc_info]
    assert unexpected == [], "every failure is one that the protocol knows"
