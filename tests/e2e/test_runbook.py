"""The runbook does what it says: each situation is brought about, its commands typed, what they print compared."""

import hashlib
import json
import re
import shlex
import shutil
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from esdbclient import EventStoreDBClient, NewEvent, StreamState
from pymongo import MongoClient

from client.cli.output import err, out
from core.domain.order import ORDER
from core.readmodel.views import VIEWS
from tests.support.calling import fresh_id, fresh_sku
from tests.support.command_line import invoke
from tests.support.disks import HAS_STRACE, NO_STRACE, failing
from tests.support.eventually import polled
from tests.support.processes import ROOT, Running, running

PAGE = ROOT / "docs" / "runbook.md"
WIDTH = 240  # columns, so that no table is folded
WITHIN = 60.0  # seconds
DATABASE = "runbook"
VIEWS_OF_ORDERS = [view.name for view in VIEWS if ORDER.category in view.categories]


@dataclass(frozen=True)
class Step:
    """One command, the exit code it ends with, and the lines it prints."""

    command: str
    code: int
    lines: list[str]


def steps() -> dict[str, list[Step]]:
    """What the page has, by heading."""
    found: dict[str, list[Step]] = {}
    for section in PAGE.read_text().split("\n## ")[1:]:
        heading, _, rest = section.partition("\n")
        found[heading] = []
        for block in re.findall(r"```console\n(.*?)```", rest, re.DOTALL):
            for typed in block.split("$ orderstream ")[1:]:
                command, *lines = typed.splitlines()
                command, _, code = command.partition("  # exit code ")
                found[heading].append(Step(command, int(code or 0), [line for line in lines if line.strip()]))
    return found


def as_pattern(line: str) -> str:
    """`…` for anything, a number for any, a run of spaces for any."""
    parts = re.split(r"(…|\d[\d,.]*|\s+)", line.strip())
    kinds = {"…": ".*", " ": r"\s+"}
    return "".join(kinds.get(part[:1], r"[\d,.]+" if part[:1].isdigit() else re.escape(part)) for part in parts)


@dataclass
class Shop:
    """Everything that runs, in processes of its own, on data of its own."""

    data: Path
    members: dict[str, Running] = field(default_factory=dict)

    @property
    def log(self) -> EventStoreDBClient:
        return EventStoreDBClient(self.members["eventstore"].ready["uri"])

    @contextmanager
    def documents(self, view: str) -> Iterator[Any]:
        with MongoClient[dict[str, Any]](self.members["mongo"].ready["uri"]) as client:
            database = client[DATABASE]
            pointer = database["projections"].find_one({"_id": view}) or {"generation": 1}
            yield database[f"{view}.g{pointer['generation']}"]

    def type(self, command: str) -> tuple[int, str]:
        """The exit code, and what is printed."""
        servers = [f"--{role}={self.members[role].ready['address']}" for role in ("commands", "queries", "projections")]
        done = invoke([*servers, "--actor", "ann", *shlex.split(command)])
        assert done.exception is None or isinstance(done.exception, SystemExit), done.exception
        return done.exit_code, done.stdout + done.stderr

    def type_until(self, command: str, code: int) -> tuple[int, str]:
        """Health and views follow what is done within moments; everything else is so at once."""
        deadline = time.monotonic() + (WITHIN if command.startswith(("health", "verify")) else 0)
        while True:
            done = self.type(command)
            if done[0] == code or time.monotonic() > deadline:
                return done
            time.sleep(0.1)

    def order(self) -> str:
        """A placed order that every view shows."""
        _, said = self.type(f"users register --name Ann --email {fresh_sku()}@example.org --json")
        user = re.search(r'"user_id": "([^"]+)"', said)
        assert user, said
        sku = fresh_sku()
        self.type(f"products register {sku} --name Tea --price 3.50")
        self.type(f"products activate {sku}")
        home = "--name Ann --street '1 High Street' --city Ghent --country BE"
        _, said = self.type(f"orders create --customer {user.group(1)} --line {sku}:2 {home} --json")
        order = re.search(r'"order_id": "([^"]+)"', said)
        assert order, said
        code, said = self.type(f"--wait orders place {order.group(1)}")
        assert code == 0, said
        return order.group(1)

    def until(self, command: str, wanted: str) -> None:
        """Wait until a command prints it."""
        polled(lambda: self.type(command)[1], lambda said: wanted in said, WITHIN)

    def restart(self, name: str) -> None:
        self.members[name].stop()
        self.members[name].start()


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    """One for all situations of views and groups: each is over at the end of its page."""
    with shop_in(tmp_path_factory.mktemp("shop")) as shop:
        yield shop


@pytest.fixture
def own_shop(tmp_path: Path) -> Iterator[Shop]:
    with shop_in(tmp_path) as shop:
        yield shop


@contextmanager
def shop_in(data: Path) -> Iterator[Shop]:
    shop = Shop(data)
    with ExitStack() as stack:

        def start(name: str, *arguments: str, **environment: str) -> Running:
            member = stack.enter_context(running(*arguments, environment=environment))
            member.keep_port()
            shop.members[name] = member
            return member

        log = start("eventstore", "embedded", "eventstore", "--port", "0", "--data", str(shop.data / "eventstore"))
        views = start("mongo", "embedded", "mongo", "--port", "0")
        uris = {
            "ORDERSTREAM_EVENTSTORE_URI": log.ready["uri"],
            "ORDERSTREAM_MONGO_URI": views.ready["uri"],
            "ORDERSTREAM_MONGO_DATABASE": DATABASE,
            "ORDERSTREAM_STALLED_AFTER": "1",
            "ORDERSTREAM_MEASURE_EVERY": "0.5",
        }
        start("commands", "server", "commands", "--port", "0", **uris)
        start("queries", "server", "queries", "--port", "0", **uris)
        start("projections", "projections", "--port", "0", **uris)
        yield shop


Names = Mapping[str, str]


# ------------------------------------------------------------------ situations


@contextmanager
def lag_grows(shop: Shop) -> Iterator[Names]:
    order = shop.order()
    shop.type("projections pause order_list --why 'a look at the documents'")
    shop.type(f"orders cancel {order} --reason 'changed my mind'")
    yield {}


@contextmanager
def stalled(shop: Shop) -> Iterator[Names]:
    """A document that no worker can get past: somebody took its position away."""
    order = shop.order()
    with shop.documents("order_list") as rows:
        rows.update_one({"_id": order}, {"$unset": {"position": ""}})
    shop.restart("projections")  # what a worker remembers it does not load
    shop.type(f"orders cancel {order} --reason 'changed my mind'")
    shop.until("projections get order_list", "stalled")
    yield {"HOST:PORT": shop.members["projections"].ready["address"]}


@contextmanager
def poison(shop: Shop) -> Iterator[Names]:
    order = shop.order()
    broken = NewEvent("OrderConfirmed", b'{"order_id": 7')
    shop.log.append_to_stream(f"order-{order}", current_version=StreamState.ANY, events=[broken])
    for view in VIEWS_OF_ORDERS:
        shop.until(f"projections parked {view}", order)
    yield {"STREAM": f"order-{order}"}
    for view in VIEWS_OF_ORDERS:
        shop.until(f"projections parked {view} --json", '"streams": []')


@contextmanager
def unreadable(shop: Shop) -> Iterator[Names]:
    order = shop.order()
    broken = NewEvent("OrderConfirmed", b'{"order_id": 7')
    shop.log.append_to_stream(f"order-{order}", current_version=StreamState.ANY, events=[broken])
    for view in VIEWS_OF_ORDERS:
        shop.until(f"projections parked {view}", order)
    yield {"STREAM": f"order-{order}", "ORDER": order, "HOST:PORT": shop.members["projections"].ready["address"]}
    for view in VIEWS_OF_ORDERS:
        shop.until(f"projections parked {view} --json", '"streams": []')


@contextmanager
def wrong(shop: Shop) -> Iterator[Names]:
    for _ in range(2):
        shop.order()
    with shop.documents("order_list") as rows:
        rows.update_many({}, {"$set": {"currency": "XXX"}})
    yield {}


@contextmanager
def damaged(shop: Shop) -> Iterator[Names]:
    order = shop.order()
    with shop.documents("order_list") as rows:
        rows.update_one({"_id": order}, {"$set": {"currency": "XXX"}})
    yield {"ORDER": order}


@contextmanager
def shared_address(shop: Shop) -> Iterator[Names]:
    """As a former release left it: the second user took over the claim of the first."""
    email, ann, bob, at = "ann@example.com", fresh_id(), fresh_id(), datetime.now(UTC).isoformat()
    key = hashlib.sha256(email.encode()).hexdigest()
    for user_id in (ann, bob):
        for stream, event_type, data in (
            (f"useremail-{key}", "EmailClaimed", {"email_hash": key, "user_id": user_id, "at": at}),
            (f"user-{user_id}", "UserRegistered", {"user_id": user_id, "email": email, "name": "Ann", "at": at}),
        ):
            event = NewEvent(event_type, json.dumps(data).encode())
            shop.log.append_to_stream(stream, current_version=StreamState.ANY, events=[event])
    shop.until(f"users get {bob}", bob)
    yield {"HASH": key, "ANN": ann, "BOB": bob}


@contextmanager
def full(shop: Shop) -> Iterator[Names]:
    shop.order()
    with failing(shop.members["eventstore"], "pwrite64", "ENOSPC"):
        yield {}


@contextmanager
def parked(shop: Shop) -> Iterator[Names]:
    log, stream = shop.log, "mail-orders"
    log.append_to_stream(stream, current_version=StreamState.ANY, events=[NewEvent("Happened", b"{}")])
    log.create_subscription_to_stream("mailer", stream, from_end=False)
    consumer = log.read_subscription_to_stream("mailer", stream)
    consumer.nack(next(consumer).ack_id, "park")
    shop.until(f"subscriptions parked {stream} mailer", "Happened")
    consumer.stop()
    yield {"mail-orders": stream}


@contextmanager
def restored(shop: Shop) -> Iterator[Names]:
    shop.order()
    log, data = shop.members["eventstore"], shop.data / "eventstore"
    log.stop()
    shutil.copytree(data, shop.data / "backup")
    log.start()
    for _ in range(2):
        shop.order()
    roles = [shop.members[name] for name in ("commands", "queries", "projections")]
    for member in (*roles, log):
        member.stop()
    shutil.rmtree(data)
    shutil.copytree(shop.data / "backup", data)
    for member in (log, *roles):
        member.start()
    for view in ("order_list", "sales_daily"):  # each notices it at its own next attempt
        shop.until(f"projections get {view}", "CheckpointOfAnotherLog")
    yield {"HOST:PORT": shop.members["queries"].ready["address"]}


SITUATIONS: dict[str, Callable[[Shop], Any]] = {
    "Lag grows": lag_grows,
    "A view is stalled": stalled,
    "An event that a view cannot apply": poison,
    "An unreadable event": unreadable,
    "A view is wrong after a bug": wrong,
    "A few documents are wrong": damaged,
    "Two users have one e-mail address": shared_address,
    "The disk is full": full,
    "Messages of a subscription group are parked": parked,
    "The log was restored from an older backup": restored,
}


def test_the_page_has_these_situations() -> None:
    assert list(steps()) == list(SITUATIONS)
    assert all(found for found in steps().values())


STORES_FAIL = ("The disk is full", "The log was restored from an older backup")  # it leaves views to be rebuilt


@pytest.fixture
def _wide(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(out, "width", WIDTH)
    monkeypatch.setattr(err, "width", WIDTH)


@pytest.mark.usefixtures("_wide")
@pytest.mark.parametrize("heading", [one for one in SITUATIONS if one not in STORES_FAIL])
def test_every_situation_of_views_and_groups_is_walked_through(shop: Shop, heading: str) -> None:
    walk_through(shop, heading)


@pytest.mark.usefixtures("_wide")
@pytest.mark.parametrize("heading", STORES_FAIL)
def test_every_situation_of_failing_stores_is_walked_through(own_shop: Shop, heading: str) -> None:
    if SITUATIONS[heading] is full and not HAS_STRACE:
        pytest.skip(NO_STRACE)
    walk_through(own_shop, heading)


def walk_through(shop: Shop, heading: str) -> None:
    with SITUATIONS[heading](shop) as names:
        for step in steps()[heading]:
            command = named(step.command, names)
            code, said = shop.type_until(command, step.code)
            assert code == step.code, (heading, command, said)
            for line in step.lines:
                assert re.search(as_pattern(named(line, names)), said), f"{heading}: {command}\n{said}\nnot {line}"


def named(text: str, names: Names) -> str:
    for placeholder, name in names.items():
        text = text.replace(placeholder, name)
    return text
