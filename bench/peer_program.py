"""The peer's side, run by the interpreter of its own virtual environment: nothing of ours is imported.

Started with a connection string. Says its versions, then answers each line `COMMANDS AT_ONCE` with how long it took.
"""

import importlib.metadata
import json
import statistics
import sys
import time
from concurrent.futures import ThreadPoolExecutor

from eventsourcing.application import Application
from eventsourcing.domain import Aggregate, event

PACKAGES = ("eventsourcing", "eventsourcing-eventstoredb", "kurrentdbclient", "grpcio")


class User(Aggregate):
    INITIAL_VERSION = 0  # as streams of the store are counted

    @event("Registered")
    def __init__(self, name, email):
        self.name = name
        self.email = email


class Users(Application):
    def register(self, name, email):
        user = User(name=name, email=email)
        self.save(user)
        return user.id


def main():
    users = Users(env={"PERSISTENCE_MODULE": "eventsourcing_eventstoredb", "EVENTSTOREDB_URI": sys.argv[1]})
    print(json.dumps({name: importlib.metadata.version(name) for name in PACKAGES}), flush=True)

    def one(_):
        began = time.perf_counter()
        users.register("Ann", "ann@example.org")
        return time.perf_counter() - began

    with ThreadPoolExecutor(128) as pool:
        for line in sys.stdin:
            times, at_once = map(int, line.split())
            began = time.perf_counter()
            taken = list(pool.map(one, range(times))) if at_once > 1 else [one(number) for number in range(times)]
            seconds = time.perf_counter() - began
            print(json.dumps({"seconds": seconds, "p50": statistics.median(taken)}), flush=True)


if __name__ == "__main__":
    main()
