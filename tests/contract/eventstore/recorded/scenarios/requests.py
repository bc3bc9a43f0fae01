"""Pieces of requests, and the calls that most scenarios make."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from esdbclient.protos.Grpc import shared_pb2 as shared
from esdbclient.protos.Grpc import streams_pb2 as st

from tests.contract.eventstore.recorded.transcript import Transcript

STREAMS = "/event_store.client.streams.Streams/"
LARGEST = 2**64 - 1
MAX_SIGNED = 2**63 - 1
JSON = "application/json"
BYTES = "application/octet-stream"
FAR = 2**50  # a position that no log here reaches
PLACES = ("commit_position", "prepare_position")  # where links stand depends on when they were written


def ident(name: str | bytes) -> shared.StreamIdentifier:
    return shared.StreamIdentifier(stream_name=name if isinstance(name, bytes) else name.encode())


def expect(options: Any, revision: int | str | None, number: str = "revision") -> None:
    """Set what a write expects; None leaves it unset."""
    if isinstance(revision, int):
        setattr(options, number, revision)
    elif revision is not None:
        getattr(options, revision).SetInParent()


def event_of(
    t: Transcript,
    number: int | str,
    *,
    data: bytes = b"{}",
    type_: str = "Happened",
    content: str = JSON,
    custom: bytes = b"",
) -> st.AppendReq.ProposedMessage:
    metadata = {"type": type_, "content-type": content}
    return st.AppendReq.ProposedMessage(
        id=shared.UUID(string=t.event_id(number)),
        metadata={k: v for k, v in metadata.items() if v},
        data=data,
        custom_metadata=custom,
    )


def proposing(event: st.AppendReq.ProposedMessage) -> st.AppendReq:
    return st.AppendReq(proposed_message=event)


def expecting(name: str | bytes, revision: int | str | None) -> st.AppendReq:
    options = st.AppendReq.Options(stream_identifier=ident(name))
    expect(options, revision)
    return st.AppendReq(options=options)


async def append(
    t: Transcript,
    title: str,
    name: str | bytes,
    revision: int | str | None,
    numbers: Sequence[int | str],
    *,
    keep: bool = True,
    **how: Any,
) -> Any:
    """Append events with these numbers."""
    return await append_these(t, title, name, revision, *(event_of(t, n, **how) for n in numbers), keep=keep)


async def append_these(
    t: Transcript,
    title: str,
    name: str | bytes,
    revision: int | str | None,
    *events: st.AppendReq.ProposedMessage,
    keep: bool = True,
) -> Any:
    """Append these events."""
    got = await t.conversation(
        title,
        STREAMS + "Append",
        [expecting(name, revision), *map(proposing, events)],
        st.AppendResp,
        silence=15,
        keep=keep,
    )
    return got[0] if got else None


def position_of(reply: Any) -> int:
    """Where an append ended."""
    return int(reply.success.position.commit_position) if reply is not None else 0


async def set_metadata(t: Transcript, title: str, name: str, number: int | str, data: bytes, **how: Any) -> Any:
    return await append(t, title, "$$" + name, "any", [number], data=data, type_="$metadata", **how)


def removing(kind: type[Any], name: str, revision: int | str | None) -> Any:
    request = kind()
    request.options.stream_identifier.CopyFrom(ident(name))
    expect(request.options, revision)
    return request


async def delete(t: Transcript, title: str, name: str, revision: int | str | None = "any") -> Any:
    return await t.unary(title, STREAMS + "Delete", removing(st.DeleteReq, name, revision), st.DeleteResp, silence=15)


async def tombstone(t: Transcript, title: str, name: str, revision: int | str | None = "any") -> Any:
    return await t.unary(
        title, STREAMS + "Tombstone", removing(st.TombstoneReq, name, revision), st.TombstoneResp, silence=15
    )


def filter_of(
    kind: str = "stream_identifier",
    *,
    prefix: Sequence[str] = (),
    regex: str = "",
    window: int | None = None,
    counted: bool = True,
    multiplier: int = 1,
) -> st.ReadReq.Options.FilterOptions:
    """A filter; `window=None` asks for none, `counted=False` leaves both unset."""
    made = st.ReadReq.Options.FilterOptions(checkpointIntervalMultiplier=multiplier)
    if kind:
        expression = getattr(made, kind)
        expression.SetInParent()
        expression.prefix.extend(prefix)
        expression.regex = regex
    if window is not None:
        made.max = window
    elif counted:
        made.count.SetInParent()
    return made


def read_request(
    *,
    stream: str | bytes = "",
    revision: int | str | None = "start",
    all_from: Any = None,
    forwards: bool = True,
    count: int | None = None,
    filtered: str = "",
    window: int | None = None,
    multiplier: int = 1,
    by: st.ReadReq.Options.FilterOptions | None = None,
    links: bool = False,
    structured: bool = False,
    compatibility: int | None = None,
) -> st.ReadReq:
    """A Read: finite with `count`, a subscription without."""
    options = st.ReadReq.Options(resolve_links=links)
    options.read_direction = st.ReadReq.Options.Forwards if forwards else st.ReadReq.Options.Backwards
    if stream:
        options.stream.stream_identifier.CopyFrom(ident(stream))
        expect(options.stream, revision)
    elif isinstance(all_from, tuple):
        options.all.position.commit_position, options.all.position.prepare_position = all_from
        options.all.position.SetInParent()
    else:
        getattr(options.all, all_from or "start").SetInParent()
    if count is None:
        options.subscription.SetInParent()
    else:
        options.count = count
    if by is not None or filtered:
        options.filter.CopyFrom(by or filter_of(prefix=[filtered], window=window or None, multiplier=multiplier))
    else:
        options.no_filter.SetInParent()
    (options.uuid_option.structured if structured else options.uuid_option.string).SetInParent()
    if compatibility is not None:
        options.control_option.compatibility = compatibility
    return st.ReadReq(options=options)


async def read(
    t: Transcript,
    title: str,
    *,
    most: int | None = None,
    silence: float | None = None,
    keep: bool = True,
    keep_if: Callable[[Any], bool] = lambda _: True,
    without: Sequence[str] = (),
    **what: Any,
) -> list[Any]:
    """Read, or follow for a while. A finite read ends by itself."""
    if silence is None:
        silence = 2.5 if what.get("count") is None else 15
    return await t.conversation(
        title,
        STREAMS + "Read",
        [read_request(**what)],
        st.ReadResp,
        most=most,
        silence=silence,
        keep=keep,
        keep_if=keep_if,
        without=without,
    )


async def sent(t: Transcript, title: str, method: str, request: Any, reply: Any, **how: Any) -> Any:
    """A call with one request that a server may refuse."""
    return await t.unary(title, method, request, reply, silence=how.pop("silence", 10), **how)


async def until(look: Callable[[], Awaitable[bool]], seconds: float = 12, pause: float = 0.1) -> bool:
    """Look again and again until it is so, or the time is over."""
    deadline = asyncio.get_running_loop().time() + seconds
    while not await look():
        if asyncio.get_running_loop().time() > deadline:
            return False
        await asyncio.sleep(pause)
    return True


async def holds(t: Transcript, stream: str, count: int, seconds: float = 12) -> bool:
    """Wait until so many events were written to a stream."""

    async def look() -> bool:
        got = await read(t, "", stream=stream, revision="end", forwards=False, count=1, keep=False)
        return bool(got) and got[0].WhichOneof("content") == "event" and _number(got[0]) >= count - 1

    return await until(look, seconds)


def _number(reply: Any) -> int:
    shown = reply.event.link if reply.event.HasField("link") else reply.event.event
    return int(shown.stream_revision)


def kind_of(reply: Any) -> str:
    """Which of the things a Read answers this is."""
    return str(reply.WhichOneof("content"))
