"""The composition root of the command service: its clients and servers are constructed here."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, nullcontext
from datetime import timedelta

from core.config import Settings
from core.eventstore import store
from core.eventstore.connection import connected
from core.eventstore.identity import LogIdentity
from core.eventstore.log import EventLog
from core.eventstore.repository import Repository
from core.eventstore.snapshots import Snapshots
from core.eventstore.store_time import StoreTime
from core.eventstore.unchanged import UnchangedRequests
from server.commands.emails import EmailClaims
from server.commands.former_claims import FormerClaims
from server.commands.handler import CommandHandler
from server.commands.lookups import Lookups
from server.commands.services import SERVICES, CommandServices
from server.processes.automatic_start import AutomaticStart
from server.role import Clock, Role


@asynccontextmanager
async def opened(settings: Settings, clock: Clock) -> AsyncIterator[Role]:
    async with connected(settings) as client:
        log = EventLog(client)
        events = store.EventStore(log)
        snapshots = Snapshots(events, every=settings.snapshot_every)
        try:
            repository, time = Repository(events, snapshots, most=settings.cached_aggregates), StoreTime(events, clock)
            unchanged = UnchangedRequests(events, most=settings.cached_aggregates)
            emails = EmailClaims(events, repository, time)
            services = CommandServices(
                CommandHandler(events, repository, unchanged),
                Lookups(repository, time),
                emails,
                timedelta(seconds=settings.place_within),
                clock=clock,
            )
            by_hand = nullcontext() if settings.run_by_hand else AutomaticStart(events).enabled(only_on_a_new_log=True)
            former_claims = FormerClaims(events, repository, emails, clock)
            identity = LogIdentity(log).kept()
            async with identity, by_hand, snapshots.writing(), unchanged.following(), former_claims.running():
                yield Role(
                    services=tuple(SERVICES),
                    register=lambda server: server.add_generic_rpc_handlers(tuple(services.handlers())),
                    needs=dict.fromkeys(SERVICES, (events.head,)),
                )
        finally:
            await events.close()
