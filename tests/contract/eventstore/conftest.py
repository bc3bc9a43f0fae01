"""The same sequences can judge any server: `pytest tests/contract/eventstore --eventstore-uri esdb://host:2113?Tls=false`.

Against another server the node is not restarted in the middle.
"""

import pytest


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--eventstore-uri", default="", help="judge this event store instead of the embedded one")
