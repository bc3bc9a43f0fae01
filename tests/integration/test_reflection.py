"""Servers describe themselves by the protocol that a client knows: v1, or v1alpha before it."""

from collections.abc import AsyncIterator, Sequence
from typing import Any

import grpc
import pytest
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

from core.rpc.reflection import enable_reflection
from protos.orders.v1 import queries_pb2

ORDERS = queries_pb2.DESCRIPTOR.services_by_name["OrderQueryService"].full_name
VERSIONS = pytest.mark.parametrize("version", ["v1", "v1alpha"])


@pytest.fixture
async def channel() -> AsyncIterator[grpc.aio.Channel]:
    server = grpc.aio.server()
    enable_reflection([ORDERS], server)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
        yield channel
    await server.stop(None)


async def asked(channel: grpc.aio.Channel, version: str, questions: Sequence[dict[str, str]]) -> list[Any]:
    """The answers, in messages of that version."""
    package = f"grpc.reflection.{version}."
    request, response = (
        message_factory.GetMessageClass(descriptor_pool.Default().FindMessageTypeByName(package + name))
        for name in ("ServerReflectionRequest", "ServerReflectionResponse")
    )
    call: Any = channel.stream_stream(
        f"/{package}ServerReflection/ServerReflectionInfo", request.SerializeToString, response.FromString
    )
    return [answer async for answer in call(iter([request(**question) for question in questions]), timeout=20)]


@VERSIONS
async def test_the_services_are_listed(channel: grpc.aio.Channel, version: str) -> None:
    [answer] = await asked(channel, version, [{"list_services": ""}])
    listed = {service.name for service in answer.list_services_response.service}
    assert listed >= {ORDERS, "grpc.health.v1.Health", f"grpc.reflection.{version}.ServerReflection"}


@VERSIONS
async def test_each_of_them_is_described(channel: grpc.aio.Channel, version: str) -> None:
    names = [ORDERS, f"grpc.reflection.{version}.ServerReflection"]
    answers = await asked(channel, version, [{"file_containing_symbol": name} for name in names])
    for name, answer in zip(names, answers, strict=True):
        assert answer.original_request.file_containing_symbol == name
        files = [
            descriptor_pb2.FileDescriptorProto.FromString(raw)
            for raw in answer.file_descriptor_response.file_descriptor_proto
        ]
        assert name in [f"{file.package}.{service.name}" for file in files for service in file.service]


@VERSIONS
async def test_what_is_not_there_is_said_so(channel: grpc.aio.Channel, version: str) -> None:
    [answer] = await asked(channel, version, [{"file_containing_symbol": "nobody.Knows"}])
    assert answer.error_response.error_code == grpc.StatusCode.NOT_FOUND.value[0]
