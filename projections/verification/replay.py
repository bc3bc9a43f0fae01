"""Replay: documents of chosen keys, folded from the log alone, for a retry, a heal and the rebuild of one key."""

import re
from collections.abc import AsyncGenerator, Mapping, Set
from contextlib import aclosing
from typing import Any

from core.error_text import error_text
from core.eventstore import codec
from core.eventstore.client import RecordedEvent, position_of
from core.eventstore.exclusions import Excluded, is_excluded
from core.eventstore.log import EventLog
from core.readmodel.view import View
from projections.engine.handler_timeout import call_with_timeout
from projections.engine.storable import storable

NEVER = 2**63


class EventFailed(Exception):  # it names what was met
    """An event that its handler refuses, that cannot be read, or whose document MongoDB cannot store."""

    def __init__(self, event: RecordedEvent, error: Exception) -> None:
        what = f"{event.type} {event.stream_position}@{event.stream_name}"
        self.error = error_text(error)
        super().__init__(f"{what}: {self.error}")
        self.stream = event.stream_name
        self.position = position_of(event)


class KeyReplay:
    """The documents of some keys, up to the requested position.

    `blocked_from` has the position from which on the events of a stream are parked, `skipped` the events that operators
    have skipped.
    """

    def __init__(
        self, view: View[Any], log: EventLog, keys: Set[str], blocked_from: Mapping[str, int], skipped: Set[int]
    ) -> None:
        self._view = view
        self._log = log
        self._keys = keys
        self._first = blocked_from
        self._skipped = skipped
        self._excluded: dict[str, Excluded] = {}
        self.reached = 0
        self.events = 0
        self.bodies: dict[str, Any] = {}
        self.positions: dict[str, int] = {}

    async def advance(self, until: int) -> None:
        """Fold further, up to and with a position. Raises `EventFailed`."""
        if until <= self.reached:
            return
        async with aclosing(self._unseen(until)) as events:
            async for event in events:
                await self._take(event)
        self.reached = until

    async def _unseen(self, until: int) -> AsyncGenerator[RecordedEvent, None]:
        if self.reached == 0 and self._view.own_streams:
            for event in await self._of_streams(until):
                yield event
            return
        async with aclosing(self._log.after(self.reached, self._pattern())) as reading:
            async for event in reading:
                if position_of(event) > until:
                    return
                yield event

    async def _of_streams(self, until: int) -> list[RecordedEvent]:
        """The complete streams of the keys: far fewer events than the log has."""
        events: list[RecordedEvent] = []
        for name in (f"{category}-{key}" for category in self._view.categories for key in sorted(self._keys)):
            events += await self._log.complete_stream(name) or ()
        return sorted((event for event in events if position_of(event) <= until), key=position_of)

    def _pattern(self) -> str:
        if not self._view.own_streams:
            return self._view.stream_filter()
        return f"({'|'.join(self._view.categories)})-({'|'.join(re.escape(key) for key in sorted(self._keys))})"

    async def _take(self, event: RecordedEvent) -> None:
        position = position_of(event)
        if position >= self._first.get(event.stream_name, NEVER) or position in self._skipped:
            return
        try:
            recorded = codec.recorded(event)
            handled = self._view.handler(recorded)
            if handled is None or handled[0] not in self._keys:
                return
            key, reduce = handled
            body = call_with_timeout(reduce, self.bodies.get(key), recorded)
            if body is not None:
                storable(key, position, body)
        except codec.CodecError as error:
            if await self._is_left_out(event):
                return
            raise EventFailed(event, error) from error
        except Exception as error:
            raise EventFailed(event, error) from error
        self.bodies[key], self.positions[key] = body, position
        self.events += 1

    async def _is_left_out(self, event: RecordedEvent) -> bool:
        """As `Applier` has it."""
        if codec.is_of_the_store(event.type):
            return True
        stream = event.stream_name
        if stream not in self._excluded:
            self._excluded[stream] = await self._log.excluded(stream)
        return is_excluded(event, self._excluded[stream])
