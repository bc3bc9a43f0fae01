"""`python -m projections [--port N]`: every view in one process.

When it serves, one JSON line goes to stdout; the log goes to stderr. SIGTERM and SIGINT stop it after the batch at
work.
"""

import argparse
import asyncio
import json
import os
import sys

from prometheus_client import start_http_server
from pydantic import ValidationError

from projections.app import serving
from projections.config import Settings
from server.config import WrongSettingError
from server.failures import ServiceFailure
from server.running import configure_logging, until_stopped

DEFAULT_PORT = 50053
WRONG_SETTING = 2  # exit code


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m projections", description="Run every view.")
    parser.add_argument("--port", type=int, default=DEFAULT_PORT, help="0 takes a free one")
    port = parser.parse_args().port
    try:
        settings = Settings()
    except ValidationError as error:
        wrong = "; ".join(f"ORDERSTREAM_{str(x['loc'][0]).upper()}: {x['msg']}" for x in error.errors())
        return complain(f"a setting is not valid: {wrong}", WRONG_SETTING)
    configure_logging(settings.log_level)
    try:
        asyncio.run(run(settings, port))
    except WrongSettingError as error:
        return complain(str(error), WRONG_SETTING)
    except OSError as error:
        return complain(f"cannot serve metrics on port {settings.metrics_port}: {error.strerror}")
    except RuntimeError as error:
        if "bind" not in str(error):
            raise
        return complain(f"port {port} on {settings.host} is taken or not allowed; choose another with --port")
    except ServiceFailure as error:
        return complain(f"{error}; ORDERSTREAM_EVENTSTORE_URI and ORDERSTREAM_MONGO_URI say where they are")
    return 0


async def run(settings: Settings, port: int) -> None:
    def ready(address: str) -> None:
        if settings.metrics_port is not None:
            start_http_server(settings.metrics_port, addr=settings.host)
        sys.stdout.write(json.dumps({"ready": "projections", "address": address, "pid": os.getpid()}) + "\n")
        sys.stdout.flush()

    await until_stopped(serving(settings, port), ready)


def complain(line: str, code: int = 1) -> int:
    sys.stderr.write(f"orderstream: {line}\n")
    return code


if __name__ == "__main__":
    sys.exit(main())
