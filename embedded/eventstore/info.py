"""Gossip and ServerFeatures: the identity of this node, and its features.

esdbclient ships no stubs for ServerFeatures, and registering protos of that package beside its own breaks it, so these
messages live in a descriptor pool of their own.
"""

import time
import uuid
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

from embedded.eventstore.messages import gossip_pb2

VERSION = "24.10.14"
LEADER = "Leader"
# what a server of that version advertises, in its order: the methods that this node does not have too
METHODS: dict[str, tuple[str, ...]] = {
    "projections.projections": (
        "create", "update", "delete", "statistics", "disable", "enable", "reset", "state", "result", "restartsubsystem",
    ),
    "persistent_subscriptions.persistentsubscriptions": (
        "create", "update", "delete", "read", "getinfo", "replayparked", "list", "restartsubsystem",
    ),
    "users.users": (
        "create", "update", "delete", "disable", "enable", "details", "changepassword", "resetpassword",
    ),
    "streams.streams": ("read", "append", "delete", "tombstone", "batchappend"),
    "operations.operations": (
        "startscavenge", "stopscavenge", "shutdown", "mergeindexes", "resignnode", "setnodepriority",
        "restartpersistentsubscriptions",
    ),
    "gossip.gossip": ("read",),
    "monitoring.monitoring": ("stats",),
    "server_features.serverfeatures": ("getsupportedmethods",),
    "redaction.redaction": ("geteventpositions", "switchchunks"),
}  # fmt: skip
FEATURES = {
    "streams.streams/read": ["position", "events"],
    "streams.streams/batchappend": ["deadline_duration"],
    "projections.projections/create": ["track_emitted_streams"],
}
SOURCES = ["stream", "all"]  # features of every method of persistent subscriptions


def _messages() -> dict[str, Any]:
    file = descriptor_pb2.FileDescriptorProto(
        name="embedded/server_features.proto", package="event_store.client.server_features", syntax="proto3"
    )
    text, message = descriptor_pb2.FieldDescriptorProto.TYPE_STRING, descriptor_pb2.FieldDescriptorProto.TYPE_MESSAGE
    one, many = descriptor_pb2.FieldDescriptorProto.LABEL_OPTIONAL, descriptor_pb2.FieldDescriptorProto.LABEL_REPEATED
    method = file.message_type.add(name="SupportedMethod")
    method.field.add(name="method_name", number=1, type=text, label=one)
    method.field.add(name="service_name", number=2, type=text, label=one)
    method.field.add(name="features", number=3, type=text, label=many)
    methods = file.message_type.add(name="SupportedMethods")
    methods.field.add(
        name="methods",
        number=1,
        type=message,
        label=many,
        type_name=".event_store.client.server_features.SupportedMethod",
    )
    methods.field.add(name="event_store_server_version", number=2, type=text, label=one)
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    package = pool.FindFileByName(file.name)
    return {
        name: message_factory.GetMessageClass(descriptor) for name, descriptor in package.message_types_by_name.items()
    }


_MESSAGES = _messages()


def supported_methods() -> bytes:
    """The encoded answer of GetSupportedMethods."""
    answer = _MESSAGES["SupportedMethods"](event_store_server_version=VERSION)
    for service, methods in METHODS.items():
        for method in methods:
            of_groups = service.startswith("persistent_subscriptions")
            features = SOURCES if of_groups else FEATURES.get(f"{service}/{method}", [])
            answer.methods.add(method_name=method, service_name=f"event_store.client.{service}", features=features)
    encoded: bytes = answer.SerializeToString()
    return encoded


def advertised(host: str) -> str:
    """The advertised host: what clients on this machine dial, unless the node listens on an address of its own."""
    return "localhost" if host in {"127.0.0.1", "::1", "[::1]", "0.0.0.0", "::", "[::]"} else host  # noqa: S104  # named


@dataclass(frozen=True, slots=True)
class Member:
    """A node as it is listed: where clients reach it, and its state by its name in the protocol."""

    host: str
    port: int
    state: str = LEADER
    is_alive: bool = True
    instance: bytes = field(default_factory=lambda: uuid.uuid4().bytes)


def cluster_info(members: Iterable[Member]) -> Any:
    """The answer of Gossip.Read."""
    info = gossip_pb2.ClusterInfo()
    for member in members:
        state = gossip_pb2.MemberInfo.VNodeState.Value(member.state)
        listed = info.members.add(time_stamp=time.time_ns() // 100, state=state, is_alive=member.is_alive)
        instance = listed.instance_id.structured
        instance.most_significant_bits = int.from_bytes(member.instance[:8], "big", signed=True)
        instance.least_significant_bits = int.from_bytes(member.instance[8:], "big", signed=True)
        listed.http_end_point.address, listed.http_end_point.port = member.host, member.port
    return info
