"""The events that persistent subscriptions write to their own streams, for operators.

The node itself continues from its state, see `service.py`; these events are written in the same transaction.
"""

import json
from collections.abc import Iterable
from typing import Any

from embedded.eventstore.persistent.config import ALL, Config
from embedded.eventstore.records import Proposed, iso_time, system_event, ticks
from embedded.eventstore.writer import Writer

CONFIG_STREAM = "$persistentSubscriptionConfig"
CONFIGS_KEPT = 2
NO_START = -(2**63)  # in place of the revision, for a group on `$all`
ONLY_ADMINS = dict.fromkeys(("$r", "$w", "$d", "$mr", "$mw"), "$admins")


def append_own(writer: Writer, stream: str, event: Proposed) -> None:
    """Append at the exact end, so no repeated id is looked for. A stream with a tombstone takes nothing."""
    writer.append(stream, writer.last_of(stream), [event])


def checkpoint_event(place: str) -> Proposed:
    return system_event("$SubscriptionCheckpoint", place)


def parked_metadata(reason: str, revision: int) -> bytes:
    """Why an event was parked; `revision` is that of what was delivered, of a link if it came through one."""
    about: dict[str, Any] = {"added": iso_time(ticks(), "+00:00"), "reason": reason}
    if revision:
        about["subscriptionEventNumber"] = revision
    return json.dumps(about, indent=2, ensure_ascii=False).encode()


def write_configs(writer: Writer, configs: Iterable[Config]) -> None:
    """Write down all groups that there are now."""
    metadata_stream = "$$" + CONFIG_STREAM
    if writer.last_of(metadata_stream) < 0:
        append_own(writer, metadata_stream, system_event("$metadata", {"$maxCount": CONFIGS_KEPT}))
    entries = [_entry(config) for config in configs]
    content = {"version": "2", "updated": iso_time(ticks(), "Z"), "updatedBy": "system", "entries": entries}
    append_own(writer, CONFIG_STREAM, system_event("$PersistentConfig", content))


def _entry(config: Config) -> dict[str, Any]:
    """Names, order and omissions are those of the real server: nothing that is 0, false or missing."""
    entry = {
        "stream": config.source,
        "group": config.group,
        "filter": _filter(config),
        "resolveLinkTos": config.resolve_links,
        "extraStatistics": config.extra_statistics,
        "messageTimeout": config.message_timeout_ms,
        "startFrom": NO_START if config.source == ALL else config.start,
        "startPosition": config.start_from,
        "liveBufferSize": config.live_buffer_size,
        "historyBufferSize": config.history_buffer_size,
        "maxRetryCount": config.max_retry_count,
        "readBatchSize": config.read_batch_size,
        "checkPointAfter": config.checkpoint_after_ms,
        "minCheckPointCount": config.min_checkpoint_count,
        "maxCheckPointCount": config.max_checkpoint_count,
        "maxSubscriberCount": config.max_subscriber_count,
        "namedConsumerStrategy": config.strategy,
    }
    return {key: value for key, value in entry.items() if value}


def _filter(config: Config) -> dict[str, Any] | None:
    if config.by_type is None:
        return None
    return {
        "context": "eventtype" if config.by_type else "streamid",
        "type": "regex" if config.regex else "prefix",
        "data": config.regex or ",".join(config.prefixes),
        "isAllStream": True,
    }
