"""`python -m server.tail`: events of a stream, of a category or of all contexts as they are written, a JSON line each.

The settings of the stores have its address and our user: every user of the machine could read an argument.

After a lost subscription it subscribes again after the last event.
"""

import argparse
import asyncio
import json
import re
import signal
import sys
from collections.abc import AsyncGenerator
from contextlib import aclosing, suppress
from dataclasses import dataclass

from core.config import StoreSettings, from_environment
from core.eventstore.address import Address, whereabouts
from core.eventstore.client import CaughtUp, Checkpoint, RecordedEvent, position_of
from core.eventstore.connection import connect
from core.eventstore.log import START, EventLog, Pending, streams
from core.eventstore.subscription import CatchUpSubscription, SubscriptionLost
from core.failures import StoreUnavailable, StreamGone
from core.process import configure_logging, ended_well
from core.security.stores import safe_address_of

OURS = "(order|product|stock|user|useremail)-.*"
SILENCE = 5.0  # seconds of silence after which the log is checked for undelivered events
LINK = "$>"  # the type of an event that leads to another one: its data is revision@stream
PAUSE = 0.5  # seconds before another subscription


@dataclass(frozen=True, slots=True, kw_only=True)
class What:
    """`limit` 0: until it is stopped."""

    stream: str = ""
    category: str = ""
    from_start: bool = False
    limit: int = 0

    @property
    def pattern(self) -> str:
        """A pattern of the names of the streams."""
        if self.stream:
            return re.escape(self.stream)
        return f"{re.escape(self.category)}-.*" if self.category else OURS


async def tail(address: Address, what: What) -> None:
    """Write the events to standard output.

    Raises a `StoreFailure` if the store refuses the read at the start, and `LogMismatch`.
    """
    task = asyncio.current_task()
    assert task is not None, "it runs in a task"
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, task.cancel)
    client = await connect(address)
    log = EventLog(client)
    try:
        with suppress(asyncio.CancelledError):
            async with aclosing(_events(log, what)) as events:
                shown = 0
                async for event in events:
                    sys.stdout.write(json.dumps(await _shown(event, log)) + "\n")
                    sys.stdout.flush()
                    shown += 1
                    if shown == what.limit:
                        return
    finally:
        await client.close()


async def _events(log: EventLog, what: What) -> AsyncGenerator[RecordedEvent, None]:
    end = await log.end()
    position = START if what.from_start and not what.stream else end
    if what.from_start and what.stream:  # its own events are found without reading the log
        async for event in log.events(what.stream):
            position = position_of(event)
            yield event
    while True:
        try:
            subscription = CatchUpSubscription(log, streams(what.pattern), position)
            async with subscription, aclosing(subscription.items(SILENCE)) as items:
                async for item in items:
                    if not isinstance(item, CaughtUp | Checkpoint | Pending):
                        position = position_of(item)
                        yield item
        except (SubscriptionLost, StoreUnavailable) as error:
            sys.stderr.write(f"subscribing again after position {position}: {error}\n")
            await asyncio.sleep(PAUSE)


async def _shown(event: RecordedEvent, log: EventLog) -> dict[str, object]:
    """For a link, the event that it leads to, with `link` for the place. A broken link is shown itself."""
    if event.type != LINK:
        return _to_json(event)
    target = await _target(event, log)
    place = {"position": event.commit_position, "stream": event.stream_name, "revision": event.stream_position}
    return _to_json(event if target is None else target) | {"link": place}


async def _target(link: RecordedEvent, log: EventLog) -> RecordedEvent | None:
    revision, _, stream = link.data.decode(errors="replace").partition("@")
    if not revision.isdecimal():
        return None
    with suppress(StreamGone):
        async for event in log.events(stream, int(revision), 1):
            return event if event.stream_position == int(revision) else None
    return None


def _to_json(event: RecordedEvent) -> dict[str, object]:
    return {
        "position": event.commit_position,
        "stream": event.stream_name,
        "revision": event.stream_position,
        "type": event.type,
        "id": str(event.id),
        "recorded_at": event.recorded_at.isoformat() if event.recorded_at else None,
        "data": event.data.decode(errors="replace"),
        "metadata": event.metadata.decode(errors="replace"),
    }


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m server.tail", description="Print events as they are written.")
    parser.add_argument("--stream", default="")
    parser.add_argument("--category", default="")
    parser.add_argument("--from-start", action="store_true")
    parser.add_argument("--limit", type=int, default=0)
    given = parser.parse_args()
    configure_logging("WARNING")
    what = What(stream=given.stream, category=given.category, from_start=given.from_start, limit=given.limit)
    return ended_well(
        lambda: asyncio.run(tail(safe_address_of(from_environment(StoreSettings)), what)),
        lambda: whereabouts(from_environment(StoreSettings), "--uri"),
    )


if __name__ == "__main__":
    sys.exit(main())
