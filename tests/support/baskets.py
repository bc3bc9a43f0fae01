"""Rows like those of the data set, made up: a few customers, few products, prices that move."""

import random
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

from client.local.demo.baskets import Row

START = datetime(2017, 1, 1, 8, 0, tzinfo=UTC)


def rows(baskets: int, seed: int = 7) -> Iterator[Row]:
    """`baskets` baskets with one to six rows each, in time order."""
    chance = random.Random(seed)
    for basket in range(1, baskets + 1):
        at = START + timedelta(minutes=7 * basket)
        household = chance.randint(1, 12)
        for product in chance.sample(range(1, 25), chance.randint(1, 6)):
            quantity = chance.randint(1, 4)
            cents = 100 + product * 10 + (5 if chance.random() < 0.2 else 0)
            yield Row(basket, household, product, quantity, cents * quantity, at)
