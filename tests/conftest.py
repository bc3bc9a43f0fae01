"""What holds for all tests.

`--eventstore-uri`, or the variable TEST_EVENTSTORE_URI, names an event store to test against instead of the embedded
node: one node without TLS and users, with its system projections running, whose log may hold anything. The tests in
`tests/contract/eventstore` and `tests/integration` use it, except those that need a log of their own, or a node that
they may stop. `tests/e2e` does not: it counts what is in a whole log, and stops and kills the stores. What it walks
through runs on any store with `orderstream demo` and `orderstream up`, which take ORDERSTREAM_EVENTSTORE_URI.
"""

import os

import pytest
from hypothesis import settings

pytest_plugins = ["tests.support.time_limit", "tests.support.position_audit"]


def pytest_addoption(parser: pytest.Parser) -> None:
    given = os.environ.get("TEST_EVENTSTORE_URI", "")
    parser.addoption("--eventstore-uri", default=given, help="test against this event store, not the embedded one")


os.environ.setdefault("ORDERSTREAM_DRAIN_DELAY", "0")  # nobody balances load between our processes
settings.register_profile("orderstream", deadline=None)  # a busy machine is no failure: no test asserts a time
settings.load_profile("orderstream")
