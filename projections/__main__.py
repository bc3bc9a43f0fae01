"""`python -m projections [--port N]`: every view in one process.

When it serves, one JSON line goes to stdout; the log goes to stderr. SIGTERM and SIGINT stop it after the running
batch.
"""

import argparse
import asyncio
import sys

from core.process import ended_well, port_taken, say_ready, start_up, until_stopped
from core.security.ports import ports_of
from projections.app import serving
from projections.config import Settings

DEFAULT_PORT = 50053


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m projections", description="Run every view.")
    parser.add_argument("--port", type=int, default=DEFAULT_PORT, help="0 takes a free one")
    port = parser.parse_args().port
    return ended_well(lambda: _run(port))


def _run(port: int) -> None:
    settings = start_up(Settings)
    with port_taken(settings.host, port):
        asyncio.run(run(settings, port))


async def run(settings: Settings, port: int) -> None:
    ports = ports_of(settings)

    def ready(address: str) -> None:
        say_ready(settings, ports, "projections", address)

    await until_stopped(serving(settings, port, ports=ports), ready)


if __name__ == "__main__":
    sys.exit(main())
