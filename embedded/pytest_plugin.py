"""Fixtures for a test-suite: `pytest_plugins = ["embedded.pytest_plugin"]` in the top-level conftest.py.

`embedded_eventstore_uri` and `embedded_mongo_uri` are one store each for all of the session, in processes of their own;
a test takes stream and database names of its own. `fresh_eventstore_uri` is an empty one for a single test.
"""

from collections.abc import Iterator

import pytest

from embedded.stack import started


@pytest.fixture(scope="session")
def embedded_eventstore_uri() -> Iterator[str]:
    with started("eventstore") as uri:
        yield uri


@pytest.fixture
def fresh_eventstore_uri() -> Iterator[str]:
    with started("eventstore") as uri:
        yield uri


@pytest.fixture(scope="session")
def embedded_mongo_uri() -> Iterator[str]:
    with started("mongo") as uri:
        yield uri
