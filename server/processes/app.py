"""The composition root of the process service: its clients and servers are constructed here."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from functools import partial

from core.config import Settings
from core.eventstore import store
from core.eventstore.connection import connected
from core.eventstore.identity import LogIdentity
from core.eventstore.log import EventLog
from core.eventstore.persistent import Groups
from core.eventstore.repository import Repository
from core.eventstore.snapshots import Snapshots
from core.eventstore.store_time import StoreTime
from server.commands.emails import EmailClaims
from server.commands.handler import CommandHandler
from server.commands.lookups import Lookups
from server.commands.services import CommandServices
from server.processes import routes as process_routes
from server.processes.automatic_start import AutomaticStart
from server.processes.command_sender import PAYMENTS, CommandSender
from server.processes.payment_callbacks import PaymentCallbacks
from server.processes.payments.simulator import Simulator, rules_of
from server.processes.process import OrderProcess
from server.processes.reconciler import Patience, Reconciler
from server.processes.reservations import ReservationExpiry
from server.role import Clock, Role


@asynccontextmanager
async def opened(settings: Settings, clock: Clock) -> AsyncIterator[Role]:
    async with connected(settings) as client:
        log = EventLog(client)
        events = store.EventStore(log)
        snapshots = Snapshots(events, every=settings.snapshot_every)
        try:
            repository = Repository(events, snapshots, most=settings.cached_aggregates)
            handler, payments = CommandHandler(events, repository), Simulator(rules_of(settings.payments))
            time, automatic = StoreTime(events, clock), AutomaticStart(events)
            lookups = Lookups(repository, time)
            reconciler = Reconciler(
                handler, repository, payments, _patience(settings), clock, lookups=lookups, automatic=automatic
            )
            reservations = ReservationExpiry(handler, repository, time)
            process = OrderProcess(
                Groups(log),
                events,
                reconciler,
                reservations,
                clock,
                automatic=automatic,
                at_once=settings.orders_at_once,
                sweep_every=settings.sweep_every,
            )
            payments.listen(
                PaymentCallbacks(reconciler, partial(CommandSender, handler, clock, actor=PAYMENTS)).received
            )
            services = CommandServices(
                handler,
                lookups,
                EmailClaims(events, repository, time),
                timedelta(seconds=settings.place_within),
                clock=clock,
                services=process_routes.SERVICES,
            )

            async def probe() -> None:
                await events.head()
                if process.trouble:
                    raise ConnectionError(process.trouble)

            async with LogIdentity(log).kept(), automatic.enabled(), snapshots.writing(), process.running():
                yield Role(
                    services=tuple(process_routes.SERVICES),
                    register=lambda server: server.add_generic_rpc_handlers(tuple(services.handlers())),
                    needs=dict.fromkeys(process_routes.SERVICES, (probe,)),
                )
        finally:
            await events.close()


def _patience(settings: Settings) -> Patience:
    pauses = (min(settings.first_retry * 2**n, settings.max_retry_pause) for n in range(settings.step_attempts - 1))
    return Patience(pauses=tuple(timedelta(seconds=pause) for pause in pauses), step_within=settings.step_within)
