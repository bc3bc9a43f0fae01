"""The PersistentSubscriptions service."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import suppress
from typing import Any

import grpc

from embedded.eventstore.errors import HandlerError, RefusalError
from embedded.eventstore.live_feed import LiveFeed
from embedded.eventstore.log import Log
from embedded.eventstore.messages import persistent_pb2 as pb
from embedded.eventstore.messages import shared_pb2
from embedded.eventstore.persistent.config import (
    NEVER,
    Config,
    check_sizes,
    config_of,
    failed,
    missing,
    refusal,
    shown,
    source_of,
    target,
)
from embedded.eventstore.persistent.consumer import Consumer
from embedded.eventstore.persistent.group import ACTIONS, Group
from embedded.eventstore.persistent.replay import REPLAYED
from embedded.eventstore.persistent.system_events import write_configs
from embedded.eventstore.records import ANY
from embedded.eventstore.requests import uuid_bytes
from embedded.eventstore.writer import Outcome, Writer
from embedded.eventstore.writing import Serialized, write

TICK = 1.0  # seconds; timeouts are looked at no oftener, as on the real server


class PersistentSubscriptions:
    """All subscriptions of a node, as kept in its log. `like_24_10` shows a fault of real servers, see `Group`."""

    def __init__(self, log: Log, feed: LiveFeed, *, like_24_10: bool = False) -> None:
        self._log, self._feed, self._like_24_10 = log, feed, like_24_10
        self._groups: dict[str, Group] = {}
        self._sources: set[str] = set()  # of all groups there were since the start
        self._serialized = Serialized()
        self._load()
        self._ticking = asyncio.create_task(self._tick())

    async def close(self) -> None:
        self._ticking.cancel()
        await asyncio.gather(self._ticking, return_exceptions=True)
        await self._serialized.close()
        for group in tuple(self._groups.values()):
            await self._stop(group)

    def _load(self) -> None:
        checkpoints, replayed = self._log.state("checkpoint"), self._log.state(REPLAYED)
        for key, text in self._log.state("persistent").items():
            places = (int(kept[key]) if key in kept else None for kept in (checkpoints, replayed))
            self._start(Config.from_json(text), *places)

    def _start(self, config: Config, checkpoint: int | None, replayed: int | None) -> None:
        group = self._groups[config.key] = Group(self._log, config, checkpoint, replayed, like_24_10=self._like_24_10)
        self._sources.add(config.source)
        self._feed.add(group.subscriber)

    async def _stop(self, group: Group) -> None:
        self._groups.pop(group.config.key, None)
        self._feed.remove(group.subscriber)
        await group.close()

    async def _again(self, group: Group, config: Config) -> None:
        """Without its consumers, from where it is."""
        self._feed.remove(group.subscriber)
        await group.close()
        self._start(config, group.checkpoint, group.parked.lowest)  # it keeps its place in the list
        group.drop_consumers()  # that came meanwhile

    def _keeping(self, config: Config) -> Callable[[Writer], Outcome]:
        """How a new or changed group is written."""
        configs = {key: group.config for key, group in self._groups.items()} | {config.key: config}

        def keep(writer: Writer) -> Outcome:
            write_configs(writer, configs.values())
            return writer.keep("persistent", config.key, config.to_json())

        return keep

    async def _tick(self) -> None:
        while True:
            await asyncio.sleep(TICK)
            for group in tuple(self._groups.values()):
                group.tick()

    def _group(self, source: str, name: str) -> Group:
        group = self._groups.get(f"{source}::{name}")
        if group is None:
            raise missing(source, name)
        return group

    # -------------------------------------------------------------- management

    async def create(self, request: Any, _: Any) -> Any:
        return await self._serialized(self._create(request))

    async def update(self, request: Any, _: Any) -> Any:
        return await self._serialized(self._update(request))

    async def delete(self, request: Any, _: Any) -> Any:
        return await self._serialized(self._delete(request))

    async def restart(self, _request: Any, _: Any) -> Any:
        return await self._serialized(self._restart())

    async def replay_parked(self, request: Any, _: Any) -> Any:
        return await self._serialized(self._replay_parked(request))

    async def _create(self, request: Any) -> Any:
        config = config_of(self._log, request.options, None)
        if config.key in self._groups:
            raise refusal(
                grpc.StatusCode.ALREADY_EXISTS, "persistent-subscription-exists", "exists.", config.source, config.group
            )
        check_sizes(config)
        await write(self._log, self._keeping(config))
        self._start(config, None, None)
        return pb.CreateResp()

    async def _update(self, request: Any) -> Any:
        source, _start = target(request.options)
        group = self._group(source, request.options.group_name)
        config = config_of(self._log, request.options, group.config)
        check_sizes(config)
        await write(self._log, self._keeping(config))
        await self._again(group, config)
        return pb.UpdateResp()

    async def _delete(self, request: Any) -> Any:
        group = self._group(source_of(request.options), request.options.group_name)
        key, streams = group.config.key, (group.config.parked_stream, group.config.checkpoint_stream)
        others = [other.config for other in self._groups.values() if other is not group]

        def forget(writer: Writer) -> Outcome:
            for kind in ("checkpoint", REPLAYED):
                writer.keep(kind, key, None)
            for stream in streams:
                if writer.last_of(stream) >= 0:
                    writer.delete(stream, ANY)
            write_configs(writer, others)
            return writer.keep("persistent", key, None)

        await self._stop(group)  # first, so that nothing of it is written after it is forgotten
        try:
            await write(self._log, forget)
        except RefusalError:
            self._start(group.config, group.checkpoint, group.parked.lowest)
            raise
        return pb.DeleteResp()

    async def _replay_parked(self, request: Any) -> Any:
        options = request.options
        source, limit = source_of(options), options.WhichOneof("stop_at_option")
        if limit is None:
            raise HandlerError("neither a limit nor none")
        stop_at = options.stop_at if limit == "stop_at" else None
        if stop_at is not None and stop_at < 0:
            raise failed(source, options.group_name, "Cannot stop replaying parked message at a negative version.")
        await self._group(source, options.group_name).parked.replay(stop_at)
        return pb.ReplayParkedResp()

    async def _restart(self) -> Any:
        for group in tuple(self._groups.values()):
            await self._again(group, group.config)
        return shared_pb2.Empty()

    async def get_info(self, request: Any, _: Any) -> Any:
        group = self._group(source_of(request.options), request.options.group_name)
        return pb.GetInfoResp(subscription_info=_info(group))

    async def list(self, request: Any, _: Any) -> Any:
        groups, kind = list(self._groups.values()), request.options.WhichOneof("list_option")
        if kind is None:
            raise HandlerError("neither a stream nor all")
        if kind == "list_for_stream":
            source = source_of(request.options.list_for_stream, "stream")
            if source not in self._sources:
                raise missing(source, "")
            groups = [group for group in groups if group.config.source == source]
        return pb.ListResp(subscriptions=[_info(group) for group in groups])

    # -------------------------------------------------------------- consuming

    async def read(self, requests: AsyncIterator[Any], context: Any) -> AsyncGenerator[bytes, None]:
        first = await anext(requests, None)
        if first is None:
            return  # closed before it was opened
        if first.WhichOneof("content") != "options":
            raise HandlerError("options come first")
        options = first.options
        if options.uuid_option.WhichOneof("content") is None:
            raise HandlerError("no uuid option")
        group = self._group(source_of(options), options.group_name)
        name = dict(context.invocation_metadata() or ()).get("connection-name", "<unknown>")
        consumer = Consumer(options.buffer_size, str(name), structured=options.uuid_option.HasField("structured"))
        group.connect(consumer)
        reading = asyncio.create_task(_take_answers(requests, group, consumer))
        try:
            response = pb.ReadResp()
            response.subscription_confirmation.subscription_id = group.config.key
            yield bytes(response.SerializeToString())
            while True:
                item = await consumer.outbox.get()
                if isinstance(item, Exception):
                    raise item
                yield item.message(structured=consumer.structured)
        finally:
            group.disconnect(consumer)
            reading.cancel()
            with suppress(asyncio.CancelledError):
                await asyncio.gather(reading, return_exceptions=True)


async def _take_answers(requests: AsyncIterator[Any], group: Group, consumer: Consumer) -> None:
    try:
        async for request in requests:
            kind = request.WhichOneof("content")
            if kind == "ack":
                group.ack(consumer, [uuid_bytes(i) for i in request.ack.ids])
            elif kind == "nack" and request.nack.action in ACTIONS:
                ids = [uuid_bytes(i) for i in request.nack.ids]
                group.nack(consumer, ids, request.nack.action, request.nack.reason)
            else:
                consumer.outbox.put_nowait(HandlerError("an ack or a nack"))
    except Exception as error:  # noqa: BLE001  # it ends the call, whose other half is waiting for events
        consumer.outbox.put_nowait(error)


def _info(group: Group) -> Any:
    c = group.config
    in_flight = sum(consumer.count for consumer in group.consumers)
    first, end = group.parked.range()
    info = pb.SubscriptionInfo(
        event_source=c.source,
        group_name=c.group,
        status=group.status,
        average_per_second=group.per_second,
        total_items=group.total,
        count_since_last_measurement=group.per_second,
        last_checkpointed_event_position="" if group.checkpoint is None else c.place(group.checkpoint),
        last_known_event_position="" if group.source.known is None else c.place(group.source.known),
        resolve_link_tos=c.resolve_links,
        start_from=c.start_from,
        message_timeout_milliseconds=shown(c.message_timeout_ms),
        extra_statistics=c.extra_statistics,
        max_retry_count=c.max_retry_count,
        live_buffer_size=c.live_buffer_size,
        buffer_size=c.history_buffer_size,
        read_batch_size=c.read_batch_size,
        check_point_after_milliseconds=shown(c.checkpoint_after_ms or NEVER),
        min_check_point_count=c.min_checkpoint_count,
        max_check_point_count=c.max_checkpoint_count,
        read_buffer_count=len(group.source.buffer),
        live_buffer_count=min(group.source.live_count, c.live_buffer_size),  # the newest events, delivered or not
        retry_buffer_count=len(group.retry),
        total_in_flight_messages=in_flight,
        outstanding_messages_count=in_flight,
        named_consumer_strategy=c.strategy,
        max_subscriber_count=c.max_subscriber_count,
        parked_message_count=end - first,
    )
    for consumer in group.consumers:
        connection = info.connections.add(
            username="system",
            average_items_per_second=consumer.per_second,
            total_items=consumer.total,
            count_since_last_measurement=consumer.per_second,
            available_slots=consumer.size - consumer.count,
            in_flight_messages=consumer.count,
            connection_name=consumer.name,
        )
        if c.extra_statistics and consumer.latencies:
            for key, value in _measurements(sorted(consumer.latencies)):
                connection.observed_measurements.add(key=key, value=value)
    return info


def _measurements(latencies: list[int]) -> list[tuple[str, int]]:
    def at(share: float) -> int:
        return latencies[min(int(len(latencies) * share), len(latencies) - 1)]

    shares = [(f"Quintile {n}", n / 5) for n in range(1, 6)]
    shares += [("90%", 0.9), ("95%", 0.95), ("99%", 0.99), ("99.5%", 0.995), ("99.9%", 0.999), ("Highest", 1.0)]
    first = [("Mean", sum(latencies) // len(latencies)), ("Median", at(0.5)), ("Fastest", latencies[0])]
    return first + [(key, at(share)) for key, share in shares]
