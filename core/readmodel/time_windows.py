"""Pages by time, read in time windows: the cost of a page depends on its size, not on that of the collection.

A store may read all that matches before it applies a limit (the embedded one does). So a page is first read from a
window as long as that of the last page; if it has too few rows, from a wider window behind it, then from all the rest.
Times are integer microseconds; an interval is half open, None means no bound.
"""

from collections.abc import Sequence

Interval = tuple[int | None, int | None]
NEWEST_FIRST, OLDEST_FIRST = -1, 1
WINDOW_MARGIN = 2  # times the span of the last page: the next one may be a little thinner
WINDOW_GROWTH = 16  # times that again, if it holds too little


class TimeWindow:
    """What the last page of one kind took. It is a hint: whatever it says, the pages are the same."""

    def __init__(self, way: int) -> None:
        self._way = way
        self._width: int | None = None
        self._end: int | None = None  # the newest (or oldest) time there was

    def pieces(self, low: int | None, high: int | None) -> list[Interval]:
        """The interval cut into pieces, in the order of reading."""
        begin = high if self._way == NEWEST_FIRST else low
        begin = self._end if begin is None else begin
        if begin is None or self._width is None:
            return [(low, high)]
        cut: list[Interval] = []
        for factor in (WINDOW_MARGIN, WINDOW_MARGIN * WINDOW_GROWTH):
            at = begin + self._way * self._width * factor
            if (low is not None and at <= low) or (high is not None and at >= high):
                break
            if self._way == NEWEST_FIRST:
                cut.append((at, high))
                high = at
            else:
                cut.append((low, at))
                low = at
        return [*cut, (low, high)]

    def held(self, times: Sequence[int], *, from_the_end: bool) -> None:
        """A complete page had these times, in the order of reading."""
        if not times:
            return
        self._width = abs(times[-1] - times[0]) + 1
        if from_the_end:
            self._end = times[0]


class TimeWindows:
    """One per kind of page and way of reading, in this process."""

    def __init__(self) -> None:
        self._windows: dict[tuple[str, int], TimeWindow] = {}

    def of(self, kind: str, way: int) -> TimeWindow:
        return self._windows.setdefault((kind, way), TimeWindow(way))
