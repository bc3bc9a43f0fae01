"""The demo, as a program runs it."""

import json
import subprocess
import sys
from pathlib import Path

ORDERSTREAM = str(Path(sys.executable).with_name("orderstream"))


def test_real_baskets_go_through_and_every_cent_is_found_again() -> None:
    done = subprocess.run(
        [ORDERSTREAM, "demo", "--orders", "20", "--json"], capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    assert set(report) == {
        "users", "products", "orders", "lines", "commands", "events", "seconds", "processes", "verified", "left_out",
        "orders_without_process", "parcels_lost", "parcels_refused", "authorisations_lapsed", "refunds_retried",
        "refunds_failed", "money_owed",
    }  # fmt: skip
    assert report["orders"] == 20
    assert report["verified"]["differences"] == 0
    processes = report["processes"]
    assert (processes["started"], processes["expired"], processes["stuck"]) == (20, 0, 0)
    assert processes["confirmed"] + processes["rejected"] == 20
    assert (report["orders_without_process"], report["refunds_failed"], report["money_owed"]) == (0, 0, 0)
    assert (report["parcels_lost"], report["parcels_refused"], report["refunds_retried"]) == (2, 2, 2)
    assert report["authorisations_lapsed"] > 0
    # each order has a process, and each product a stock
    assert report["verified"]["streams"] == 2 * report["orders"] + 2 * report["products"] + report["users"]
    assert report["events"] > report["commands"] > report["orders"]


def test_a_second_run_on_the_same_data_changes_nothing(tmp_path: Path) -> None:
    def run() -> dict[str, object]:
        done = subprocess.run(
            [ORDERSTREAM, "demo", "--orders", "1", "--data", str(tmp_path), "--json"],
            capture_output=True, text=True, timeout=120, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        report: dict[str, object] = json.loads(done.stdout)
        return {name: value for name, value in report.items() if name != "seconds"}

    assert run() == run()


def test_no_order_is_no_demo() -> None:
    done = subprocess.run(
        [ORDERSTREAM, "demo", "--orders", "0"], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 2
    assert "Traceback" not in done.stderr
