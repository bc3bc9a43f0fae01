"""Fold the streams that have a snapshot again and compare: a snapshot may save a read, never change an answer."""

from dataclasses import asdict
from typing import Any

from core.eventstore import codec
from core.eventstore.exclusions import readable
from core.eventstore.idempotency import FINGERPRINT_SIZE, NO_FINGERPRINT, fingerprint
from core.eventstore.log import EventLog
from core.eventstore.snapshots import DECIDERS, SNAPSHOT, Snapshot, Snapshots, snapshot_stream
from core.eventstore.store import EventStore
from core.failures import UnreadableEvent
from projections.verification.full import Difference, Result


class SnapshotVerifier:
    """Checks the newest snapshot of every stream. One that commands would ignore is no difference."""

    def __init__(self, log: EventLog) -> None:
        self._store = EventStore(log)
        self._log = log
        self._snapshots = Snapshots(self._store, every=1)

    async def verify(self, most: int) -> Result:
        """`documents` counts the snapshots compared, `events` what was folded for it."""
        result = Result(view="")
        for stream in await self._streams():
            decider = DECIDERS.get(stream.partition("-")[0])
            snapshot = None if decider is None else await self._snapshots.find(decider, stream)
            if decider is None or snapshot is None:
                continue
            result.documents += 1
            result.streams += 1
            folded = await self._fold(decider, stream, snapshot.revision)
            result.events += snapshot.revision + 1
            for difference in _differences(stream, folded, snapshot):
                result.differences += 1
                if len(result.listed) < most:
                    result.listed.append(difference)
        return result

    async def _streams(self) -> list[str]:
        """Those that have a snapshot; in `$all` also those replaced long ago are met."""
        named = {event.stream_name async for event in self._log.after(0, snapshot_stream(".*"))}
        return sorted(name.removeprefix(SNAPSHOT) for name in named)

    async def _fold(self, decider: Any, stream: str, revision: int) -> Snapshot | None:
        state, fingerprints, last = decider.initial, bytearray(), None
        async for last in self._store.read(stream, 0, revision + 1):
            try:
                state = decider.fold(await readable([last], self._store), state)
            except UnreadableEvent:
                return None  # no snapshot that this code trusts has gone past it
            metadata = codec.decode_metadata(last.metadata)
            fingerprints += NO_FINGERPRINT if metadata is None else fingerprint(metadata.request_id)
        if last is None or last.stream_position != revision or len(fingerprints) != (revision + 1) * FINGERPRINT_SIZE:
            return None
        position, event_id = last.commit_position or 0, last.id.bytes
        return Snapshot(
            revision=revision, position=position, event_id=event_id, state=state, fingerprints=bytes(fingerprints)
        )


def _differences(stream: str, folded: Snapshot | None, snapshot: Snapshot) -> list[Difference]:
    if folded is None:
        return [Difference(stream, "revision", None, snapshot.revision)]
    if folded.event_id != snapshot.event_id:
        return []  # of another history: commands see it and ignore it
    found = []
    if folded.state != snapshot.state:
        found.append(_of_states(stream, folded.state, snapshot.state))
    if folded.fingerprints != snapshot.fingerprints:
        found.append(Difference(stream, "receipts", "those of the log", "others"))
    if folded.position != snapshot.position:
        found.append(Difference(stream, "position", folded.position, snapshot.position))
    return found


def _of_states(stream: str, expected: Any, actual: Any) -> Difference:
    was, now = asdict(expected), asdict(actual)
    name = next((n for n in sorted(was.keys() | now.keys()) if was.get(n) != now.get(n)), None)
    if name is None:  # the same fields, but another stage
        return Difference(stream, "stage", type(expected).__name__, type(actual).__name__)
    return Difference(stream, name, was.get(name), now.get(name))
