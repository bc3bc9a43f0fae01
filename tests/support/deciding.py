"""Tests of deciders as sentences: given(events).when(command).then(events) or .rejected(reason)."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from core.domain.decider import Decider
from core.domain.rejection import CommandRejected, Reason

S = TypeVar("S")
C = TypeVar("C")
E = TypeVar("E")


@dataclass(frozen=True)
class Decided(Generic[E]):
    events: Sequence[E] | None
    rejection: CommandRejected | None

    def then(self, *expected: E) -> None:
        assert self.rejection is None, self.rejection
        assert list(self.events or []) == list(expected)

    def nothing(self) -> None:
        self.then()

    def rejected(self, reason: Reason, **metadata: object) -> None:
        assert self.rejection is not None, f"not rejected, but decided {self.events}"
        assert self.rejection.reason == reason
        reported = self.rejection.metadata
        assert {name: reported.get(name) for name in metadata} == {name: str(value) for name, value in metadata.items()}


@dataclass(frozen=True)
class Given(Generic[S, C, E]):
    decider: Decider[S, C, E]
    history: tuple[E, ...]

    def when(self, command: C) -> Decided[E]:
        try:
            return Decided(self.decider.decide(self.decider.fold(self.history), command), None)
        except CommandRejected as rejection:
            return Decided(None, rejection)


def given(decider: Decider[Any, Any, Any], *history: Any) -> Given[Any, Any, Any]:
    return Given(decider, history)
