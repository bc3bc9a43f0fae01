"""The same tests can judge any server: `pytest tests/contract/eventstore --eventstore-uri esdb://host:2113?Tls=false`.

It has to run with its system projections on. Another server is not restarted in the middle.
"""

from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest

from embedded.stack import started
from tests.contract.eventstore.recorded.scenarios import ALONE
from tests.support.clients import KINDS, client_of


@pytest.fixture(scope="session")
def server_uri(request: pytest.FixtureRequest) -> Iterator[str]:
    given = str(request.config.getoption("--eventstore-uri"))
    if given:
        yield given
        return
    with started("eventstore", options=["--projections", "system"]) as uri:
        yield uri


@pytest.fixture(params=KINDS)
async def client(request: pytest.FixtureRequest, server_uri: str) -> AsyncIterator[Any]:
    async with client_of(request.param, server_uri) as client:
        yield client


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """What changes a server for all its clients comes last, in its order, if all tests share one server."""
    if config.getoption("--eventstore-uri"):
        items.sort(key=lambda item: ALONE.index(name) + 1 if (name := _scenario_of(item)) in ALONE else 0)


def _scenario_of(item: pytest.Item) -> str:
    return (
        str(item.callspec.params.get("name", ""))
        if isinstance(item, pytest.Function) and hasattr(item, "callspec")
        else ""
    )
