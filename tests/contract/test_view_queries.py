"""A plan names the queries that a change touches: all there are, and no others."""

from core.readmodel.views import VIEWS
from protos.orders.v1 import queries_pb2 as orders
from protos.processes.v1 import queries_pb2 as processes
from protos.products.v1 import queries_pb2 as products
from protos.users.v1 import queries_pb2 as users

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
    assert all(view.answers for view in VIEWS)


def test_every_query_answers_from_a_view_or_from_the_log_alone() -> None:
    named = {query for view in VIEWS for query in view.answers}
    assert named | OF_THE_LOG == offered()
    assert not named & OF_THE_LOG
