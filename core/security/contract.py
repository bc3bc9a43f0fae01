"""All services of the contract, of whichever process. Importing it reads their descriptors."""

from protos.operations.v1 import exclusions_pb2, policy_pb2, projections_pb2, subscriptions_pb2
from protos.orders.v1 import commands_pb2 as orders_commands
from protos.orders.v1 import queries_pb2 as orders_queries
from protos.processes.v1 import commands_pb2 as processes_commands
from protos.processes.v1 import queries_pb2 as processes_queries
from protos.products.v1 import commands_pb2 as products_commands
from protos.products.v1 import queries_pb2 as products_queries
from protos.users.v1 import commands_pb2 as users_commands
from protos.users.v1 import queries_pb2 as users_queries

FILES = (
    exclusions_pb2,
    policy_pb2,
    projections_pb2,
    subscriptions_pb2,
    orders_commands,
    orders_queries,
    processes_commands,
    processes_queries,
    products_commands,
    products_queries,
    users_commands,
    users_queries,
)
SERVICES: tuple[str, ...] = tuple(
    service.full_name for file in FILES for service in file.DESCRIPTOR.services_by_name.values()
)
