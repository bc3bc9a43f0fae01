"""The position from which timers must read the log, stored in the event store: so it is never ahead of its log.

If the position is old, more is read than needed. It may be deleted at any time; then the log is read completely.
"""

from zlib import crc32

import msgspec
import structlog

from core.eventstore.client import NewEvent
from core.eventstore.log import START
from core.eventstore.store import EventStore

log = structlog.get_logger()


class _Stored(msgspec.Struct, frozen=True):
    position: int


class ResumePosition:
    """The resume position of timers that follow certain event types: other types have another one."""

    def __init__(self, store: EventStore, types: frozenset[str]) -> None:
        self._store = store
        self._stream = f"timers_{crc32(' '.join(sorted(types)).encode()):08x}"
        self._exists = False

    async def find(self) -> int:
        """The position after which the log has all that is open; 0: all of the log."""
        newest = await self._store.newest(self._stream, 1)
        self._exists = bool(newest)
        try:
            return msgspec.json.decode(newest[-1].data, type=_Stored).position if newest else START
        except msgspec.DecodeError as error:
            log.warning("the mark of the timers is ignored", error=str(error))
            return START

    async def keep(self, position: int) -> None:
        event = NewEvent(type="TimersMark", data=msgspec.json.encode(_Stored(position)))
        await self._store.keep_newest(self._stream, event, is_first=not self._exists)
        self._exists = True
