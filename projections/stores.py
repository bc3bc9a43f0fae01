"""What the views of a process read and write. It is constructed once per process, and handed to all that use it."""

from dataclasses import dataclass
from typing import Any

from pymongo.asynchronous.database import AsyncDatabase

from core.eventstore.connection import Client
from core.eventstore.log import EventLog
from core.readmodel.checkpoints import CheckpointStore
from projections.engine.parked_events import ParkedEvents, SkippedEvents
from projections.lifecycle.owner_requests import OwnerRequests


@dataclass(frozen=True, slots=True)
class Stores:
    """`log` is what the views follow, or a follower's; `leader_log` has every event that was acknowledged."""

    log: EventLog
    leader_log: EventLog
    checkpoints: CheckpointStore
    skipped: SkippedEvents
    requests: OwnerRequests
    database: AsyncDatabase[Any]

    @classmethod
    def of(cls, client: Client, database: AsyncDatabase[Any], *, shares_head: float = 0.0) -> "Stores":
        """`shares_head` is for how many seconds the head of the log is shared by its readers."""
        log = EventLog(client, shares_head=shares_head)
        return cls(
            log=log,
            leader_log=log.leader,
            checkpoints=CheckpointStore(database),
            skipped=SkippedEvents(database),
            requests=OwnerRequests(database),
            database=database,
        )

    def parked(self, view: str, generation: int, part: int = 0) -> ParkedEvents:
        """The parked events of a part of a generation, which are not loaded yet."""
        return ParkedEvents(self.database, view, generation, part)

    async def blocked_from(self, view: str, generation: int, partitions: int) -> dict[str, int]:
        """From which position on the events of streams wait, in any part of a generation."""
        first: dict[str, int] = {}
        for part in range(partitions):
            parked = self.parked(view, generation, part)
            await parked.load()
            first |= parked.first
        return first
