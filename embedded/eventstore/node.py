"""The node: one gRPC server over one log."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from embedded.eventstore.info import Member, advertised, cluster_info
from embedded.eventstore.log import WriterMaker
from embedded.eventstore.security.settings import Security
from embedded.eventstore.serving import Server, Store, followed_log, guard_of, stop
from embedded.eventstore.writer import Writer


@asynccontextmanager
async def node(
    directory: Path | None,
    *,
    host: str = "127.0.0.1",
    port: int = 0,
    advertise: str = "",
    system_projections: bool = False,
    like_24_10: bool = False,
    security: Security | None = None,
    synchronous: str = "FULL",
    writer: WriterMaker = Writer,
) -> AsyncIterator[str]:
    """Serve the log in `directory` (None: one that goes with the node); yields the bound `host:port`.

    `advertise` is the host it names in gossip; without it the one it listens on, or `localhost`. `system_projections`
    starts the five that make links. `like_24_10` shows a fault of real servers up to that version: a persistent
    subscription on `$all` with a filter forgets events that wait for a consumer when it starts again. `security` gives
    the node users and TLS; without it every caller may do everything.

    Raises `LogError` for an unusable directory, `CertificateError` for an unusable certificate and `RuntimeError` for
    a taken port. When left, open calls are ended,
    what was accepted is written, and the directory is free again.
    """
    credentials = None if security is None else security.credentials()
    async with followed_log(directory, synchronous=synchronous, writer=writer) as (log, feed):
        guard = await guard_of(log, security)
        server = Server(guard, credentials)
        bound = server.bind(f"{host}:{port}")
        store = Store(log, feed, system_projections=system_projections, like_24_10=like_24_10, guard=guard)
        member = Member(advertise or advertised(host), bound)
        await server.start(store.services(lambda: cluster_info([member])))
        try:
            yield f"{host}:{bound}"
        finally:
            await stop(store, [server])
