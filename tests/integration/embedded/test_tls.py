"""TLS of a secure node and of a cluster."""

import asyncio
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
from esdbclient import EventStoreDBClient, NewEvent, StreamState
from esdbclient.asyncio_client import AsyncEventStoreDBClient
from esdbclient.exceptions import AccessDeniedError, GrpcError
from esdbclient.protos.Grpc import gossip_pb2, shared_pb2

from embedded.eventstore.cluster import cluster
from embedded.eventstore.node import node
from embedded.eventstore.security.settings import Security
from embedded.stack import started
from tests.support.certificates import Certificate, certificate_in
from tests.support.secure_node import DENIED, GOSSIP, OK, UNAUTHENTICATED, calling

pytestmark = pytest.mark.asyncio(loop_scope="module")
PASSWORD = "secret"
EVENT = NewEvent(type="Happened", data=b"{}")


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Certificate:
    return certificate_in(tmp_path_factory.mktemp("certificates"))


@pytest.fixture(scope="module")
def strangers(tmp_path_factory: pytest.TempPathFactory) -> Certificate:
    """Of another authority."""
    return certificate_in(tmp_path_factory.mktemp("strangers"))


@pytest.fixture(scope="module")
def security(certificate: Certificate) -> Security:
    return Security(certificate=certificate.certificate, key=certificate.key, admin_password=PASSWORD)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def address(security: Security) -> AsyncIterator[str]:
    async with node(None, security=security) as address:
        yield address


async def test_a_client_that_trusts_the_authority_logs_in_and_works(address: str, certificate: Certificate) -> None:
    client = AsyncEventStoreDBClient(
        f"esdb://admin:{PASSWORD}@{address}?Tls=true&TlsCaFile={certificate.authority}",
    )
    await client.connect()
    try:
        await client.append_to_stream("order-2", current_version=StreamState.NO_STREAM, events=[EVENT])
        assert [event.type for event in await client.get_stream("order-2")] == ["Happened"]
    finally:
        await client.close()


async def test_rights_hold_over_tls(address: str, certificate: Certificate) -> None:
    async with calling(address, certificate.trust) as nobody:
        assert await nobody.append("order-1") == DENIED
        assert await nobody.as_user("admin", "wrong").append("order-1") == UNAUTHENTICATED
        assert await nobody.as_user("admin", PASSWORD).append("order-1") == OK


async def test_a_client_that_trusts_another_authority_gets_no_connection(address: str, strangers: Certificate) -> None:
    async with calling(address, strangers.trust) as nobody:
        assert (await nobody.answered(GOSSIP, shared_pb2.Empty())).code == "UNAVAILABLE"


async def test_plain_text_is_not_answered_by_a_port_with_tls(address: str) -> None:
    async with calling(address) as nobody:
        assert (await nobody.answered(GOSSIP, shared_pb2.Empty())).code == "UNAVAILABLE"


async def test_tls_is_not_answered_by_a_port_with_plain_text(certificate: Certificate) -> None:
    async with node(None) as address, calling(address, certificate.trust) as nobody:
        assert (await nobody.answered(GOSSIP, shared_pb2.Empty())).code == "UNAVAILABLE"


async def test_members_of_a_cluster_serve_tls_and_share_their_users(
    security: Security, certificate: Certificate
) -> None:
    async with cluster(security=security) as members:
        assert members.uri == f"esdb://{','.join(members.addresses)}?Tls=true"
        for n, address in enumerate(members.addresses):
            async with calling(address, certificate.trust) as nobody:
                admin = nobody.as_user("admin", PASSWORD)
                assert await nobody.read("order-1") == DENIED
                assert await nobody.as_user("admin", "wrong").answered(GOSSIP, shared_pb2.Empty()) == UNAUTHENTICATED
                assert await admin.append("order-1") == OK  # a follower forwards it
                assert await admin.create_user(f"user-{n}", "x") == OK
                assert len(await admin.details()) == 3 + n
                [gossip] = await nobody.ask(GOSSIP, gossip_pb2.ClusterInfo, shared_pb2.Empty())
                assert len(gossip.members) == 3


async def test_a_started_node_says_that_it_has_tls_and_takes_passwords_from_the_environment(
    certificate: Certificate, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EVENTSTORE_DEFAULT_ADMIN_PASSWORD", "secret")

    def append(uri: str, login: str) -> None:
        scheme, _, rest = uri.partition("://")
        with EventStoreDBClient(f"{scheme}://{login}@{rest}&TlsCaFile={certificate.authority}") as client:
            client.append_to_stream("$mine", current_version=StreamState.ANY, events=[EVENT])

    def start_and_append() -> str:
        with started("eventstore", options=certificate.options) as uri:
            append(uri, "admin:secret")
            with pytest.raises(GrpcError):
                append(uri, "admin:changeit")
            with pytest.raises(AccessDeniedError):
                append(uri, "ops:changeit")
        return uri

    assert (await asyncio.to_thread(start_and_append)).endswith("?Tls=true")
