"""Managing projections. Those of ours are asked for nothing that needs a query to run."""

from typing import Any

from esdbclient.protos.Grpc import projections_pb2 as pr
from esdbclient.protos.Grpc import shared_pb2 as shared

from tests.contract.eventstore.recorded.scenarios.registry import alone, scenario
from tests.contract.eventstore.recorded.scenarios.requests import PLACES, append, holds, read, sent, until
from tests.contract.eventstore.recorded.transcript import Transcript

PROJECTIONS = "/event_store.client.projections.Projections/"
SYSTEM = ("$by_category", "$by_correlation_id", "$by_event_type", "$stream_by_category", "$streams")
# how far it is, and how fast
PROGRESS = (
    "coreProcessingTime",
    "position",
    "lastCheckpoint",
    "progress",
    "eventsProcessedAfterRestart",
    "bufferedEvents",
    "readsInProgress",
    "writesInProgress",
    "writePendingEventsBeforeCheckpoint",
    "writePendingEventsAfterCheckpoint",
    "checkpointStatus",
    "epoch",
)


def asking(kind: Any, **fields: Any) -> Any:
    """A request about a projection; a field that is a message is set when True."""
    request = kind()
    request.options.SetInParent()
    for key, value in fields.items():
        if request.options.DESCRIPTOR.fields_by_name[key].message_type is None:
            setattr(request.options, key, value)
        else:
            getattr(request.options, key).SetInParent()
    return request


def making(mode: str, name: str, query: str, **fields: Any) -> pr.CreateReq:
    request = pr.CreateReq()
    request.options.query = query
    if mode:
        made = getattr(request.options, mode)
        made.SetInParent()
        for key, value in ({"name": name} if name else {}).items() | fields.items():
            setattr(made, key, value)
    return request


async def ask(t: Transcript, title: str, kind: Any, without: tuple[str, ...] = (), **fields: Any) -> Any:
    method = kind.__name__.removesuffix("Req")
    return await sent(
        t, title, PROJECTIONS + method, asking(kind, **fields), getattr(pr, method + "Resp"), without=without
    )


def query_of(t: Transcript) -> str:
    return f"fromCategory('{t.category()}').when({{$init: function() {{ return {{n: 0}} }}}})"


async def status_is(t: Transcript, name: str, status: str, seconds: float = 10) -> bool:
    async def look() -> bool:
        request = asking(pr.StatisticsReq, name=name)
        got = await t.conversation("", PROJECTIONS + "Statistics", [request], pr.StatisticsResp, keep=False, silence=2)
        return bool(got) and got[0].details.status == status

    return await until(look, seconds)


async def remove(t: Transcript, *names: str) -> None:
    """Leave none behind: a subsystem with projections of ours takes long to start again."""
    for name in names:
        steps: tuple[tuple[Any, dict[str, Any]], ...] = (
            (pr.DisableReq, {"write_checkpoint": True}),
            (pr.DeleteReq, {}),
        )
        for kind, fields in steps:
            action = kind.__name__.removesuffix("Req")
            request = asking(kind, name=name, **fields)
            await sent(t, "", PROJECTIONS + action, request, getattr(pr, action + "Resp"), keep=False)
            if kind is pr.DisableReq:
                await status_is(t, name, "Stopped", 4)


@scenario
async def statistics_of_the_systems_projections(t: Transcript) -> None:
    for name in SYSTEM:
        await ask(t, f"statistics of {name}", pr.StatisticsReq, PROGRESS, name=name)
    await ask(t, "statistics of one that is not there", pr.StatisticsReq, name=t.category())
    ours = lambda m: m.details.name in SYSTEM  # noqa: E731
    ways: dict[str, dict[str, Any]] = {
        "of all": {"all": True},
        "of the continuous ones": {"continuous": True},
        "without a mode": {},
    }
    for title, fields in ways.items():
        call = t.open(
            f"statistics {title}",
            PROJECTIONS + "Statistics",
            [asking(pr.StatisticsReq, **fields)],
            pr.StatisticsResp,
            half_close=True,
            keep_if=ours,
            without=PROGRESS,
        )
        await call.end()
        call.replies.sort(key=lambda m: str(m.details.name))
        await call.close()
    await sent(
        t,
        "statistics without options",
        PROJECTIONS + "Statistics",
        pr.StatisticsReq(),
        pr.StatisticsResp,
        keep_if=ours,
        without=PROGRESS,
    )
    await ask(t, "state of $by_category", pr.StateReq, name="$by_category")
    await ask(t, "result of $by_category", pr.ResultReq, name="$by_category")


@scenario
async def projections_are_made_and_ended(t: Transcript) -> None:
    name, query = t.category(), query_of(t)
    method = PROJECTIONS + "Create"
    for title, request in {
        "a continuous one": making("continuous", name, query),
        "the same again": making("continuous", name, query),
        "one that emits and tracks": making(
            "continuous", name + "emit", query, emit_enabled=True, track_emitted_streams=True
        ),
        "one that tracks and does not emit": making("continuous", name + "track", query, track_emitted_streams=True),
        "one with the name of the system's": making("continuous", "$by_category", query),
        "one with a name that begins with a dollar": making("continuous", "$" + name, query),
        "one with a name outside ASCII": making("continuous", name + "ünï", query),
    }.items():
        await sent(t, title, method, request, pr.CreateResp)
    await ask(t, "change it", pr.UpdateReq, name=name, query=query + " ", no_emit_options=True)
    await ask(t, "change it to emit", pr.UpdateReq, name=name, query=query, emit_enabled=True)
    await ask(t, "delete it while it is enabled", pr.DeleteReq, name=name)
    steps: tuple[tuple[str, Any, dict[str, Any]], ...] = (
        ("disable it", pr.DisableReq, {"write_checkpoint": True}),
        ("disable it again", pr.DisableReq, {"write_checkpoint": True}),
        ("enable it", pr.EnableReq, {}),
        ("enable it again", pr.EnableReq, {}),
        ("abort it", pr.DisableReq, {"write_checkpoint": False}),
        ("reset it", pr.ResetReq, {"write_checkpoint": True}),
        ("disable it at last", pr.DisableReq, {"write_checkpoint": True}),
    )
    for step, kind, fields in steps:
        await ask(t, step, kind, name=name, **fields)
    everything: dict[str, Any] = {
        "delete_emitted_streams": True,
        "delete_state_stream": True,
        "delete_checkpoint_stream": True,
    }
    await status_is(t, name, "Stopped", 4)
    await ask(t, "delete it and its streams", pr.DeleteReq, name=name, **everything)

    async def gone() -> bool:
        got = await t.conversation(
            "", PROJECTIONS + "Statistics", [asking(pr.StatisticsReq, name=name)], pr.StatisticsResp, keep=False
        )
        return not got

    await until(gone)
    await ask(t, "statistics when it is deleted", pr.StatisticsReq, name=name)
    await ask(t, "delete it again", pr.DeleteReq, name=name)
    await ask(t, "enable it when it is deleted", pr.EnableReq, name=name)
    await sent(t, "make it again", method, making("continuous", name, query), pr.CreateResp)
    await remove(t, name, name + "emit", "$" + name, name + "ünï")


@scenario
async def requests_to_projections_that_fail(t: Transcript) -> None:
    name, query = t.category(), query_of(t)
    method = PROJECTIONS + "Create"
    for title, request in {
        "a transient one without a name": making("transient", "", query),
        "a continuous one without a name": making("continuous", "", query),
        "one without a mode": making("", name, query),
        "one without options": pr.CreateReq(),
    }.items():
        await sent(t, title, method, request, pr.CreateResp)
    requests: tuple[tuple[Any, dict[str, Any]], ...] = (
        (pr.EnableReq, {}),
        (pr.DisableReq, {"write_checkpoint": True}),
        (pr.DisableReq, {"write_checkpoint": False}),
        (pr.ResetReq, {"write_checkpoint": True}),
        (pr.DeleteReq, {}),
        (pr.UpdateReq, {"query": query, "no_emit_options": True}),
        (pr.StateReq, {}),
        (pr.ResultReq, {}),
    )
    for title, missing in {"one that is not there": name, "one without a name": ""}.items():
        for kind, fields in requests:
            await ask(t, f"{kind.__name__} {fields or ''} of {title}", kind, name=missing, **fields)
    for kind in (pr.EnableReq, pr.DisableReq, pr.ResetReq, pr.DeleteReq, pr.UpdateReq, pr.StateReq, pr.ResultReq):
        action = kind.__name__.removesuffix("Req")
        await sent(t, f"{kind.__name__} without options", PROJECTIONS + action, kind(), getattr(pr, action + "Resp"))
    await ask(t, "delete one of the system's", pr.DeleteReq, name="$by_category")
    await sent(t, "make one", method, making("continuous", name + "made", query), pr.CreateResp)
    await ask(t, "change it without saying whether it emits", pr.UpdateReq, name=name + "made", query=query)
    await remove(t, name + "made")


@alone
async def a_projection_of_the_system_stops_and_starts(t: Transcript) -> None:
    """`$stream_by_category`, whose links have another version afterwards."""
    name, c = "$stream_by_category", t.category()
    await append(t, "an event", f"{c}-1", "any", [1])
    await holds(t, f"$category-{c}", 1)
    steps: tuple[tuple[str, Any, dict[str, Any], str], ...] = (
        ("disable it", pr.DisableReq, {"write_checkpoint": True}, "Stopped"),
        ("enable it", pr.EnableReq, {}, "Running"),
        ("abort it", pr.DisableReq, {"write_checkpoint": False}, "Aborted/Stopped"),
        ("enable it again", pr.EnableReq, {}, "Running"),
    )
    for step, kind, fields, status in steps:
        await ask(t, step, kind, name=name, **fields)
        await status_is(t, name, status)
        await ask(t, f"its statistics after that: {step}", pr.StatisticsReq, PROGRESS, name=name)
        await append(t, f"an event in a new stream after that: {step}", f"{c}-{step}", "any", [step])
    await holds(t, f"$category-{c}", 5)
    await read(t, "the streams of the category", stream=f"$category-{c}", count=20, without=PLACES)


@alone
async def projections_start_again(t: Transcript) -> None:
    c = t.category()
    await sent(t, "restart the subsystem", PROJECTIONS + "RestartSubsystem", shared.Empty(), shared.Empty)
    for name in SYSTEM:
        await status_is(t, name, "Running", 20)
        await ask(t, f"statistics of {name}", pr.StatisticsReq, (*PROGRESS, "version"), name=name)
    await append(t, "two events", f"{c}-1", "any", [1, 2])
    await holds(t, f"$ce-{c}", 2, 40)
    await read(
        t, "their links, resolved", stream=f"$ce-{c}", count=20, links=True, without=(*PLACES, "custom_metadata")
    )


@alone
async def a_projection_of_the_system_is_reset(t: Transcript) -> None:
    """`$stream_by_category` again, which stays as it is afterwards."""
    name = "$stream_by_category"
    steps: tuple[tuple[str, Any, dict[str, Any], str], ...] = (
        ("abort it", pr.DisableReq, {"write_checkpoint": False}, "Aborted/Stopped"),
        ("reset it", pr.ResetReq, {"write_checkpoint": True}, "Stopped"),
        ("disable it", pr.DisableReq, {"write_checkpoint": True}, "Stopped"),
    )
    for step, kind, fields, status in steps:
        await ask(t, step, kind, name=name, **fields)
        await status_is(t, name, status, 4)
        await ask(t, f"its statistics after that: {step}", pr.StatisticsReq, (*PROGRESS, "version"), name=name)


@alone
async def projections_start_again_at_once(t: Transcript) -> None:
    """The last of all: a server that is asked so may not come back."""
    method = PROJECTIONS + "RestartSubsystem"
    calls = [t.open("", method, [shared.Empty()], shared.Empty, half_close=True, keep=False) for _ in range(4)]
    for call in calls:
        await call.end()
    # how many of each depends on how fast it starts again
    t.note("four restarts at once", answers=sorted({call.outcome for call in calls}))
