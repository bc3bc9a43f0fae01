"""The demo, as a program runs it."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ORDERSTREAM = str(Path(sys.executable).with_name("orderstream"))


ORDERS = 20
Report = dict[str, Any]


def demo(data: Path) -> Report:
    """What it tells, but for the time that it took."""
    done = subprocess.run(
        [ORDERSTREAM, "demo", "--orders", str(ORDERS), "--data", str(data), "--json"],
        capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    report: Report = json.loads(done.stdout)
    assert report.pop("seconds") > 0
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


@pytest.mark.sends_unknown_positions  # the node of the first run had sent them, and it belongs to the module
def test_a_second_run_on_the_same_data_changes_nothing(data: Path, report: Report) -> None:
    assert demo(data) == report


def test_no_order_is_no_demo() -> None:
    done = subprocess.run(
        [ORDERSTREAM, "demo", "--orders", "0"], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 2
    assert "Traceback" not in done.stderr
