"""Random sequences against a plain model, through the unmodified esdbclient.

`--eventstore-uri` lets the same sequences judge another server.
"""

import uuid
from collections.abc import Iterator
from contextlib import ExitStack

import pytest
from esdbclient import EventStoreDBClient, NewEvent, StreamState
from esdbclient.exceptions import EventStoreDBClientException
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from embedded.stack import started

STREAMS, IDS = 2, 5
NO_STREAM, ANY, EXISTS = -1, -2, -4
STATES = {NO_STREAM: StreamState.NO_STREAM, ANY: StreamState.ANY, EXISTS: StreamState.EXISTS}

Step = tuple[str, int, int, list[int]]  # what, which stream, expected revision, ids or a limit

expected = st.sampled_from([NO_STREAM, ANY, EXISTS, 0, 1, 2, 3])
streams = st.integers(0, STREAMS - 1)
appends = st.tuples(st.just("append"), streams, expected, st.lists(st.integers(0, IDS - 1), min_size=1, max_size=3))
removals: st.SearchStrategy[Step] = st.tuples(
    st.sampled_from(["delete", "delete", "tombstone"]), streams, expected, st.builds(list)
)
limits = st.tuples(st.just("max_count"), streams, st.just(ANY), st.lists(st.integers(1, 3), min_size=1, max_size=1))
steps = st.lists(st.one_of(appends, appends, appends, removals, limits), max_size=12)


class Model:
    """One stream, by the rules as they are written down."""

    def __init__(self) -> None:
        self.ids: list[int] = []
        self.metadata = False
        self.soft, self.dead, self.low = False, False, 0
        self.max_count: int | None = None

    @property
    def last(self) -> int:
        return len(self.ids) - 1

    def append(self, expected: int, ids: list[int]) -> str:  # noqa: C901  # the rules, in their order
        if self.dead:
            return "deleted"
        if expected == EXISTS and self.soft:
            return "deleted"
        if expected == EXISTS and self.last < 0 and not self.metadata:
            return "wrong"
        if expected in (ANY, EXISTS):
            if ids[0] in self.ids:
                return "ok" if set(ids) <= set(self.ids) else "wrong"
        elif expected > self.last:
            return "wrong"
        elif expected < self.last:
            there = self.ids[expected + 1 : expected + 1 + len(ids)]
            if there == ids:
                return "ok"
            if not (there[0] != ids[0] and expected == NO_STREAM and self.soft):
                return "wrong"
        if self.soft:
            self.soft, self.low = False, self.last + 1
        self.ids += ids
        return "ok"

    def remove(self, expected: int, *, hard: bool) -> str:
        if self.dead:
            return "deleted"
        if not hard and self.last < 0 and not self.metadata:
            return "wrong"
        if expected == EXISTS:
            if self.soft:
                return "deleted"
            if self.last < 0 and not self.metadata:
                return "wrong"
        elif expected not in (ANY, self.last) and not (expected == NO_STREAM and self.soft):
            return "wrong"
        if hard:
            self.dead = True
        else:
            self.soft, self.metadata, self.low, self.max_count = True, True, 0, None
        return "ok"

    def limit(self, count: int) -> str:
        # the metadata stream of a dead stream still takes events; the client reads it first, which fails
        if self.dead:
            return "deleted"
        if self.soft:
            self.soft, self.low = False, self.last + 1
        else:
            self.low = 0
        self.metadata, self.max_count = True, count
        return "ok"

    def readable(self) -> list[int] | str:
        if self.dead:
            return "deleted"
        if self.soft or self.last < 0:
            return "missing"
        low = self.low if self.max_count is None else max(self.low, self.last - self.max_count + 1)
        return self.ids[low:]


@pytest.fixture(scope="module")
def client(request: pytest.FixtureRequest) -> Iterator[EventStoreDBClient]:
    with ExitStack() as stack:
        uri = request.config.getoption("--eventstore-uri", "") or stack.enter_context(started("eventstore"))
        yield stack.enter_context(EventStoreDBClient(uri))


KINDS = {
    "WrongCurrentVersion": "wrong",
    "NotFound": "wrong",
    "StreamIsDeleted": "deleted",
    "FailedPrecondition": "deleted",
}


def event(stream: str, number: int) -> NewEvent:
    return NewEvent(type=f"E{number}", data=b"{}", id=uuid.uuid5(uuid.NAMESPACE_OID, f"{stream}{number}"))


def attempt(client: EventStoreDBClient, stream: str, step: Step) -> str:
    what, _, revision, values = step
    version = STATES.get(revision, revision)
    try:
        if what == "append":
            events = [event(stream, number) for number in values]
            client.append_to_stream(stream, current_version=version, events=events)
        elif what == "delete":
            client.delete_stream(stream, current_version=version)
        elif what == "tombstone":
            client.tombstone_stream(stream, current_version=version)
        else:
            client.set_stream_metadata(stream, metadata={"$maxCount": values[0]})
    except EventStoreDBClientException as error:
        return KINDS.get(type(error).__name__, repr(error))
    return "ok"


def seen(client: EventStoreDBClient, stream: str, *, backwards: bool) -> list[int] | str:
    try:
        found = [int(event.type[1:]) for event in client.get_stream(stream, backwards=backwards)]
    except EventStoreDBClientException as error:
        return {"NotFound": "missing", "StreamIsDeleted": "deleted"}.get(type(error).__name__, repr(error))
    return found[::-1] if backwards else found


def check(client: EventStoreDBClient, sequence: list[Step]) -> None:
    names = [f"m{uuid.uuid4().hex}" for _ in range(STREAMS)]
    models = [Model() for _ in names]
    for step in sequence:
        what, which, number, values = step
        model = models[which]
        if what == "max_count" and model.dead:
            continue  # setting metadata of a dead stream succeeds, but nobody can read it
        match what:
            case "append":
                wanted = model.append(number, values)
            case "max_count":
                wanted = model.limit(values[0])
            case _:
                wanted = model.remove(number, hard=what == "tombstone")
        assert attempt(client, names[which], step) == wanted, step
        for backwards in (False, True):
            assert seen(client, names[which], backwards=backwards) == model.readable(), step


@given(steps)
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture], database=None)
def test_the_node_does_what_the_rules_say(client: EventStoreDBClient, sequence: list[Step]) -> None:
    check(client, sequence)


@pytest.mark.long
@pytest.mark.timeout(1200)
@given(steps)
@settings(max_examples=2000, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture], database=None)
def test_the_same_two_thousand_times(client: EventStoreDBClient, sequence: list[Step]) -> None:
    check(client, sequence)
