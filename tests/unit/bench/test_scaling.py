"""The arithmetic of growth, and its simulation: what is busy waits, what is not does not."""

from dataclasses import replace

import pytest

from bench.scaling import BUSY, Cost, Plant, Shop, Stores, measured, need, shares, simulate, workers_of_a_view

COST = Cost(command=400, drained=40, applied=20, query=300)
SHOP = Shop()
STORES = Stores()
PLENTY = Plant(command_cores=64, view_workers=8)


def test_twice_the_orders_need_twice_the_rates() -> None:
    once, twice = need(10_000, SHOP, COST, STORES), need(20_000, SHOP, COST, STORES)
    assert twice.commands_per_second == pytest.approx(2 * once.commands_per_second)
    assert twice.hottest_product_busy == pytest.approx(2 * once.hottest_product_busy)


def test_a_small_shop_needs_one_of_each() -> None:
    found = need(10, SHOP, COST, STORES)
    assert (found.command_cores, found.query_cores, found.view_workers, found.clusters, found.shards) == (1, 1, 1, 1, 1)


def test_no_core_is_busier_than_it_may_be() -> None:
    found = need(100_000, SHOP, COST, STORES)
    assert found.commands_per_second * COST.command / 1e6 / found.command_cores <= BUSY
    assert found.commands_per_second / STORES.appends_per_leader / found.clusters <= BUSY


def test_workers_of_a_view_share_what_they_apply_but_each_takes_every_event() -> None:
    assert workers_of_a_view(5_000, COST) == 1
    assert workers_of_a_view(12_000, COST) == 2
    with pytest.raises(ValueError, match="divide the log"):
        workers_of_a_view(15_000, COST)


def test_the_part_that_is_busiest_is_named() -> None:
    slow_stream = replace(STORES, append_ms=1_000.0)
    assert need(10_000, SHOP, COST, slow_stream).first_to_give_way == "the stream of the best selling product"
    slow_commands = replace(COST, command=1_000_000.0)
    assert need(10_000, SHOP, slow_commands, STORES).first_to_give_way == "one command process"


def test_all_sales_are_shared_out_and_even_ones_evenly() -> None:
    assert sum(shares(SHOP)) == pytest.approx(1.0)
    assert shares(replace(SHOP, products=4, skew=0.0)) == [0.25] * 4


def test_the_same_seed_sees_the_same() -> None:
    first = simulate(6_000, PLENTY, SHOP, COST, STORES, seconds=5, seed=3)
    assert first == simulate(6_000, PLENTY, SHOP, COST, STORES, seconds=5, seed=3)
    assert first != simulate(6_000, PLENTY, SHOP, COST, STORES, seconds=5, seed=4)


def test_with_plenty_of_everything_lines_are_reserved_within_a_few_appends() -> None:
    seen = simulate(6_000, PLENTY, SHOP, COST, STORES, seconds=20)
    assert seen.reserved_p50 < seen.commands_p50 + 2 * STORES.append_ms


def test_a_product_that_everybody_buys_makes_its_buyers_wait_and_more_cores_do_not_help() -> None:
    hot = replace(SHOP, products=2)
    few, many = (simulate(60_000, replace(PLENTY, command_cores=n), hot, COST, STORES, seconds=5) for n in (64, 512))
    assert few.hottest_p99 > 100 * STORES.append_ms
    assert many.hottest_p99 > 0.9 * few.hottest_p99


def test_too_few_cores_make_every_command_wait() -> None:
    even = replace(SHOP, skew=0.0)
    scarce, enough = (
        simulate(60_000, replace(PLENTY, command_cores=n), even, COST, STORES, seconds=5) for n in (3, 64)
    )
    assert scarce.commands_p99 > 10 * enough.commands_p99


def test_the_costs_are_those_that_the_bench_found() -> None:
    found = {
        "figures": {
            "commands": {"cpu_us_per_command": {"commands": 500}},
            "projections": {"cpu_us_per_event": {"drain": {"bench": 40}, "apply": {"bench": 15}}},
            "queries": {"cpu_us_per_query": {"get_order": {"queries": 300}}},
        }
    }
    assert measured(found) == Cost(command=500, drained=40, applied=15, query=300)
