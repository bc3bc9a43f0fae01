"""What holds for all tests.

`--eventstore-uri`, or the variable TEST_EVENTSTORE_URI, names an event store to test against instead of the embedded
node: one node without TLS and users, with its system projections running, whose log may hold anything. All tests that
reach a store use it, except those that need a log of their own, or a node that they may stop: of `tests/e2e` most do.
What those walk through runs on any store with `orderstream demo` and `orderstream up`, which take
ORDERSTREAM_EVENTSTORE_URI.
"""

import os

import pytest
from hypothesis import settings

pytest_plugins = ["tests.support.time_limit", "tests.support.position_audit"]


def pytest_addoption(parser: pytest.Parser) -> None:
    given = os.environ.get("TEST_EVENTSTORE_URI", "")
    parser.addoption("--eventstore-uri", default=given, help="test against this event store, not the embedded one")


def pytest_configure(config: pytest.Config) -> None:
    os.environ["TEST_EVENTSTORE_URI"] = str(config.getoption("--eventstore-uri"))  # for what has no fixture


os.environ.setdefault("ORDERSTREAM_DRAIN_DELAY", "0")  # nobody balances load between our processes
settings.register_profile("orderstream", deadline=None)  # a busy machine is no failure: no test asserts a time
settings.load_profile("orderstream")
