"""Conversations with an event store, each about one thing a client relies on.

A scenario is a coroutine that takes a Transcript; its name is the transcript's. It uses names of streams and ids of its
own, so that all of them can run against one server, and reads `$all` through a filter on its own streams.
"""

from tests.contract.eventstore.recorded.scenarios import (
    appending,
    batches,
    faults,
    following,
    groups,
    links,
    parking,
    projections,
    reading,
    removing,
    server,
)
from tests.contract.eventstore.recorded.scenarios.registry import ALONE, SCENARIOS

__all__ = [
    "ALONE",
    "SCENARIOS",
    "appending",
    "batches",
    "faults",
    "following",
    "groups",
    "links",
    "parking",
    "projections",
    "reading",
    "removing",
    "server",
]
