"""The node answers whole conversations as a real EventStoreDB was recorded to answer them.

The recordings are data, see `recorded/`. Where the node differs on purpose stands in `recorded/exceptions.py`.
"""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from embedded.stack import embedded_eventstore
from tests.contract.eventstore.recorded.comparison import FOLDER, ORDER, differences, recording, transcript_of
from tests.contract.eventstore.recorded.exceptions import EXCEPTIONS
from tests.contract.eventstore.recorded.scenarios import ALONE, SCENARIOS
from tests.contract.eventstore.recorded.scenarios.requests import append, holds
from tests.contract.eventstore.recorded.transcript import Transcript, dumped

AHEAD = 8  # scenarios under way: most of their time is waiting
DOCS = Path(__file__).parents[3] / "docs" / "embedded.md"
LONGEST = 4_000  # characters of a difference that are shown


class Conversations:
    """Holds the scenarios with one server, those that come next already while one is awaited."""

    def __init__(self, address: str, order: Sequence[str]) -> None:
        self._address, self._order = address, order
        self._tasks: dict[str, asyncio.Task[tuple[dict[str, Any], str]]] = {}

    async def hold(self, name: str) -> tuple[dict[str, Any], str]:
        """What the server answers in this one."""
        at = self._order.index(name) if name in self._order else len(self._order)
        for each in (name, *self._order[at + 1 : at + AHEAD]):
            if each not in self._tasks:
                self._tasks[each] = asyncio.create_task(transcript_of(self._address, each, recording(each)))
        return await self._tasks[name]

    async def close(self) -> None:
        for task in self._tasks.values():
            task.cancel()
        await asyncio.gather(*self._tasks.values(), return_exceptions=True)


@asynccontextmanager
async def server(config: pytest.Config) -> AsyncIterator[str]:
    """The address of a fresh node, or of the server that is to be judged."""
    given = str(config.getoption("--eventstore-uri"))
    if given:
        yield address_of(given)
        return
    async with embedded_eventstore(system_projections=True) as uri:
        yield address_of(uri)


def address_of(uri: str) -> str:
    return uri.partition("://")[2].partition("?")[0].rpartition("@")[2].rstrip("/")


# scenarios run beside each other, whichever test waits for them
pytestmark = pytest.mark.sends_unknown_positions


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def conversations(request: pytest.FixtureRequest) -> AsyncIterator[Conversations]:
    order = [name_of(item) for item in request.session.items if is_side_by_side(item)]
    async with server(request.config) as address:
        await use(address)
        held = Conversations(address, order)
        yield held
        await held.close()


async def use(address: str) -> None:
    """Make it a server whose `$streams` has begun, as it was when the conversations were recorded."""
    async with Transcript(address, "use") as transcript:
        await append(transcript, "an event", transcript.stream_name(), "any", [0], keep=False)
        assert await holds(transcript, "$streams", 1)


def name_of(item: Any) -> str:
    return str(item.callspec.params["name"])


def is_side_by_side(item: Any) -> bool:
    return getattr(item, "function", None) is test_the_node_answers_as_recorded


@pytest.mark.asyncio(loop_scope="module")
@pytest.mark.parametrize("name", [name for name in SCENARIOS if name not in ALONE])
async def test_the_node_answers_as_recorded(conversations: Conversations, name: str, judges_another: bool) -> None:
    assert_as_recorded(name, *await conversations.hold(name), judges_another=judges_another)


@pytest.mark.parametrize("name", ALONE)
async def test_a_node_that_is_changed_for_all_answers_as_recorded(
    request: pytest.FixtureRequest, name: str, judges_another: bool
) -> None:
    async with server(request.config) as address:
        seen, broken = await transcript_of(address, name, recording(name))
    assert_as_recorded(name, seen, broken, judges_another=judges_another)


@pytest.fixture
def judges_another(request: pytest.FixtureRequest) -> bool:
    """Whether the server may be a real one: that has no exceptions."""
    return bool(request.config.getoption("--eventstore-uri"))


def assert_as_recorded(name: str, seen: dict[str, Any], broken: str, *, judges_another: bool) -> None:
    recorded = recording(name)
    differing = differences(recorded, seen)
    stated = EXCEPTIONS[name].steps if name in EXCEPTIONS else frozenset()
    assert differing == stated or (judges_another and not differing), (
        f"these steps differ: {sorted(differing)}; stated are {sorted(stated)}\n"
        f"{shown(recorded, seen, differing - stated)}\n{broken}"
    )


def shown(recorded: dict[str, Any], seen: dict[str, Any], titles: set[str]) -> str:
    """What was recorded and what was seen, of these steps."""
    if ORDER in titles:
        return f"{ORDER}: {recorded[ORDER]} was recorded, and is {seen[ORDER]}"
    steps = zip(recorded["steps"], seen["steps"], strict=False)
    texts = [dumped({"recorded": was, "seen": now}) for was, now in steps if was != now and was["step"] in titles]
    return "\n".join(texts)[:LONGEST]


def test_every_recording_has_its_scenario() -> None:
    assert {path.stem for path in FOLDER.glob("*.json")} == set(SCENARIOS)


def test_every_exception_is_one_of_a_scenario() -> None:
    assert set(EXCEPTIONS) <= set(SCENARIOS)


def test_the_documentation_lists_the_exceptions() -> None:
    lines = DOCS.read_text().splitlines()
    stated = [f"| `{name}` | {each.reason} |" for name, each in EXCEPTIONS.items()]
    assert [line for line in lines if line.split("`")[1:2] and line.split("`")[1] in SCENARIOS] == stated
