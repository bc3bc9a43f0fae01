"""The messages of EventStoreDB's protocol, as esdbclient has them. No other module of the node knows esdbclient."""

from esdbclient.protos.Grpc import gossip_pb2, persistent_pb2, projections_pb2, shared_pb2, status_pb2, streams_pb2

__all__ = ["gossip_pb2", "persistent_pb2", "projections_pb2", "shared_pb2", "status_pb2", "streams_pb2"]
