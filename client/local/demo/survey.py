"""The rows of the year's data: how many are sold as orders, and how many are skipped, by reason and value."""

from collections import Counter
from collections.abc import Iterable
from itertools import groupby
from typing import Any

from client.local.demo.baskets import Row, line_of


def survey(rows: Iterable[Row]) -> dict[str, Any]:
    """Counts of rows and baskets, and the value of each in cents. Rows of a basket are together."""
    lines: Counter[str] = Counter()
    value: Counter[str] = Counter()
    baskets = empty = 0
    for _, group in groupby(rows, key=lambda row: row.basket):
        sold = False
        for row in group:
            reasons: Counter[str] = Counter()
            line = line_of(row, reasons)
            what = "sold" if line is not None else next(iter(reasons))
            lines[what] += 1
            value[what] += row.value
            if line is not None and line.quantity != row.quantity:
                lines["sold_as_pack"] += 1
                value["sold_as_pack"] += row.value
            sold = sold or line is not None
        baskets += 1
        empty += not sold
    return {
        "baskets": baskets,
        "baskets_left_out": empty,
        "rows": {what: {"rows": lines[what], "cents": value[what]} for what in sorted(lines)},
    }
