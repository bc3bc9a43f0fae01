"""Operations and Monitoring, as far as they apply to one small node."""

import asyncio
import resource
import time
import uuid
from collections.abc import AsyncGenerator, Awaitable, Callable
from typing import Any

import grpc
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

from embedded.eventstore.errors import HandlerError, RefusalError
from embedded.eventstore.log import Log
from embedded.eventstore.persistent.service import PersistentSubscriptions
from embedded.eventstore.positions import offset

MIN_PERIOD = 0.1  # seconds
_FIELD = descriptor_pb2.FieldDescriptorProto
_TEXT, _INT32, _UINT64, _ENUM = _FIELD.TYPE_STRING, _FIELD.TYPE_INT32, _FIELD.TYPE_UINT64, _FIELD.TYPE_ENUM


def _messages() -> dict[str, Any]:
    # esdbclient has no stubs for these; a pool of their own keeps clear of every other one in the process
    file = descriptor_pb2.FileDescriptorProto(name="embedded/operations.proto", package="embedded", syntax="proto3")
    file.enum_type.add(name="Result").value.add(name="Started", number=0)
    for name, number in (("InProgress", 1), ("Stopped", 2)):
        file.enum_type[0].value.add(name=name, number=number)
    scavenged = file.message_type.add(name="ScavengeResp")
    scavenged.field.add(name="scavenge_id", number=1, type=_TEXT, label=1)
    scavenged.field.add(name="scavenge_result", number=2, type=_ENUM, type_name=".embedded.Result", label=1)
    options = file.message_type.add(name="StopOptions")
    options.field.add(name="scavenge_id", number=1, type=_TEXT, label=1)
    stop = file.message_type.add(name="StopReq")
    stop.field.add(name="options", number=1, type=_FIELD.TYPE_MESSAGE, type_name=".embedded.StopOptions", label=1)
    file.message_type.add(name="StartOptions")  # nothing in it is used
    start = file.message_type.add(name="StartReq")
    start.field.add(name="options", number=1, type=_FIELD.TYPE_MESSAGE, type_name=".embedded.StartOptions", label=1)
    file.message_type.add(name="StatsReq").field.add(name="refresh_time_period_in_ms", number=4, type=_UINT64, label=1)
    stats = file.message_type.add(name="StatsResp")
    entry = stats.nested_type.add(name="StatsEntry")
    entry.options.map_entry = True
    entry.field.add(name="key", number=1, type=_TEXT, label=1)
    entry.field.add(name="value", number=2, type=_TEXT, label=1)
    stats.field.add(
        name="stats", number=1, type=_FIELD.TYPE_MESSAGE, type_name=".embedded.StatsResp.StatsEntry", label=3
    )
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    found = pool.FindFileByName(file.name).message_types_by_name
    return {name: message_factory.GetMessageClass(descriptor) for name, descriptor in found.items()}


MESSAGES = _messages()


class Operations:
    """Nothing is ever scavenged: `$all` keeps everything, so a scavenge is done as soon as it is asked for."""

    def __init__(self, log: Log, persistent: PersistentSubscriptions) -> None:
        self._log, self._persistent = log, persistent
        self._started = time.time()

    async def start_scavenge(self, request: bytes, _: Any) -> Any:
        if not MESSAGES["StartReq"].FromString(request).HasField("options"):
            raise HandlerError("no options")
        return MESSAGES["ScavengeResp"](scavenge_id=str(uuid.uuid4()))

    async def stop_scavenge(self, request: bytes, _: Any) -> Any:
        if not MESSAGES["StopReq"].FromString(request).HasField("options"):
            raise HandlerError("no options")
        raise RefusalError(
            grpc.StatusCode.NOT_FOUND, "Scavenge id was invalid.", exception="scavenge-not-found"
        )  # none is ever going on

    async def nothing(self, _request: Any, _: Any) -> Any:
        """MergeIndexes, ResignNode, SetNodePriority: one node has nothing to do for them."""
        return MESSAGES["StopOptions"]()

    async def restart_persistent(self, request: Any, context: Any) -> Any:
        return await self._persistent.restart(request, context)

    async def stats(self, request: bytes, _: Any) -> AsyncGenerator[bytes, None]:
        period = MESSAGES["StatsReq"].FromString(request).refresh_time_period_in_ms / 1000
        if period > 86_400:
            raise HandlerError("out of range")
        while True:
            usage = resource.getrusage(resource.RUSAGE_SELF)
            figures = {
                "proc-startTime": f"{self._started:.3f}",
                "proc-mem": str(usage.ru_maxrss * 1024),
                "proc-cpu": f"{usage.ru_utime + usage.ru_stime:.3f}",
                "es-writer-lastPosition": str(offset(self._log.head)),
            }
            yield bytes(MESSAGES["StatsResp"](stats=figures).SerializeToString())
            await asyncio.sleep(max(period, MIN_PERIOD))

    def handlers(self) -> dict[str, Callable[[Any, Any], Awaitable[Any]]]:
        return {
            "StartScavenge": self.start_scavenge,
            "StopScavenge": self.stop_scavenge,
            "MergeIndexes": self.nothing,
            "ResignNode": self.nothing,
            "SetNodePriority": self.nothing,
            "RestartPersistentSubscriptions": self.restart_persistent,
        }
