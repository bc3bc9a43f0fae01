"""A plan names the queries that a change touches: all there are, and no others."""

from projections.queries_of import QUERIES
from projections.views import VIEWS
from protos.orders.v1 import queries_pb2 as orders
from protos.processes.v1 import queries_pb2 as processes
from protos.products.v1 import queries_pb2 as products
from protos.users.v1 import queries_pb2 as users
from server.queries import ANSWERS_FROM

OF_THE_LOG = {
    "orders.v1.OrderQueryService/DiffOrder",
    "orders.v1.OrderQueryService/WatchOrder",
    "processes.v1.ProcessQueryService/PlanProcess",
    "users.v1.UserQueryService/GetEmailHolders",
}


def offered() -> set[str]:
    files = [module.DESCRIPTOR for module in (orders, products, users, processes)]
    services = [service for file in files for service in file.services_by_name.values()]
    return {f"{service.full_name}/{method.name}" for service in services for method in service.methods}


def test_every_view_says_which_queries_answer_from_it() -> None:
    assert set(QUERIES) == {view.name for view in VIEWS}


def test_a_service_says_which_views_it_answers_from() -> None:
    found = {service: set(views) for service, views in ANSWERS_FROM.items()}
    named: dict[str, set[str]] = {}
    for view, queries in QUERIES.items():
        for query in queries:
            named.setdefault(query.partition("/")[0], set()).add(view)
    assert found == named


def test_every_query_answers_from_a_view_or_from_the_log_alone() -> None:
    named = {query for queries in QUERIES.values() for query in queries}
    assert named | OF_THE_LOG == offered()
    assert not named & OF_THE_LOG
