"""`python -m server commands|queries|processes [--port N]`: one role in one process; `store …`: `server.store_command`.

When it serves, one JSON line goes to stdout; the log goes to stderr. SIGTERM and SIGINT drain it.
"""

import argparse
import asyncio
import gc
import sys

from core.config import Settings
from core.process import ended_well, port_taken, say_ready, start_up, until_stopped
from core.security.ports import ports_of
from server import store_command
from server.app import ROLES, serving

DEFAULT_PORTS = {"commands": 50051, "queries": 50052, "processes": 50054}


def main() -> int:
    if sys.argv[1:2] == ["store"]:
        return store_command.main(sys.argv[2:])
    parser = argparse.ArgumentParser(prog="python -m server", description="Run one role of the server.")
    parser.add_argument("role", choices=ROLES)
    parser.add_argument("--port", type=int, help="0 takes a free one")
    arguments = parser.parse_args()
    port = DEFAULT_PORTS[arguments.role] if arguments.port is None else arguments.port
    return ended_well(lambda: _run(arguments.role, port))


def _run(role: str, port: int) -> None:
    settings = start_up(Settings)
    with port_taken(settings.host, port):
        asyncio.run(run(role, settings, port))


async def run(role: str, settings: Settings, port: int) -> None:
    ports = ports_of(settings)

    def ready(address: str) -> None:
        tune_gc()
        say_ready(settings, ports, role, address)

    await until_stopped(serving(role, settings, port, ports=ports), ready)


def tune_gc() -> None:
    """Run garbage collection less often, and exempt what existed at the start.

    Calls create few cycles, and a pass walks all cached objects (docs/performance.md).
    """
    gc.freeze()
    gc.set_threshold(50_000, 20, 100)


if __name__ == "__main__":
    sys.exit(main())
