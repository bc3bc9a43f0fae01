"""`python -m bench.scaling [--orders-per-minute N …]`: the resources for so many orders, and a small simulation.

The CPU of our own code is measured: it is read from docs/performance/bench.json. The capacity of a real EventStoreDB
and MongoDB is assumed, named as such, and can be set. The rest is arithmetic, and queues.
"""

import argparse
import heapq
import json
import math
import random
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any

from bench.measuring import percentile

MEASURED = Path("docs/performance/bench.json")
STEPS = (100, 10_000, 1_000_000)  # orders a minute
BUSY = 0.6  # how busy a core, a leader or a shard may be in the mean, so that queues stay short


@dataclass(frozen=True, slots=True, kw_only=True)
class Shop:
    """What one order causes from the basket to the door. Assumed; a shop knows its own."""

    commands: float = 10.0
    events: float = 14.0
    lines: int = 3  # each reserves stock of its product
    documents: float = 25.0  # written over all views, several events of one order folded into one write
    queries: float = 40.0
    views: int = 4  # that follow orders
    products: int = 20_000
    skew: float = 0.8  # of the sales over the products (Zipf): 0 is even


@dataclass(frozen=True, slots=True, kw_only=True)
class Cost:
    """CPU of our code in microseconds, measured."""

    command: float
    drained: float  # to take an event from a subscription, which every worker of a view does with every event
    applied: float  # to fold it and hand over its share of a document
    query: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Stores:
    """Of the real stores. Assumed, conservatively; neither has been run with this system."""

    appends_per_leader: float = 10_000.0  # durable appends a second of one EventStoreDB cluster
    writes_per_shard: float = 10_000.0  # guarded writes a second of one MongoDB shard, majority acknowledged
    reads_per_shard: float = 30_000.0
    append_ms: float = 2.0  # one append, acknowledged: what everything to one stream waits for, one after the other


@dataclass(frozen=True, slots=True, kw_only=True)
class Need:
    """What so many orders a minute need. `first_to_give_way` is the part that is busiest for its size."""

    orders_per_minute: float
    commands_per_second: float
    events_per_second: float
    documents_per_second: float
    queries_per_second: float
    command_cores: int
    query_cores: int
    view_workers: int  # of each view, over all clusters; each on a core of its own
    clusters: int
    shards: int
    hottest_product_busy: float  # share of the time that its stream is being appended to
    first_to_give_way: str


def need(orders_per_minute: float, shop: Shop, cost: Cost, stores: Stores) -> Need:
    """Cores, clusters and shards, each at most `BUSY`."""
    orders = orders_per_minute / 60
    commands, events = orders * shop.commands, orders * shop.events
    documents, queries = orders * shop.documents, orders * shop.queries
    clusters = _round_up(commands / stores.appends_per_leader / BUSY)
    workers = clusters * workers_of_a_view(events / clusters, cost)
    shards = _round_up((documents / stores.writes_per_shard + queries / stores.reads_per_shard) / BUSY)
    hottest = orders * shop.lines * shares(shop)[0] * stores.append_ms / 1000
    busy = {
        "one command process": commands * cost.command / 1e6,
        "one query process": queries * cost.query / 1e6,
        "one worker per view": events * (cost.drained + cost.applied) / 1e6,
        "one EventStoreDB leader": commands / stores.appends_per_leader,
        "one MongoDB replica set": documents / stores.writes_per_shard + queries / stores.reads_per_shard,
        "the stream of the best selling product": hottest,
    }
    return Need(
        orders_per_minute=orders_per_minute,
        commands_per_second=commands,
        events_per_second=events,
        documents_per_second=documents,
        queries_per_second=queries,
        command_cores=_round_up(commands * cost.command / 1e6 / BUSY),
        query_cores=_round_up(queries * cost.query / 1e6 / BUSY),
        view_workers=workers,
        clusters=clusters,
        shards=shards,
        hottest_product_busy=hottest,
        first_to_give_way=max(busy, key=lambda part: busy[part]),
    )


def workers_of_a_view(events_per_second: float, cost: Cost) -> int:
    """Every worker takes every event of its log and applies its share. Beyond what one can take, more do not help."""
    left = BUSY - events_per_second * cost.drained / 1e6
    if left <= 0:
        raise ValueError(
            f"{events_per_second:,.0f} events/s of one log are more than a worker can take "
            f"at {cost.drained:g} µs each: divide the log"
        )
    return _round_up(events_per_second * cost.applied / 1e6 / left)


def shares(shop: Shop) -> Sequence[float]:
    """What each product has of all sales, the best selling first."""
    weights = [1 / rank**shop.skew for rank in range(1, shop.products + 1)]
    total = sum(weights)
    return [weight / total for weight in weights]


def _round_up(cores: float) -> int:
    return max(1, math.ceil(cores))


# ---------------------------------------------------------------------- simulation


@dataclass(frozen=True, slots=True, kw_only=True)
class Plant:
    """What there is to serve the orders. The view workers are those of one view, in all clusters together."""

    command_cores: int
    view_workers: int
    clusters: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """Milliseconds from the arrival of an order until its commands are done, its lines reserved, a view has it."""

    orders: int
    commands_p50: float
    commands_p99: float
    reserved_p50: float
    reserved_p99: float
    hottest_p99: float  # reserved, of the orders with the best selling product
    visible_p99: float


def simulate(
    orders_per_minute: float, plant: Plant, shop: Shop, cost: Cost, stores: Stores, *, seconds: float, seed: int = 1
) -> Seen:
    """Orders arrive by chance; each takes a core, then its turn at each of its products, then its worker of a view."""
    chance = random.Random(seed)
    sold = _Sales(shop, chance)
    cores, workers = [0.0] * plant.command_cores, [0.0] * plant.view_workers
    products: dict[int, float] = {}
    # a worker takes the events of the orders of all workers beside it, and applies its own
    per_order = shop.events * (cost.applied + cost.drained * plant.view_workers / plant.clusters) / 1e6
    commands, reserved, hottest, visible = [], [], [], []
    now, rate = 0.0, orders_per_minute / 60
    while (now := now + chance.expovariate(rate)) < seconds:
        done = max(now, heapq.heappop(cores)) + shop.commands * cost.command / 1e6 * chance.expovariate(1.0)
        heapq.heappush(cores, done)
        last, lines = done, sold.lines()
        for product in lines:
            products[product] = max(done, products.get(product, 0.0)) + stores.append_ms / 1000
            last = max(last, products[product])
        worker = chance.randrange(plant.view_workers)
        workers[worker] = max(workers[worker], last) + per_order
        commands.append(done - now)
        reserved.append(last - now)
        visible.append(workers[worker] - now)
        if 0 in lines:
            hottest.append(last - now)
    return Seen(
        orders=len(commands),
        commands_p50=_ms(commands, 0.5),
        commands_p99=_ms(commands, 0.99),
        reserved_p50=_ms(reserved, 0.5),
        reserved_p99=_ms(reserved, 0.99),
        hottest_p99=_ms(hottest, 0.99),
        visible_p99=_ms(visible, 0.99),
    )


class _Sales:
    """Draws the products of an order, by their shares."""

    def __init__(self, shop: Shop, chance: random.Random) -> None:
        self._shares = shares(shop)
        self._lines = shop.lines
        self._chance = chance
        self._drawn: list[int] = []

    def lines(self) -> list[int]:
        if len(self._drawn) < self._lines:
            self._drawn = self._chance.choices(range(len(self._shares)), self._shares, k=self._lines * 10_000)
        lines, self._drawn = self._drawn[: self._lines], self._drawn[self._lines :]
        return lines


def _ms(seconds: Sequence[float], share: float) -> float:
    return round(percentile(seconds, share) * 1000, 1) if seconds else 0.0


# ---------------------------------------------------------------------- reporting


def measured(found: Mapping[str, Any]) -> Cost:
    """Out of what the bench found; raises `KeyError` for a part that has not been run."""
    figures = found["figures"]
    events = figures["projections"]["cpu_us_per_event"]
    return Cost(
        command=figures["commands"]["cpu_us_per_command"]["commands"],
        drained=events["drain"]["bench"],
        applied=events["apply"]["bench"],
        query=figures["queries"]["cpu_us_per_query"]["get_order"]["queries"],
    )


def steps(
    cost: Cost, shop: Shop, stores: Stores, orders_per_minute: Sequence[float] = STEPS
) -> list[tuple[Need, Seen]]:
    """Each step of the page, with what the simulation sees of it."""
    rows = []
    for orders in orders_per_minute:
        found = need(orders, shop, cost, stores)
        plant = Plant(command_cores=found.command_cores, view_workers=found.view_workers, clusters=found.clusters)
        seconds = min(600.0, 100_000 / (orders / 60))
        rows.append((found, simulate(orders, plant, shop, cost, stores, seconds=seconds)))
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.scaling", description=__doc__)
    parser.add_argument("--orders-per-minute", type=float, help="this many, instead of the steps of the page")
    for kind in (Shop, Cost, Stores):
        for field in fields(kind):
            name = f"--{field.name.replace('_', '-')}"
            parser.add_argument(name, type=int if field.type == "int" or field.type is int else float)
    arguments = vars(parser.parse_args())

    def changed(value: Any) -> Any:
        given = {f.name: arguments[f.name] for f in fields(value) if arguments[f.name] is not None}
        return replace(value, **given)

    shop, stores = changed(Shop()), changed(Stores())
    cost = changed(measured(json.loads(MEASURED.read_text())))
    for value in (shop, cost, stores):
        print(f"{type(value).__name__}: {', '.join(f'{name} {x:g}' for name, x in asdict(value).items())}")
    orders = arguments["orders_per_minute"]
    rows = steps(cost, shop, stores, (orders,) if orders else STEPS)
    for found, seen in rows:
        print(json.dumps({**asdict(found), **asdict(seen)}, indent=1))


if __name__ == "__main__":
    main()
