"""What the bench measures with: ratios, percentiles, the open load. No time is asserted."""

import asyncio
import json

import pytest

from bench.measuring import (
    Result,
    at_least,
    at_most,
    interleaved,
    latency_summary,
    not_measured,
    open_loop,
    percentile,
    rate,
    ratios,
    schedule,
)


def test_a_ratio_is_taken_round_by_round() -> None:
    assert ratios([10.0, 30.0], [5.0, 10.0]) == [2.0, 3.0]


def test_sides_with_different_rounds_are_no_comparison() -> None:
    with pytest.raises(ValueError, match="zip"):
        ratios([1.0, 2.0], [1.0])


def test_a_goal_reports_the_median_and_the_spread() -> None:
    goal = at_least("G1", "this over that", [1.3, 0.9, 1.2], 1.1)
    assert (goal.ratio, goal.low, goal.high, goal.holds) == (1.2, 0.9, 1.3, True)


@pytest.mark.parametrize(("ratio", "holds"), [(1.1, True), (1.09, False)])
def test_at_least_holds_from_the_goal_on(ratio: float, *, holds: bool) -> None:
    assert at_least("G1", "this over that", [ratio], 1.1).holds is holds


@pytest.mark.parametrize(("ratio", "holds"), [(0.8, True), (0.81, False)])
def test_at_most_holds_up_to_the_goal(ratio: float, *, holds: bool) -> None:
    assert at_most("G2", "this over that", [ratio], 0.8).holds is holds


def test_what_was_not_measured_says_why_and_neither_holds_nor_fails() -> None:
    goal = not_measured("G9", "ours over theirs", 3.0, "no network")
    assert (goal.ratio, goal.holds) == (None, None)
    assert goal.line() == "G9  ours over theirs: not measured, no network"


def test_a_goal_that_does_not_hold_says_so_loudly() -> None:
    line = at_least("G1", "this over that", [0.5], 1.1).line()
    assert line == "G1  this over that: 0.5 (0.5 to 0.5), goal 1.1: DOES NOT HOLD"


def test_the_result_is_one_json_object() -> None:
    result = Result([at_most("G2", "this over that", [0.5], 1.0)], {"rounds": 1})
    assert json.loads(json.dumps(result.as_json())) == {
        "goals": [
            {
                "id": "G2",
                "what": "this over that",
                "ratio": 0.5,
                "low": 0.5,
                "high": 0.5,
                "goal": 1.0,
                "holds": True,
                "why_not": "",
            }
        ],
        "figures": {"rounds": 1},
    }


@pytest.mark.parametrize(("share", "value"), [(0.5, 50), (0.99, 99), (0.999, 100), (1.0, 100)])
def test_a_percentile_is_a_value_that_was_measured(share: float, value: int) -> None:
    assert percentile(list(range(100, 0, -1)), share) == value


def test_the_percentile_of_one_value_is_that_value() -> None:
    assert latency_summary([0.002]) == {"p50_ms": 2.0, "p99_ms": 2.0, "p99.9_ms": 2.0}


async def test_the_sides_take_turns_at_going_first_and_the_first_round_is_left_out() -> None:
    order: list[str] = []

    async def side(name: str) -> float:
        order.append(name)
        return float(len(order))

    found = await interleaved({"a": lambda: side("a"), "b": lambda: side("b")}, rounds=2)
    assert order == ["b", "a", "a", "b", "b", "a"]
    assert found == {"a": [3.0, 6.0], "b": [4.0, 5.0]}


async def test_a_rate_counts_every_operation_once_with_no_more_in_flight_than_asked() -> None:
    under_way = most = done = 0

    async def operation() -> None:
        nonlocal under_way, most, done
        under_way += 1
        most = max(most, under_way)
        await asyncio.sleep(0)
        under_way -= 1
        done += 1

    assert await rate(operation, 10, 3) > 0
    assert (done, most) == (10, 3)


def test_an_open_load_is_due_at_even_times() -> None:
    assert schedule(4, 1.5) == [0.0, 0.25, 0.5, 0.75, 1.0, 1.25]


async def test_a_stall_is_charged_to_every_call_that_was_due_meanwhile() -> None:
    now = 0.0

    async def stalls() -> None:
        nonlocal now
        now = 10.0

    taken = await open_loop(stalls, [0.0, 0.01, 0.02], clock=lambda: now)
    assert taken == pytest.approx([10.0, 9.99, 9.98])
