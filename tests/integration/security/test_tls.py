"""TLS on the ports: who gets through, and how files are replaced while it serves."""

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from urllib.request import urlopen

import grpc
import pytest
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from prometheus_client import REGISTRY

from core.config import Settings
from core.security import metrics_port
from core.security.ports import ports_of
from tests.support.certificates import Authority
from tests.support.eventually import eventually
from tests.support.processes import running

WITHIN = 10.0  # seconds
LIFE = timedelta(seconds=3)
APART = [("grpc.use_local_subchannel_pool", 1)]  # a connection of its own


class Shop:
    """The files of a server, and its authority."""

    def __init__(self, directory: Path) -> None:
        self.authority = Authority()
        self.certificate, self.key = directory / "tls.pem", directory / "tls.key"
        self.client_ca = directory / "clients.pem"
        self.authority.issue(self.certificate, self.key)

    def settings(self, **more: object) -> Settings:
        return Settings(tls_certificate=self.certificate, tls_key=self.key, **more)  # type: ignore[arg-type]  # fields


@pytest.fixture
def shop(tmp_path: Path) -> Shop:
    return Shop(tmp_path)


@asynccontextmanager
async def serving(settings: Settings) -> AsyncIterator[int]:
    """Health behind the ports of these settings."""
    server = grpc.aio.server()
    health_pb2_grpc.add_HealthServicer_to_server(health.aio.HealthServicer(), server)
    port = ports_of(settings).add(server, 0)
    await server.start()
    try:
        yield port
    finally:
        await server.stop(None)


async def check(channel: grpc.aio.Channel) -> str:
    try:
        await health_pb2_grpc.HealthStub(channel).Check(health_pb2.HealthCheckRequest(), timeout=WITHIN)
    except grpc.aio.AioRpcError as error:
        return error.code().name
    return "OK"


async def answered(port: int, credentials: grpc.ChannelCredentials | None, host: str = "127.0.0.1") -> str:
    """A call over a connection of its own."""
    where = f"{host}:{port}"
    async with (
        grpc.aio.insecure_channel(where, options=APART)
        if credentials is None
        else grpc.aio.secure_channel(where, credentials, options=APART)
    ) as channel:
        return await check(channel)


def reloads(outcome: str) -> float:
    return REGISTRY.get_sample_value("orderstream_tls_reloads_total", {"outcome": outcome}) or 0.0


def expires() -> float:
    return REGISTRY.get_sample_value("orderstream_tls_certificate_expires_timestamp_seconds") or 0.0


async def test_only_over_tls_and_to_the_right_authority(shop: Shop) -> None:
    async with serving(shop.settings()) as port:
        assert await answered(port, shop.authority.client()) == "OK"
        assert await answered(port, None) == "UNAVAILABLE"
        assert await answered(port, Authority().client()) == "UNAVAILABLE"


async def test_a_certificate_of_another_host_is_not_taken_by_clients(shop: Shop) -> None:
    shop.authority.issue(shop.certificate, shop.key, "shop.example")
    async with serving(shop.settings()) as port:
        assert await answered(port, shop.authority.client()) == "UNAVAILABLE"


async def test_an_expired_certificate_is_not_taken_by_clients(shop: Shop) -> None:
    shop.authority.issue(shop.certificate, shop.key, until=datetime.now(UTC) - timedelta(days=1))
    async with serving(shop.settings()) as port:
        assert await answered(port, shop.authority.client()) == "UNAVAILABLE"
        assert expires() < datetime.now(UTC).timestamp()


async def test_with_client_authorities_only_their_certificates_get_through(shop: Shop) -> None:
    clients = Authority()
    clients.write(shop.client_ca)
    async with serving(shop.settings(tls_client_ca=shop.client_ca)) as port:
        assert await answered(port, clients.client("till-3.example", trusts=shop.authority)) == "OK"
        assert await answered(port, shop.authority.client()) == "UNAVAILABLE"
        assert await answered(port, Authority().client("till-3.example", trusts=shop.authority)) == "UNAVAILABLE"


async def test_an_expired_certificate_of_a_client_is_refused(shop: Shop) -> None:
    clients, yesterday = Authority(), datetime.now(UTC) - timedelta(days=1)
    clients.write(shop.client_ca)
    async with serving(shop.settings(tls_client_ca=shop.client_ca)) as port:
        expired = clients.client("till-3.example", trusts=shop.authority, until=yesterday)
        assert await answered(port, expired) == "UNAVAILABLE"
        assert await answered(port, clients.client("till-3.example", trusts=shop.authority)) == "OK"


@pytest.mark.filterwarnings("ignore:ssl.TLSVersion.TLSv1_1:DeprecationWarning")
async def test_tls_1_1_is_refused(shop: Shop) -> None:
    context = ssl.create_default_context(cadata=shop.authority.pem.decode())
    context.set_ciphers("ALL:@SECLEVEL=0")
    context.minimum_version = context.maximum_version = ssl.TLSVersion.TLSv1_1
    async with serving(shop.settings()) as port:
        with pytest.raises((ssl.SSLError, ConnectionError)):
            await asyncio.open_connection("127.0.0.1", port, ssl=context)


async def test_files_are_replaced_under_load_without_a_failed_call(shop: Shop) -> None:
    async with serving(shop.settings()) as port:
        channel = grpc.aio.secure_channel(f"127.0.0.1:{port}", shop.authority.client(), options=APART)
        outcomes: list[str] = []

        async def load() -> None:
            while True:
                outcomes.append(await check(channel))

        async with channel:
            working = asyncio.create_task(load())
            before, first = reloads("ok"), expires()
            for days in (10, 20):
                shop.authority.issue(shop.certificate, shop.key, until=datetime.now(UTC) + timedelta(days=days))
                assert await answered(port, shop.authority.client()) == "OK"
            made = len(outcomes)

            async def further() -> bool:
                return len(outcomes) > made

            await eventually(further, within=WITHIN)
            working.cancel()
        assert set(outcomes) == {"OK"}
        assert reloads("ok") == before + 2
        assert first != expires() == pytest.approx((datetime.now(UTC) + timedelta(days=20)).timestamp(), abs=60)


async def test_a_broken_file_leaves_the_last_good_pair_in_use(shop: Shop) -> None:
    async with serving(shop.settings()) as port:
        good, failed, until = shop.certificate.read_bytes(), reloads("failed"), expires()
        shop.certificate.write_bytes(b"garbage")
        assert await answered(port, shop.authority.client()) == "OK"
        assert await answered(port, shop.authority.client()) == "OK"
        assert (reloads("failed"), expires()) == (failed + 1, until)
        shop.certificate.write_bytes(good)
        reloaded = reloads("ok")
        assert await answered(port, shop.authority.client()) == "OK"
        assert reloads("ok") == reloaded + 1


async def test_an_expired_file_leaves_the_last_good_pair_in_use(shop: Shop) -> None:
    async with serving(shop.settings()) as port:
        failed, until = reloads("failed"), expires()
        shop.authority.issue(shop.certificate, shop.key, until=datetime.now(UTC) - timedelta(days=1))
        assert await answered(port, shop.authority.client()) == "OK"
        assert (reloads("failed"), expires()) == (failed + 1, until)


async def test_a_certificate_that_expires_while_it_serves_is_replaced_without_a_restart(shop: Shop) -> None:
    end = datetime.now(UTC) + LIFE
    shop.authority.issue(shop.certificate, shop.key, until=end)
    async with serving(shop.settings()) as port:
        where, trusting = f"127.0.0.1:{port}", shop.authority.client()
        async with (
            grpc.aio.secure_channel(where, trusting, options=APART) as old,
            grpc.aio.secure_channel(where, trusting, options=APART) as new,
        ):
            assert await check(old) == "OK"
            assert expires() == pytest.approx(end.timestamp(), abs=1)
            await eventually(partial(answered, port, trusting), "UNAVAILABLE".__eq__, within=WITHIN)
            assert expires() <= datetime.now(UTC).timestamp()
            assert await check(old) == "OK", "a connection that is open goes on"
            with pytest.raises(grpc.aio.AioRpcError, match="certificate has expired"):
                await health_pb2_grpc.HealthStub(new).Check(health_pb2.HealthCheckRequest(), timeout=WITHIN)
            shop.authority.issue(shop.certificate, shop.key)
            await eventually(partial(check, new), "OK".__eq__, within=WITHIN)
            assert expires() > datetime.now(UTC).timestamp()


async def test_client_authorities_are_replaced_too(shop: Shop) -> None:
    old, new = Authority(), Authority()
    old.write(shop.client_ca)
    async with serving(shop.settings(tls_client_ca=shop.client_ca)) as port:
        new.write(shop.client_ca)
        assert await answered(port, new.client("till-3.example", trusts=shop.authority)) == "OK"
        assert await answered(port, old.client("till-3.example", trusts=shop.authority)) == "UNAVAILABLE"


def scraped(address: str, context: ssl.SSLContext) -> str:
    with urlopen(f"https://{address}/metrics", context=context, timeout=WITHIN) as reply:
        return str(reply.read().decode())


async def test_a_reload_counts_once_in_a_process_with_both_ports(eventstore_uri: str, shop: Shop) -> None:
    environment = {
        "ORDERSTREAM_EVENTSTORE_URI": eventstore_uri,
        "ORDERSTREAM_METRICS_PORT": "0",
        "ORDERSTREAM_TLS_CERTIFICATE": str(shop.certificate),
        "ORDERSTREAM_TLS_KEY": str(shop.key),
    }
    context = ssl.create_default_context(cadata=shop.authority.pem.decode())
    with running("server", "commands", "--port", "0", environment=environment) as process:
        port = int(process.ready["address"].rpartition(":")[2])
        shop.authority.issue(shop.certificate, shop.key)
        assert await answered(port, shop.authority.client()) == "OK"
        metrics = await asyncio.to_thread(scraped, process.ready["metrics"], context)
    assert 'orderstream_tls_reloads_total{outcome="ok"} 1.0' in metrics


async def test_the_metrics_are_behind_the_same_files(shop: Shop, tmp_path: Path) -> None:
    clients = Authority()
    clients.write(shop.client_ca)
    certificates = ports_of(shop.settings(tls_client_ca=shop.client_ca)).certificates
    assert certificates is not None
    port = metrics_port.serve("127.0.0.1", 0, certificates)
    clients.issue(tmp_path / "client.pem", tmp_path / "client.key", "prometheus.example")

    stranger = ssl.create_default_context(cadata=shop.authority.pem.decode())
    known = ssl.create_default_context(cadata=shop.authority.pem.decode())
    known.load_cert_chain(tmp_path / "client.pem", tmp_path / "client.key")
    address = f"127.0.0.1:{port}"
    assert "orderstream_insecure" in await asyncio.to_thread(scraped, address, known)
    with pytest.raises(OSError, match=r"certificate required|reset|EOF"):
        await asyncio.to_thread(scraped, address, stranger)
    shop.authority.issue(shop.certificate, shop.key)
    assert "orderstream_insecure" in await asyncio.to_thread(scraped, address, known)
