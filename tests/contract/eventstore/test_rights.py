"""Every caller is answered as a real, secure server answers it: `recorded/24.10.14/rights.md`, cell by cell.

The node of these tests speaks plain text, so that their callers need no certificates.
"""

import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from typing import Any

import grpc
import pytest
import pytest_asyncio
from esdbclient.protos.Grpc import persistent_pb2, projections_pb2, shared_pb2, streams_pb2

from tests.contract.eventstore.recorded import rights
from tests.contract.eventstore.recorded.newer import message
from tests.contract.eventstore.recorded.rights import CALLERS, MEMBER, PLAIN, Cell, State
from tests.support.eventually import eventually
from tests.support.secure_node import (
    ADMIN_PASSWORD,
    DENIED,
    GOSSIP,
    GROUPS,
    OK,
    OPS_PASSWORD,
    SERVICES,
    STREAMS,
    Answer,
    Caller,
    about_group,
    answer_of,
    appending,
    batch,
    creating_group,
    deleting,
    reading,
    secure_node,
)

pytestmark = pytest.mark.asyncio(loop_scope="module")

OPERATIONS = f"{SERVICES}operations.Operations/"
PASSWORD = "of everybody else"
GROUP = "g"
OF_ALL = {"$r": ["$admins", "orderstream"], "$mr": "$admins"}
SHARED = ["$admins", "orderstream"]
SETTINGS = {
    "$userStreamAcl": {**dict.fromkeys(("$r", "$w", "$mr", "$mw"), SHARED), "$d": "$admins"},
    "$systemStreamAcl": dict.fromkeys(("$r", "$w", "$d", "$mr", "$mw"), "$admins"),
}
ACL_OF_ALL = {State.DEFAULT: {}, State.ALL_SHARED: OF_ALL, State.RESTRICTED: OF_ALL}
DEFAULT_ACL: dict[State, Any] = {State.DEFAULT: {}, State.ALL_SHARED: {}, State.RESTRICTED: SETTINGS}


class Case:
    """One caller of a node in a state. `login` is empty for nobody."""

    def __init__(self, state: State, admin: Caller, caller: Caller, login: str) -> None:
        self.state, self.admin, self.caller, self.login = state, admin, caller, login

    async def an_order(self) -> str:
        """A stream that there is."""
        stream = new_name("order-")
        assert await self.admin.append(stream) == OK
        return stream

    async def first(self, method: str, request: Any, *, stays_open: bool = False) -> Answer:
        """How a call begins that would go on."""
        try:
            await self.caller.first(method, shared_pb2.Empty, request, stays_open=stays_open)
        except grpc.aio.AioRpcError as error:
            return answer_of(error)
        return OK

    async def answered(self, method: str, *requests: Any) -> Answer:
        return await self.caller.answered(method, *requests)


def new_name(prefix: str = "") -> str:
    return prefix + uuid.uuid4().hex


async def batch_append(case: Case) -> Answer:
    answers = await case.caller.ask(STREAMS + "BatchAppend", streams_pb2.BatchAppendResp, batch(new_name("order-")))
    assert len(answers) == 1
    return OK if answers[0].HasField("success") else Answer("in the answer", answers[0].error.message)


async def list_all_groups(case: Case) -> Answer:
    request = persistent_pb2.ListReq()
    request.options.list_all_subscriptions.SetInParent()
    return await case.answered(GROUPS + "List", request)


async def replay(case: Case) -> Answer:
    request = about_group(persistent_pb2.ReplayParkedReq, GROUP, None)
    request.options.no_limit.SetInParent()
    return await case.answered(GROUPS + "ReplayParked", request)


async def statistics_of_projections(case: Case) -> Answer:
    request = projections_pb2.StatisticsReq()
    request.options.all.SetInParent()
    return await case.answered(f"{SERVICES}projections.Projections/Statistics", request)


async def stop_scavenge(case: Case) -> Answer:
    options = message("StopScavengeOptions")(scavenge_id="none")
    return await case.answered(OPERATIONS + "StopScavenge", message("StopScavengeReq")(options=options))


async def write_settings(case: Case) -> Answer:
    return await case.caller.append("$settings", type_="update-default-acl", data=DEFAULT_ACL[case.state])


async def details_of_another(case: Case) -> Answer:
    try:
        await case.caller.details("another")
    except grpc.aio.AioRpcError as error:
        return answer_of(error)
    return OK


async def change_own_password(case: Case) -> Answer:
    password = {"admin": ADMIN_PASSWORD, "ops": OPS_PASSWORD}.get(case.login, PASSWORD)
    return await case.caller.change_password(case.login or "ops", password, password)


async def join(case: Case, stream: str | None) -> Answer:
    request = about_group(persistent_pb2.ReadReq, GROUP, stream)
    request.options.buffer_size = 1
    request.options.uuid_option.string.SetInParent()
    return await case.first(GROUPS + "Read", request, stays_open=True)


def information(stream: str | None) -> Any:
    return about_group(persistent_pb2.GetInfoReq, GROUP, stream)


CALLS: dict[str, Callable[[Case], Awaitable[Answer]]] = {
    "append to order-…": lambda c: c.caller.append(new_name("order-")),
    "batch append to order-…": batch_append,
    "append to $mine": lambda c: c.caller.append("$mine"),
    "read order-seed": lambda c: c.caller.read("order-seed"),
    "read a stream that is not there": lambda c: c.caller.read(new_name("order-")),
    "subscribe to order-seed": lambda c: c.first(STREAMS + "Read", reading("order-seed", subscribe=True)),
    "read $all": lambda c: c.answered(STREAMS + "Read", reading(None)),
    "read $all through a filter": lambda c: c.answered(STREAMS + "Read", reading(None, through_filter=True)),
    "subscribe to $all": lambda c: c.first(STREAMS + "Read", reading(None, subscribe=True)),
    "read $ce-order": lambda c: c.caller.read("$ce-order"),
    "read $streams": lambda c: c.caller.read("$streams"),
    "read $users": lambda c: c.caller.read("$users"),
    "read $$order-seed": lambda c: c.caller.read("$$order-seed"),
    "write metadata of order-…": lambda c: c.caller.write_acl(new_name("order-"), {}),
    "write metadata of $all": lambda c: c.caller.write_acl("$all", ACL_OF_ALL[c.state]),
    "write $settings": write_settings,
    "delete order-…": lambda c: delete(c, "Delete", streams_pb2.DeleteReq),
    "tombstone order-…": lambda c: delete(c, "Tombstone", streams_pb2.TombstoneReq),
    "create a group on $all": lambda c: c.answered(GROUPS + "Create", creating_group(new_name(), None)),
    "create a group on order-seed": lambda c: c.answered(GROUPS + "Create", creating_group(new_name(), "order-seed")),
    "join a group on $all": lambda c: join(c, None),
    "join a group on order-seed": lambda c: join(c, "order-seed"),
    "information of a group on $all": lambda c: c.answered(GROUPS + "GetInfo", information(None)),
    "information of a group on order-seed": lambda c: c.answered(GROUPS + "GetInfo", information("order-seed")),
    "list all groups": list_all_groups,
    "replay parked of a group on $all": replay,
    "restart the groups' subsystem": lambda c: c.answered(GROUPS + "RestartSubsystem", shared_pb2.Empty()),
    "read the parked stream of a group on $all": lambda c: c.caller.read(
        f"$persistentsubscription-$all::{GROUP}-parked"
    ),
    "delete a group on $all that is not there": lambda c: c.answered(
        GROUPS + "Delete", about_group(persistent_pb2.DeleteReq, "none", None)
    ),
    "gossip": lambda c: c.answered(GOSSIP, shared_pb2.Empty()),
    "server features": lambda c: c.answered(
        f"{SERVICES}server_features.ServerFeatures/GetSupportedMethods", shared_pb2.Empty()
    ),
    "statistics of projections": statistics_of_projections,
    "merge indexes": lambda c: c.answered(OPERATIONS + "MergeIndexes", shared_pb2.Empty()),
    "scavenge, stop one that is not": stop_scavenge,
    "statistics of the node": lambda c: c.first(f"{SERVICES}monitoring.Monitoring/Stats", message("StatsReq")()),
    "details of another user": details_of_another,
    "create a user": lambda c: c.caller.create_user(new_name(), "x"),
    "change a password, the current one given": change_own_password,
}


async def delete(case: Case, method: str, request: Callable[[], Any]) -> Answer:
    return await case.answered(STREAMS + method, deleting(await case.an_order(), request))


ANSWERS = {
    rights.OK: OK,
    rights.DENIED: DENIED,
    rights.DENIED_IN_ANSWER: Answer("in the answer", "AccessDenied"),
}


def is_answered(answer: Answer, expected: str) -> bool:
    return answer.code == "NOT_FOUND" if expected == "not found" else answer == ANSWERS[expected]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def cases() -> AsyncIterator[dict[tuple[State, str], Case]]:
    """A node for each state, and all callers of it."""
    logins = {PLAIN: "plain", MEMBER: "member"}
    async with AsyncExitStack() as stack:
        found: dict[tuple[State, str], Case] = {}
        for state in State:
            admin, nobody = await stack.enter_async_context(secure_node(system_projections=True))
            for login, groups in (("plain", ()), ("member", ("orderstream",)), ("another", ())):
                assert await admin.create_user(login, PASSWORD, *groups) == OK
            await prepared(state, admin)
            callers = {
                "nobody": (nobody, ""),
                **{name: (nobody.as_user(login, PASSWORD), login) for name, login in logins.items()},
                "`$ops`": (nobody.as_user("ops", OPS_PASSWORD), "ops"),
                "`$admins`": (admin, "admin"),
            }
            found |= {(state, name): Case(state, admin, *caller) for name, caller in callers.items()}
        yield found


async def prepared(state: State, admin: Caller) -> None:
    assert await admin.append("order-seed") == OK
    for stream in (None, "order-seed"):
        assert await admin.answered(GROUPS + "Create", creating_group(GROUP, stream)) == OK
    if ACL_OF_ALL[state]:
        assert await admin.write_acl("$all", ACL_OF_ALL[state]) == OK
    if DEFAULT_ACL[state]:
        assert await admin.append("$settings", type_="update-default-acl", data=DEFAULT_ACL[state]) == OK
    for stream in ("$ce-order", "$streams"):
        await eventually(lambda stream=stream: admin.events(stream))  # type: ignore[misc]  # mypy cannot infer it


async def test_every_row_of_the_table_is_called() -> None:
    assert list(CALLS) == list(dict.fromkeys(cell.call for cell in rights.table()))


@pytest.mark.parametrize("caller", CALLERS)
@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize("state", State)
async def test_a_caller_is_answered_as_by_a_real_server(
    cases: dict[tuple[State, str], Case], state: State, call: str, caller: str
) -> None:
    answer = await CALLS[call](cases[state, caller])

    assert is_answered(answer, rights.answers(state)[Cell(call, caller)]), answer


async def test_a_batch_that_is_denied_leaves_its_call_open(cases: dict[tuple[State, str], Case]) -> None:
    plain = cases[State.DEFAULT, PLAIN].caller

    answers = await plain.ask(
        STREAMS + "BatchAppend", streams_pb2.BatchAppendResp, batch("$mine"), batch(new_name("order-"))
    )

    by_stream = {answer.stream_identifier.stream_name[:6]: answer.WhichOneof("result") for answer in answers}
    assert by_stream == {b"$mine": "error", b"order-": "success"}


async def test_events_that_are_denied_are_not_in_the_log(cases: dict[tuple[State, str], Case]) -> None:
    case = cases[State.RESTRICTED, PLAIN]
    stream = new_name("order-")

    assert await case.caller.answered(STREAMS + "Append", *appending(stream)) == DENIED
    await case.caller.ask(STREAMS + "BatchAppend", streams_pb2.BatchAppendResp, batch(stream))

    assert await case.admin.events(stream) == []
