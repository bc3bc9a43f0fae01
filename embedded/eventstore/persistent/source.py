"""The events of a persistent subscription that were not delivered yet, read from its stream or from the log of all."""

from collections import deque
from collections.abc import Callable

from embedded.eventstore.event_encoding import is_hidden, resolve
from embedded.eventstore.log import Log
from embedded.eventstore.persistent.config import ALL, Config
from embedded.eventstore.persistent.consumer import Item
from embedded.eventstore.records import TOMBSTONE, Entry

PAGE = 500


class Source:
    """`passed` is called for each event that the filter leaves out."""

    def __init__(self, log: Log, config: Config, checkpoint: int | None, passed: Callable[[], None]) -> None:
        self.next = config.first if checkpoint is None else checkpoint + 1
        self.left_out: int | None = None  # the last place that the filter left out
        self.buffer: deque[Item] = deque()
        self.is_live = False  # whether it has reached the end
        self.live_count = 0  # events that came after that
        self._log = log
        self._config = config
        self._passed = passed
        self._wanted = config.wanted()
        self._has_looked = checkpoint is not None
        self._batch = min(max(config.read_batch_size, 1), PAGE)

    @property
    def known(self) -> int | None:
        """The last place that was looked at; None if none was."""
        return self.next - 1 if self._has_looked else None

    @property
    def has_room(self) -> bool:
        """Whether the buffer takes another page."""
        return len(self.buffer) + self._batch <= self._config.history_buffer_size

    @property
    def is_behind(self) -> bool:
        config = self._config
        return not config.reads or self.next <= (self._log.head if config.source == ALL else self._newest_revision())

    def _newest_revision(self) -> int:
        newest = self._log.last_of(self._config.source)
        return -1 if newest is None or newest.revision == TOMBSTONE else newest.revision

    def fetch(self) -> bool:
        """Buffer a page of the source; False at its end."""
        if not self._config.reads or self.next > TOMBSTONE:
            return False
        before = len(self.buffer)
        more = self._fetch_from_all() if self._config.source == ALL else self._fetch_from_stream()
        if self.is_live:
            self.live_count += len(self.buffer) - before
        self.is_live = self.is_live or not more
        return more

    def _fetch_from_stream(self) -> bool:
        source = self._config.source
        page = self._log.stream_page(source, self.next, forwards=True, count=self._batch)
        if page:
            newest = self._log.last_of(source)
            last = newest.revision if newest else -1
            low, oldest = self._log.visible(source, self._log.retention(source), last)
            self.buffer += [self._item(e) for e in page if e.revision >= low and e.created >= oldest]
            self.next, self._has_looked = max(page[-1].revision + 1, min(low, last)), True
        return bool(page)

    def _fetch_from_all(self) -> bool:
        page = self._log.all_page(self.next - 1, forwards=True, count=self._batch)
        for entry in page:
            hidden = is_hidden(entry.stream)
            item = self._item(entry) if not hidden and self._wanted(entry) else None
            self.next, self._has_looked = entry.position + 1, True  # if that fails, it has not been passed
            if item is not None:
                self.buffer.append(item)
            elif not hidden:  # or the checkpoint of a group would call for its next one
                self.left_out = entry.position
                self._passed()
        return bool(page)

    def _item(self, entry: Entry) -> Item:
        order = self._config.order(entry)
        if self._config.resolve_links:
            is_link, target = resolve(self._log, entry)
            if is_link:
                return Item(order, target, entry)
        return Item(order, entry, None)
