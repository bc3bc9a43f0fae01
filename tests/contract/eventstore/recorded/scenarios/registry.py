"""The scenarios by name."""

from collections.abc import Awaitable, Callable

from tests.contract.eventstore.recorded.transcript import Transcript

Scenario = Callable[[Transcript], Awaitable[None]]
SCENARIOS: dict[str, Scenario] = {}
ALONE: list[str] = []  # those that change the server for all, in the order in which they run, after the others


def scenario(function: Scenario) -> Scenario:
    """A scenario that runs beside others."""
    SCENARIOS[function.__name__] = function
    return function


def alone(function: Scenario) -> Scenario:
    """A scenario that changes the server for all."""
    ALONE.append(function.__name__)
    return scenario(function)
