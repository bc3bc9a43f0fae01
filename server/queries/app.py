"""The composition root of the query service: its clients and servers are constructed here."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial

import grpc

from core.config import Settings
from core.eventstore.connection import connected
from core.eventstore.identity import LogIdentity
from core.eventstore.log import EventLog
from core.failures import LogMismatch
from core.readmodel.checkpoints import CheckpointStore
from core.readmodel.mongo import may_read, mongo_client, mongo_errors
from core.rpc.health import Probe
from server.queries import fresh_views, of_another_log, query_services
from server.queries.watching.hub import Hub, Limits
from server.role import Clock, Role

LOG = "log"  # health of the query service: whether the event store answers, which time travel and watches need


@asynccontextmanager
async def opened(settings: Settings, _: Clock) -> AsyncIterator[Role]:
    async with connected(settings, reads=True) as client:
        mongo = mongo_client(settings, tz_aware=True, socketTimeoutMS=round(settings.default_deadline * 1_000))
        try:
            database = mongo[settings.mongo_database]
            await may_read(database)
            log, state = EventLog(client), CheckpointStore(database)
            limits = Limits(settings.max_watches, settings.max_waiting_changes, settings.watch_heartbeat)
            hub = Hub(log, limits)
            fresh = fresh_views(state, log)
            services = query_services(state, log, hub, fresh)

            def drain() -> None:
                hub.drain()
                fresh.drain()

            def register(server: grpc.aio.Server) -> None:
                for _, add_to in services:
                    add_to(server)

            async def views_answer() -> None:
                with mongo_errors():
                    await mongo.admin.command("ping")

            async def are_of_this_log(service: str) -> None:
                if service in of_another_log(fresh):
                    raise LogMismatch

            client.leader.when_replaced.append(fresh.check_soon)
            async with LogIdentity(log, may_write=False).kept(), hub.open(), fresh.checked():
                names = tuple(name for name, _ in services)
                needs: dict[str, tuple[Probe, ...]] = {
                    name: (views_answer, partial(are_of_this_log, name)) for name in names
                }
                yield Role(services=names, register=register, needs={**needs, LOG: (log.head,)}, drain=drain)
        finally:
            await mongo.close()
