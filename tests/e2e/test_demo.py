"""The demo, on services that are forked; the long form runs the program itself, which starts them with `python -m`."""

import asyncio
import json
import subprocess
import sys
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest

from client.sdk import OrderstreamClient
from protos.common.v1.types_pb2 import Address, Money
from protos.orders.v1.commands_pb2 import NewLine
from tests.support.calling import fresh_email, fresh_sku
from tests.support.command_line import invoke
from tests.support.processes import stack

ORDERSTREAM = str(Path(sys.executable).with_name("orderstream"))
ORDERS, FEW = 20, 5
Report = dict[str, Any]


def words(data: Path) -> list[str]:
    return ["demo", "--orders", str(ORDERS), "--data", str(data), "--json"]


def demo(data: Path) -> Report:
    with patch("client.cli.demo.stack", stack):
        done = invoke(words(data))
    assert done.exit_code == 0, done.stderr
    return reported(done.stdout)


def reported(printed: str) -> Report:
    """Its output, without the time that it took."""
    report: Report = json.loads(printed)
    assert report.pop("seconds") > 0
    used = report.pop("cpu_seconds")
    assert set(used) == {"eventstore", "mongo", "commands", "projections", "queries", "processes", "demo"}
    assert all(seconds > 0 for seconds in used.values())
    assert report.pop("cpu_per_1000_events") > 0
    return report


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("demo")


@pytest.fixture(scope="module")
def report(data: Path) -> Report:
    """Of the first run."""
    return demo(data)


def test_real_baskets_go_through_and_every_cent_is_found_again(report: Report) -> None:
    assert set(report) == {
        "users", "products", "orders", "lines", "commands", "events", "processes", "verified", "left_out",
        "orders_without_process", "parcels_lost", "parcels_refused", "authorisations_lapsed", "refunds_retried",
        "refunds_failed", "money_owed",
    }  # fmt: skip
    assert report["orders"] == ORDERS
    assert report["verified"]["differences"] == 0
    processes = report["processes"]
    assert (processes["started"], processes["expired"], processes["stuck"]) == (ORDERS, 0, 0)
    assert processes["confirmed"] + processes["rejected"] == ORDERS
    assert (report["orders_without_process"], report["refunds_failed"], report["money_owed"]) == (0, 0, 0)
    assert (report["parcels_lost"], report["parcels_refused"], report["refunds_retried"]) == (2, 2, 2)
    assert report["authorisations_lapsed"] > 0
    # each order has a process, and each product a stock
    assert report["verified"]["streams"] == 2 * report["orders"] + 2 * report["products"] + report["users"]
    assert report["events"] > report["commands"] > report["orders"]


@pytest.mark.long
def test_the_program_reports_the_same(tmp_path: Path, report: Report) -> None:
    done = subprocess.run([ORDERSTREAM, *words(tmp_path)], capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    own = reported(done.stdout)
    # how often an authorisation lapses depends on when the process looks
    assert own["verified"]["differences"] == 0
    assert {name: own[name] for name in ("users", "products", "orders", "lines")} == {
        name: report[name] for name in ("users", "products", "orders", "lines")
    }


@pytest.mark.sends_unknown_positions  # the node of the first run had sent them, and it belongs to the module
def test_a_second_run_on_the_same_data_changes_nothing(data: Path, report: Report) -> None:
    assert demo(data) == report


async def test_a_demo_on_a_stack_that_others_use_proves_what_it_has_placed_itself(tmp_path: Path) -> None:
    async with stack(tmp_path, any_log=True) as running, OrderstreamClient(running.addresses) as shop:
        ann = (await shop.users.RegisterUser(name="Ann", email=fresh_email())).user_id
        sku, price = fresh_sku(), Money(amount_minor=350, currency="USD")
        await shop.products.RegisterProduct(sku=sku, name="Tea", price=price)
        await shop.products.ActivateProduct(sku=sku)
        await shop.products.ReceiveStock(sku=sku, quantity=9)
        home = Address(name="Ann", line1="1 High Street", city="Ghent", country="BE")
        line = NewLine(sku=sku, quantity=2)
        order = await shop.orders.CreateOrder(customer_id=ann, currency="USD", lines=[line], shipping_address=home)
        await shop.orders.PlaceOrder(order_id=order.order_id)
        roles = ("commands", "queries", "projections", "processes")
        servers = [f"--{role}={getattr(running.addresses, role)}" for role in roles]
        words = [*servers, "demo", "--stack", "--orders", str(FEW), "--json"]
        done = await asyncio.to_thread(invoke, words)
        assert done.exit_code == 0, done.stderr
        report: Report = json.loads(done.stdout)
        assert (report["orders"], report["processes"]["started"]) == (FEW, FEW)
        assert report["verified"]["differences"] == 0
        assert report["verified"]["streams"] == 2 * report["orders"] + 2 * report["products"] + report["users"]
        assert report["events"] > report["commands"] > report["orders"]
        assert (await shop.users.GetUser(user_id=ann)).user.name == "Ann", "the stack goes on"


def test_no_order_is_no_demo() -> None:
    done = subprocess.run(
        [ORDERSTREAM, "demo", "--orders", "0"], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 2
    assert "Traceback" not in done.stderr
