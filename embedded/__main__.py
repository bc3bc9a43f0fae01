"""`python -m embedded eventstore|mongo [--port N] [--data DIR]`: one embedded store in one process.

When it serves, one JSON line goes to stdout. SIGTERM and SIGINT stop it.
"""

import argparse
import asyncio
import json
import logging
import os
import signal
import sys
from pathlib import Path

from embedded.eventstore.log import LogError
from embedded.eventstore.node import node
from embedded.mongo import MongoError, mongo, uri_of


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m embedded", description="Run one embedded store.")
    parser.add_argument("store", choices=["eventstore", "mongo"])
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, help="0 takes a free one")
    parser.add_argument("--data", type=Path, help="a directory of its own; without it everything goes with the process")
    parser.add_argument("--memory", action="store_true", help="keep nothing")
    arguments = parser.parse_args()
    logging.basicConfig(stream=sys.stderr, level=logging.WARNING)
    port = {"eventstore": 2113, "mongo": 27017}[arguments.store] if arguments.port is None else arguments.port
    directory = None if arguments.memory else arguments.data
    try:
        asyncio.run(run(arguments.store, directory, arguments.host, port))
    except (LogError, MongoError) as error:
        return complain(str(error))
    except RuntimeError as error:
        if "bind" not in str(error):
            raise
        return complain(f"port {port} on {arguments.host} is taken or not allowed; choose another with --port")
    return 0


async def run(store: str, directory: Path | None, host: str, port: int) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    serving = node(directory, host=host, port=port) if store == "eventstore" else mongo(directory, host=host, port=port)
    async with serving as address:
        uri = f"esdb://{address}?Tls=false" if store == "eventstore" else uri_of(address)
        sys.stdout.write(json.dumps({"ready": store, "uri": uri, "address": address, "pid": os.getpid()}) + "\n")
        sys.stdout.flush()
        await stop.wait()


def complain(line: str) -> int:
    sys.stderr.write(f"orderstream: {line}\n")
    return 1


if __name__ == "__main__":
    sys.exit(main())
