"""What is not about streams: features, gossip, operations, statistics, methods that do not exist."""

from typing import Any

from esdbclient.protos.Grpc import gossip_pb2 as gossip
from esdbclient.protos.Grpc import shared_pb2 as shared
from esdbclient.protos.Grpc import streams_pb2 as st

from tests.contract.eventstore.recorded.newer import message
from tests.contract.eventstore.recorded.scenarios.registry import scenario
from tests.contract.eventstore.recorded.scenarios.requests import STREAMS, append, read, read_request, sent
from tests.contract.eventstore.recorded.transcript import Transcript

CLIENT = "/event_store.client."
OPERATIONS = CLIENT + "operations.Operations/"


@scenario
async def server_features(t: Transcript) -> None:
    method = CLIENT + "server_features.ServerFeatures/GetSupportedMethods"
    await sent(
        t,
        "what the server supports",
        method,
        shared.Empty(),
        message("SupportedMethods"),
        without=("event_store_server_version",),
    )


@scenario
async def gossip_of_one_node(t: Transcript) -> None:
    without = ("most_significant_bits", "least_significant_bits", "address", "port")
    await sent(t, "the members", CLIENT + "gossip.Gossip/Read", shared.Empty(), gossip.ClusterInfo, without=without)


@scenario
async def methods_that_do_not_exist(t: Transcript) -> None:
    for path in (
        CLIENT + "streams.Streams/Nope",
        "/nope.Nope/Nope",
        "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo",
        "/grpc.health.v1.Health/Check",
        CLIENT + "operations.Operations/Nope",
        "/kurrentdb.protocol.v2.StreamsService/AppendSession",
    ):
        await sent(t, path, path, shared.Empty(), shared.Empty)


@scenario
async def names_of_methods_in_capitals(t: Transcript) -> None:
    a = t.stream_name("a")
    await append(t, "an event", a, "any", [0])
    for path in ("/Event_Store.Client.Streams.Streams/Read", "/event_store.client.streams.streams/read"):
        await sent(t, path, path, read_request(stream=a, count=1), st.ReadResp)


@scenario
async def statistics_of_the_server(t: Transcript) -> None:
    # which figures there are depends on the machine: that they come, and come again, is what can be compared
    for title, with_metadata in {"every 200 ms": False, "every 200 ms, with metadata": True}.items():
        request = message("StatsReq")(refresh_time_period_in_ms=200, use_metadata=with_metadata)
        call = t.open(
            "", CLIENT + "monitoring.Monitoring/Stats", [request], message("StatsResp"), half_close=True, keep=False
        )
        replies = await call.take(3)
        t.note(title, replies=min(len(replies), 3), open=not call.ended)
        await call.close()


@scenario
async def operations_that_are_safe(t: Transcript) -> None:
    await sent(t, "merge indexes", OPERATIONS + "MergeIndexes", shared.Empty(), shared.Empty)
    for priority in (5, -5, 0):
        await sent(
            t,
            f"a priority of {priority}",
            OPERATIONS + "SetNodePriority",
            message("SetNodePriorityReq")(priority=priority),
            shared.Empty,
        )


@scenario
async def more_calls_than_a_connection_takes(t: Transcript) -> None:
    a = t.stream_name("a")
    await append(t, "an event", a, "any", [0])
    channel = t.connection()
    calls = [
        t.open(
            "", STREAMS + "Read", [read_request(stream=a)], st.ReadResp, half_close=True, keep=False, channel=channel
        )
        for _ in range(100)
    ]
    confirmed = [bool(await call.take(1)) for call in calls]
    late = t.open(
        "", STREAMS + "Read", [read_request(stream=a)], st.ReadResp, half_close=True, keep=False, channel=channel
    )
    answered = bool(await late.take(1, 2))
    t.note(
        "a hundred subscriptions on one connection, and one more", confirmed=sum(confirmed), one_more_confirmed=answered
    )
    await calls[0].close()
    t.note("when one of them ended", one_more_confirmed=bool(await late.take(1)))


@scenario
async def what_a_new_server_holds(t: Transcript) -> None:
    await read(
        t,
        "the bounds of the scavenges' log",
        stream="$$$scavenges",
        count=2,
        without=("commit_position", "prepare_position"),
    )
    await read(
        t,
        "the projections that there are",
        stream="$projections-$all",
        count=6,
        without=("commit_position", "prepare_position"),
    )
    for name in ("$streams", "$settings", "$users", "$scavenges"):
        await read(
            t, f"the metadata of {name}", stream="$$" + name, count=2, without=("commit_position", "prepare_position")
        )


@scenario
async def scavenging(t: Transcript) -> None:
    start, stop, reply = OPERATIONS + "StartScavenge", OPERATIONS + "StopScavenge", message("ScavengeResp")
    for title, scavenge in {"one that is not there": t.event_id(1), "none": "", "no id": "zz"}.items():
        request: Any = message("StopScavengeReq")()
        request.options.scavenge_id = scavenge
        await sent(t, f"stop {title}", stop, request, reply)
    await sent(t, "stop without options", stop, message("StopScavengeReq")(), reply)
    await sent(t, "start without options", start, message("StartScavengeReq")(), reply)
    # none is started: a server in memory does not answer that in the same way each time
