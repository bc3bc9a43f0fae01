"""BatchAppend."""

from typing import Any

from esdbclient.protos.Grpc import shared_pb2 as shared
from esdbclient.protos.Grpc import streams_pb2 as st

from tests.contract.eventstore.recorded.scenarios.registry import scenario
from tests.contract.eventstore.recorded.scenarios.requests import (
    LARGEST,
    STREAMS,
    append,
    delete,
    event_of,
    expect,
    ident,
    read,
    tombstone,
)
from tests.contract.eventstore.recorded.transcript import Transcript

METHOD = STREAMS + "BatchAppend"


def batch(
    t: Transcript,
    name: str | None,
    revision: int | str | None,
    numbers: list[int | str],
    *,
    final: bool = True,
    correlation: str = "c",
    options: bool = True,
    deadline: float | None = None,
    **how: Any,
) -> st.BatchAppendReq:
    request = st.BatchAppendReq(correlation_id=shared.UUID(string=t.event_id(correlation)), is_final=final)
    if options:
        request.options.SetInParent()
        if name is not None:
            request.options.stream_identifier.CopyFrom(ident(name))
        expect(request.options, revision, "stream_position")
        if deadline is not None:
            request.options.deadline.FromNanoseconds(round(deadline * 1e9))
    for n in numbers:
        p = event_of(t, n, **how)
        request.proposed_messages.add(
            id=p.id, metadata=dict(p.metadata), custom_metadata=p.custom_metadata, data=p.data
        )
    return request


async def send(
    t: Transcript, title: str, *requests: st.BatchAppendReq | bytes, most: int = 1, silence: float = 5
) -> None:
    """Send batches, take the answers, and leave."""
    await t.conversation(
        title, METHOD, list(requests), st.BatchAppendResp, half_close=False, most=most, silence=silence
    )


@scenario
async def append_in_batches(t: Transcript) -> None:
    a, b = t.stream_name("a"), t.stream_name("b")
    await send(t, "two events, nothing there", batch(t, a, "no_stream", [1, 2]))
    await send(t, "the same again: a repeat", batch(t, a, "no_stream", [1, 2]))
    await send(t, "others, nothing expected there", batch(t, a, "no_stream", [3]))
    await send(t, "at revision 1", batch(t, a, 1, [4]))
    await send(t, "at a wrong revision", batch(t, a, 77, [5]))
    await send(t, "it must be there, and is not", batch(t, b, "stream_exists", [6]))
    await send(t, "any", batch(t, a, "any", [7]))
    await send(t, "no events, any", batch(t, a, "any", []))
    await send(t, "no events, wrong revision", batch(t, a, 77, []))
    await send(
        t,
        "in three parts",
        batch(t, b, "no_stream", [10, 11], final=False, correlation="p"),
        batch(t, b, "no_stream", [12], final=False, correlation="p", options=False),
        batch(t, b, "no_stream", [13], correlation="p", options=False),
    )
    await send(
        t, "a part without options before it", batch(t, b, "any", [30], correlation="z", options=False), silence=3
    )
    await send(t, "a large one", batch(t, b, "any", [40], data=b'"' + b"x" * 1_100_000 + b'"'))
    await send(t, "a stream of the system's", batch(t, "$" + a, "any", [44]))
    await send(t, "the same correlation id after an answer", batch(t, b, "any", [45]), batch(t, b, "any", [46]), most=2)
    await send(
        t,
        "a wrong one, then a good one, in one call",
        batch(t, b, 99, [47], correlation="w"),
        batch(t, b, "any", [48], correlation="g"),
        most=2,
    )
    # a sender that ends its side with its last batch is answered; whether the call then ends differs from run to run
    await read(t, "what is in a", stream=a, count=100)
    await read(t, "what is in b", stream=b, count=100)


@scenario
async def batches_side_by_side(t: Transcript) -> None:
    a, b = t.stream_name("a"), t.stream_name("b")
    parts = [
        batch(t, b, "any", [20], final=False, correlation="x"),
        batch(t, a, "any", [21], final=False, correlation="y"),
        batch(t, b, "any", [22], correlation="x", options=False),
        batch(t, a, "any", [23], correlation="y", options=False),
    ]
    call = t.open("two at once, their parts mixed", METHOD, parts, st.BatchAppendResp)
    await call.take(2)
    call.replies.sort(key=lambda reply: str(reply.correlation_id.string))  # they are answered as they end
    await call.close()
    await read(t, "what is in a", stream=a, count=100, without=("commit_position", "prepare_position"))
    await read(t, "what is in b", stream=b, count=100, without=("commit_position", "prepare_position"))


@scenario
async def batches_expecting_odd_things(t: Transcript) -> None:
    a, b, c, d = (t.stream_name(x) for x in "abcd")
    await send(t, "2^64-1, nothing is there", batch(t, a, LARGEST, [1]))
    await send(t, "2^64-1, another", batch(t, a, LARGEST, [2]))
    await append(t, "one event", b, "any", [3])
    await tombstone(t, "a tombstone", b)
    await send(t, "one with a tombstone", batch(t, b, "any", [4]))
    await append(t, "one event", c, "any", [5])
    await delete(t, "delete it", c)
    await send(t, "one that was deleted, it must be there", batch(t, c, "stream_exists", [6]))
    await send(t, "one that was deleted, any", batch(t, c, "any", [7]))
    structured = batch(t, d, "any", [8])
    structured.correlation_id.structured.most_significant_bits = 5
    await send(t, "a correlation id in two halves", structured)
    await send(t, "2^63-1", batch(t, a, 2**63 - 1, [9]))
    await send(t, "options twice for one batch", batch(t, d, "any", [10], final=False), batch(t, c, "no_stream", [11]))
    await read(t, "what is in c", stream=c, count=10)
    await read(t, "what is in d", stream=d, count=10)


@scenario
async def batches_that_are_malformed(t: Transcript) -> None:
    a = t.stream_name("a")
    without = batch(t, a, "any", [1])
    without.ClearField("correlation_id")
    await send(t, "no correlation id", without)
    unparsable = batch(t, a, "any", [2])
    unparsable.correlation_id.string = "not-an-id"
    await send(t, "a correlation id that is none", unparsable)
    await send(t, "no expectation", batch(t, a, None, [3]))
    await send(t, "no stream", batch(t, None, "any", [4]))
    await send(t, "a name that is empty", batch(t, "", "any", [5]))
    await send(t, "the name $$", batch(t, "$$", "any", [6]))
    await send(t, "an event without a type", batch(t, a, "any", [7], type_=""))
    await send(t, "an event without a content type", batch(t, a, "any", [8], content=""))
    kinds: dict[str, dict[str, str]] = {
        "no metadata": {},
        "a type that is empty": {"type": "", "content-type": "application/json"},
    }
    for title, metadata in kinds.items():
        request = batch(t, a, "any", [title])
        request.proposed_messages[0].ClearField("metadata")
        for key, value in metadata.items():
            request.proposed_messages[0].metadata[key] = value
        await send(t, f"an event with {title}", request)
    for title, form in {
        "that is empty": "",
        "that is none": "not-an-id",
        "of zeros": "00000000-0000-0000-0000-000000000000",
    }.items():
        request = batch(t, a, "any", [title])
        request.proposed_messages[0].id.string = form
        await send(t, f"an event with an id {title}", request)
    await send(t, "an empty message", st.BatchAppendReq())
    await send(t, "bytes that are no message", b"\xff\xff\xff")
    await read(t, "what is there now", stream=a, count=10)


@scenario
async def batches_with_deadlines(t: Transcript) -> None:
    a = t.stream_name("a")
    await send(t, "ten seconds", batch(t, a, "any", [1], deadline=10))
    await send(t, "five seconds ago", batch(t, a, "any", [2], deadline=-5))
    await send(t, "a very long time", batch(t, a, "any", [3], deadline=315_576_000_000))
    await send(t, "none", batch(t, a, "any", [4]))
    await read(t, "what is there now", stream=a, count=10)
