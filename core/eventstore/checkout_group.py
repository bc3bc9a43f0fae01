"""The persistent subscription group that this release needs: its name, its settings, its start position.

The process service creates it at its first start. If only operators may create groups in the event store, one of them
creates it once (`orderstream store grant`, `orderstream subscriptions create`).
"""

import re
from collections.abc import Mapping
from typing import Any

from core.eventstore.log import START
from core.eventstore.persistent import ALL, Groups

NAME = "checkout"
FORMER = re.compile(r"checkout-[0-9a-f]{8}")  # of releases whose groups had a filter, which the store cannot change
NONE = re.compile(r"(?!)")  # matches no name
MESSAGE_TIMEOUT = 60.0  # seconds; then the store delivers an event to another consumer
MAX_DELIVERIES = 20  # then it is parked
SETTINGS: Mapping[str, Any] = {
    "consumer_strategy": "RoundRobin",
    "message_timeout": MESSAGE_TIMEOUT,
    "max_retry_count": MAX_DELIVERIES,
    "max_subscriber_count": 100,
}


async def is_there(groups: Groups, name: str = NAME) -> bool:
    return name in await groups.checkpoints(ALL)


async def create_missing(groups: Groups, name: str = NAME, former: re.Pattern[str] = FORMER) -> None:
    """Create the group if it is missing: at the checkpoint of a former release's group, or at the start of the log.

    Raises `StorePermissionDenied` if it is missing and we may not create it.
    """
    checkpoints = await groups.checkpoints(ALL)
    if name not in checkpoints:
        replaced = {other: place for other, place in checkpoints.items() if former.fullmatch(other)}
        await groups.create_on_all(name, await _start(groups, replaced), **SETTINGS)


async def _start(groups: Groups, former: Mapping[str, int]) -> int:
    """The last checkpoint of any former group; what former groups have parked is delivered again."""
    if not former:
        return START
    parked = [await groups.position_before_parked(ALL, name) for name in former]
    place = min([max(former.values()), *(one for one in parked if one is not None)])
    return max(place, START)
