"""Long random lives of a few streams, on a server and in a plain model: the same answers, the same errors.

Everything goes through the unmodified esdbclient. The node is restarted in the middle, unless it is somebody else's.
"""

import uuid
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import ClassVar

import pytest
from esdbclient import EventStoreDBClient
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule, run_state_machine_as_test

from tests.contract.eventstore.test_against_a_model import EXISTS, IDS, STREAMS, Model, attempt, expected, seen
from tests.support.processes import Running

which = st.integers(0, STREAMS - 1)


class Server:
    """The one under test. `node` is None if it is not ours to restart."""

    def __init__(self, uri: str, node: Running | None) -> None:
        self.node = node
        self.client = EventStoreDBClient(node.ready["uri"] if node else uri)

    def restart(self, *, kill: bool) -> None:
        if self.node is None:
            return
        self.client.close()
        if kill:
            self.node.kill()
        else:
            self.node.stop()
        self.node.start()
        self.client = EventStoreDBClient(self.node.ready["uri"])


@pytest.fixture(scope="module")
def server(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    uri: str = request.config.getoption("--eventstore-uri", "")
    data: Path = tmp_path_factory.mktemp("lives")
    with ExitStack() as stack:
        node = None if uri else Running("embedded", "eventstore", "--port", "0", "--data", str(data))
        if node is not None:
            stack.callback(node.close)
        found = Server(uri, node)
        yield found
        found.client.close()


class Lives(RuleBasedStateMachine):
    """A few streams of one prefix. `order` is what `$all` must show of them, truncated or not."""

    server: ClassVar[Server]

    def __init__(self) -> None:
        super().__init__()
        self.prefix = f"l{uuid.uuid4().hex}"
        self.names = [f"{self.prefix}-{n}" for n in range(STREAMS)]
        self.models = [Model() for _ in self.names]
        self.order: list[tuple[str, str]] = []

    @rule(stream=which, version=expected, ids=st.lists(st.integers(0, IDS - 1), min_size=1, max_size=3))
    def append(self, stream: int, version: int, ids: list[int]) -> None:
        model, name = self.models[stream], self.names[stream]
        before = len(model.ids)
        wanted = model.append(version, ids)
        assert attempt(self.server.client, name, ("append", stream, version, ids)) == wanted
        self.order += [(name, f"E{number}") for number in model.ids[before:]]

    @rule(stream=which, version=expected, hard=st.sampled_from([False, False, False, True]))
    def remove(self, stream: int, version: int, hard: bool) -> None:
        wanted = self.models[stream].remove(version, hard=hard)
        what = "tombstone" if hard else "delete"
        assert attempt(self.server.client, self.names[stream], (what, stream, version, [])) == wanted
        if hard and wanted == "ok":
            self.order.append((self.names[stream], "$streamDeleted"))

    @rule(stream=which, most=st.integers(1, 3))
    def limit(self, stream: int, most: int) -> None:
        if self.models[stream].dead:
            return  # setting it succeeds, but nobody can read it
        wanted = self.models[stream].limit(most)
        assert attempt(self.server.client, self.names[stream], ("max_count", stream, EXISTS, [most])) == wanted

    @rule(stream=which, start=st.integers(0, 8), most=st.integers(1, 4), backwards=st.booleans())
    def read_a_part(self, stream: int, start: int, most: int, backwards: bool) -> None:
        model = self.models[stream]
        readable = model.readable()
        if isinstance(readable, str):
            return  # the invariant looks at that
        low = len(model.ids) - len(readable)
        numbered = list(enumerate(readable, low))
        part = [p for p in numbered if (p[0] <= start if backwards else p[0] >= start)]
        part = part[::-1][:most] if backwards else part[:most]
        found = self.server.client.get_stream(
            self.names[stream], stream_position=start, limit=most, backwards=backwards
        )
        assert [(e.stream_position, int(e.type[1:])) for e in found] == part

    @rule(stream=which, number=st.integers(0, IDS - 1), from_the_middle=st.booleans(), backwards=st.booleans())
    def read_all_through_a_filter(self, stream: int, number: int, from_the_middle: bool, backwards: bool) -> None:
        mine = list(self.server.client.read_all(filter_include=[f"{self.prefix}-.*"], filter_by_stream_name=True))
        wanted = [(e.stream_name, e.type) for e in mine]
        assert wanted == self.order
        middle = mine[len(mine) // 2].commit_position if mine and from_the_middle else None
        if middle is not None:  # forwards inclusive, backwards exclusive
            cut = len(mine) // 2
            wanted = wanted[:cut] if backwards else wanted[cut:]
        wanted = [w for w in wanted if w[0] == self.names[stream]]
        found = self.server.client.read_all(
            commit_position=middle,
            backwards=backwards,
            filter_include=[self.names[stream]],
            filter_by_stream_name=True,
        )
        assert [(e.stream_name, e.type) for e in found] == (wanted[::-1] if backwards else wanted)
        by_type = self.server.client.read_all(filter_include=[f"E{number}"], backwards=True, limit=3)
        assert {e.type for e in by_type} <= {f"E{number}"}

    @rule(kill=st.booleans())
    def restart(self, kill: bool) -> None:
        self.server.restart(kill=kill)

    @invariant()
    def every_stream_reads_as_the_model_says(self) -> None:
        for name, model in zip(self.names, self.models, strict=True):
            for backwards in (False, True):
                assert seen(self.server.client, name, backwards=backwards) == model.readable()

    @invariant()
    def a_readable_stream_reports_its_last_revision(self) -> None:
        for name, model in zip(self.names, self.models, strict=True):
            readable = model.readable()
            if readable and not isinstance(readable, str):
                assert self.server.client.get_current_version(name) == model.last


def live(server: Server, times: int, steps: int) -> None:
    run_state_machine_as_test(
        type("Lives", (Lives,), {"server": server}),
        settings=settings(
            max_examples=times, stateful_step_count=steps, deadline=None, database=None,
            suppress_health_check=list(HealthCheck),
        ),
    )  # fmt: skip


def test_a_server_and_the_model_live_the_same_lives(server: Server) -> None:
    live(server, 4, 10)


@pytest.mark.long
@pytest.mark.timeout(1800)
def test_sixty_longer_lives(server: Server) -> None:
    live(server, 60, 30)
