"""What a real server does that looks like its own fault.

A server that answers otherwise here may well be right: these stand apart, so that the other scenarios can be equal.
"""

from esdbclient.protos.Grpc import persistent_pb2 as ps
from esdbclient.protos.Grpc import shared_pb2 as shared
from esdbclient.protos.Grpc import streams_pb2 as st

from tests.contract.eventstore.recorded.newer import message
from tests.contract.eventstore.recorded.scenarios.batches import METHOD as BATCH
from tests.contract.eventstore.recorded.scenarios.batches import batch
from tests.contract.eventstore.recorded.scenarios.group import GROUPS, NACK, Group, managing
from tests.contract.eventstore.recorded.scenarios.registry import scenario
from tests.contract.eventstore.recorded.scenarios.requests import (
    append,
    append_these,
    delete,
    event_of,
    read,
    sent,
    set_metadata,
    tombstone,
)
from tests.contract.eventstore.recorded.transcript import Transcript


@scenario
async def fault_names_that_no_trailer_carries(t: Transcript) -> None:
    a = t.stream_name("ünïcode-☃")
    await append(t, "two events", a, "any", [0, 1])
    await delete(t, "delete it at a wrong revision", a, 7)
    await Group(t, a, "ünï").info("a group that is not there")
    await tombstone(t, "a tombstone", a)
    await read(t, "read it", stream=a, count=1)


@scenario
async def fault_reading_nothing(t: Transcript) -> None:
    a = t.stream_name("a")
    await append(t, "two events", a, "any", [0, 1])
    await read(t, "none of it", stream=a, count=0)
    await read(t, "none of it, backwards", stream=a, revision="end", forwards=False, count=0)
    await read(t, "none of one that is not there", stream=t.stream_name("none"), count=0)


@scenario
async def fault_an_age_that_is_too_large(t: Transcript) -> None:
    a = t.stream_name("a")
    await append(t, "two events", a, "any", [0, 1])
    await set_metadata(t, "an age of three thousand years", a, 2, b'{"$maxAge":99999999999}')
    await read(t, "read it", stream=a, count=10)


@scenario
async def fault_an_id_of_another_stream(t: Transcript) -> None:
    a, b = t.stream_name("a"), t.stream_name("b")
    one = event_of(t, 1)
    await append_these(t, "an event", a, "any", one)
    await append_these(t, "its id in another stream", b, "any", one)
    await append_these(t, "the same again", b, "any", one)
    await read(t, "what is in the other stream", stream=b, count=10)


@scenario
async def fault_batches_that_linger(t: Transcript) -> None:
    a = t.stream_name("a")
    await t.conversation("the sender ends its side at once", BATCH, [], st.BatchAppendResp, silence=3)
    call = t.open("the sender ends its side after the answer", BATCH, [batch(t, a, "any", [1])], st.BatchAppendResp)
    await call.take(1)
    call.half_close()
    await call.settle(silence=3)
    await call.close()
    for title, half_close in {
        "a batch that is not ended by its deadline": False,
        "the same, and the sender ends its side": True,
    }.items():
        request = batch(t, a, "any", [title], final=False, deadline=1)
        await t.conversation(title, BATCH, [request], st.BatchAppendResp, half_close=half_close, silence=4)
    await read(t, "what is there", stream=a, count=10)


@scenario
async def fault_groups_of_everything_by_name(t: Transcript) -> None:
    await sent(
        t,
        "a group on the stream named $all",
        GROUPS + "Create",
        managing(ps.CreateReq, "$all", t.stream_name("g")),
        ps.CreateResp,
    )
    await sent(t, "change it", GROUPS + "Update", managing(ps.UpdateReq, "$all", t.stream_name("g")), ps.UpdateResp)


@scenario
async def fault_answers_of_consumers_that_are_malformed(t: Transcript) -> None:
    a = t.stream_name("a")
    await append(t, "two events", a, "any", [0, 1])
    bad = ps.ReadReq(ack=ps.ReadReq.Ack(ids=[shared.UUID(string="not-an-id")]))
    second = ps.ReadReq(options=ps.ReadReq.Options(group_name="g"))
    action = ps.ReadReq(nack=NACK(ids=[shared.UUID(string=t.event_id(0))], action=7))  # type: ignore[arg-type]
    for title, request in {
        "an id that is none": bad,
        "options twice": second,
        "an empty message": ps.ReadReq(),
        "an action of 7": action,
    }.items():
        group = Group(t, a, title)
        await group.create(f"{title}: make a group")
        consumer = await group.join(f"{title}, and an acknowledgement after it", size=1)
        events = await consumer.take(1)
        consumer.call.send(request)
        await consumer.ack(*events)
        await consumer.take(2, 2)
        await consumer.call.close()


@scenario
async def fault_users_without_authentication(t: Transcript) -> None:
    # with options a server without authentication never answers
    for name in ("Create", "Update", "Delete"):
        path = f"/event_store.client.users.Users/{name}"
        await sent(t, f"{name} without options", path, message("UserReq")(), message("UserReq"))
