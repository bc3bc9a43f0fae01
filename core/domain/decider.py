"""The shape every aggregate has: where it starts, what it decides, how it evolves."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import reduce
from typing import Final, Generic, TypeVar

S = TypeVar("S")
C = TypeVar("C")
E = TypeVar("E")

# `field(metadata=…)` of a command, for the hash by which a repeated step is recognised (server/processes/payload.py)
FACT: Final[Mapping[str, str]] = {"payload": "never"}  # what a decision looks at, not what is asked for
ADDED: Final[Mapping[str, str]] = {"payload": "unless default"}  # added by a later release


@dataclass(frozen=True, slots=True, kw_only=True)
class Decider(Generic[S, C, E]):
    """An aggregate as three pure parts.

    `decide` returns the events of a command, none for a repeat, and raises `CommandRejected` on a contradiction.
    `evolve` is total and never validates: history is true.
    `category` is the stream's prefix: the stream of aggregate x is `<category>-<x>`.
    """

    category: str
    initial: S
    decide: Callable[[S, C], Sequence[E]]
    evolve: Callable[[S, E], S]

    def fold(self, events: Iterable[E], state: S | None = None) -> S:
        return reduce(self.evolve, events, self.initial if state is None else state)

    def stream(self, aggregate_id: str) -> str:
        return f"{self.category}-{aggregate_id}"
