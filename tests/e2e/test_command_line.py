"""`orderstream up` in one terminal, and the rest in another.

One test uses the program itself, which starts its services with `python -m`; the others use the same services, forked.
"""

import json
import signal
import subprocess
import sys
import uuid
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

import pytest
import pytest_asyncio
from esdbclient import EventStoreDBClient, NewEvent, StreamState
from pymongo import MongoClient

from core.readmodel.views import VIEWS_BY_NAME
from tests.support.command_line import invoke
from tests.support.eventually import polled
from tests.support.processes import completed, free_port, stack

ORDERSTREAM = str(Path(sys.executable).with_name("orderstream"))
PARTS = ("eventstore", "mongo", "commands", "projections", "queries")
Line = Callable[..., Any]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def up(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[dict[str, int]]:
    """The services of `orderstream up --no-processes`, by port."""
    ports = {part: free_port() for part in PARTS}
    async with stack(tmp_path_factory.mktemp("up"), ports=ports, processes=False):
        yield ports


@contextmanager
def program(data: Path) -> Iterator[dict[str, int]]:
    """`orderstream up --no-processes` itself, until Ctrl-C."""
    ports = {part: free_port() for part in PARTS}
    arguments = [text for part, port in ports.items() for text in (f"--{part}-port", str(port))]
    process = subprocess.Popen(
        [ORDERSTREAM, "up", "--no-processes", "--data", str(data), *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    said = ""
    for line in process.stdout:
        said += line
        if "ready" in line:
            break
    assert all(f":{port}" in said for port in ports.values()), said
    yield ports
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 0, errors
    assert "Traceback" not in errors


def command_line(ports: dict[str, int], *arguments: str) -> list[str]:
    servers = [f"--{part}=127.0.0.1:{ports[part]}" for part in ("commands", "queries", "projections")]
    return [ORDERSTREAM, *servers, *arguments]


def orderstream(ports: dict[str, int], *arguments: str) -> subprocess.CompletedProcess[str]:
    return completed("orderstream", *command_line(ports, *arguments)[1:])


@pytest.fixture
def line(up: dict[str, int]) -> Line:
    def run(*arguments: str, code: int = 0) -> Any:
        done = orderstream(up, *arguments)
        assert done.returncode == code, (arguments, done.stdout, done.stderr)
        assert "Traceback" not in done.stderr
        return json.loads(done.stdout) if "--json" in arguments else done.stdout + done.stderr

    return run


@pytest.fixture
def quick(up: dict[str, int]) -> Line:
    return in_this_process(up)


def in_this_process(ports: dict[str, int]) -> Line:
    """The same command line in this process, for tests of many commands: starting one for each takes longest."""

    def run(*arguments: str, code: int = 0) -> Any:
        done = invoke(command_line(ports, *arguments)[1:])
        assert done.exit_code == code, (arguments, done.stdout, done.stderr, done.exception)
        return json.loads(done.stdout) if "--json" in arguments else done.stdout + done.stderr

    return run


def test_an_order_from_the_command_line_and_back(tmp_path: Path) -> None:
    with program(tmp_path) as ports:
        goes_from_the_command_line_and_back(in_this_process(ports))


def goes_from_the_command_line_and_back(quick: Line) -> None:
    sku = f"tea-{uuid.uuid4().hex[:8]}"
    user_id = quick("users", "register", "--name", "Ann", "--email", "anna@example.org", "--json")["user_id"]
    quick("products", "register", sku, "--name", "Tea", "--price", "3.50")
    quick("products", "activate", sku)
    address = ("--name", "Ann", "--street", "1 High Street", "--city", "Ghent", "--country", "BE")
    created = quick("orders", "create", "--customer", user_id, "--line", f"{sku}:2", *address, "--json")
    order_id = created["order_id"]
    placed = quick("--wait", "orders", "place", order_id, "--json")
    assert quick("orders", "get", order_id, "--json")["order"]["status"] == "ORDER_STATUS_PLACED"
    token = placed["consistency_token"]

    order = quick("orders", "get", order_id, "--token", token, "--json")["order"]
    assert (order["status"], order["total"]["amount_minor"]) == ("ORDER_STATUS_PLACED", 700)
    assert "7.00 EUR" in quick("orders", "get", order_id, "--token", token)

    listed = quick("orders", "list", "--customer", user_id, "--status", "placed", "--token", token, "--json")
    assert [row["order_id"] for row in listed["orders"]] == [order_id]

    printed = quick("orders", "history", order_id, "--json")["entries"]
    assert [entry["event_type"] for entry in printed] == [
        "OrderCreated",
        "LineAdded",
        "ShippingAddressChanged",
        "OrderPlacedV2",
    ]

    verified = quick("verify", "--json")
    assert (verified["differences"], verified["emails"]["shared"], verified["emails"]["listed"]) == (0, 0, [])
    assert set(verified["orders_without_process"]["swept"]) == {"begun", "brought_on", "left"}


def test_the_log_can_be_followed_from_the_start(line: Line, up: dict[str, int]) -> None:
    user_id = line("users", "register", "--name", "Eve", "--email", "eve@example.org", "--json")["user_id"]
    uri = f"esdb://127.0.0.1:{up['eventstore']}?Tls=false"
    printed = line(
        "events", "tail", "--stream", f"user-{user_id}", "--from-start", "--limit", "1", "--uri", uri, "--json"
    )
    assert (printed["type"], printed["revision"]) == ("UserRegistered", 0)
    assert "Eve" in printed["data"]


@pytest.mark.parametrize("start", [(), ("--from-start",)])
def test_a_log_that_does_not_answer_cannot_be_followed(up: dict[str, int], start: tuple[str, ...]) -> None:
    nowhere = f"esdb://127.0.0.1:{free_port()}?Tls=false"
    done = orderstream(up, "events", "tail", *start, "--uri", nowhere)
    assert (done.returncode, done.stderr.count("\n")) == (5, 1), done.stderr


def test_an_order_is_shown_as_it_was(quick: Line) -> None:
    ann = quick("users", "register", "--name", "Ann", "--email", "ann@example.org", "--json")["user_id"]
    made = quick("orders", "create", "--customer", ann, "--currency", "EUR", "--json")
    order_id = made["order_id"]
    quick("orders", "cancel", order_id, "--reason", "a test")
    then = quick("orders", "get", order_id, "--at-revision", "0", "--json")["order"]
    assert then["status"] == "ORDER_STATUS_DRAFT"
    diff = quick("orders", "diff", order_id, "--since", "0", "--json")
    assert [entry["event_type"] for entry in diff["entries"]] == ["OrderCancelled"]
    assert {change["path"] for change in diff["changes"]} >= {"status", "cancel_reason"}
    assert "cancel_reason" in quick("orders", "diff", order_id, "--since", "0")
    assert "not both" in quick("orders", "get", order_id, "--at-revision", "0", "--at-time", "2026-01-01", code=2)


def test_products_and_users_can_be_renamed(quick: Line) -> None:
    quick("products", "register", "jam", "--name", "Jam", "--price", "2.00")
    token = quick("products", "rename", "jam", "Plum jam", "--json")["consistency_token"]
    assert quick("products", "get", "jam", "--token", token, "--json")["product"]["name"] == "Plum jam"
    bob = quick("users", "register", "--name", "Bob", "--email", "bob@example.org", "--json")["user_id"]
    token = quick("users", "rename", bob, "Robert", "--json")["consistency_token"]
    assert quick("users", "get", bob, "--token", token, "--json")["user"]["name"] == "Robert"


def test_a_user_has_addresses_and_an_email_of_their_own(quick: Line) -> None:
    flo = quick("users", "register", "--name", "Flo", "--email", "flo@example.org", "--json")["user_id"]
    place = ("--name", "Flo", "--street", "1 High Street", "--city", "Ghent", "--country", "BE")
    quick("users", "add-address", flo, "home", *place)
    quick("users", "add-address", flo, "work", *place, "--postal-code", "9000", "--default")
    quick("users", "change-address", flo, "home", *place, "--postal-code", "9001")
    token = quick("users", "default-address", flo, "home", "--json")["consistency_token"]
    shown = quick("users", "get", flo, "--token", token, "--json")["user"]
    assert [x["address"]["postal_code"] for x in shown["addresses"]] == ["9001", "9000"]
    assert shown["default_address_id"] == "home"
    token = quick("users", "remove-address", flo, "home", "--json")["consistency_token"]
    assert "work (default): Flo, 1 High Street, 9000, Ghent, BE" in quick("users", "get", flo, "--token", token)
    assert "EMAIL_TAKEN" in quick("users", "register", "--name", "Flo", "--email", "FLO@example.org", code=3)


def test_an_order_on_hold_waits_until_it_is_released(quick: Line) -> None:
    cat = quick("users", "register", "--name", "Cat", "--email", "cat@example.org", "--json")["user_id"]
    quick("products", "register", "oil", "--name", "Oil", "--price", "7.00")
    quick("products", "activate", "oil")
    where = ("--name", "Cat", "--street", "1 High St", "--city", "Ghent", "--postal-code", "9000", "--country", "BE")
    order_id = quick("orders", "create", "--customer", cat, "--currency", "EUR", "--line", "oil", "--json")["order_id"]
    quick("orders", "set-address", order_id, *where)
    quick("orders", "place", order_id)
    token = quick("orders", "hold", order_id, "--reason", "looks odd", "--json")["consistency_token"]
    assert quick("orders", "get", order_id, "--token", token, "--json")["order"]["hold_reason"] == "looks odd"
    assert "looks odd" in quick("orders", "get", order_id, "--token", token)
    assert "ORDER_ON_HOLD" in quick("orders", "confirm", order_id, code=3)
    quick("orders", "release", order_id)
    quick("orders", "confirm", order_id)


def test_an_order_whose_price_moved_is_placed_after_the_command_that_the_refusal_names(quick: Line) -> None:
    gus = quick("users", "register", "--name", "Gus", "--email", "gus@example.org", "--json")["user_id"]
    quick("products", "register", "hay", "--name", "Hay", "--price", "2.00")
    quick("products", "activate", "hay")
    where = ("--name", "Gus", "--street", "1 High St", "--city", "Ghent", "--postal-code", "9000", "--country", "BE")
    order_id = quick("orders", "create", "--customer", gus, "--line", "hay:2", *where, "--json")["order_id"]
    quick("products", "price", "hay", "2.50")
    refused = quick("orders", "place", order_id, code=3)
    assert "PRICE_CHANGED" in refused
    assert f"orderstream orders refresh-prices {order_id}" in refused
    quick("orders", "refresh-prices", order_id)
    token = quick("orders", "place", order_id, "--json")["consistency_token"]
    assert quick("orders", "get", order_id, "--token", token, "--json")["order"]["total"]["amount_minor"] == 500


def test_an_order_is_paid_refunded_and_completed(quick: Line) -> None:
    dan = quick("users", "register", "--name", "Dan", "--email", "dan@example.org", "--json")["user_id"]
    quick("products", "register", "rye", "--name", "Rye", "--price", "4.00")
    quick("products", "activate", "rye")
    where = ("--name", "Dan", "--street", "1 High St", "--city", "Ghent", "--postal-code", "9000", "--country", "BE")
    made = quick("orders", "create", "--customer", dan, "--line", "rye:2", *where, "--json")
    order_id = made["order_id"]
    quick("orders", "set-shipping", order_id, "express", "4.95")
    quick("orders", "set-shipping", order_id, "post", "1.00")
    quick("orders", "discount", order_id, "d1", "12.5%", "--name", "spring sale")
    assert "share" in quick("orders", "discount", order_id, "d2", "12.345%", code=2)
    assert "DISCOUNT_EXCEEDS_TOTAL" in quick("orders", "discount", order_id, "d2", "7.01", code=3)
    quick("orders", "discount", order_id, "d3", "1.00")
    token = quick("orders", "remove-discount", order_id, "d3", "--json")["consistency_token"]
    quick("orders", "get", order_id, "--token", token, "--json")
    shown = quick("orders", "get", order_id, "--token", token)
    assert "spring sale: -1.00 EUR" in shown
    assert "post: 1.00 EUR" in shown
    quick("orders", "place", order_id)
    quick("payments", "fail", order_id, "a1", "--reason", "card declined")
    quick("payments", "authorise", order_id, "a2", "5.00")
    quick("payments", "void", order_id, "a2")
    quick("payments", "authorise", order_id, "a0", "8.00")
    quick("payments", "lapse", order_id, "a0", "--reason", "too old")
    quick("payments", "authorise", order_id, "a3", "8.00")
    assert "AUTHORISATION_EXCEEDS_TOTAL" in quick("payments", "authorise", order_id, "a4", "0.01", code=3)
    assert "ORDER_NOT_EXPIRED" in quick("orders", "expire", order_id, code=3)
    quick("orders", "confirm", order_id)
    assert "ORDER_STATE" in quick("orders", "reject", order_id, "--reason", "too late", code=3)
    quick("payments", "capture", order_id, "a3", "c1", "8.00")
    quick("payments", "refund", order_id, "r1", "1.00", "--reason", "a gift")
    quick("payments", "refund-failed", order_id, "r1", "--reason", "card closed")
    gift = ("1.00", "--reason", "a gift", "--return", "r9")
    assert "RETURN_NOT_FOUND" in quick("payments", "refund", order_id, "r3", *gift, code=4)
    quick("payments", "refund", order_id, "r2", "2.00", "--reason", "a gift")
    assert "ORDER_OPEN_ITEMS" in quick("orders", "complete", order_id, code=3)
    quick("payments", "settle", order_id, "r2")
    quick("orders", "ship", order_id)
    quick("orders", "dispatch", order_id, "--carrier", "bpost")
    quick("orders", "deliver", order_id)
    token = quick("orders", "complete", order_id, "--json")["consistency_token"]
    order = quick("orders", "get", order_id, "--token", token, "--json")["order"]
    assert (order["status"], order["payment"]) == ("ORDER_STATUS_COMPLETED", "PAYMENT_STATUS_PARTIALLY_REFUNDED")
    assert order["payments"]["captured"]["amount_minor"] == 800
    shown = quick("orders", "get", order_id, "--token", token)
    assert "captured 8.00 EUR, refunded 2.00 EUR" in shown
    assert "refund r1: failed, 1.00 EUR: card closed" in shown
    listed = quick("orders", "list", "--status", "completed", "--token", token, "--json")["orders"]
    assert [row["payment"] for row in listed] == ["PAYMENT_STATUS_PARTIALLY_REFUNDED"]


def test_a_parcel_is_refused_lost_and_comes_back(quick: Line) -> None:
    zoe = quick("users", "register", "--name", "Zoe", "--email", "zoe@example.org", "--json")["user_id"]
    quick("products", "register", "plum", "--name", "Plum", "--price", "1.00")
    quick("products", "activate", "plum")
    where = ("--name", "Zoe", "--street", "1 High St", "--city", "Ghent", "--postal-code", "9000", "--country", "BE")
    order_id = quick("orders", "create", "--customer", zoe, "--line", "plum:3", *where, "--json")["order_id"]
    quick("orders", "place", order_id)
    quick("orders", "confirm", order_id)
    quick("orders", "ship", order_id)
    assert "SHIPMENT_NOT_DISPATCHED" in quick("orders", "lost", order_id, "--reason", "gone", code=3)
    quick("orders", "dispatch", order_id, "--carrier", "bpost")
    quick("orders", "refused", order_id, "--reason", "nobody of that name")
    quick("orders", "lost", order_id, "--reason", "a lorry burnt")
    assert "at least one" in quick("orders", "came-back", order_id, code=2)
    token = quick("orders", "came-back", order_id, "--line", "plum:1", "--damaged", "plum:1", "--json")
    [parcel] = quick("orders", "get", order_id, "--token", token["consistency_token"], "--json")["order"]["shipments"]
    assert (parcel["status"], parcel["reason"]) == ("SHIPMENT_STATUS_RETURNED", "a lorry burnt")
    assert [x["condition"] for x in parcel["returned"]] == ["RETURN_CONDITION_RESALEABLE", "RETURN_CONDITION_DAMAGED"]
    assert "parcel-1: returned bpost : a lorry burnt" in quick(
        "orders", "get", order_id, "--token", token["consistency_token"]
    )
    quick("orders", "ship", order_id, "--shipment", "parcel-2")


def test_a_command_says_whether_it_was_done_before_and_whether_anything_changed(quick: Line) -> None:
    tess = quick("users", "register", "--name", "Tess", "--email", "tess@example.org", "--json")["user_id"]
    quick("products", "register", "pear", "--name", "Pear", "--price", "1.00")
    quick("products", "activate", "pear")
    where = ("--name", "Tess", "--street", "1 High St", "--city", "Ghent", "--postal-code", "9000", "--country", "BE")
    order_id = quick("orders", "create", "--customer", tess, "--line", "pear:1", *where, "--json")["order_id"]
    quick("orders", "place", order_id)
    quick("orders", "confirm", order_id)
    request = ("--request-id", str(uuid.uuid4()))
    assert "done: at revision" in quick("orders", "ship", order_id, *request)
    assert "done before: at revision" in quick("orders", "ship", order_id, *request)
    nothing = ("--request-id", str(uuid.uuid4()))
    assert "done: nothing changed, at revision" in quick("orders", "ship", order_id, *nothing)
    assert "done before: nothing changed, at revision" in quick("orders", "ship", order_id, *nothing)
    printed = quick("orders", "history", order_id, "--json")["entries"]
    assert [entry["event_type"] for entry in printed].count("ShipmentCreated") == 1
    assert quick("verify", "--json")["differences"] == 0


def test_parts_are_cancelled_and_come_back(quick: Line) -> None:
    eva = quick("users", "register", "--name", "Eva", "--email", "eva@example.org", "--json")["user_id"]
    quick("products", "register", "fig", "--name", "Fig", "--price", "1.00")
    quick("products", "activate", "fig")
    where = ("--name", "Eva", "--street", "1 High St", "--city", "Ghent", "--postal-code", "9000", "--country", "BE")
    order_id = quick("orders", "create", "--customer", eva, "--line", "fig:5", *where, "--json")["order_id"]
    quick("orders", "note", order_id, "Rings twice")
    quick("orders", "place", order_id)
    quick("orders", "confirm", order_id)
    quick("orders", "cancel-line", order_id, "fig", "1", "--reason", "too many")
    quick("orders", "cancel-line", order_id, "fig", "1", "--reason", "still too many")
    quick("orders", "ship", order_id)
    quick("orders", "unpack", order_id)
    quick("orders", "ship", order_id, "--shipment", "parcel-2")
    quick("orders", "dispatch", order_id, "--carrier", "bpost", "--shipment", "parcel-2")
    quick("orders", "deliver", order_id, "--shipment", "parcel-2")
    quick("returns", "request", order_id, "r1", "--line", "fig:1", "--reason", "sour")
    quick("returns", "reject", order_id, "r1", "--reason", "eaten")
    quick("returns", "request", order_id, "r2", "--reason", "sour")
    assert "RETURN_STATE" in quick("returns", "receive", order_id, "r2", "--line", "fig:1", code=3)
    quick("returns", "approve", order_id, "r2")
    assert "at least one" in quick("returns", "receive", order_id, "r2", code=2)
    token = quick("returns", "receive", order_id, "r2", "--line", "fig:1", "--damaged", "fig:1", "--json")
    order = quick("orders", "get", order_id, "--token", token["consistency_token"], "--json")["order"]
    assert (order["total"]["amount_minor"], order["cancelled_total"]["amount_minor"]) == (300, 200)
    assert (order["fulfilment"], order["return_status"]) == (
        "FULFILMENT_STATUS_DELIVERED",
        "RETURN_STATUS_PARTIALLY_RETURNED",
    )
    assert [x["status"] for x in order["shipments"]] == ["SHIPMENT_STATUS_CANCELLED", "SHIPMENT_STATUS_DELIVERED"]
    assert [x["condition"] for x in order["returns"][1]["received"]] == [
        "RETURN_CONDITION_RESALEABLE",
        "RETURN_CONDITION_DAMAGED",
    ]
    shown = quick("orders", "get", order_id, "--token", token["consistency_token"])
    assert "cancelled, 1 of fig: -1.00 EUR, still too many" in shown
    assert "return r2: received, 1 of fig, 1 of fig: sour" in shown
    assert "Rings twice" in shown
    printed = quick("orders", "timeline", order_id, "--token", token["consistency_token"], "--json")["entries"]
    assert [(x["step"], x["subject_id"], x["units"]) for x in printed][-3:] == [
        ("ReturnRequested", "r2", 3),
        ("ReturnApproved", "r2", 0),
        ("ReturnReceived", "r2", 2),
    ]
    assert "OrderConfirmed" in quick("orders", "timeline", order_id)
    assert "came back: 2.00 EUR" in quick("orders", "customer", eva, "--token", token["consistency_token"])
    [day] = quick("sales", "--token", token["consistency_token"], "--json")["days"][-1:]
    assert int(day["returned_minor"]) >= 200
    diff = quick("orders", "diff", order_id, "--json")["changes"]
    assert "returns[r2].stage" in {change["path"] for change in diff}


def test_what_goes_wrong_is_one_line_and_an_exit_code(line: Line) -> None:
    assert "ORDER_NOT_FOUND" in line("orders", "get", str(uuid.uuid4()), code=4)
    assert "FIELD_INVALID" in line("orders", "get", "not-a-uuid", code=3)
    assert "decimals" in line("products", "register", "x", "--name", "X", "--price", "1.234", code=2)
    assert "no status" in line("orders", "list", "--status", "lost", code=2)


def test_stock_is_received_promised_and_sold(quick: Line) -> None:
    quick("products", "register", "honey", "--name", "Honey", "--price", "5.00")
    quick("stock", "receive", "honey", "10")
    quick("stock", "adjust", "honey", "--change", "-1", "--reason", "one jar fell")
    promise = str(uuid.uuid4())
    quick("stock", "reserve", "honey", promise, "4", "--expires-at", "2100-01-01")
    assert "OUT_OF_STOCK" in quick("stock", "reserve", "honey", str(uuid.uuid4()), "6", code=3)
    assert "RESERVATION_NOT_EXPIRED" in quick("stock", "expire", "honey", promise, code=3)
    token = quick("stock", "commit", "honey", promise, "--json")["consistency_token"]
    stock = quick("stock", "get", "honey", "--token", token, "--json")["stock"]
    assert (int(stock["on_hand"]), int(stock["reserved"]), int(stock["available"])) == (5, 0, 5)
    assert "honey" in quick("stock", "list", "--at-most", "5", "--token", token)


def test_verify_finds_a_document_that_somebody_changed(quick: Line, up: dict[str, int]) -> None:
    user_id = quick("users", "register", "--name", "Bob", "--email", "rob@example.org", "--json")["user_id"]
    assert quick("verify", "--view", "user_detail", "--json")["differences"] == 0
    uri = f"mongodb://127.0.0.1:{up['mongo']}/?directConnection=true"
    with MongoClient[dict[str, Any]](uri) as mongo:
        users = mongo["orderstream"]["user_detail.g1"]
        changed = users.update_one({"_id": user_id}, {"$set": {"name": "Mallory"}})
        assert changed.matched_count == 1
        report = quick("verify", "--view", "user_detail", "--json", code=1)
        assert report["differences"] == 1
        assert report["views"]["user_detail"]["documents"] >= 1
        users.update_one({"_id": user_id}, {"$set": {"name": "Bob"}})
    assert quick("verify", "--json")["differences"] == 0


def test_every_view_is_shown_with_its_position(quick: Line) -> None:
    views = quick("projections", "list", "--json")["projections"]
    assert [view["view"] for view in views] == sorted(VIEWS_BY_NAME)

    def live() -> bool:
        views = quick("projections", "list", "--json")["projections"]
        return all(view["status"] == "PROJECTION_STATUS_LIVE" for view in views)

    assert polled(live)


def test_parked_events_are_planned_and_replayed(quick: Line, up: dict[str, int]) -> None:
    stream = f"work-{uuid.uuid4()}"
    with EventStoreDBClient(f"esdb://127.0.0.1:{up['eventstore']}?Tls=false") as client:
        client.append_to_stream(
            stream, current_version=StreamState.NO_STREAM, events=[NewEvent(f"T{n}", b"{}") for n in range(3)]
        )
        client.create_subscription_to_stream("workers", stream)
        with client.read_subscription_to_stream("workers", stream) as consumer:
            for _, event in zip(range(3), consumer, strict=False):
                consumer.nack(event, "park")
            # before the consumer goes: it may take an answer with it that it has not sent
            polled(lambda: quick("subscriptions", "parked", stream, "workers", "--wide"), lambda said: "T2" in said)
    plan = quick("subscriptions", "replay", stream, "workers", "--limit", "2", "--dry-run", "--json")
    assert (plan["events"], plan["left"], len(plan["sample"])) == (2, 1, 2)
    apply = ("subscriptions", "replay", stream, "workers", "--limit", "2", "--plan", plan["plan_id"])
    quick(*apply, code=2)  # it wants to know why
    assert quick(*apply, "--why", "fixed", "--json") == {"events": 2}
    assert "PLAN_OUTDATED" in quick(*apply, "--why", "fixed", code=3)
    assert quick("subscriptions", "get", stream, "workers", "--json")["subscription"]["parked"] == 1
    assert quick("subscriptions", "replay", stream, "workers", "--why", "the rest", "--yes", "--json") == {"events": 1}
    assert "nothing is parked" in quick("subscriptions", "replay", stream, "workers", "--why", "again", "--yes")
    assert "workers" in quick("subscriptions", "restart", "--why", "a test", "--yes")
    assert "workers" in quick("subscriptions", "list")
    quick("subscriptions", "get", stream, "nobody", code=4)


def test_health_is_an_exit_code(line: Line, up: dict[str, int]) -> None:
    health = ("health", f"127.0.0.1:{up['projections']}", "--service", "order_list")
    polled(lambda: orderstream(up, *health).returncode == 0)
    assert "SERVING" in line(*health)
    line("health", f"127.0.0.1:{free_port()}", code=5)


def test_nobody_there_is_reported_at_once(up: dict[str, int]) -> None:
    nowhere = {**up, "commands": free_port()}
    done = orderstream(nowhere, "--deadline", "1", "users", "register", "--name", "A", "--email", "a@example.org")
    assert done.returncode == 5
    assert "Traceback" not in done.stderr


def test_orders_are_watched_as_they_change(line: Line, up: dict[str, int]) -> None:
    ida = line("users", "register", "--name", "Ida", "--email", "ida@example.org", "--json")["user_id"]
    made = line("orders", "create", "--customer", ida, "--currency", "EUR", "--json")
    order_id = made["order_id"]
    with watching(up, order_id) as watch:
        assert json.loads(watch.readline())["snapshot"]["status"] == "ORDER_STATUS_DRAFT"
        line("orders", "cancel", order_id, "--reason", "a test")
        step = json.loads(watch.readline())
        assert step["change"]["entry"]["event_type"] == "OrderCancelled"
        assert watch.read() == ""  # --limit 1
    assert "watched without" in line("orders", "watch", order_id, "--customer", ida, code=2)


@contextmanager
def watching(up: dict[str, int], order_id: str) -> Iterator[IO[str]]:
    command = command_line(up, "orders", "watch", order_id, "--limit", "1", "--json")
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            yield process.stdout
        finally:
            process.kill()


def test_one_page_says_what_is_well_and_what_is_not(line: Line) -> None:
    printed = line("status", "--json", code=1)
    health = {one["role"]: one["health"] for one in printed["services"]}
    assert {role for role, said in health.items() if said == "serving"} == {"commands", "projections", "queries"}
    [red] = printed["red"]
    assert red.startswith("the service for processes at ")
    assert red.endswith("Another address: --processes, or ORDERSTREAM_PROCESSES.")
    assert health["processes"] == "not there"
    assert {view["status"] for view in printed["views"]} <= {"live", "catching up"}
    assert len(printed["views"]) == 9
    assert not printed["well"]
