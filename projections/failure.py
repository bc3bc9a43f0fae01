"""What happens to an event that a view cannot take: its stream is parked for that view, in order; the others go on."""

from dataclasses import dataclass
from typing import Any

from esdbclient import RecordedEvent
from pymongo import UpdateOne
from pymongo.asynchronous.collection import AsyncCollection
from pymongo.asynchronous.database import AsyncDatabase

from server.readmodel.state import collection_name, now_micros


@dataclass(frozen=True, slots=True)
class Parked:
    """`error` is None for an event that only waits behind one that failed."""

    stream: str
    revision: int
    position: int
    event_type: str
    error: str | None


def parked(event: RecordedEvent, error: Exception | None) -> Parked:
    text = None if error is None else f"{type(error).__name__}: {error}"
    return Parked(event.stream_name, event.stream_position, event.commit_position or 0, event.type, text)


def told(event_type: str, revision: int, stream: str, error: str) -> str:
    return f"{event_type} {revision}@{stream}: {error}"


class ParkingLot:
    """The parked events of one generation of one view: collection `parked`, `{_id: "<view>.g<n>:<position>", …}`."""

    def __init__(self, database: AsyncDatabase[dict[str, Any]], view: str, generation: int) -> None:
        self._events: AsyncCollection[dict[str, Any]] = database["parked"]
        self._owner = collection_name(view, generation)
        self.first: dict[str, int] = {}  # the position from which on a stream's events wait
        self.last_error = ""

    async def load(self) -> None:
        self.first = {}
        async for event in self._events.find({"owner": self._owner}).sort("position", 1):
            self.first.setdefault(event["stream"], event["position"])
            if event["error"] is not None:
                self.last_error = told(event["event_type"], event["revision"], event["stream"], event["error"])

    async def add(self, events: list[Parked]) -> None:
        """Repeatable: an event is parked once, however often it comes."""
        if not events:
            return
        at = now_micros()
        await self._events.bulk_write(
            [
                UpdateOne(
                    {"_id": f"{self._owner}:{event.position}"},
                    {
                        "$setOnInsert": {
                            "owner": self._owner,
                            "stream": event.stream,
                            "revision": event.revision,
                            "position": event.position,
                            "event_type": event.event_type,
                            "error": event.error,
                            "parked_at": at,
                        }
                    },
                    upsert=True,
                )
                for event in events
            ],
            ordered=False,
        )
        for event in events:
            self.first.setdefault(event.stream, event.position)
            if event.error is not None:
                self.last_error = told(event.event_type, event.revision, event.stream, event.error)
