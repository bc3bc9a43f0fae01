"""Persistent subscriptions: making them, joining them."""

import json
from typing import Any

from esdbclient.protos.Grpc import persistent_pb2 as ps
from esdbclient.protos.Grpc import shared_pb2 as shared

from tests.contract.eventstore.recorded.scenarios.group import (
    GROUPS,
    MOMENTARY,
    NACK,
    SETTINGS,
    Group,
    about,
    joining,
    listing,
    managing,
    settle,
)
from tests.contract.eventstore.recorded.scenarios.registry import alone, scenario
from tests.contract.eventstore.recorded.scenarios.requests import (
    FAR,
    LARGEST,
    MAX_SIGNED,
    PLACES,
    append,
    delete,
    holds,
    ident,
    position_of,
    read,
    sent,
    set_metadata,
    tombstone,
    until,
)
from tests.contract.eventstore.recorded.transcript import Transcript

SIZES = [k for k in SETTINGS if k.endswith(("count", "size", "ms"))]


def is_live(info: Any) -> bool:
    """Whether a group has read what there is: until then what it says of itself changes."""
    return bool(info.status == "Live")


@scenario
async def a_group_on_a_stream(t: Transcript) -> None:
    a = t.stream_name("a")
    await append(t, "three events", a, "any", [0, 1, 2])
    nobody = await Group(t, a, "none").join("join a group that is not there")
    await nobody.dropped()
    g, h = Group(t, a, "g"), Group(t, a, "h")
    await g.create("make it")
    await g.create("make it again")
    await h.create("a strategy that does not exist", consumer_strategy="Mine")
    await h.create("a buffer smaller than a batch", history_buffer_size=10, read_batch_size=20)
    consumer = await g.join("acknowledge, retry, park")
    events = await consumer.take(3)
    await consumer.ack(*events[:1])
    await consumer.nack(NACK.Retry, "again", *events[1:2])
    await consumer.nack(NACK.Park, "cannot", *events[2:3])
    events = await consumer.take(4)
    await consumer.ack(*events[3:4])
    await g.when(lambda info: info.last_checkpointed_event_position == "2")
    await consumer.leave()
    await g.info_when("its information", is_live)
    await read(t, "what was parked", stream=g.keeps("parked"), count=10, without=PLACES)
    await g.replay("replay what was parked")
    again = await g.join("it comes again")
    await again.ack(*await again.take(1))
    await again.leave()
    await g.delete("delete it")
    await g.delete("delete it again")


@scenario
async def settings_of_groups(t: Transcript) -> None:
    """What a group says of its settings."""
    a = t.stream_name("a")
    await append(t, "an event", a, "any", [0])
    zeros = dict.fromkeys(SIZES, 0)
    unset: dict[str, Any] = {"message_timeout_ms": None, "checkpoint_after_ms": None}
    kinds: dict[str, dict[str, Any]] = {
        "as clients ask for them": {
            "max_retry_count": 10,
            "min_checkpoint_count": 10,
            "max_checkpoint_count": 1000,
            "read_batch_size": 200,
            "message_timeout_ms": 30_000,
            "checkpoint_after_ms": 2000,
        },
        "links resolved, statistics": {"resolve_links": True, "extra_statistics": True},
        "zeros": zeros,
        "zeros, a history of one": zeros | {"history_buffer_size": 1},
        "no timeouts": unset,
        "ticks": unset | {"message_timeout_ticks": 123_456_789, "checkpoint_after_ticks": 50_000_000},
        "too many ticks": unset | {"message_timeout_ticks": 2**62, "checkpoint_after_ms": 1000},
        "negative ticks": unset | {"message_timeout_ticks": -5, "checkpoint_after_ms": 1000},
        "least after most": {"min_checkpoint_count": 5, "max_checkpoint_count": 3},
        "a batch as large as the history": {"read_batch_size": 500, "history_buffer_size": 500},
        "a batch larger than the live buffer": {"read_batch_size": 20, "live_buffer_size": 10},
        **{f"a negative {key.replace('_', ' ')}": {key: -5} for key in SIZES},
        **{
            f"strategy {s!r}": {"consumer_strategy": s}
            for s in ("DispatchToSingle", "Pinned", "PinnedByCorrelation", "roundrobin", "")
        },
        **{f"strategy by number {n}": {"consumer_strategy": None, "named_consumer_strategy": n} for n in (0, 1, 2)},
    }
    for name, given in kinds.items():
        group = Group(t, a, name)
        await group.create(f"{name}: make it", **given)
        await group.info_when(f"{name}: its information", is_live, seconds=2)


@scenario
async def groups_begin_where_they_are_told(t: Transcript) -> None:
    a = t.stream_name("a")
    await append(t, "four events", a, "any", [0, 1, 2, 3])
    places: tuple[tuple[str, int | str, int], ...] = (
        ("the start", "start", 4),
        ("1", 1, 3),
        ("the last", 3, 1),
        ("the end", "end", 0),
        ("99", 99, 0),
    )
    for title, start, count in places:
        group = Group(t, a, f"from {title}")
        await group.create(f"from {title}: make it", start)
        consumer = await group.join(f"from {title}: its events")
        await consumer.take(count)
        await consumer.more()
        await consumer.leave()
        await group.info_when(f"from {title}: its information", is_live, ("total_items",), 2)
    for title, start in {"2^63-1": MAX_SIGNED, "2^63": MAX_SIGNED + 1, "2^64-1": LARGEST}.items():
        group = Group(t, a, f"from {title}")
        await group.create(f"from {title}: make it", start)
        await group.info_when(f"from {title}: its information", is_live, seconds=2)
    end = Group(t, a, "from the end")
    consumer = await end.join("from the end: an event that comes later")
    await consumer.call.take(1)
    await append(t, "one more event", a, "any", [4])
    await consumer.ack(*await consumer.take(1))
    await consumer.call.close()


@scenario
async def groups_of_streams_that_changed(t: Transcript) -> None:
    a, b, c, d = (t.stream_name(x) for x in "abcd")
    await append(t, "two events", a, "any", ["a0", "a1"])
    await delete(t, "delete it", a)
    await append(t, "five events", b, "any", [f"b{n}" for n in range(5)])
    await set_metadata(t, "nothing before 3", b, "bm", b'{"$tb":3}')
    for title, source, count in (
        ("one that was deleted", a, 0),
        ("one whose first events went", b, 2),
        ("one that is not there", c, 0),
    ):
        group = Group(t, source, "g")
        await group.create(f"{title}: make it")
        consumer = await group.join(f"{title}: its events")
        await consumer.take(count)
        await consumer.more()
        await append(t, f"{title}: a new event", source, "any", [f"{title} new"])
        await consumer.ack(*await consumer.take(count + 1))
        await consumer.call.close()
    await append(t, "two events", d, "any", ["d0", "d1"])
    group = Group(t, d, "g")
    await group.create("a group")
    consumer = await group.join("its events; then the stream gets a tombstone")
    await consumer.take(2)
    await tombstone(t, "a tombstone", d)
    events = await consumer.take(3, 4)
    await group.info_when("its information", lambda info: info.last_known_event_position == str(MAX_SIGNED), seconds=3)
    await consumer.ack(*events)
    await group.info_when(
        "its information when all was acknowledged",
        lambda info: (
            not info.total_in_flight_messages and (not info.connections or not info.connections[0].in_flight_messages)
        ),
        without=("last_checkpointed_event_position",),
    )
    await consumer.call.close()


@scenario
async def groups_are_listed_changed_and_deleted(t: Transcript) -> None:
    a, b = t.stream_name("a"), t.stream_name("b")
    await append(t, "four events", a, "any", [0, 1, 2, 3])
    method = GROUPS + "List"
    g, h = Group(t, a, "g"), Group(t, a, "h")
    await sent(t, "list the groups of a stream without any", method, listing(stream=a), ps.ListResp)
    await g.create("make g", 2)
    await h.create("make h")
    await Group(t, b, "g").create("make one on a stream that is not there")
    await sent(t, "list the groups of a stream", method, listing(stream=a), ps.ListResp, without=MOMENTARY)
    await sent(
        t, "list the groups of a stream that is not there", method, listing(stream=b), ps.ListResp, without=MOMENTARY
    )
    replies = await t.conversation("", method, [listing(list_all_subscriptions=True)], ps.ListResp, keep=False)
    ours = (
        sorted((s.event_source, s.group_name) for s in replies[0].subscriptions if t.category() in s.event_source)
        if replies
        else []
    )
    t.note("list all groups: ours among them", groups=ours)
    await g.update("change g", 1, max_retry_count=7, message_timeout_ms=10_000)
    await g.info_when("what g is now", is_live, seconds=2)
    await g.update("a batch larger than the buffer", read_batch_size=600)
    await Group(t, a, "none").update("change one that is not there")
    await Group(t, None, t.stream_name("none")).update("change one of everything that is not there")
    for title, group in {
        "a stream's": Group(t, a, "none"),
        "everything's": Group(t, None, t.stream_name("none")),
    }.items():
        await group.info(f"information on one that is not there, {title}")
        await group.replay(f"replay one that is not there, {title}")
        await group.delete(f"delete one that is not there, {title}")
    await g.replay("replay when nothing was parked")
    await g.replay("replay up to 0", stop_at=0)
    await g.replay("replay up to -1", stop_at=-1)
    await g.delete("delete g")
    await g.info("information on one that was deleted")
    await sent(t, "list the groups of the stream again", method, listing(stream=a), ps.ListResp, without=MOMENTARY)
    for title, name in {
        "with colons": "a::b",
        "with blanks": " ",
        "of a thousand letters": "g" * 1000,
        "like its own streams": "g-parked",
    }.items():
        await Group(t, a, name).create(f"a name {title}")
        await Group(t, a, name).info_when(f"a name {title}: its information", is_live, seconds=2)
    await Group(t, "$" + a, "g").create("a group on a stream of the system's")
    await Group(t, a, "").create("a name that is empty")
    await Group(t, "$$", t.stream_name("g")).create("a group on the stream named $$")
    await Group(t, "$$" + a, "g").create("a group on the metadata of the stream")


@scenario
async def groups_made_the_old_way(t: Transcript) -> None:
    """As clients before 21.6 ask: the stream and its revision stand elsewhere, the strategy is a number."""
    a = t.stream_name("a")
    await append(t, "three events", a, "any", [0, 1, 2])

    def old(revision: int, strategy: int) -> Any:
        def adjust(request: Any) -> None:
            request.options.ClearField("stream")
            request.options.stream_identifier.CopyFrom(ident(a))
            if isinstance(request, ps.CreateReq):
                request.options.settings.ClearField("consumer_strategy")
            request.options.settings.revision = revision
            request.options.settings.named_consumer_strategy = strategy

        return adjust

    for revision, strategy in ((0, 0), (2, 1), (LARGEST, 2), (1, 3)):
        group = Group(t, a, f"from {revision}")
        await group.create(f"from {revision}, strategy {strategy}: make it", adjust=old(revision, strategy))
        await group.info_when(f"from {revision}: its information", is_live, seconds=2)
    group = Group(t, a, "from 0")
    await group.update("change the first", adjust=old(1, 2))
    await group.info_when("its information", is_live, seconds=2)
    consumer = await group.join("its events")
    await consumer.ack(*await consumer.take(2))
    await consumer.leave()


@scenario
async def groups_on_everything(t: Transcript) -> None:
    a = t.stream_name("a")
    first, second = [position_of(await append(t, f"event {n}", a, "any", [n])) for n in range(2)]

    def through(
        prefix: str, kind: str = "stream_identifier", regex: str = "", window: int | None = None, counted: bool = True
    ) -> Any:
        def adjust(request: Any) -> None:
            made = request.options.all.filter
            expression = getattr(made, kind)
            expression.SetInParent()
            expression.regex = regex
            if prefix:
                expression.prefix.append(prefix)
            made.checkpointIntervalMultiplier = 1
            if window is not None:
                made.max = window
            elif counted:
                made.count.SetInParent()

        return adjust

    moving = ("status", "last_known_event_position", "last_checkpointed_event_position", "total_items")
    places: dict[str, Any] = {
        "the start": "start",
        "the end": "end",
        "the second": (second, second),
        "the second, a prepare of 0": (second, 0),
        "position 0": (0, 0),
        "a prepare after the commit": (first, second),
        "2^50": (FAR, FAR),
        "2^63": (2**63, 2**63),
        "2^64-1": (LARGEST, LARGEST),
        "nowhere": None,
    }
    for title, start in places.items():
        group = Group(t, None, t.stream_name(title))
        await group.create(f"from {title}: make it", start, adjust=through(a))
        await group.info(f"from {title}: its information", without=moving)
    for title, adjust in {
        "a regular expression": through("", regex=f"^{a}$"),
        "a regular expression that is none": through("", regex="("),
        "no prefix and no expression": through(""),
        "a type": through("Nothing", "event_type"),
        "no window": through(a, counted=False),
        "a window of five": through(a, window=5),
        "a window of 0": through(a, window=0),
    }.items():
        group = Group(t, None, t.stream_name(title))
        await group.create(f"a filter with {title}", adjust=adjust)
        await group.delete(f"a filter with {title}: delete it")
    group = Group(t, None, t.stream_name("g"))
    await group.create("from the first, one stream only", (first, first), adjust=through(a))
    consumer = await group.join("its events")
    await consumer.ack(*await consumer.take(2))
    await append(t, "one more event", a, "any", [2])
    events = await consumer.take(3)
    await consumer.nack(NACK.Park, "cannot", *events[2:3])
    await holds(t, group.keeps("parked"), 1)
    await read(t, "what was parked", stream=group.keeps("parked"), count=10, without=PLACES)
    await consumer.leave()
    await group.update("from the end", "end")
    await group.info("its information", without=moving)
    for title, start in {"a prepare after the commit": (first, second), "2^50": (FAR, FAR)}.items():
        await group.update(f"change it: {title}", start)
    await group.delete("delete it")


@scenario
async def consumers_of_one_group(t: Transcript) -> None:
    a = t.stream_name("a")
    await append(t, "six events", a, "any", list(range(6)))
    g = Group(t, a, "g")
    await g.create("make it, for two consumers", max_subscriber_count=2)
    structured = await g.join("ids in two halves", size=1, structured=True)
    await structured.take(1)
    await structured.leave()
    one = await g.join("the first consumer", size=2, metadata=[("connection-name", "mine")])
    await one.take(2)
    two = await g.join("the second", size=2)
    await two.take(2)
    third = await g.join("one too many")
    await third.dropped()
    await g.info_when(
        "its information",
        lambda info: sum(c.in_flight_messages for c in info.connections) == 4,
        without=("total_items",),
    )
    unknown = shared.UUID(string=t.event_id("unknown"))
    one.call.send(ps.ReadReq(ack=ps.ReadReq.Ack(ids=[unknown])), ps.ReadReq(ack=ps.ReadReq.Ack()))
    await one.more()
    await one.ack(*one.events[:1])
    await one.take(3)
    await two.ack(*one.events[1:2])  # an event that the other consumer was given
    await one.take(4, 3)
    await two.more()
    await one.ack(*one.events[2:], *two.events)
    await g.when(lambda info: not any(c.in_flight_messages for c in info.connections), 3)
    await two.leave(1)
    await one.leave()


@scenario
async def consumers_of_a_group_that_changes(t: Transcript) -> None:
    a = t.stream_name("a")
    await append(t, "two events", a, "any", [0, 1])
    g = Group(t, a, "g")
    await g.create("make it")
    consumer = await g.join("dropped by a change")
    await consumer.take(2)
    await g.update("change it")
    await consumer.dropped()
    consumer = await g.join("dropped when it is deleted")
    await consumer.take(2)
    await g.delete("delete it")
    await consumer.dropped()
    consumer = await g.join("join it when it is gone")
    await consumer.dropped()


@scenario
async def strategies_of_groups(t: Transcript) -> None:
    """Who is given what: two consumers, eight events."""
    for strategy in ("RoundRobin", "DispatchToSingle"):
        a = t.stream_name(strategy)
        group = Group(t, a, "g")
        await group.create(f"{strategy}: make it", consumer_strategy=strategy)
        one = await group.join(f"{strategy}: the first consumer", size=3)
        await one.call.take(1)
        two = await group.join(f"{strategy}: the second", size=3)
        await two.call.take(1)
        await append(t, f"{strategy}: eight events", a, "any", [f"{strategy}{n}" for n in range(8)])
        await one.take(3)
        await two.take(3)
        await one.ack(*one.events[:1])
        await one.take(4)
        await settle()
        await one.call.close()
        await two.call.close()


@scenario
async def requests_to_groups_that_say_too_little(t: Transcript) -> None:
    a = t.stream_name("a")
    await append(t, "an event", a, "any", [0])
    bare = managing(ps.CreateReq, a, "bare")
    bare.options.ClearField("settings")
    sourceless = managing(ps.CreateReq, a, "sourceless")
    sourceless.options.ClearField("stream")
    for title, request in {
        "make one without options": ps.CreateReq(),
        "make one without settings": bare,
        "make one without a source": sourceless,
        "make one from no revision": managing(ps.CreateReq, a, "nowhere", None),
        "make one from no position": managing(ps.CreateReq, None, t.stream_name("nowhere"), None),
    }.items():
        await sent(t, title, GROUPS + "Create", request, ps.CreateResp)
    await sent(t, "change one without options", GROUPS + "Update", ps.UpdateReq(), ps.UpdateResp)
    g = Group(t, a, "g")
    await g.create("make one")

    def unset(kind: Any, *names: str) -> Any:
        request: Any = about(kind, a, "g") if kind is not ps.ReadReq else joining(a, "g")
        for name in names:
            request.options.ClearField(name)
        return request

    for kind, reply in (
        (ps.DeleteReq, ps.DeleteResp),
        (ps.GetInfoReq, ps.GetInfoResp),
        (ps.ReplayParkedReq, ps.ReplayParkedResp),
    ):
        method = GROUPS + kind.__name__.removesuffix("Req")
        await sent(t, f"{kind.__name__} without a source", method, unset(kind, "stream_identifier"), reply)
        await sent(t, f"{kind.__name__} without options", method, kind(), reply)
    await sent(
        t,
        "ReplayParkedReq without a limit",
        GROUPS + "ReplayParked",
        about(ps.ReplayParkedReq, a, "g"),
        ps.ReplayParkedResp,
    )
    await sent(t, "ListReq without options", GROUPS + "List", ps.ListReq(), ps.ListResp)
    await sent(t, "ListReq of nothing", GROUPS + "List", ps.ListReq(options=ps.ListReq.Options()), ps.ListResp)
    nothing = ps.ListReq()
    nothing.options.list_for_stream.SetInParent()
    await sent(t, "ListReq of no stream", GROUPS + "List", nothing, ps.ListResp)
    ack = ps.ReadReq(ack=ps.ReadReq.Ack(ids=[shared.UUID(string=t.event_id(0))]))
    for title, requests in {
        "join without a source": [unset(ps.ReadReq, "stream_identifier")],
        "join without a uuid option": [unset(ps.ReadReq, "uuid_option")],
        "join with a buffer of 0": [joining(a, "g", 0)],
        "join with a buffer of -1": [joining(a, "g", -1)],
        "acknowledge before joining": [ack],
        "an empty message first": [ps.ReadReq()],
    }.items():
        await t.conversation(title, GROUPS + "Read", requests, ps.ReadResp, half_close=False, silence=4)
    await t.conversation("send nothing", GROUPS + "Read", [], ps.ReadResp, silence=4)


@scenario
async def where_a_group_keeps_its_place(t: Transcript) -> None:
    a = t.stream_name("a")
    await append(t, "twelve events", a, "any", list(range(12)))
    g = Group(t, a, "g")
    await g.create("make it", min_checkpoint_count=1, max_checkpoint_count=5, checkpoint_after_ms=1000)
    consumer = await g.join("acknowledge three, then all but the fourth, then the fourth", size=20)
    events = await consumer.take(12)

    def at(place: str) -> Any:
        return lambda info: info.last_checkpointed_event_position == place

    await consumer.ack(*events[:3])
    await g.info_when("its information after three", at("2"), without=("connections",))
    await holds(t, g.keeps("checkpoint"), 1, 4)  # it says that it keeps its place before it has written it
    await read(t, "its place after three", stream=g.keeps("checkpoint"), count=10, without=PLACES)
    await consumer.ack(*events[4:])
    await settle(2.2)
    await g.info("its information, the fourth missing", without=("connections",))
    await consumer.ack(*events[3:4])
    await g.info_when("its information after all", at("11"), without=("connections",))
    await holds(t, g.keeps("checkpoint"), 2, 4)
    await read(t, "its place after all", stream=g.keeps("checkpoint"), count=10, without=PLACES)
    await read(t, "its place's metadata", stream="$$" + g.keeps("checkpoint"), count=10, without=PLACES)
    await consumer.leave()
    await g.update("change it: from the start")
    consumer = await g.join("after the change")
    await consumer.call.take(1)
    await consumer.more()
    await consumer.leave()
    await g.delete("delete it")
    await holds_nothing(t, g.keeps("checkpoint"))
    await read(t, "its place when it is deleted", stream=g.keeps("checkpoint"), count=10)


async def holds_nothing(t: Transcript, stream: str) -> None:
    """Wait until a stream is deleted."""

    async def look() -> bool:
        got = await read(t, "", stream=stream, count=1, keep=False)
        return bool(got) and got[0].WhichOneof("content") == "stream_not_found"

    await until(look)


@scenario
async def groups_are_written_down(t: Transcript) -> None:
    """The list of all groups, as the server keeps it: our groups in it."""
    a = t.stream_name("a")
    stream = "$persistentSubscriptionConfig"

    async def look(title: str) -> None:
        replies = await read(t, "", stream=stream, revision="end", forwards=False, count=1, keep=False)
        event = replies[0].event.event if replies else None
        if event is None or not event.data:
            t.note(title, stream=replies[0].WhichOneof("content") if replies else "nothing")
            return
        data = json.loads(event.data)
        ours = [e for e in data["entries"] if t.category() in e.get("stream", "") + e.get("group", "")]
        t.note(
            title,
            type=event.metadata["type"],
            content=event.metadata["content-type"],
            version=data.get("version"),
            updated_by=data.get("updatedBy"),
            keys=list(data),
            ours=[json.dumps(e) for e in ours],
        )

    await append(t, "an event", a, "any", [0])
    g, all_group = Group(t, a, "g"), Group(t, None, t.stream_name("all"))
    await g.create("make one", max_retry_count=10, resolve_links=True)
    await look("after it was made")

    def through(request: Any) -> None:
        request.options.all.filter.stream_identifier.prefix.append(a)
        request.options.all.filter.count.SetInParent()

    await all_group.create("make one of everything", adjust=through)
    await look("after one of everything was made")
    await g.update("change the first", 2, max_retry_count=0, consumer_strategy="Pinned")
    await look("after a change")
    await g.delete("delete it")
    await all_group.delete("delete the other")
    await look("after both were deleted")
    await read(t, "its metadata", stream="$$" + stream, count=2, without=PLACES)


@alone
async def groups_start_again(t: Transcript) -> None:
    a = t.stream_name("a")
    await append(t, "two events", a, "any", [0, 1])
    g = Group(t, a, "g")
    await g.create("make it")
    for title, method in {
        "of the groups": GROUPS + "RestartSubsystem",
        "of the operations": "/event_store.client.operations.Operations/RestartPersistentSubscriptions",
    }.items():
        consumer = await g.join(f"a consumer at a restart {title}")
        await consumer.take(2)
        await sent(t, f"restart {title}", method, shared.Empty(), shared.Empty)
        await consumer.dropped()

        async def back() -> bool:
            got = await g.info("", keep=False)
            return got is not None

        await until(back)
    await g.info_when("its information", is_live, ("last_known_event_position",))
    consumer = await g.join("a consumer after the restarts")
    await consumer.ack(*await consumer.take(2))
    await consumer.leave()
