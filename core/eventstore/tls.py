"""Whether TLS is the reason why a node that accepts connections does not answer.

gRPC distinguishes a failed handshake from an absent node only by texts that change with its releases. Here the
handshake is repeated with the standard library, which has a code for each check. That is done only while no node
answers.
"""

import asyncio
import ssl
from collections.abc import Sequence
from contextlib import suppress
from importlib.resources import files
from pathlib import Path

from core.eventstore.address import Address
from core.failures import StoreTlsFailed

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\x00\x00\x00\x04\x00\x00\x00\x00\x00"  # and empty settings
SETTINGS = 4  # type of the frame that every HTTP/2 server sends first
HEADER = 9  # bytes of a frame before its content


async def failure_of(hosts: Sequence[str], address: Address, within: float) -> StoreTlsFailed | None:
    """Why none of the hosts (host:port) answers, if TLS is the reason at each of them; else None."""
    found = await asyncio.gather(*(_failure_of(host, address, within) for host in hosts))
    return None if None in found else next(iter(found), None)


async def _failure_of(node: str, address: Address, within: float) -> StoreTlsFailed | None:
    host, _, port = node.rpartition(":")
    host = host.strip("[]")
    try:
        async with asyncio.timeout(within):
            if address.tls:
                return await _of_handshake(node, host, int(port), address)
            if await _shakes_hands(host, int(port), _trusting()):
                return StoreTlsFailed("event", f"{node} speaks TLS only", "the address says Tls=false: leave that out")
    except (OSError, TimeoutError, EOFError):
        pass  # it is absent or slow, which is reported otherwise
    return None


async def _of_handshake(node: str, host: str, port: int, address: Address) -> StoreTlsFailed | None:
    try:
        if await _shakes_hands(host, port, _checking(address)):
            return None
    except ssl.SSLCertVerificationError as error:
        trusted = address.ca_file or "those that gRPC brings (ORDERSTREAM_EVENTSTORE_CA_FILE names others)"
        return StoreTlsFailed(
            "event",
            f"the certificate of {node} is not accepted: {error.verify_message}",
            f"trusted authorities: {trusted}",
        )
    if await _speaks_plainly(host, port):
        return StoreTlsFailed("event", f"{node} does not speak TLS", "Tls=false in the address is for such a server")
    return None


async def _shakes_hands(host: str, port: int, context: ssl.SSLContext) -> bool:
    """Raises `SSLCertVerificationError`, and `OSError` if there is no connection."""
    try:
        _, writer = await asyncio.open_connection(host, port, ssl=context, server_hostname=host)
    except ssl.SSLCertVerificationError:
        raise
    except (ssl.SSLError, ConnectionResetError, EOFError):
        return False
    await _closed(writer)
    return True


async def _speaks_plainly(host: str, port: int) -> bool:
    """Whether what answers is HTTP/2 without TLS."""
    reader, writer = await asyncio.open_connection(host, port)
    try:
        writer.write(PREFACE)
        await writer.drain()
        return (await reader.readexactly(HEADER))[3] == SETTINGS
    except (asyncio.IncompleteReadError, ConnectionResetError):
        return False
    finally:
        await _closed(writer)


async def _closed(writer: asyncio.StreamWriter) -> None:
    writer.close()
    with suppress(OSError, TimeoutError):
        await writer.wait_closed()


def _checking(address: Address) -> ssl.SSLContext:
    authorities = address.ca_file or Path(str(files("grpc._cython") / "_credentials" / "roots.pem"))
    context = ssl.create_default_context(cafile=str(authorities))
    if address.user_cert_file:
        context.load_cert_chain(address.user_cert_file, address.user_key_file)
    return _http2(context)


def _trusting() -> ssl.SSLContext:
    """Any peer is accepted: nothing is sent over this connection."""
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    return _http2(context)


def _http2(context: ssl.SSLContext) -> ssl.SSLContext:
    context.set_alpn_protocols(["h2"])
    return context
