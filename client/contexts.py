"""The contexts of the contract. What each method takes and gives is in `contexts.pyi`, made by `make proto`."""

from typing import ClassVar

from client.calls import Context
from protos.operations.v1 import exclusions_pb2, projections_pb2, subscriptions_pb2
from protos.orders.v1 import commands_pb2 as orders_commands
from protos.orders.v1 import queries_pb2 as orders_queries
from protos.processes.v1 import commands_pb2 as processes_commands
from protos.processes.v1 import queries_pb2 as processes_queries
from protos.products.v1 import commands_pb2 as products_commands
from protos.products.v1 import queries_pb2 as products_queries
from protos.users.v1 import commands_pb2 as users_commands
from protos.users.v1 import queries_pb2 as users_queries


class Orders(Context):
    files: ClassVar = {"commands": orders_commands.DESCRIPTOR, "queries": orders_queries.DESCRIPTOR}


class Products(Context):
    files: ClassVar = {"commands": products_commands.DESCRIPTOR, "queries": products_queries.DESCRIPTOR}


class Users(Context):
    files: ClassVar = {"commands": users_commands.DESCRIPTOR, "queries": users_queries.DESCRIPTOR}


class Processes(Context):
    files: ClassVar = {"processes": processes_commands.DESCRIPTOR, "queries": processes_queries.DESCRIPTOR}


class Operations(Context):
    files: ClassVar = {"projections": projections_pb2.DESCRIPTOR}


class Subscriptions(Context):
    files: ClassVar = {"projections": subscriptions_pb2.DESCRIPTOR}


class Exclusions(Context):
    files: ClassVar = {"projections": exclusions_pb2.DESCRIPTOR}


CONTEXTS = (Orders, Products, Users, Processes, Operations, Subscriptions, Exclusions)
