"""The query side: answers from the read models, and about history from the log."""

from collections.abc import Callable

import grpc

from core.eventstore.log import EventLog
from core.readmodel.checkpoints import CheckpointStore
from core.readmodel.finders import Finders
from core.readmodel.views import VIEWS, VIEWS_BY_NAME
from protos.orders.v1.queries_pb2_grpc import add_OrderQueryServiceServicer_to_server
from protos.processes.v1.queries_pb2_grpc import add_ProcessQueryServiceServicer_to_server
from protos.products.v1.queries_pb2_grpc import (
    add_ProductQueryServiceServicer_to_server,
    add_StockQueryServiceServicer_to_server,
)
from protos.users.v1.queries_pb2_grpc import add_UserQueryServiceServicer_to_server
from server.queries.freshness import FreshViews
from server.queries.orders import OrderQueries
from server.queries.processes import ProcessQueries
from server.queries.products import ProductQueries
from server.queries.stock import StockQueries
from server.queries.stream_tail import StreamTails
from server.queries.users import UserQueries
from server.queries.views import Views
from server.queries.watching.hub import Hub
from server.queries.watching.orders import Watching

Service = tuple[str, Callable[[grpc.aio.Server], None]]


def fresh_views(state: CheckpointStore, log: EventLog) -> FreshViews:
    """How fresh all views are from which queries are answered."""
    return FreshViews(state, {view.name: view.stream_filter() for view in VIEWS}, log)


def of_another_log(fresh: FreshViews) -> frozenset[str]:
    """The services, by full name, that answer from a view which was made from another log."""
    queries = [query for name in fresh.of_another_log for query in VIEWS_BY_NAME[name].answers]
    return frozenset(query.partition("/")[0] for query in queries)


def views_of(state: CheckpointStore, log: EventLog, fresh: FreshViews) -> Views:
    """The views of the services."""
    finders = Finders(state)
    return Views(finders, fresh, StreamTails(finders, fresh, state, log))


def query_services(state: CheckpointStore, log: EventLog, hub: Hub, fresh: FreshViews) -> list[Service]:
    """The services by full name, each with its registration."""
    views = views_of(state, log, fresh)
    orders, products = OrderQueries(views, log, Watching(views, log, hub)), ProductQueries(views)
    stock, users, processes = StockQueries(views), UserQueries(views, log), ProcessQueries(views, log)
    return [
        ("orders.v1.OrderQueryService", lambda server: add_OrderQueryServiceServicer_to_server(orders, server)),
        ("products.v1.ProductQueryService", lambda server: add_ProductQueryServiceServicer_to_server(products, server)),
        ("products.v1.StockQueryService", lambda server: add_StockQueryServiceServicer_to_server(stock, server)),
        ("users.v1.UserQueryService", lambda server: add_UserQueryServiceServicer_to_server(users, server)),
        (
            "processes.v1.ProcessQueryService",
            lambda server: add_ProcessQueryServiceServicer_to_server(processes, server),
        ),
    ]
