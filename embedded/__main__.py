"""`python -m embedded eventstore|cluster|mongo|stack|backup|restore|check|repair`: the stores, and their files.

A store prints one JSON line on stdout when it serves; SIGTERM and SIGINT stop it. The rest prints one JSON line when
it is done. Any failure is one line on stderr, and the exit code is 1; 2 for a certificate that cannot be used.
"""

import argparse
import asyncio
import json
import logging
import os
import signal
import sys
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from ipaddress import ip_address
from pathlib import Path

import grpc

from embedded.eventstore.cluster import cluster
from embedded.eventstore.errors import CertificateError, DamagedRecordError, LogError, PortError
from embedded.eventstore.files import back_up, check_log, repair, restore
from embedded.eventstore.health import health
from embedded.eventstore.members.control import control
from embedded.eventstore.members.member import SIZE
from embedded.eventstore.node import node
from embedded.eventstore.positions import offset
from embedded.eventstore.security.settings import Security
from embedded.mongo import MongoError, MongoTls, mongo, uri_of
from embedded.stack import NotStartedError, embedded_stack

OWNER_ONLY = 0o077  # the umask: files and directories that are made here, or by SecantusDB, are our user's alone
MONGO_FILES = {
    "certificate": "serve TLS with this certificate (PEM), to clients that have one of the authorities",
    "key": "the private key of the certificate (PEM)",
    "ca": "the authorities of the clients' certificates (PEM)",
    "client": "a certificate of theirs and its key (PEM, one file), to look whether it answers",
}
PORTS = {"eventstore": 2113, "cluster": 2113, "mongo": 27017}


def main() -> int:
    arguments = _parser().parse_args()
    os.umask(OWNER_ONLY)
    logging.basicConfig(stream=sys.stderr, level=logging.WARNING)
    try:
        arguments.run(arguments)
    except (LogError, PortError, MongoError, NotStartedError, DamagedRecordError) as error:
        return fail(str(error))
    except CertificateError as error:
        return fail(str(error), code=2)
    except RuntimeError as error:
        if "bind" not in str(error):
            raise
        port = PORTS[arguments.store] if arguments.port is None else arguments.port
        return fail(f"port {port} on {arguments.host} is taken or not allowed; choose another with --port")
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m embedded", description="The embedded stores.")
    commands = parser.add_subparsers(dest="store", required=True)
    for store in PORTS:
        one = commands.add_parser(store, help=f"run an embedded {store}")
        one.add_argument("--host", default="127.0.0.1")
        of_three = ", the first of three" if store == "cluster" else ""
        one.add_argument("--port", type=int, help=f"0 takes a free one{of_three}")
        one.add_argument("--data", type=Path, help="a directory of its own; without it nothing is kept")
        one.add_argument("--memory", action="store_true", help="keep nothing")
        one.add_argument("--with-parent", action="store_true", help="stop when standard input ends")
        if store == "eventstore":
            one.add_argument(
                "--http-port",
                type=int,
                metavar="PORT",
                help="answer health checks over HTTP/1.1 there; 0 takes a free one",
            )
        if store == "cluster":
            one.add_argument(
                "--control-port", type=int, default=0, metavar="PORT", help="take acts over HTTP/1.1 there (a free one)"
            )
            one.add_argument(
                "--pace", type=float, default=1.0, help="multiplies the times in which members notice and agree (1.0)"
            )
        if store == "mongo":
            for name, what in MONGO_FILES.items():
                one.add_argument(f"--tls-{name}-file", type=Path, metavar="FILE", help=what)
        else:
            _add_node_options(one)
        one.set_defaults(run=lambda a: asyncio.run(serve_cluster(a) if a.store == "cluster" else serve(a)))
    both = commands.add_parser("stack", help="run both")
    both.add_argument("--data", type=Path)
    both.set_defaults(run=lambda a: asyncio.run(serve_both(a.data)))
    backup = commands.add_parser("backup", help="copy an event log into one file, while its node runs or not")
    backup.add_argument("--data", type=Path, required=True)
    backup.add_argument("--to", type=Path, required=True)
    backup.set_defaults(run=lambda a: report("backup", a.to, back_up(a.data, a.to)))
    back = commands.add_parser("restore", help="put a backup into an empty directory")
    back.add_argument("--from", type=Path, required=True, dest="file")
    back.add_argument("--data", type=Path, required=True)
    back.set_defaults(run=lambda a: report("restore", a.data, restore(a.file, a.data)))
    checking = commands.add_parser("check", help="read and check every record of an event log")
    checking.add_argument("--data", type=Path, required=True)
    checking.set_defaults(run=lambda a: report("check", a.data, check_log(a.data)))
    repairing = commands.add_parser("repair", help="go on without what stands behind a damage of the write-ahead log")
    repairing.add_argument("--data", type=Path, required=True)
    repairing.set_defaults(run=lambda a: report("repair", a.data, repair(a.data)))
    return parser


def _add_node_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--certificate-file", type=Path, metavar="FILE", help="serve TLS with this certificate (PEM), and with users"
    )
    parser.add_argument(
        "--certificate-private-key-file", type=Path, metavar="FILE", help="the private key of the certificate (PEM)"
    )
    parser.add_argument(
        "--insecure",
        action="store_true",
        help="with another --host than loopback: every caller that reaches the port may do anything",
    )
    parser.add_argument("--advertise", default="", metavar="HOST", help="the host named in gossip")
    parser.add_argument(
        "--projections", choices=["off", "system"], default="off", help="system: run the five that make links"
    )
    parser.add_argument(
        "--start-standard-projections", action="store_const", const="system", dest="projections",
        help="the same as --projections system",
    )  # fmt: skip
    parser.add_argument(
        "--like-24.10", action="store_true", dest="like_24_10",
        help="show a known fault of real servers: a filtered subscription on $all forgets waiting events",
    )  # fmt: skip


def _security(arguments: argparse.Namespace) -> Security | None:
    """What the options ask for; None for an open node. Raises `CertificateError`."""
    files = arguments.certificate_file, arguments.certificate_private_key_file
    if files != (None, None):
        return Security.from_files(*files, os.environ)
    if not arguments.insecure and not _is_loopback(arguments.host):
        raise CertificateError(
            f"a node without users listens on loopback only, not on {arguments.host}: give it --certificate-file and"
            " --certificate-private-key-file, or say --insecure"
        )
    return None


def _mongo_tls(arguments: argparse.Namespace) -> MongoTls | None:
    """Raises `CertificateError` for some of the files only."""
    files: list[Path | None] = [getattr(arguments, f"tls_{name}_file") for name in MONGO_FILES]
    given = [file for file in files if file is not None]
    if not given:
        return None
    if len(given) < len(files):
        raise CertificateError(f"{', '.join(f'--tls-{name}-file' for name in MONGO_FILES)} are given together")
    return MongoTls(*given)


def _is_loopback(host: str) -> bool:
    try:
        return host == "localhost" or ip_address(host.strip("[]")).is_loopback
    except ValueError:  # a name that may lead anywhere
        return False


async def serve(arguments: argparse.Namespace) -> None:
    stop = _stopping(with_parent=arguments.with_parent)
    store, host = arguments.store, arguments.host
    directory = None if arguments.memory else arguments.data
    port = PORTS[store] if arguments.port is None else arguments.port
    security = _security(arguments) if store == "eventstore" else None
    tls = _mongo_tls(arguments) if store == "mongo" else None
    serving: AbstractAsyncContextManager[str] = (
        node(
            directory,
            host=host,
            port=port,
            advertise=arguments.advertise,
            system_projections=arguments.projections == "system",
            like_24_10=arguments.like_24_10,
            security=security,
        )
        if store == "eventstore"
        else mongo(directory, host=host, port=port, tls=tls)
    )
    async with AsyncExitStack() as stack:
        address = await stack.enter_async_context(serving)
        secure = "true" if security is not None else "false"
        uri = f"esdb://{address}?Tls={secure}" if store == "eventstore" else uri_of(address, tls)
        ready: dict[str, object] = {"ready": store, "uri": uri, "address": address, "pid": os.getpid()}
        if store == "eventstore" and arguments.http_port is not None:
            system = arguments.projections == "system"
            checks = health(host, arguments.http_port, projections=system, users=security is not None)
            ready["http"] = await stack.enter_async_context(checks)
        _say(ready)
        await stop.wait()


async def serve_cluster(arguments: argparse.Namespace) -> None:
    stop = _stopping(with_parent=arguments.with_parent)
    port = PORTS["cluster"] if arguments.port is None else arguments.port
    async with (
        cluster(
            None if arguments.memory else arguments.data,
            host=arguments.host,
            ports=[port + n if port else 0 for n in range(SIZE)],
            advertise=arguments.advertise,
            pace=arguments.pace,
            system_projections=arguments.projections == "system",
            like_24_10=arguments.like_24_10,
            security=_security(arguments),
        ) as members,
        control(members, arguments.host, arguments.control_port) as address,
    ):
        _say(
            {
                "ready": "cluster",
                "uri": members.uri,
                "addresses": members.addresses,
                "control": address,
                "pid": os.getpid(),
            }
        )
        await stop.wait()


async def serve_both(data: Path | None) -> None:
    stop = _stopping(with_parent=False)
    async with embedded_stack(data) as uris:
        _say({"ready": "stack", "eventstore": uris.eventstore, "mongo": uris.mongo, "pid": os.getpid()})
        await stop.wait()


def _stopping(*, with_parent: bool) -> asyncio.Event:
    """Set by SIGTERM, SIGINT and, if asked for, the end of standard input."""
    grpc.aio.init_grpc_aio()  # and never ended: with many calls cancelled at once, it and the loop wait for each other
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    if with_parent:

        def heard() -> None:
            if not os.read(sys.stdin.fileno(), 4096):
                loop.remove_reader(sys.stdin.fileno())
                stop.set()

        loop.add_reader(sys.stdin.fileno(), heard)
    return stop


def report(what: str, where: Path, found: tuple[int, int]) -> None:
    _say({"done": what, "where": str(where), "events": found[0], "position": offset(found[1])})


def _say(line: dict[str, object]) -> None:
    sys.stdout.write(json.dumps(line) + "\n")
    sys.stdout.flush()


def fail(line: str, *, code: int = 1) -> int:
    sys.stderr.write(f"orderstream: {line}\n")
    return code


if __name__ == "__main__":
    sys.exit(main())
