"""Pauses grow to a limit, are never equal for long, and start again after a success."""

import pytest

from core.backoff import Backoff

FIRST, LONGEST = 0.1, 1.0


def test_pauses_double_up_to_the_longest() -> None:
    backoff = Backoff(FIRST, LONGEST)
    bounds = [0.1, 0.2, 0.4, 0.8, 1.0, 1.0]
    assert all(bound / 2 <= backoff.pause() <= bound for bound in bounds)


def test_after_a_success_they_start_again() -> None:
    backoff = Backoff(FIRST, LONGEST)
    for _ in range(5):
        backoff.pause()
    backoff.reset()
    assert backoff.pause() <= FIRST


def test_where_nothing_is_to_be_expected_soon_the_longest_is_next() -> None:
    backoff = Backoff(FIRST, LONGEST)
    backoff.exhaust()
    assert [pause >= LONGEST / 2 for pause in (backoff.pause(), backoff.pause())] == [True, True]


def test_two_that_failed_together_try_at_other_moments() -> None:
    one, other = Backoff(FIRST, LONGEST), Backoff(FIRST, LONGEST)
    assert one.pause() != pytest.approx(other.pause(), abs=1e-12)


def test_attempts_are_counted_since_the_last_success() -> None:
    backoff = Backoff(FIRST, LONGEST, attempts=2)
    spent = []
    for _ in range(2):
        spent.append(backoff.is_spent)
        backoff.pause()
    assert [*spent, backoff.is_spent] == [False, False, True]
    backoff.reset()
    assert not backoff.is_spent


def test_without_a_number_of_attempts_it_is_never_spent() -> None:
    backoff = Backoff(FIRST, LONGEST)
    for _ in range(100):
        backoff.pause()
    assert not backoff.is_spent


def test_after_a_success_a_loop_rests_for_its_interval_and_backs_off_again_later() -> None:
    backoff = Backoff(FIRST, LONGEST, interval=7.0)
    backoff.pause()
    backoff.reset()
    assert backoff.pause() == 7.0
    assert FIRST / 2 <= backoff.pause() <= FIRST
    assert FIRST <= backoff.pause() <= 2 * FIRST


def test_the_first_pause_is_not_longer_than_the_longest() -> None:
    assert Backoff(2 * LONGEST, LONGEST).pause() <= LONGEST


def test_with_full_jitter_a_pause_may_be_any_part_of_itself() -> None:
    assert min(Backoff(FIRST, LONGEST, jitter=1.0).pause() for _ in range(100)) < FIRST / 2
