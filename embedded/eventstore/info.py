"""Gossip and ServerFeatures: who this node is, and what it can do.

esdbclient ships no stubs for ServerFeatures, and registering protos of that package beside its own breaks it, so these
messages live in a descriptor pool of their own.
"""

import time
import uuid
from typing import Any

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

from embedded.eventstore.messages import gossip_pb2

VERSION = "24.10.14"
LEADER = 8
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
    """The host others are told: what clients on this machine dial, unless the node listens on an address of its own."""
    return "localhost" if host in {"127.0.0.1", "::1", "[::1]", "0.0.0.0", "::", "[::]"} else host  # noqa: S104  # named


class Member:
    """This node, as its only member tells it."""

    def __init__(self, host: str, port: int) -> None:
        self._host, self._port = host, port
        self._id = uuid.uuid4().bytes

    def cluster_info(self) -> Any:
        info = gossip_pb2.ClusterInfo()
        member = info.members.add(time_stamp=time.time_ns() // 100, state=LEADER, is_alive=True)
        member.instance_id.structured.most_significant_bits = int.from_bytes(self._id[:8], "big", signed=True)
        member.instance_id.structured.least_significant_bits = int.from_bytes(self._id[8:], "big", signed=True)
        member.http_end_point.address, member.http_end_point.port = self._host, self._port
        return info
