"""Health checks over HTTP/1.1, as those of a real server are written."""

import asyncio
import http.client
import json
import socket
from collections.abc import Iterator

import pytest

from embedded.eventstore.health import health
from tests.support.processes import Running, completed, running


@pytest.fixture(scope="module")
def node() -> Iterator[Running]:
    with running("embedded", "eventstore", "--port", "0", "--memory", "--http-port", "0") as store:
        yield store


def asked(node: Running, path: str, method: str = "GET") -> tuple[int, bytes]:
    connection = http.client.HTTPConnection(node.ready["http"], timeout=10)
    try:
        connection.request(method, path)
        response = connection.getresponse()
        return response.status, response.read()
    finally:
        connection.close()


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/health/live", 204),
        ("HEAD", "/health/live", 204),
        ("GET", "/health/live?liveCode=200", 200),
        ("GET", "/health/live?liveCode=x", 204),
        ("POST", "/health/live", 405),
        ("GET", "/health/ready", 404),
        ("HEAD", "/info", 200),
        ("GET", "/", 404),
    ],
)
def test_a_request_has_the_code_that_a_real_server_gives(node: Running, method: str, path: str, status: int) -> None:
    assert asked(node, path, method) == (status, b"")


def test_info_says_what_runs(node: Running) -> None:
    status, body = asked(node, "/info")
    info = json.loads(body)
    assert (status, info["state"], info["authentication"]["type"]) == (200, "leader", "insecure")
    assert info["esVersion"].startswith("24.10.")
    assert info["features"] == {"projections": False, "userManagement": False, "atomPub": False}


async def test_info_says_that_a_secure_node_has_users() -> None:
    async with health("127.0.0.1", 0, projections=False, users=True) as address:
        host, _, port = address.partition(":")
        reader, writer = await asyncio.open_connection(host, int(port))
        writer.write(b"GET /info HTTP/1.1\r\n\r\n")
        body = (await reader.read()).partition(b"\r\n\r\n")[2]
        writer.close()

    info = json.loads(body)
    assert (info["authentication"]["type"], info["features"]["userManagement"]) == ("internal", True)


@pytest.mark.parametrize("sent", [b"nonsense\r\n\r\n", b"GET http://[ HTTP/1.1\r\n\r\n", b"x" * 100_000, b""])
def test_what_is_no_request_ends_the_connection_and_nothing_else(node: Running, sent: bytes) -> None:
    host, _, port = node.ready["http"].partition(":")
    with socket.create_connection((host, int(port)), timeout=10) as connection:
        connection.sendall(sent)
        connection.shutdown(socket.SHUT_WR)
        try:
            answer = connection.recv(1_000)
        except ConnectionResetError:
            answer = b""
    assert answer == b"" or answer.startswith(b"HTTP/1.1 400 ")
    assert asked(node, "/health/live") == (204, b"")


def test_a_taken_port_is_one_line(node: Running) -> None:
    port = node.ready["http"].rpartition(":")[2]
    done = completed("embedded", "eventstore", "--port", "0", "--memory", "--http-port", port)
    assert (done.returncode, done.stderr.count("\n")) == (1, 1)
    assert f"port {port} on 127.0.0.1 is taken or not allowed; choose another with --http-port" in done.stderr


def test_without_the_option_there_is_none() -> None:
    with running("embedded", "eventstore", "--port", "0", "--memory") as store:
        assert "http" not in store.ready
