"""Tables on a terminal: columns that do not fit are left out, and ids are never broken."""

import os
from collections.abc import Sequence
from dataclasses import dataclass, field

from rich.measure import Measurement
from rich.table import Table

from client.cli.output import SHAPE, err, out

NARROWEST_TEXT = 20  # columns of the terminal
MAX_WORD_LENGTH = 44  # of a text, so that no id in it is broken: the stream of an order has 42
UNBOUNDED = 100_000  # columns


@dataclass(slots=True)
class Rows:
    """`leave` names columns in the order in which they are left out on a narrow terminal. `texts` may be folded."""

    columns: Sequence[str]
    leave: Sequence[str]
    texts: Sequence[str]
    rows: list[tuple[str, ...]] = field(default_factory=list)

    def add_row(self, *cells: str) -> None:
        self.rows.append(cells)

    def show(self) -> None:
        """Print it, and the names of the omitted columns. With --wide, and without a terminal, all are shown."""
        left: list[str] = []
        going = iter(() if _has_room_for_all() else self.leave)
        while self._least(left) > out.width and (name := next(going, None)) is not None:
            left.append(name)
        shown, natural = self._made(left), self._width(left)
        shown.width = natural if _has_room_for_all() else max(self._least(left), min(natural, out.width))
        out.print(
            shown, crop=False
        )  # a line that is still too wide is wrapped by the terminal, so that it can be copied
        if left:
            err.print(f"not shown: {', '.join(left)}; --wide shows all", style="dim", soft_wrap=True)

    def _made(self, without: Sequence[str]) -> Table:
        made = Table(box=None, pad_edge=False, header_style="bold")
        stay = [number for number, name in enumerate(self.columns) if name not in without]
        for number in stay:
            name = self.columns[number]
            least = self._narrowest(number) if name in self.texts else None
            made.add_column(name, overflow="fold", no_wrap=name not in self.texts, min_width=least)
        for cells in self.rows:
            made.add_row(*(cells[number] for number in stay))
        return made

    def _longest(self, number: int) -> int:
        """The width of one column, in columns of the terminal."""
        lines = [self.columns[number], *(line for cells in self.rows for line in cells[number].splitlines() or [""])]
        return max(out.measure(line).maximum for line in lines)

    def _narrowest(self, number: int) -> int:
        """The width of a column with texts, folded between words."""
        words = (word for cells in self.rows for word in (*cells[number].split(), self.columns[number]))
        word = max((out.measure(word).maximum for word in words), default=0)
        return min(self._longest(number), max(NARROWEST_TEXT, min(word, MAX_WORD_LENGTH)))

    def _width(self, without: Sequence[str]) -> int:
        """The width with no text folded."""
        return Measurement.get(out, out.options.update(width=UNBOUNDED), self._made(without)).maximum

    def _least(self, without: Sequence[str]) -> int:
        """The width with every text folded as far as possible."""
        return self._width(without) - sum(
            self._longest(number) - self._narrowest(number)
            for number, name in enumerate(self.columns)
            if name in self.texts and name not in without
        )


def table(*columns: str, leave: Sequence[str] = (), texts: Sequence[str] = ()) -> Rows:
    return Rows(columns, leave, texts)


def _has_room_for_all() -> bool:
    return SHAPE.is_wide or not (out.is_terminal or "COLUMNS" in os.environ)
