"""A group of consumers as a scenario speaks to it."""

import asyncio
from collections.abc import Callable, Collection
from typing import Any

from esdbclient.protos.Grpc import persistent_pb2 as ps

from tests.contract.eventstore.recorded.scenarios.requests import expect, ident, until
from tests.contract.eventstore.recorded.transcript import Call, Transcript

GROUPS = "/event_store.client.persistent_subscriptions.PersistentSubscriptions/"
SETTINGS = {
    "resolve_links": False,
    "extra_statistics": False,
    "max_retry_count": 3,
    "min_checkpoint_count": 1,
    "max_checkpoint_count": 10,
    "max_subscriber_count": 5,
    "live_buffer_size": 500,
    "read_batch_size": 20,
    "history_buffer_size": 500,
    "message_timeout_ms": 60_000,
    "checkpoint_after_ms": 500,
    "consumer_strategy": "RoundRobin",
}
# averages, and what a moment later is otherwise
MOMENTARY = (
    "average_per_second",
    "count_since_last_measurement",
    "average_items_per_second",
    "from",
    "read_buffer_count",
    "live_buffer_count",
)
NACK = ps.ReadReq.Nack


def source_of(options: Any, source: str | None, start: int | str | tuple[int, int] | None, name: bool = True) -> None:
    """Where a group reads: a stream, or everything when there is none."""
    if source is None:
        options.all.SetInParent()
        if isinstance(start, tuple):
            options.all.position.SetInParent()
            options.all.position.commit_position, options.all.position.prepare_position = start
        elif start is not None:
            getattr(options.all, str(start)).SetInParent()
        return
    options.stream.SetInParent()
    if name:
        options.stream.stream_identifier.CopyFrom(ident(source))
    expect(options.stream, start)  # type: ignore[arg-type]


def managing(
    kind: Any, source: str | None, group: str, start: int | str | tuple[int, int] | None = "start", **given: Any
) -> Any:
    """A Create or an Update; a setting of None is left unset."""
    request = kind()
    request.options.group_name = group
    source_of(request.options, source, start)
    settings = SETTINGS | given
    if kind is ps.UpdateReq:
        settings.pop("consumer_strategy")
    request.options.settings.SetInParent()
    for key, value in settings.items():
        if value is not None:
            setattr(request.options.settings, key, value)
    return request


def about(kind: Any, source: str | None, group: str, **fields: Any) -> Any:
    """A request about a group that names its source and itself."""
    request = kind()
    request.options.group_name = group
    if source is None:
        request.options.all.SetInParent()
    else:
        request.options.stream_identifier.CopyFrom(ident(source))
    for key, value in fields.items():
        if value is True:
            getattr(request.options, key).SetInParent()
        else:
            setattr(request.options, key, value)
    return request


def joining(source: str | None, group: str, size: int = 10, structured: bool = False) -> ps.ReadReq:
    request: ps.ReadReq = about(ps.ReadReq, source, group, buffer_size=size)
    (request.options.uuid_option.structured if structured else request.options.uuid_option.string).SetInParent()
    return request


class Group:
    """One group; `source=None` is everything."""

    def __init__(self, t: Transcript, source: str | None, name: str) -> None:
        self.t = t
        self.source = source
        self.name = name

    async def create(
        self,
        title: str,
        start: int | str | tuple[int, int] | None = "start",
        adjust: Callable[[Any], None] = lambda _: None,
        **given: Any,
    ) -> None:
        request = managing(ps.CreateReq, self.source, self.name, start, **given)
        adjust(request)
        await self.t.unary(title, GROUPS + "Create", request, ps.CreateResp, silence=10)

    async def update(
        self,
        title: str,
        start: int | str | tuple[int, int] | None = "start",
        adjust: Callable[[Any], None] = lambda _: None,
        **given: Any,
    ) -> None:
        request = managing(ps.UpdateReq, self.source, self.name, start, **given)
        adjust(request)
        await self.t.unary(title, GROUPS + "Update", request, ps.UpdateResp, silence=10)

    async def delete(self, title: str) -> None:
        await self.t.unary(
            title, GROUPS + "Delete", about(ps.DeleteReq, self.source, self.name), ps.DeleteResp, silence=10
        )

    async def replay(self, title: str, **how: Any) -> None:
        """Ask for what was parked; `no_limit=True` or `stop_at=N`."""
        request = about(ps.ReplayParkedReq, self.source, self.name, **(how or {"no_limit": True}))
        await self.t.unary(title, GROUPS + "ReplayParked", request, ps.ReplayParkedResp, silence=10)

    async def info(self, title: str, without: Collection[str] = (), keep: bool = True) -> Any:
        return await self.t.unary(
            title,
            GROUPS + "GetInfo",
            about(ps.GetInfoReq, self.source, self.name),
            ps.GetInfoResp,
            keep=keep,
            silence=10,
            without=(*MOMENTARY, *without),
        )

    async def info_when(
        self, title: str, so: Callable[[Any], Any], without: Collection[str] = (), seconds: float = 8
    ) -> None:
        """Its information as soon as it is as the scenario expects, or the time is over."""
        await self.when(so, seconds)
        await self.info(title, without)

    async def when(self, so: Callable[[Any], Any], seconds: float = 8) -> None:
        async def look() -> bool:
            got = await self.info("", keep=False)
            return got is not None and bool(so(got.subscription_info))

        await until(look, seconds)

    async def join(self, title: str, size: int = 10, **how: Any) -> "Consumer":
        request = joining(self.source, self.name, size, structured=how.pop("structured", False))
        return Consumer(self, self.t.open(title, GROUPS + "Read", [request], ps.ReadResp, **how))

    def keeps(self, what: str) -> str:
        """The stream in which it keeps its place ("checkpoint") or what was parked ("parked")."""
        return f"$persistentsubscription-{self.source or '$all'}::{self.name}-{what}"


class Consumer:
    """A consumer of a group that is connected."""

    def __init__(self, group: Group, call: Call) -> None:
        self._group = group
        self.call = call

    async def take(self, count: int, seconds: float = 8) -> list[Any]:
        """Its events, when there are `count` in all, or the time is over."""
        await self.call.take(count + 1, seconds)
        return self.events

    async def more(self, seconds: float = 0.5) -> None:
        """Wait for events that should not come."""
        await self.call.take(len(self.call.replies) + 1, seconds)

    @property
    def events(self) -> list[Any]:
        return [r.event for r in self.call.replies if r.WhichOneof("content") == "event"]

    async def ack(self, *events: Any) -> None:
        self.call.send(ps.ReadReq(ack=ps.ReadReq.Ack(ids=[id_of(e) for e in events])))

    async def nack(self, action: Any, reason: str, *events: Any) -> None:
        self.call.send(ps.ReadReq(nack=NACK(ids=[id_of(e) for e in events], action=action, reason=reason)))

    async def leave(self, others: int = 0) -> None:
        """Close the call, and wait until the server knows."""
        await self.call.close()
        await self._group.when(lambda info: len(info.connections) == others)

    async def dropped(self) -> None:
        """Wait for the server to end the call."""
        await self.call.end()
        await self.call.close()


def id_of(event: Any) -> Any:
    """The id by which an event is acknowledged: the link's, if it came through one."""
    return event.link.id if event.HasField("link") else event.event.id


async def settle(seconds: float = 0.3) -> None:
    await asyncio.sleep(seconds)


def listing(**where: Any) -> ps.ListReq:
    request = ps.ListReq()
    for key, value in where.items():
        if key == "stream":
            request.options.list_for_stream.stream.CopyFrom(ident(value))
        elif key == "everything":
            request.options.list_for_stream.all.SetInParent()
        else:
            getattr(request.options, key).SetInParent()
    return request
