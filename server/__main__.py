"""`python -m server commands|queries|processes [--port N]`: one role in one process.

When it serves, one JSON line goes to stdout; the log goes to stderr. SIGTERM and SIGINT drain it.
"""

import argparse
import asyncio
import gc
import json
import os
import sys

from prometheus_client import start_http_server

from server.app import ROLES, serving
from server.config import Settings, WrongSettingError
from server.failures import ServiceFailure
from server.running import configure_logging, until_stopped

WRONG_SETTING = 2  # exit code
DEFAULT_PORTS = {"commands": 50051, "queries": 50052, "processes": 50054}


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m server", description="Run one role of the server.")
    parser.add_argument("role", choices=ROLES)
    parser.add_argument("--port", type=int, help="0 takes a free one")
    arguments = parser.parse_args()
    settings = Settings()
    configure_logging(settings.log_level)
    port = DEFAULT_PORTS[arguments.role] if arguments.port is None else arguments.port
    try:
        asyncio.run(run(arguments.role, settings, port))
    except RuntimeError as error:
        if "bind" not in str(error):
            raise
        return complain(f"port {port} on {settings.host} is taken or not allowed; choose another with --port")
    except WrongSettingError as error:
        return complain(str(error), WRONG_SETTING)
    except ServiceFailure as error:
        return complain(f"{error} ({settings.eventstore_uri})")
    return 0


async def run(role: str, settings: Settings, port: int) -> None:
    def ready(address: str) -> None:
        calm_the_collector()
        if settings.metrics_port is not None:
            start_http_server(settings.metrics_port, addr=settings.host)
        sys.stdout.write(json.dumps({"ready": role, "address": address, "pid": os.getpid()}) + "\n")
        sys.stdout.flush()

    await until_stopped(serving(role, settings, port), ready)


def calm_the_collector() -> None:
    """Look for garbage in cycles less often, and not among what was there from the beginning.

    Calls make little of it, and a pass goes through all that is remembered (docs/performance.md).
    """
    gc.freeze()
    gc.set_threshold(50_000, 20, 100)


def complain(line: str, code: int = 1) -> int:
    sys.stderr.write(f"orderstream: {line}\n")
    return code


if __name__ == "__main__":
    sys.exit(main())
