"""Former shapes lead to current ones, or the process does not start."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest

from core.eventstore.registry import Row
from core.eventstore.upcasters import Upcaster, chains


@dataclass(frozen=True)
class First:
    word: str


@dataclass(frozen=True)
class Second:
    word: str
    length: int


@dataclass(frozen=True)
class Third:
    words: tuple[str, ...]


def to_second(old: First) -> Second:
    return Second(old.word, len(old.word))


def to_third(old: Second) -> Third:
    return Third((old.word,))


def first(upcast: Callable[[Any], Any] = to_second, into: str = "SpokenV2") -> Upcaster:
    return Upcaster("Spoken", into, upcast)


def second(name: str = "SpokenV2", into: str = "SpokenV3", version: int = 2) -> Upcaster:
    return Upcaster(name, into, to_third, version)


def current(name: str = "SpokenV3", version: int = 3) -> Row:
    return Row(name, Third, "order", version)  # type: ignore[arg-type]  # an event of this test alone


def test_a_shape_of_long_ago_is_lifted_step_by_step() -> None:
    ways = chains([current()], [second(), first()])
    assert [step.name for step in ways["Spoken"]] == ["Spoken", "SpokenV2"]
    assert [step.name for step in ways["SpokenV2"]] == ["SpokenV2"]


@pytest.mark.parametrize(
    ("rows", "upcasters", "problem"),
    [
        ([current()], [second(), second()], "two upcasters"),
        ([current()], [second(name="SpokenV3")], "current one and has one"),
        ([current()], [second(into="Silence")], "Silence, which is unknown"),
        ([current()], [first()], "SpokenV2, which is unknown"),
        ([current()], [second(), first(upcast=to_third)], "becomes a Third, but SpokenV2 is a Second"),
        ([current()], [first(into="SpokenV3")], "becomes a Second, but SpokenV3 is a Third"),
        ([current(version=4)], [second()], "must be the next, not 4"),
        ([current()], [second(), second("SpokenV1", "SpokenV2", 1)], "becomes a Third"),
        ([], [second("A", "B", 1), second("B", "A", 2)], "B becomes a Third, but A is a Second|A becomes a Third"),
    ],
)
def test_a_chain_that_leads_nowhere_is_reported_at_start(rows: Any, upcasters: Any, problem: str) -> None:
    with pytest.raises(RuntimeError, match=problem):
        chains(rows, upcasters)


def test_a_circle_is_reported_and_not_followed_for_ever() -> None:
    def same(old: First) -> First:
        return old

    with pytest.raises(RuntimeError, match="must be the next"):
        chains([], [Upcaster("A", "B", same, 1), Upcaster("B", "A", same, 2)])
