"""Append."""

from typing import Any

from esdbclient.protos.Grpc import shared_pb2 as shared
from esdbclient.protos.Grpc import streams_pb2 as st

from tests.contract.eventstore.recorded.scenarios.registry import scenario
from tests.contract.eventstore.recorded.scenarios.requests import (
    BYTES,
    JSON,
    LARGEST,
    MAX_SIGNED,
    STREAMS,
    append,
    append_these,
    event_of,
    expecting,
    proposing,
    read,
    sent,
)
from tests.contract.eventstore.recorded.transcript import Transcript


@scenario
async def append_with_every_expectation(t: Transcript) -> None:
    a, b = t.stream_name("a"), t.stream_name("b")
    await append(t, "the stream must be there, and is not", a, "stream_exists", [1])
    await append(t, "revision 0 of a stream that is not there", a, 0, [1])
    await append(t, "nothing there yet", a, "no_stream", [1, 2])
    await append(t, "the same again: a repeat", a, "no_stream", [1, 2])
    await append(t, "a part of the same again", a, "no_stream", [1])
    await append(t, "the same and one more", a, "no_stream", [1, 2, 3])
    await append(t, "another, nothing expected there", a, "no_stream", [4])
    await append(t, "any, a repeat of the second", a, "any", [2])
    await append(t, "any, the second and a new one", a, "any", [2, 5])
    await append(t, "revision 1", a, 1, [6])
    await append(t, "revision 1 again with other events", a, 1, [7])
    await append(t, "revision 1 again with the same event", a, 1, [6])
    await append(t, "a revision that is not reached yet", a, 99, [8])
    await append(t, "it must be there", a, "stream_exists", [9])
    await append(t, "no events, any", b, "any", [])
    await append(t, "no events, nothing there", b, "no_stream", [])
    await append(t, "no events at revision 3", a, 3, [])
    await append(t, "no events at a wrong revision", a, 99, [])
    await read(t, "what is there now", stream=a, count=100)


@scenario
async def append_repeats(t: Transcript) -> None:
    a = t.stream_name("a")
    await append(t, "two events", a, "no_stream", [0, 1])
    await append(t, "both again, any", a, "any", [0, 1])
    await append(t, "both again, it must be there", a, "stream_exists", [0, 1])
    await append(t, "both the other way round, any", a, "any", [1, 0])
    await append(t, "both the other way round, nothing there", a, "no_stream", [1, 0])
    await append(t, "the second at revision 0", a, 0, [1])
    await append(t, "a new one and the first, any", a, "any", ["new", 0])
    await append(t, "a new one and the second, nothing there", a, "no_stream", ["newer", 1])
    await append(t, "one id twice, any", a, "any", [9, 9])
    await append(t, "one id twice again", a, "any", [9, 9])
    await append(t, "the same id once", a, "any", [9])
    await read(t, "what is there now", stream=a, count=100)


@scenario
async def append_expecting_the_largest_numbers(t: Transcript) -> None:
    a, b = t.stream_name("a"), t.stream_name("b")
    await append(t, "2^64-1, nothing is there", a, LARGEST, [1])
    await append(t, "2^64-1 again: a repeat", a, LARGEST, [1])
    await append(t, "2^64-1, another event", a, LARGEST, [2])
    await append(t, "2^63-1", a, MAX_SIGNED, [3])
    await append(t, "2^63", a, MAX_SIGNED + 1, [4])
    await append(t, "2^64-2", a, LARGEST - 1, [5])
    await append(t, "2^63-1, nothing is there", b, MAX_SIGNED, [6])
    await append(t, "2^63, nothing is there", b, MAX_SIGNED + 1, [7])
    await append(t, "2^64-2, nothing is there", b, LARGEST - 1, [8])
    await read(t, "what is in a", stream=a, count=100)
    await read(t, "what is in b", stream=b, count=100)


@scenario
async def append_things_that_are_odd(t: Transcript) -> None:
    a = t.stream_name("a")
    await append(t, "no type", a, "any", [1], type_="")
    await append(t, "no content type", a, "any", [2], content="")
    await append(t, "content type of another kind", a, "any", [3], content="text/plain", data=b"\xff\xfe")
    await append(t, "content type in capitals", a, "any", ["capitals"], content="APPLICATION/JSON")
    await append(t, "content type with a charset", a, "any", ["charset"], content="application/json; charset=utf-8")
    await append(t, "said to be JSON and is not", a, "any", [4], data=b"{")
    await append(t, "nothing in it", a, "any", [5], data=b"")
    await append(t, "metadata that is not JSON", a, "any", [6], custom=b"\x00\x01")
    await append(t, "a type of the system's", a, "any", [7], type_="$mine")
    await append(t, "a type outside ASCII", a, "any", ["type"], type_="ünï☃")
    await append(t, "more than a megabyte", a, "any", [13], data=b'"' + b"x" * 1_100_000 + b'"')
    await append(t, "the same id twice in one call", a, "any", [14, 14])
    await append(t, "a large type", a, "any", [15], type_="T" * 2000)
    own = {"type": "X", "content-type": JSON, "mine": "1", "created": "5"}
    await append_these(
        t,
        "metadata of one's own key",
        a,
        "any",
        st.AppendReq.ProposedMessage(id=shared.UUID(string=t.event_id(17)), metadata=own, data=b"{}"),
    )
    await read(t, "what is there now", stream=a, count=100)


@scenario
async def append_to_names_that_are_odd(t: Transcript) -> None:
    a = t.stream_name("a")
    names = {
        "with spaces and slashes": a + " x/y@z",
        "outside ASCII": a + "-ünïcode-☃",
        "of a thousand letters": a + "n" * 1000,
        "of the system's": "$" + a,
        "with colons": a + "::b",
        "with a line break": a + "\nb",
        "of a stream's metadata's metadata": "$$$$" + a,
    }
    for title, name in names.items():
        await append(t, f"a name {title}", name, "any", [title])
        await read(t, f"read a name {title}", stream=name, count=1)
    await append(t, "a name that is empty", "", "any", [8])
    await append(t, "the name $$", "$$", "any", ["dollars"])
    await read(t, "read the name $$", stream="$$", count=1)
    await append(t, "a name that is no UTF-8", a.encode() + b"\xff\xfe", "any", ["bytes"])
    await read(t, "read a name that is no UTF-8", stream=a.encode() + b"\xff\xfe", count=1)


@scenario
async def append_to_the_name_of_everything(t: Transcript) -> None:
    marked: dict[str, Any] = {"type_": "RecordedToAll"}
    await append(t, "an event to the stream named $all", "$all", "any", [1], **marked)
    await read(t, "read the stream named $all", stream="$all", count=10)
    await read(t, "backwards", stream="$all", revision="end", forwards=False, count=10)
    await read(t, "its metadata", stream="$$$all", count=10)


@scenario
async def append_ids_of_every_form(t: Transcript) -> None:
    a = t.stream_name("a")
    plain = [t.event_id(n) for n in range(4)]
    forms = {
        "in braces": "{" + plain[0] + "}",
        "in capitals": plain[1].upper(),
        "without hyphens": plain[2].replace("-", ""),
        "with blanks around it": f" {plain[3]} ",
        "that is empty": "",
        "that is none": "not-an-id",
        "of zeros": "00000000-0000-0000-0000-000000000000",
    }
    for title, form in forms.items():
        await append_these(
            t,
            f"an id {title}",
            a,
            "any",
            st.AppendReq.ProposedMessage(
                id=shared.UUID(string=form), metadata={"type": "X", "content-type": JSON}, data=b"{}"
            ),
        )
    await append_these(
        t, "no id", a, "any", st.AppendReq.ProposedMessage(metadata={"type": "X", "content-type": JSON}, data=b"{}")
    )
    halves = shared.UUID.Structured(most_significant_bits=-1234567890123456789, least_significant_bits=77)
    await append_these(
        t,
        "an id in two halves",
        a,
        "any",
        st.AppendReq.ProposedMessage(
            id=shared.UUID(structured=halves), metadata={"type": "X", "content-type": JSON}, data=b"{}"
        ),
    )
    await append_these(
        t,
        "an id in two halves that are zero",
        a,
        "any",
        st.AppendReq.ProposedMessage(
            id=shared.UUID(structured=shared.UUID.Structured()),
            metadata={"type": "X", "content-type": JSON},
            data=b"{}",
        ),
    )
    await read(t, "what is there now", stream=a, count=100)
    await read(t, "what is there now, ids in two halves", stream=a, count=100, structured=True)


@scenario
async def append_requests_that_say_too_little(t: Transcript) -> None:
    a = t.stream_name("a")
    method = STREAMS + "Append"
    nameless = st.AppendReq()
    nameless.options.any.SetInParent()
    one = proposing(event_of(t, 1))
    malformed: dict[str, list[st.AppendReq | bytes]] = {
        "nothing at all": [],
        "no options first": [one],
        "an empty message": [st.AppendReq()],
        "no expectation": [expecting(a, None), one],
        "no name": [nameless, one],
        "an empty message after the options": [expecting(a, "any"), st.AppendReq()],
        "options twice": [expecting(a, "any"), expecting(a, "any"), one],
        "bytes that are no message": [b"\xff\xff\xff"],
    }
    for title, requests in malformed.items():
        await t.conversation(title, method, requests, st.AppendResp, silence=10)
    await sent(
        t,
        "delete without an expectation",
        STREAMS + "Delete",
        st.DeleteReq(options=st.DeleteReq.Options(stream_identifier=expecting(a, None).options.stream_identifier)),
        st.DeleteResp,
    )
    await sent(t, "delete without options", STREAMS + "Delete", st.DeleteReq(), st.DeleteResp)
    await sent(
        t,
        "tombstone without an expectation",
        STREAMS + "Tombstone",
        st.TombstoneReq(
            options=st.TombstoneReq.Options(stream_identifier=expecting(a, None).options.stream_identifier)
        ),
        st.TombstoneResp,
    )
    await sent(t, "tombstone without options", STREAMS + "Tombstone", st.TombstoneReq(), st.TombstoneResp)
    await read(t, "what is there now", stream=a, count=10)


@scenario
async def append_up_to_the_largest_size(t: Transcript) -> None:
    a = t.stream_name("a")

    async def send(title: str, number: str, *sizes: int, type_: str = "T", custom: bytes = b"") -> None:
        events = [
            event_of(t, f"{number}{n}", type_=type_, content=BYTES, data=b"x" * size, custom=custom)
            for n, size in enumerate(sizes)
        ]
        await append_these(t, title, a, "any", *events)

    await send("one event that just fits: its type counts two bytes a letter", "fits", 1_048_576 - 2)
    await send("one byte more", "more", 1_048_576 - 1)
    await send("two events that fit alone, not together", "two", 600_000, 600_000)
    await send("letters outside ASCII in the type, just fitting", "letters", 1_048_576 - 20, type_="é" * 10)
    await send("the same and one byte more", "letters more", 1_048_576 - 19, type_="é" * 10)
    await send("no data and metadata that is too large", "metadata", 0, custom=b"m" * 1_048_575)
    bare = (
        len(proposing(event_of(t, "message0", type_="T", content=BYTES, data=b"x" * 16_000_000)).SerializeToString())
        - 16_000_000
    )
    await send("a message of 16767216 bytes", "message", 16_767_216 - bare)
    await send("a message of one byte more", "message", 16_767_217 - bare)
