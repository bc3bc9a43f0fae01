"""The port of a member: bytes pass through it to a gRPC server, unless its process would have ended or been stopped.

A client cannot distinguish it from a process that was sent SIGKILL or SIGSTOP. After its end the port refuses
connections, and those that were open are reset. While it is stopped, connections are accepted, as the kernel does for a
stopped process, and no byte passes either way: no answer, no setting of HTTP/2, no answer to a ping.
"""

import asyncio
import socket
import struct
from contextlib import suppress
from typing import cast

from embedded.eventstore.errors import PortError

BACKLOG = 100  # connections that wait to be accepted
AT_ONCE = struct.pack("ii", 1, 0)  # of SO_LINGER: closing resets


class Front:
    """A port before the gRPC server that listens on the Unix socket `behind`. Raises `PortError` for a taken port.

    While it is closed, no other process is given its number.
    """

    def __init__(self, host: str, port: int, behind: str) -> None:
        self._host, self._behind = host, behind
        self._kept = _bound(host, port)
        self.port = int(self._kept.getsockname()[1])
        self._listening: socket.socket | None = None
        self._accepting: set[asyncio.Task[None]] = set()
        self._ends: set[_End] = set()
        self._joining: set[asyncio.Task[None]] = set()
        self._runs = asyncio.Event()

    @property
    def is_open(self) -> bool:
        return self._listening is not None

    @property
    def runs(self) -> bool:
        """Whether bytes pass: it is open, and not stopped."""
        return self._runs.is_set()

    async def until_runs(self) -> None:
        await self._runs.wait()

    async def open(self) -> None:
        self._listening = _bound(self._host, self.port)
        self._listening.listen(BACKLOG)
        asyncio.get_running_loop().add_reader(self._listening, self._accept)
        self._runs.set()

    def _accept(self) -> None:
        """`asyncio.Server` leaves a socket open that it has accepted in the moment in which it is closed."""
        assert self._listening is not None, "after the end nothing is accepted"
        with suppress(BlockingIOError, ConnectionAbortedError):
            connection, _ = self._listening.accept()
            connection.settimeout(0)
            task = asyncio.create_task(self._take(connection))
            self._accepting.add(task)
            task.add_done_callback(self._accepting.discard)

    async def _take(self, connection: socket.socket) -> None:
        await asyncio.get_running_loop().connect_accepted_socket(lambda: _End(self), connection)

    def hang(self) -> None:
        self._runs.clear()
        self._update()

    def resume(self) -> None:
        self._runs.set()
        self._update()

    def end(self) -> None:
        self._runs.clear()
        if self._listening is not None:
            asyncio.get_running_loop().remove_reader(self._listening)
            self._listening.close()
            self._listening = None
        for task in self._joining:
            task.cancel()
        for end in self._ends:
            end.reset()

    async def close(self) -> None:
        """For good: its number is free again."""
        self.end()
        self._kept.close()
        await asyncio.gather(*self._joining, *self._accepting, return_exceptions=True)
        await asyncio.sleep(0)  # until the transports have closed their sockets

    def _update(self) -> None:
        for end in self._ends:
            end.update()

    def accepted(self, end: "_End") -> None:
        """Called for a new connection; the member behind it is connected to as soon as this runs."""
        task = asyncio.create_task(self._join(end))
        self._joining.add(task)
        task.add_done_callback(self._joining.discard)

    async def _join(self, caller: "_End") -> None:
        await self._runs.wait()
        loop = asyncio.get_running_loop()
        try:
            _, behind = await loop.create_unix_connection(lambda: _End(self, caller), self._behind)
        except OSError:  # the server has stopped
            caller.reset()
            return
        caller.other = behind
        caller.update()
        if caller.is_closing:
            behind.close()

    def add(self, end: "_End") -> None:
        self._ends.add(end)

    def remove(self, end: "_End") -> None:
        self._ends.discard(end)


class _End(asyncio.Protocol):
    """One end of a connection. What comes in here goes out at the other, as fast as that takes it."""

    def __init__(self, front: Front, other: "_End | None" = None) -> None:
        self._front = front
        self.other = other
        self._is_held = False  # the other end takes no more
        self._transport: asyncio.Transport

    @property
    def is_closing(self) -> bool:
        return self._transport.is_closing()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        if not self._front.is_open:  # it was accepted just before the end
            self.reset()
            return
        self._front.add(self)
        self.update()
        if self.other is None:
            self._front.accepted(self)

    def data_received(self, data: bytes) -> None:
        assert self.other is not None  # before it is joined nothing is read
        if not self.other.is_closing:
            self.other.write(data)

    def connection_lost(self, _: Exception | None) -> None:
        self._front.remove(self)
        if self.other is not None:
            self.other.close()

    def pause_writing(self) -> None:
        if self.other is not None:
            self.other.hold(is_held=True)

    def resume_writing(self) -> None:
        if self.other is not None:
            self.other.hold(is_held=False)

    def hold(self, *, is_held: bool) -> None:
        self._is_held = is_held
        self.update()

    def update(self) -> None:
        """Read, or do not."""
        if self.is_closing:
            return
        if self.other is None or self._is_held or not self._front.runs:
            self._transport.pause_reading()
        else:
            self._transport.resume_reading()

    def write(self, data: bytes) -> None:
        self._transport.write(data)

    def close(self) -> None:
        self._transport.close()

    def reset(self) -> None:
        sock = self._transport.get_extra_info("socket")
        if sock.family != socket.AF_UNIX:
            with suppress(OSError):  # it is closed already
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, AT_ONCE)
        self._transport.abort()


def _bound(host: str, port: int) -> socket.socket:
    """Two of them can have the same number; only one that listens takes connections."""
    bound = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
    try:
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        bound.bind((host.strip("[]"), port))
    except OSError as error:
        bound.close()
        raise PortError(f"port {port} on {host} is taken or not allowed; choose another with --port") from error
    bound.settimeout(0)
    return bound
