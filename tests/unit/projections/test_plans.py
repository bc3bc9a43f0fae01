"""A plan's id holds as long as what it was made of."""

import pytest

from projections.operations.plans import PlanOutdated, plan_id, require_current


def test_the_same_facts_make_the_same_plan_in_whatever_order() -> None:
    assert plan_id("Reset", view="order_list", to=0) == plan_id("Reset", to=0, view="order_list")


@pytest.mark.parametrize("changed", [{"view": "order_detail", "to": 0}, {"view": "order_list", "to": 1}])
def test_another_fact_makes_another_plan(changed: dict[str, object]) -> None:
    assert plan_id("Reset", view="order_list", to=0) != plan_id("Reset", **changed)


def test_the_same_facts_for_another_act_are_another_plan() -> None:
    assert plan_id("Reset", view="order_list") != plan_id("Rebuild", view="order_list")


def test_an_outdated_plan_is_refused_and_reported_what_it_would_be_now() -> None:
    require_current("abc", "abc")
    with pytest.raises(PlanOutdated) as refused:
        require_current("abc", "def")
    assert refused.value.metadata == {"plan_id": "abc", "current": "def"}
